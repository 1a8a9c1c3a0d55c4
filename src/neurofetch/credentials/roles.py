"""Roles: keys for some hours, that AWS's Security Token Service gives for other credentials.

Facts: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
"""

from __future__ import annotations

import os
import re
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from neurofetch.credentials.keys import Credentials, Keys, checked_keys, moment, scrubbed
from neurofetch.credentials.signer import Signer, server_of
from neurofetch.errors import CredentialsError, RefusedError, ServerError, TransientError
from neurofetch.net.client import Client
from neurofetch.net.failures import failure
from neurofetch.net.http1 import Request
from neurofetch.net.retry import Attempts, RetryRules
from neurofetch.net.settings import aws_domain, checked_endpoint, ignores_endpoints, s3_region

if TYPE_CHECKING:
    from neurofetch.credentials.profiles import Profile
    from neurofetch.net.settings import Network

__all__ = ["assume_role", "web_identity"]

_LIMIT = 64 * 1024
_RULES = RetryRules(attempts=4, base=0.3, cap=3.0, max_wait=10.0)
_VERSION = "2011-06-15"
_FIELD = re.compile(r"<(AccessKeyId|SecretAccessKey|SessionToken|Expiration)>\s*([^<]*?)\s*</\1>")
_SESSION = "neurofetch"


def assume_role(profile: Profile, keys: Keys, network: Network) -> Keys:
    """Return the keys of a profile's role.

    Parameters
    ----------
    profile : Profile
    keys : Keys
        Those that may assume it.
    network : Network

    Raises
    ------
    CredentialsError
        If the role cannot be assumed.
    UnreachableError
        If the service does not answer.
    """
    if profile.get("mfa_serial"):
        msg = (
            f"{profile.shown} asks for a code of an MFA device (mfa_serial), and a download cannot "
            "wait for one. Nothing was fetched. Let AWS's own command ask you: add a profile with "
            f"credential_process = aws configure export-credentials {profile.flag} "
            "--format process, and name that."
        )
        raise CredentialsError(msg)
    form = {"Action": "AssumeRole", **_common(profile)}
    if profile.get("external_id"):
        form["ExternalId"] = profile.get("external_id")
    return _given(profile, profile.shown, form, network, keys)


def web_identity(profile: Profile, shown: str, network: Network) -> Keys:
    """Return the keys of a role for whom a token in a file vouches.

    Parameters
    ----------
    profile : Profile
        With ``role_arn`` and ``web_identity_token_file``.
    shown : str
    network : Network

    Raises
    ------
    CredentialsError, UnreachableError
        As `assume_role`.
    """
    path = os.path.expanduser(profile.get("web_identity_token_file"))
    token, why = "", ""
    try:
        with open(path, encoding="ascii") as file:
            token = file.read(_LIMIT).strip()
        why = "" if token else "it is empty"
    except OSError as error:
        why = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        why = "it is no text"
    if why:
        msg = f"{shown}: the web_identity_token_file {path!r} cannot be used: {why}."
        raise CredentialsError(f"{msg} Nothing was fetched.")
    form = {"Action": "AssumeRoleWithWebIdentity", **_common(profile), "WebIdentityToken": token}
    return _given(profile, shown, form, network, None, secret=token)


def _common(profile: Profile) -> dict[str, str]:
    form = {
        "Version": _VERSION,
        "RoleArn": profile.get("role_arn"),
        "RoleSessionName": profile.get("role_session_name") or _SESSION,
    }
    seconds = profile.get("duration_seconds")
    if seconds:
        if not re.fullmatch(r"[0-9]{3,6}", seconds):
            msg = f"{profile.shown}: duration_seconds is no number of seconds. Nothing was fetched."
            raise CredentialsError(msg)
        form["DurationSeconds"] = seconds
    return form


def _server(profile: Profile) -> tuple[str, str]:
    """Return the service's URL, and the region to sign for."""
    region = s3_region() or profile.region
    for name in ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"):
        text = os.environ.get(name, "").strip()
        if text and not ignores_endpoints():
            return checked_endpoint(text, name), region or "us-east-1"
    told_by_profile = profile.endpoint("sts")
    if told_by_profile:
        return told_by_profile, region or "us-east-1"
    if region is None:
        return "https://sts.amazonaws.com", "us-east-1"
    return f"https://sts.{region}.{aws_domain(region)}", region


def _given(
    profile: Profile,
    shown: str,
    form: dict[str, str],
    network: Network,
    keys: Keys | None,
    *,
    secret: str = "",
) -> Keys:
    """Ask the service; return the keys that it gives."""
    url, region = _server(profile)
    body = urlencode(form, quote_via=quote).encode("ascii")
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = Request(f"{url}/", headers, "POST", body, redirects=0)
    problem = ""
    with Client(network) as client:
        if keys is not None:
            signer = Signer(Credentials(shown, lambda: keys), region, service="sts")
            client.sign_for(server_of(url), signer)

        def attempt() -> str:
            with client.send(request) as response:
                if response.status == 200:
                    return response.read(_LIMIT).decode("utf-8", "replace")
                raise failure(response)

        try:
            answer = Attempts(_RULES).run(attempt)
        except RefusedError as error:
            problem = str(error)
        except TransientError:
            raise
        except ServerError as error:
            if isinstance(error, ConnectionError):
                msg = f"{shown}: the role could not be assumed: {error}"
                raise type(error)(msg) from error
            problem = str(error)
    if problem:
        problem = problem.replace(secret, "…") if secret else problem
        problem = scrubbed(problem, keys) if keys is not None else problem
        msg = (
            f"{shown}: the role could not be assumed: {problem}. Nothing was fetched. See whether "
            "role_arn is right, and whether its owners let you assume it."
        )
        raise CredentialsError(msg)
    return _read(answer, shown)


def _read(answer: str, shown: str) -> Keys:
    """Return the keys in an answer, which is XML of a known shape."""
    said = {name: unescape(text) for name, text in _FIELD.findall(answer)}
    try:
        expires = moment(said.get("Expiration", ""))
    except ValueError:
        expires = float("nan")
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    if expires != expires or not all(said.get(name) for name in names):  # noqa: PLR0124 - NaN
        msg = f"{shown}: the role could not be assumed: what came holds no keys."
        raise CredentialsError(f"{msg} Nothing was fetched. Check AWS_ENDPOINT_URL_STS.")
    return checked_keys(shown, *(said[name] for name in names), expires=expires)
