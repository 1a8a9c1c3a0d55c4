"""Where keys come from: the environment, a profile's files and programs, and what AWS gives out.

Nothing is looked for: what was named is asked, and no other. So a machine that is none of AWS's is
never asked for its metadata, and a key that lies about signs nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import selectors
import shlex
import subprocess
import time
from typing import TYPE_CHECKING, Any

from neurofetch.credentials.keys import Credentials, Keys, checked_keys, moment
from neurofetch.credentials.profiles import Profile, profile_flag, profile_names, read_profile
from neurofetch.errors import CredentialsError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from neurofetch.net.settings import Network

__all__ = ["credentials_of"]

_PROCESS_SECONDS = 120.0
"""A program that gives keys out may have to ask somebody; then it is over."""
_MOST_PRINTED = 1 << 20
"""Bytes; what prints more prints no keys."""
_SECRET = re.compile(r"[A-Za-z0-9/+=_-]{16,}")
"""What could be a key in the words of a program."""
_SSO = ("sso_session", "sso_start_url", "sso_account_id")
_ENVIRONMENT = "the keys in the environment"
_LONGEST_WAY = 8
"""Profiles that may lead to one another, at most."""


def credentials_of(profile: str, network: Network) -> Credentials:
    """Return the credentials of a profile, or of the environment where none is named.

    Parameters
    ----------
    profile : str
        "" for the keys in the environment.
    network : Network
    """
    if not profile:
        return Credentials(_ENVIRONMENT, lambda: _of_environment(network))
    return Credentials(f"the profile {profile!r}", lambda: _of_profile(profile, network))


# -- the environment -------------------------------------------------------------------------------


def _of_environment(network: Network) -> Keys:
    """Return the keys of the variables, or those that other variables of AWS lead to.

    Raises
    ------
    CredentialsError
        If there are none.
    """
    env = os.environ
    key_id = env.get("AWS_ACCESS_KEY_ID", "").strip()
    secret = env.get("AWS_SECRET_ACCESS_KEY", "").strip()
    if key_id and secret:
        token = env.get("AWS_SESSION_TOKEN") or env.get("AWS_SECURITY_TOKEN") or ""
        return checked_keys(_ENVIRONMENT, key_id, secret, token.strip())
    if key_id or secret:
        lacks = "AWS_SECRET_ACCESS_KEY" if key_id else "AWS_ACCESS_KEY_ID"
        has = "AWS_ACCESS_KEY_ID" if key_id else "AWS_SECRET_ACCESS_KEY"
        msg = f"{has} is set, and {lacks} is not. Nothing was fetched. Set both, or name a profile"
        raise CredentialsError(f"{msg}: --profile NAME (profile=).")
    if env.get("AWS_WEB_IDENTITY_TOKEN_FILE") and env.get("AWS_ROLE_ARN"):
        from neurofetch.credentials.roles import web_identity  # noqa: PLC0415 - few runs need it

        said = {
            "role_arn": env["AWS_ROLE_ARN"],
            "web_identity_token_file": env["AWS_WEB_IDENTITY_TOKEN_FILE"],
            "role_session_name": env.get("AWS_ROLE_SESSION_NAME", ""),
        }
        return web_identity(Profile("", said), "the variables of AWS_ROLE_ARN", network)
    if _in_container():
        from neurofetch.credentials.machines import container  # noqa: PLC0415

        return container(_ENVIRONMENT, network)
    raise CredentialsError(_no_keys())


def _in_container() -> bool:
    names = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    return any(os.environ.get(name) for name in names)


def _no_keys() -> str:
    meant = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    there = profile_names()
    hint = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if meant:
        hint += f", or name the profile of AWS_PROFILE: {profile_flag(meant)}"
    elif there:
        hint += f", or name a profile, such as {profile_flag(there[0])}"
    return f"there are no keys in the environment. Nothing was fetched. {hint}."


# -- a profile -------------------------------------------------------------------------------------


def _of_profile(name: str, network: Network, seen: tuple[str, ...] = ()) -> Keys:
    """Return the keys that a profile has, or leads to.

    Raises
    ------
    CredentialsError
    ServerError
    """
    profile = read_profile(name)
    if name in seen or len(seen) >= _LONGEST_WAY:
        way = " → ".join([*seen, name])
        msg = f"the profiles lead in a circle by source_profile: {way}. Nothing was fetched."
        raise CredentialsError(f"{msg} Let one of them have keys of its own.")
    has_keys = profile.get("aws_access_key_id") and profile.get("aws_secret_access_key")
    if profile.get("role_arn") and not (seen and has_keys):  # which are what another asks it for
        return _of_role(profile, network, (*seen, name))
    return _own(profile, network)


def _of_role(profile: Profile, network: Network, seen: tuple[str, ...]) -> Keys:
    from neurofetch.credentials.roles import assume_role, web_identity  # noqa: PLC0415 - see above

    source, kind = profile.get("source_profile"), profile.get("credential_source")
    if source and kind:
        msg = (
            f"{profile.shown} has source_profile and credential_source. Nothing was fetched. "
            "Leave one of them in."
        )
        raise CredentialsError(msg)
    if profile.get("web_identity_token_file"):
        return web_identity(profile, profile.shown, network)
    if source == profile.name:
        keys = _own(profile, network)
    elif source:
        try:
            read_profile(source)
        except CredentialsError as error:
            raise CredentialsError(f"{profile.shown} names a source_profile: {error}") from None
        keys = _of_profile(source, network, seen)
    elif kind:
        keys = _of_machine(profile, kind, network)
    else:
        msg = (
            f"{profile.shown} has a role (role_arn), and nothing that says whose keys assume it. "
            "Nothing was fetched. Add source_profile = NAME to it, or credential_source, or "
            "web_identity_token_file."
        )
        raise CredentialsError(msg)
    return assume_role(profile, keys, network)


def _of_machine(profile: Profile, kind: str, network: Network) -> Keys:
    """Return the keys of where this runs, as ``credential_source`` has it."""
    from neurofetch.credentials.machines import container, instance  # noqa: PLC0415 - see above

    ways: Mapping[str, Callable[[], Keys]] = {
        "environment": lambda: _of_environment(network),
        "ecscontainer": lambda: container(profile.shown, network),
        "ec2instancemetadata": lambda: instance(profile.shown, network),
    }
    if kind.lower() not in ways:
        msg = (
            f"{profile.shown} has the credential_source {kind[:40]!r}. Nothing was fetched. There "
            "are: Environment, EcsContainer, Ec2InstanceMetadata."
        )
        raise CredentialsError(msg)
    return ways[kind.lower()]()


def _own(profile: Profile, network: Network) -> Keys:
    """Return the keys that a profile has without another's help."""
    if any(map(profile.get, _SSO)) or profile.get("login_session"):
        return _of_botocore(profile)
    key_id, secret = profile.get("aws_access_key_id"), profile.get("aws_secret_access_key")
    if key_id and secret:
        return checked_keys(profile.shown, key_id, secret, profile.get("aws_session_token"))
    if key_id or secret:
        lacks = "aws_secret_access_key" if key_id else "aws_access_key_id"
        msg = f"{profile.shown} has no {lacks}. Nothing was fetched. Add it, with: aws configure"
        raise CredentialsError(f"{msg} {profile.flag}")
    if profile.get("credential_process"):
        return _of_process(profile)
    if profile.get("web_identity_token_file"):
        msg = f"{profile.shown} has a web_identity_token_file and no role_arn. Nothing was fetched."
        raise CredentialsError(f"{msg} Add the role.")
    if profile.get("credential_source"):
        return _of_machine(profile, profile.get("credential_source"), network)
    msg = (
        f"{profile.shown} has no credentials: neither keys, nor credential_process, nor a role, "
        f"nor SSO. Nothing was fetched. Add keys with: aws configure {profile.flag}"
    )
    raise CredentialsError(msg)


