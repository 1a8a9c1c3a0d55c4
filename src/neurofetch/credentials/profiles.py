"""Profiles: what AWS's two configuration files say under a name.

Facts: https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html. They are only read. The
files hold secrets, so nothing of a line is ever shown but the name of its section.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from configparser import Error, MissingSectionHeaderError, ParsingError, RawConfigParser
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neurofetch.errors import ConfigError, CredentialsError
from neurofetch.net.settings import REGION, checked_endpoint, ignores_endpoints
from neurofetch.planning.suggest import nearest, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Profile", "profile_flag", "profile_names", "read_profile"]

_LARGEST = 1 << 20
"""Bytes; what is longer is no file of profiles."""


_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


@dataclass(frozen=True, slots=True)
class Profile:
    """What stands under a name.

    Parameters
    ----------
    name : str
    settings : mapping of str to str
        Names in lower case. Never shown: secrets are among them.
    services : mapping of str to mapping
        Settings for single services, by the service.
    """

    name: str
    settings: Mapping[str, str] = field(repr=False)
    services: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    def get(self, name: str) -> str:
        """Return a setting, or ""."""
        return self.settings.get(name, "").strip()

    @property
    def shown(self) -> str:
        """What it is called in messages."""
        return f"the profile {self.name!r}"

    @property
    def flag(self) -> str:
        """The flag that names it, as a shell takes it."""
        return profile_flag(self.name)

    @property
    def region(self) -> str | None:
        """The region that it names.

        Raises
        ------
        ConfigError
            If that cannot be the name of one.
        """
        text = self.get("region")
        if text and REGION.fullmatch(text) is None:
            msg = (
                f"{self.shown} names a region that is none, such as us-west-2 would be. Nothing "
                "was fetched. Correct it in the configuration file of AWS, or set AWS_REGION."
            )
            raise ConfigError(msg)
        return text or None

    def endpoint(self, service: str) -> str | None:
        """Return the server of a service, where the profile names one.

        Parameters
        ----------
        service : {"s3", "sts"}

        Raises
        ------
        ConfigError
            If it names one by what is no URL.
        """
        ignored = self.get("ignore_configured_endpoint_urls").lower() == "true"
        text = self.services.get(service, {}).get("endpoint_url", "").strip()
        text = text or self.get("endpoint_url")
        if not text or ignored or ignores_endpoints():
            return None
        return checked_endpoint(text, f"endpoint_url of {self.shown}")


def read_profile(name: str) -> Profile:
    """Return a profile of the files that the environment names, else of those in ``~/.aws``.

    Parameters
    ----------
    name : str

    Raises
    ------
    CredentialsError
        If there is none of that name: the message has the nearest.
    ConfigError
        If one of the files cannot be read.
    """
    config, credentials = _parsed(_config_file()), _parsed(_credentials_file())
    profiles = _profiles(config, credentials)
    if name not in profiles:
        hint = _misplaced(name, config, credentials)
        raise CredentialsError(_unknown(name, sorted(profiles), hint))
    settings = profiles[name]
    section = config.get(f"services {settings.get('services', '').strip()}", _Settings())
    services = {key: _nested(text) for key, text in section.items()}
    return Profile(name, settings, services)


def profile_flag(name: str) -> str:
    """Return the flag that names a profile, as a shell takes it.

    Parameters
    ----------
    name : str

    Examples
    --------
    >>> profile_flag("my lab")
    "--profile 'my lab'"
    """
    return f"--profile {shlex.quote(name)}"


def profile_names() -> list[str]:
    """Return the names of all profiles, sorted."""
    return sorted(_profiles(_parsed(_config_file()), _parsed(_credentials_file())))


def _config_file() -> str:
    return os.path.expanduser(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config")


def _credentials_file() -> str:
    return os.path.expanduser(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")


def _profiles(
    config: Mapping[str, Mapping[str, str]], credentials: Mapping[str, Mapping[str, str]]
) -> dict[str, _Settings]:
    """Return the settings of all profiles; where both files have one, the credentials count.

    Keys are of one file: a session token of the other would not fit them.
    """
    found: dict[str, _Settings] = {}
    for section, settings in config.items():
        kind, _, name = section.partition(" ")
        if section == "default" or (kind == "profile" and name):
            found.setdefault(name or section, _Settings()).update(settings)
    for section, settings in credentials.items():
        profile = found.setdefault(section, _Settings())
        if settings.get(_KEYS[0]):
            for name in _KEYS:
                profile.pop(name, None)
        whole = not profile.get(_KEYS[0])
        profile.update(
            (name, said) for name, said in settings.items() if whole or name not in _KEYS
        )
    return found


class _Settings(dict[str, str]):
    """Settings that are not shown where a debugger or a report shows variables."""

    def __repr__(self) -> str:
        return f"<{len(self)} settings>"


def _parsed(path: str) -> dict[str, _Settings]:
    """Return the settings by section; nothing of a file that is not there.

    Raises
    ------
    ConfigError
    """
    found, problem = _read(path)
    if problem:
        msg = (
            f"{path}, where AWS keeps profiles, cannot be used: {problem}. Nothing was fetched. "
            "Correct the file, or name another with AWS_CONFIG_FILE and "
            "AWS_SHARED_CREDENTIALS_FILE."
        )
        raise ConfigError(msg)
    return found


def _read(path: str) -> tuple[dict[str, _Settings], str]:
    """Return what a file says, and what is wrong with it; nothing is raised that holds a line."""
    parser = RawConfigParser(default_section="\0", strict=False, empty_lines_in_values=False)
    try:
        text = _text(path)
        if len(text) > _LARGEST:
            return {}, f"it is longer than {_LARGEST} bytes"
        parser.read_string(text)
    except (FileNotFoundError, NotADirectoryError):
        return {}, ""
    except OSError as error:
        return {}, f"it cannot be read: {error.strerror or type(error).__name__}"
    except UnicodeDecodeError:
        return {}, "it is no text in UTF-8"
    except Error as error:
        return {}, _where(error)
    return {_plain(name): _Settings(parser.items(name)) for name in parser.sections()}, ""


def _text(path: str) -> str:
    """Return the start of a file; a pipe is none, since to open one may wait for ever."""
    if stat.S_ISFIFO(os.stat(path).st_mode):
        raise OSError(errno.ESPIPE, "it is a pipe, and is needed more than once")
    with open(path, encoding="utf-8-sig") as file:
        return file.read(_LARGEST + 1)


def _where(error: Error) -> str:
    """Say what is wrong with a file without a word of what is in it."""
    if isinstance(error, MissingSectionHeaderError):
        return f"line {error.lineno} stands before the first [section]"
    if isinstance(error, ParsingError) and error.errors:
        return f"line {error.errors[0][0]} is no NAME = VALUE"
    return "it is no file of [sections] with NAME = VALUE"


def _plain(section: str) -> str:
    """Return the name of a section, of which the second word may be quoted."""
    try:
        words = shlex.split(section)
    except ValueError:
        words = section.split()
    return " ".join(words)


def _nested(text: str) -> dict[str, str]:
    """Return the settings that stand, indented, under one that has no value of its own."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip().lower(): value.strip() for name, sign, value in pairs if sign}


def _misplaced(
    name: str, config: Mapping[str, _Settings], credentials: Mapping[str, _Settings]
) -> str:
    """Say where a profile stands under a heading that AWS does not read; "" if it does not."""
    if name in config:
        return f"{_config_file()} has [{name}]; in that file it must be [profile {name}]."
    if f"profile {name}" in credentials:
        return f"{_credentials_file()} has [profile {name}]; in that file it must be [{name}]."
    return ""


def _unknown(name: str, there: list[str], hint: str) -> str:
    start = f"there is no profile {name!r} in {_config_file()} nor {_credentials_file()}."
    if hint:
        return f"{start} Nothing was fetched. {hint}"
    if not there:
        return (
            f"{start} Nothing was fetched. Make one with: aws configure {profile_flag(name)}; or "
            "use the keys in the environment with --signed (signed=True)."
        )
    close = nearest(name, there, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{start} Nothing was fetched.{hint} There are: {shorten(there, 12)}."
