"""Access to the stimulus images, which are not CC0: request it, and check its state.

The images are for people who have accepted a data use agreement. You send a request and get an id,
which is kept for you (see `laion_fmri.access.request_id`) and never shown. From then on
``download(…, include_stimuli=True)`` fetches the images with the other files.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from laion_fmri.access.request_id import KnownId, keep_new_id, known_id
from laion_fmri.access.service import ASK, Entry, Manifest, Service
from laion_fmri.errors import (
    AccessRevokedError,
    TermsNotAcceptedError,
    TermsOutdatedError,
    UnknownRequestError,
)
from neurofetch.engine import Client, Network
from neurofetch.errors import UsageError

__all__ = ["Access", "AccessState", "StimulusFile", "Terms", "request_access", "status", "terms"]

_LEAST_PURPOSE = 20
"""Characters; the service refuses a shorter purpose."""


class AccessState(enum.StrEnum):
    """State of the access of this user."""

    GRANTED = "granted"
    NONE = "none"
    OUTDATED = "terms outdated"
    REVOKED = "revoked"
    UNKNOWN = "unknown request id"


class Terms(NamedTuple):
    """The terms in force: their version, and where you can read them."""

    version: str
    url: str
    privacy_url: str


class StimulusFile(NamedTuple):
    """A file that the service hands out; its size in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Access:
    """State of the access of this user, and what the access service has.

    Parameters
    ----------
    state : AccessState
    detail : str
        If access is not granted: why, and what you can do.
    service : str
        The URL of the service.
    terms : Terms
    id_from : str
        Where the request id is kept; "" if there is none. The id itself is not part of this.
    files : tuple of StimulusFile
    """

    state: AccessState
    detail: str
    service: str
    terms: Terms
    id_from: str
    files: tuple[StimulusFile, ...]

    @property
    def granted(self) -> bool:
        """Whether the files can be fetched."""
        return self.state is AccessState.GRANTED


def terms() -> Terms:
    """Return the terms in force, as the service says; nothing about you is sent.

    Raises
    ------
    AccessError
        If the service cannot be reached, or refuses.
    """
    with Client(Network.from_environment()) as client:
        service = Service(client)
        return _terms(service, service.manifest())


def request_access(
    *,
    name: str,
    email: str,
    institution: str,
    purpose: str,
    accept_terms: str,
    pi: str | None = None,
) -> Access:
    """Send a request for access to the stimuli, and keep the id that the service returns.

    What you give here is sent to the access service of the dataset's owners; nothing else is.

    Parameters
    ----------
    name, email, institution : str
        Your own, the email address that of your institution.
    purpose : str
        What the images are for, in 20 characters or more.
    accept_terms : str
        The version of the terms that you have read and accept, such as ``"1.0"``; with it you say
        that you have read the privacy notice too. `terms` says which version is in force, and where
        you can read both. There is no default: this consent is yours.
    pi : str, optional
        Your principal investigator or supervisor.

    Returns
    -------
    Access

    Raises
    ------
    TermsNotAcceptedError
        If `accept_terms` is not the version in force; nothing was sent.
    UsageError
        If the form lacks something; the message says what.
    AccessError
        If the service cannot be reached, or refuses.
    DestinationError
        If the id cannot be kept; then nothing was sent.

    Examples
    --------
    ::

        from laion_fmri import stimuli

        print(stimuli.terms().url)  # read them
        stimuli.request_access(
            name="…", email="…", institution="…", purpose="…", accept_terms="1.0"
        )
    """
    form = _form(name=name, email=email, institution=institution, purpose=purpose, pi=pi)
    with Client(Network.from_environment()) as client:
        service = Service(client)
        manifest = service.manifest()
        _check_consent(accept_terms, _terms(service, manifest))
        consent = {
            "accepted_terms": True,
            "acknowledged_privacy": True,
            "terms_version": manifest.terms_version,
            "source": "cli",
        }
        known = keep_new_id(lambda: service.request({**form, **consent}), service.url)
        return _access(service, manifest, AccessState.GRANTED, known)


def status() -> Access:
    """Return the state of the access of this user, as the service says.

    Raises
    ------
    AccessError
        If the service cannot be reached, or refuses.
    ConfigError
        If the file with the id cannot be read.
    """
    known = known_id()
    with Client(Network.from_environment()) as client:
        service = Service(client)
        manifest = service.manifest()
        if known is None:
            detail = f"no request id is known; this command requests access: {ASK}"
            return _access(service, manifest, AccessState.NONE, None, detail)
        try:
            service.refresh(known.value, manifest.dataset_version)
        except TermsOutdatedError as error:
            state, detail = AccessState.OUTDATED, str(error)
        except AccessRevokedError as error:
            state, detail = AccessState.REVOKED, str(error)
        except UnknownRequestError as error:
            state, detail = AccessState.UNKNOWN, str(error)
        else:
            state, detail = AccessState.GRANTED, ""
        return _access(service, manifest, state, known, detail)


def _terms(service: Service, manifest: Manifest) -> Terms:
    return Terms(manifest.terms_version, service.terms_url, service.privacy_url)


def _access(
    service: Service,
    manifest: Manifest,
    state: AccessState,
    known: KnownId | None,
    detail: str = "",
) -> Access:
    files = tuple(_file(entry) for entry in manifest.files)
    where = known.where if known else ""
    return Access(state, detail, service.url, _terms(service, manifest), where, files)


def _file(entry: Entry) -> StimulusFile:
    return StimulusFile(entry.name, entry.size, entry.sha256)


def _form(**given: str | None) -> dict[str, object]:
    """Return the form; if fields are missing or wrong, one error names them all."""
    fields = {field: value.strip() if value else "" for field, value in given.items()}
    problems = [
        f"{field} is missing"
        for field in ("name", "email", "institution", "purpose")
        if not fields[field]
    ]
    if fields["email"] and "@" not in fields["email"]:
        problems.append(f"{fields['email']!r} is not an email address")
    if 0 < len(fields["purpose"]) < _LEAST_PURPOSE:
        problems.append(
            f"the purpose has {len(fields['purpose'])} characters; write at least {_LEAST_PURPOSE}"
        )
    if problems:
        msg = f"{'; '.join(problems)}. Nothing was sent."
        raise UsageError(msg)
    return {
        "name": fields["name"],
        "email": fields["email"],
        "institution": fields["institution"],
        "pi_or_supervisor": fields["pi"] or None,
        "research_purpose": fields["purpose"],
    }


def _check_consent(accepted: str, now: Terms) -> None:
    if accepted != now.version:
        msg = (
            f"the terms of the stimuli in force are version {now.version}; {accepted!r} was "
            f"accepted. Read them at {now.url} (and the privacy notice at {now.privacy_url}); if "
            f"you accept them, name their version. Nothing was sent."
        )
        raise TermsNotAcceptedError(msg)