# -- a program -------------------------------------------------------------------------------------


def _of_process(profile: Profile) -> Keys:
    """Return the keys that a program prints.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
    """
    out, problem = _printed(profile.get("credential_process"))
    said: Any = None
    if not problem:
        said, problem = _read_json(out)
    if problem:
        msg = (
            f"{profile.shown}: its credential_process {problem}. Nothing was fetched. Run that "
            "program by hand to see what it says."
        )
        raise CredentialsError(msg)
    until = said.get("Expiration")
    expires = float("inf")
    if until:
        try:
            expires = moment(str(until))
        except ValueError:
            msg = f"{profile.shown}: the Expiration of its credential_process is no time in ISO"
            raise CredentialsError(f"{msg} 8601. Nothing was fetched.") from None
    keys = (said.get(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
    return checked_keys(f"{profile.shown} (credential_process)", *keys, expires=expires)


def _printed(command: str) -> tuple[bytes, str]:
    """Run a program; return what it printed, and what went wrong."""
    try:
        words = [os.path.expanduser(word) for word in shlex.split(command)]
        code, out, said = _run(words)
    except subprocess.TimeoutExpired:
        return b"", f"did not end within {_PROCESS_SECONDS:.0f} s"
    except BufferError:
        return b"", f"printed more than {_MOST_PRINTED:,} bytes, and was ended"
    except ValueError:
        return b"", "has a quote without its other half, or a letter that no command has"
    except OSError as error:
        return b"", f"cannot be run: {error.strerror or type(error).__name__}"
    if code != 0:
        lines = [line.strip() for line in said.decode(errors="replace").splitlines()]
        why = _SECRET.sub("…", next(filter(None, reversed(lines)), ""))[:200]
        why = "".join(c for c in why if c.isprintable())
        return b"", f"ended with {code}" + (f" ({why})" if why else "")
    return out, ""


def _run(words: list[str]) -> tuple[int, bytes, bytes]:
    """Run a program; return its exit code, and what it printed to stdout and to stderr.

    Raises
    ------
    OSError, ValueError
        If it cannot be run.
    subprocess.TimeoutExpired, BufferError
        If it does not end, or does not end to print; then it is ended.
    """
    until = time.monotonic() + _PROCESS_SECONDS
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, bufsize=0) as process:
        try:
            printed: dict[Any, bytearray] = {
                process.stdout: bytearray(),
                process.stderr: bytearray(),
            }
            with selectors.DefaultSelector() as open_ones:
                for stream in printed:
                    open_ones.register(stream, selectors.EVENT_READ)
                while open_ones.get_map():
                    ready = open_ones.select(max(0.0, until - time.monotonic()))
                    if not ready:
                        raise subprocess.TimeoutExpired(words, _PROCESS_SECONDS)
                    for stream in (key.fileobj for key, _ in ready):
                        _take(stream, printed[stream], open_ones)
            code = process.wait(max(0.0, until - time.monotonic()))
        finally:
            process.kill()  # which does nothing where it has ended
    out, said = printed.values()
    return code, bytes(out), bytes(said)


def _take(stream: Any, printed: bytearray, open_ones: selectors.BaseSelector) -> None:
    """Take what a program printed by now."""
    block = stream.read(1 << 16)
    if not block:
        open_ones.unregister(stream)
    printed += block
    if len(printed) > _MOST_PRINTED:
        raise BufferError


def _read_json(text: bytes) -> tuple[dict[str, Any], str]:
    """Return what a program printed as a value, and what is wrong with it."""
    try:
        said = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # which would hold all of the text
        return {}, "printed what is no JSON"
    if not isinstance(said, dict):
        return {}, "printed what is no object of JSON"
    if said.get("Version") != 1:
        return {}, "printed no keys of version 1 (Version)"
    missing = [name for name in ("AccessKeyId", "SecretAccessKey") if not said.get(name)]
    if missing:
        return {}, f"printed no {' and no '.join(missing)}"
    return said, ""


# -- single sign-on --------------------------------------------------------------------------------


def _of_botocore(profile: Profile) -> Keys:
    """Return the keys of a login of AWS's command, which only botocore knows how to use."""
    login = "login" if profile.get("login_session") else "sso login"
    try:
        from botocore import exceptions as theirs  # noqa: PLC0415 - 166 ms
        from botocore.session import Session  # noqa: PLC0415
    except ImportError:
        raise CredentialsError(_without_botocore(profile)) from None
    try:
        with _without_details("botocore"):
            found = Session(profile=profile.name).get_credentials()
            frozen = None if found is None else found.get_frozen_credentials()
        problem = "" if frozen else "it gives no credentials"
    except (theirs.HTTPClientError, theirs.ConnectionError) as error:
        away = f"{profile.shown}: the service that knows your login cannot be reached"
        raise UnreachableError(f"{away} ({type(error).__name__}). Nothing was fetched.") from None
    except (theirs.BotoCoreError, theirs.ClientError) as error:
        problem = _SECRET.sub("…", str(error).splitlines()[0])[:200]
    except (LookupError, TypeError, ValueError, AttributeError):  # it takes its files as they are
        problem = "what AWS's command wrote down of it is damaged"
    if problem or frozen is None:
        msg = (
            f"the login of {profile.shown} does not hold: {problem}. Nothing was fetched. Log in "
            f"with: aws {login} {profile.flag}"
        )
        raise CredentialsError(msg)
    until = getattr(found, "_expiry_time", None)
    expires = until.timestamp() if until is not None else float("inf")
    return checked_keys(
        profile.shown, frozen.access_key, frozen.secret_key, frozen.token, expires=expires
    )


@contextlib.contextmanager
def _without_details(name: str) -> Iterator[None]:
    """Keep a library from logging what it sends and gets, which holds keys."""
    log = logging.getLogger(name)
    before = log.level
    log.setLevel(max(log.getEffectiveLevel(), logging.INFO))
    try:
        yield
    finally:
        log.setLevel(before)


def _without_botocore(profile: Profile) -> str:
    return (
        f"{profile.shown} uses a login (SSO), and botocore, which knows how to use it, is not "
        "installed. Nothing was fetched. Install it with: pip install botocore; or let AWS's own "
        f"command give the keys out: add a profile with credential_process = aws configure "
        f"export-credentials {profile.flag} --format process, and name that."
    )
