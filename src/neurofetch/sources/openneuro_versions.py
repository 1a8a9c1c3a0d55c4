"""Which version of a data set is meant. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.errors import NothingMatchedError, UnknownValueError
from neurofetch.planning.suggest import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Version", "is_draft", "newest", "unknown_version", "versions_of"]

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NAMED = 12


class Version(NamedTuple):
    """A version of a data set.

    Parameters
    ----------
    tag : str
    created : str
        ISO 8601; "" where the server does not say.
    """

    tag: str
    created: str = ""


def is_draft(tag: str) -> bool:
    """Whether a tag is none, but the commit that a draft stands at.

    Examples
    --------
    >>> is_draft("1.0.1"), is_draft("57fecb0ccce88d000ac17538"), is_draft("a" * 40)
    (False, False, True)
    """
    return _COMMIT.fullmatch(tag) is not None


def versions_of(rows: object) -> tuple[Version, ...]:
    """Return the versions that an answer lists, the oldest first; what is none is passed over."""
    found: dict[str, Version] = {}
    for row in rows if isinstance(rows, list) else []:
        tag, created = (row.get("tag"), row.get("created")) if isinstance(row, dict) else ("", "")
        if isinstance(tag, str) and tag and tag.isprintable() and not is_draft(tag):
            found[tag] = Version(tag, created if isinstance(created, str) else "")
    return tuple(sorted(found.values(), key=lambda one: (one.created, _numbers(one.tag))))


def _numbers(tag: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]{1,9}", tag))


def newest(accession: str, latest: str, versions: Sequence[Version]) -> str:
    """Return the tag of the newest version.

    Parameters
    ----------
    accession : str
    latest : str
        As the server says; the commit of a draft where nothing was published.
    versions : sequence of Version

    Raises
    ------
    NothingMatchedError
        If there is none.

    Examples
    --------
    >>> newest("ds000001", "", [Version("1.0.0", "2020"), Version("1.1.0", "2021")])
    '1.1.0'
    """
    if latest and not is_draft(latest):
        return latest
    if versions:
        return versions[-1].tag
    msg = (
        f"{accession} has no version yet: there is only a draft, which changes while its owners "
        "work on it. Nothing was fetched. Wait until they publish it, or ask them."
    )
    raise NothingMatchedError(msg)


def unknown_version(accession: str, tag: str, versions: Sequence[Version]) -> UnknownValueError:
    """Return the error for a version that does not exist; it names the nearest.

    Parameters
    ----------
    accession, tag : str
    versions : sequence of Version
    """
    tags = [version.tag for version in reversed(versions)]
    close = nearest(tag, tags, 1) if tags else []
    hint = f" Did you mean openneuro:{accession}@{close[0]}?" if close else ""
    more = f", and {len(tags) - _NAMED} older ones" if len(tags) > _NAMED else ""
    listed = f"It has, the newest first: {', '.join(tags[:_NAMED])}{more}."
    there = listed if tags else "It has none yet."
    return UnknownValueError(
        f"{accession} has no version {tag!r}.{hint} {there} Nothing was fetched."
    )
