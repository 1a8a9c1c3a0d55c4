"""The stimulus images, which are not CC0: access to them, and readers of what is on disk.

`load_stimuli` opens the pictures, and what is public about them: embeddings, segmentations,
captions. The images are for people who have accepted a data use agreement. You send a request and
get an id, which is kept for you (see `laion_fmri.access.request_id`) and never shown. From then on
``download(…, include_stimuli=True)`` fetches the images with the other files.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from laion_fmri.access.request_id import KnownId, keep_new_id, known_id
from laion_fmri.access.service import ASK, Entry, Manifest, Service
from laion_fmri.captions import Captions
from laion_fmri.config import data_directory
from laion_fmri.embeddings import Embeddings, models_on_disk
from laion_fmri.errors import (
    AccessRevokedError,
    StimuliNotDownloadedError,
    TermsNotAcceptedError,
    TermsOutdatedError,
    UnknownRequestError,
)
from laion_fmri.reading.absent import not_here, what_is_absent
from laion_fmri.reading.closing import Closing
from laion_fmri.reading.pictures import (
    PRESENTATION_BACKGROUND_RGB8,
    StimulusImages,
    as_displayed_rgb,
)
from laion_fmri.reading.tables import read_table
from laion_fmri.segmentations import Segmentations
from neurofetch.engine import Client, Network
from neurofetch.errors import UsageError, WrongTypeError

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import pandas as pd
    from PIL.Image import Image

__all__ = [
    "PRESENTATION_BACKGROUND_RGB8",
    "Access",
    "AccessState",
    "Stimuli",
    "StimulusFile",
    "StimulusImages",
    "Terms",
    "as_displayed_rgb",
    "load_stimuli",
    "load_stimulus",
    "load_stimulus_metadata",
    "request_access",
    "status",
    "terms",
]

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

    Returns
    -------
    Terms
        The version of the terms, and where to read them.

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

    Returns
    -------
    Access
        Whether you have access; if not, why, and what you can do.

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
    wrong = [field for field, value in given.items() if not _is_text(value)]
    if wrong:
        msg = f"{', '.join(wrong)}: expected text. Nothing was sent."
        raise WrongTypeError(msg)
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


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _check_consent(accepted: str, now: Terms) -> None:
    if accepted != now.version:
        text = "" if _is_text(accepted) else ", which is no text"
        msg = (
            f"the terms of the stimuli in force are version {now.version!r}; {accepted!r} was "
            f"accepted{text}. Read them at {now.url} (and the privacy notice at "
            f"{now.privacy_url}); if you accept them, name their version. Nothing was sent."
        )
        raise TermsNotAcceptedError(msg)


# -- what is on disk -------------------------------------------------------------------------

_ARCHIVE = "stimuli/task-images_stimuli.h5"
_TABLE = "stimuli/task-images_metadata.csv"


def load_stimuli(data_dir: str | os.PathLike[str] | None = None) -> Stimuli:
    """Open the stimulus pictures that are on disk.

    Parameters
    ----------
    data_dir : str or path, optional
        By default the one that was configured.

    Returns
    -------
    Stimuli

    Raises
    ------
    StimuliNotDownloadedError
        If the pictures or their table are not on disk (a ``FileNotFoundError``).
    """
    return Stimuli(data_dir)


def load_stimulus(
    key: str | int,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    decode: bool = False,
) -> bytes | Image:
    """Return one picture: a function of earlier versions. Use `load_stimuli` for several.

    Parameters
    ----------
    key : str or int
        Its name, or its row.
    data_dir : str or path, optional
    decode : bool
        Return the picture as it was displayed, not its encoded bytes.

    Returns
    -------
    bytes or PIL.Image.Image
        The bytes of the file; with `decode`, the picture.
    """
    with Stimuli(data_dir) as found:
        return found.images.get(key) if decode else found.images[key]


def load_stimulus_metadata(data_dir: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Return the table of the pictures: a function of earlier versions.

    Returns
    -------
    pandas.DataFrame
        One row per picture.

    Raises
    ------
    StimuliNotDownloadedError
        If it is not on disk (a ``FileNotFoundError``).
    """
    root = data_directory(data_dir)
    if (why := what_is_absent([root / _TABLE])) is not None:
        raise _not_downloaded(root, why)
    return read_table(root / _TABLE, ("image_name",), ("image_name",))


class Stimuli(Closing):
    """The pictures on disk, and what is public about them. A context manager.

    Each file is opened when something of it is first asked for, in each process that asks. Objects
    can be pickled, and handed to worker processes.

    Parameters
    ----------
    data_dir : str or path, optional
        By default the one that was configured.

    Attributes
    ----------
    images : StimulusImages
        The pictures: ``images.get(name)``.

    Raises
    ------
    StimuliNotDownloadedError
        If the pictures or their table are not on disk (a ``FileNotFoundError``).
    """

    def __init__(self, data_dir: str | os.PathLike[str] | None = None) -> None:
        self._root: Path = data_directory(data_dir)
        archive, table = self._root / _ARCHIVE, self._root / _TABLE
        if (why := what_is_absent([archive, table])) is not None:
            raise _not_downloaded(self._root, why)
        self.images: StimulusImages = StimulusImages(archive, table)

    def __repr__(self) -> str:
        return f"<Stimuli: {len(self):,} pictures in {self._root}>"

    @property
    def metadata(self) -> pd.DataFrame:
        """The table of the pictures."""
        return self.images.metadata

    @cached_property
    def embeddings(self) -> Embeddings:
        """The embeddings of every model that is on disk.

        Raises
        ------
        DataNotDownloadedError
            If there are none (a ``FileNotFoundError``).
        """
        here = models_on_disk(self._root)
        if not here:
            raise not_here(self._root, "embeddings of any model", "download_embeddings(")
        return Embeddings(here, self._root)

    @cached_property
    def segmentations(self) -> Segmentations:
        """The segmentations, if they are on disk."""
        return Segmentations(self._root)

    @cached_property
    def captions(self) -> Captions:
        """The captions, if they are on disk."""
        return Captions(self._root)

    # As in earlier versions, where this was what is `images` now.

    def __len__(self) -> int:
        return len(self.images)

    def __contains__(self, name: object) -> bool:
        return name in self.images

    def __getitem__(self, key: str | int) -> bytes:
        """Return a picture, encoded."""
        return self.images[key]

    def image(self, key: str | int, *, as_displayed: bool = True) -> Image:
        """Return a picture, decoded: see `StimulusImages.get`.

        Returns
        -------
        PIL.Image.Image
            As `StimulusImages.get` returns it.
        """
        return self.images.get(key, as_displayed=as_displayed)

    def names(self) -> list[str]:
        """Return the names of all pictures.

        Returns
        -------
        list of str
            One name for each picture, in the order of the table.
        """
        return self.images.names()

    def index_of(self, name: str) -> int:
        """Return the row of a picture.

        Returns
        -------
        int
            From 0.
        """
        return self.images.index_of(name)

    def close(self) -> None:
        """Close the files that were opened."""
        self.images.close()
        for name in ("embeddings", "segmentations"):
            opened = self.__dict__.get(name)
            if opened is not None:
                opened.close()


def _not_downloaded(root: Path, why: str) -> StimuliNotDownloadedError:
    return StimuliNotDownloadedError(
        f"The stimulus pictures and their table are not in {root / 'stimuli'}{why}. They have "
        f"terms of their own; this asks for them, and fetches them:\n"
        f"    from laion_fmri.download import download_stimuli\n"
        f"    download_stimuli(data_dir={str(root)!r})"
    )
