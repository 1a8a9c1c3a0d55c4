"""What names a data set of OpenNeuro: an accession, a DOI, an address of a browser. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from neurofetch.errors import UsageError

__all__ = ["SITE", "Address", "parse_openneuro"]

SITE = "https://openneuro.org"
DOI = "10.18112/openneuro."
_NEMAR = "10.82901/nemar."
_FORMS = (
    "Write openneuro:ds000246, openneuro:ds000246@1.0.1 (a version), "
    "openneuro:ds000246@1.0.1/sub-0001 (a part of it), the address that a browser shows, or the "
    "DOI. Nothing was done."
)
_TAG = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_SHORT = re.compile(rf"(?:openneuro:/{{0,2}})?(ds[0-9]+)(?:@({_TAG}))?(?:/(.*))?", re.I | re.S)
_IN_DOI = re.compile(rf"(ds[0-9]+)(?:\.v({_TAG}))?", re.IGNORECASE)
_DOI_HOSTS = ("doi.org", "dx.doi.org", "www.doi.org")
_GITHUB = ("github.com", "raw.githubusercontent.com")
_MIRROR = "openneurodatasets"
_BRANCHES = ("main", "master", "HEAD")
"""Where the mirror has the newest version."""
_AT_TAG = (
    *(("archive", "refs", "tags"), ("releases", "tag"), ("raw", "refs", "tags")),
    *(("raw", "refs", "heads"), ("tree",), ("blob",), ("raw",), ("commits",)),
)
"""What stands before the name of a version in the addresses of pages."""
_NEWEST = (["releases"], ["tags"], ["branches"], ["releases", "latest"])


class Address(NamedTuple):
    """A data set of OpenNeuro, or a part of one.

    Parameters
    ----------
    accession : str
        Such as ``ds000246``.
    tag : str
        Of the version; "" for the newest.
    path : str
        Below the root of the data set; "" for all of it.
    """

    accession: str
    tag: str = ""
    path: str = ""

    def __str__(self) -> str:
        version = f"@{self.tag}" if self.tag else ""
        return f"openneuro:{self.accession}{version}" + (f"/{self.path}" if self.path else "")


def parse_openneuro(text: object, site: str = SITE) -> Address | None:
    """Return what a text names at OpenNeuro; None where it is about something else.

    Parameters
    ----------
    text : str
    site : str
        The server that is asked, where it is another than openneuro.org.

    Raises
    ------
    UsageError
        If it is about OpenNeuro, and cannot be understood.

    Examples
    --------
    >>> str(parse_openneuro("ds000246"))
    'openneuro:ds000246'
    >>> str(parse_openneuro("doi:10.18112/openneuro.ds000246.v1.0.1"))
    'openneuro:ds000246@1.0.1'
    >>> str(parse_openneuro("https://openneuro.org/datasets/ds000246/versions/1.0.1"))
    'openneuro:ds000246@1.0.1'
    >>> parse_openneuro("s3://openneuro.org/ds000246") is None
    True
    """
    if not isinstance(text, str):
        return None
    text = text.strip()
    short = _SHORT.fullmatch(text)
    if short is not None:
        return _address(text, short[1], short[2] or "", short[3] or "")
    if text.lower().startswith("openneuro:"):
        raise UsageError(f"{text!r} names no data set of OpenNeuro. {_FORMS}")
    doi = _doi_in(text)
    if doi is not None:
        return _of_doi(text, doi)
    if re.fullmatch(r"ds[0-9]+@.*", text, re.IGNORECASE | re.DOTALL):
        raise UsageError(f"{text!r}: no version can be called so. {_FORMS}")
    return _of_url(text, site)


def _doi_in(text: str) -> str | None:
    """Return the DOI that a text is, or that an address leads to."""
    plain = re.sub(r"^doi:\s*", "", text, flags=re.IGNORECASE)
    try:
        parts = urlsplit(plain) if "://" in plain else urlsplit(f"//{plain}")
        host = (parts.hostname or "").lower()
    except ValueError:
        return None
    if host in _DOI_HOSTS:
        return unquote(parts.path.lstrip("/"))
    return plain if plain.startswith("10.") or plain != text else None


def _of_doi(text: str, doi: str) -> Address:
    lower = doi.lower()
    if lower.startswith(DOI):
        found = _IN_DOI.fullmatch(doi[len(DOI) :].rstrip("/.,;)"))  # of a sentence
        if found is not None:
            return _address(text, found[1], found[2] or "", "")
    what = "a DOI of NEMAR, not of OpenNeuro" if lower.startswith(_NEMAR) else "no DOI of OpenNeuro"
    msg = (
        f"{text!r} is {what}: those are like {DOI}ds000246.v1.0.1. Nothing was done. Look for the "
        "data set at https://openneuro.org, and name it by its accession number."
    )
    raise UsageError(msg)


def _of_url(text: str, site: str) -> Address | None:
    """Return what an address of the site, or of its mirror on GitHub, leads to."""
    plain = re.sub(r"^git@github\.com:", "https://github.com/", text, flags=re.IGNORECASE)
    plain = plain if "://" in plain else f"https://{plain}"
    try:
        parts = urlsplit(plain)
        host = (parts.hostname or "").lower().removeprefix("www.")
        here = parts.netloc.lower() == urlsplit(site).netloc.lower() and "://" in text
    except ValueError:
        return None
    names = [unquote(name) for name in parts.path.split("/") if name]
    if host in _GITHUB and len(names) > 1 and names[0].lower() == _MIRROR:
        if host == _GITHUB[1]:  # raw.githubusercontent.com: what is a file's own address
            names.insert(2, "raw")
        return _of_mirror(text, names[1].removesuffix(".git"), names[2:])
    if parts.scheme not in ("http", "https") or (host != "openneuro.org" and not here):
        return None
    if names[:1] == ["crn"]:
        names = names[1:]
    if names[:1] != ["datasets"] or len(names) < 2:
        if host == "openneuro.org" and "://" in text:
            raise UsageError(f"{text.partition('?')[0]!r} leads to no data set. {_FORMS}")
        return None
    return _of_pages(text, names[1], names[2:])


def _of_mirror(text: str, accession: str, rest: list[str]) -> Address:
    """Return what a page of the mirror on GitHub is about.

    Raises
    ------
    UsageError
        If it is about what may be another state than the newest version.
    """
    for start in _AT_TAG:
        if rest[: len(start)] == list(start) and len(rest) > len(start):
            tag, *names = rest[len(start) :]
            tag = re.sub(r"\.(?:zip|tar\.gz)$", "", tag) if start[0] == "archive" else tag
            return _address(text, accession, "" if tag in _BRANCHES else tag, "/".join(names))
    if rest and rest not in _NEWEST:
        what = text.partition("?")[0]
        raise UsageError(f"{what!r} leads to no version of a data set. {_FORMS}")
    return _address(text, accession, "", "")


def _of_pages(text: str, accession: str, rest: list[str]) -> Address:
    tag = path = ""
    if rest[:1] in (["versions"], ["snapshots"]) and len(rest) > 1:
        tag = rest[1]
        rest = rest[2:]
    if rest[:1] in (["file-display"], ["files"]) and len(rest) > 1:
        path = "/".join(rest[1:]).replace(":", "/")
    return _address(text, accession, tag, path)


def _address(text: str, accession: str, tag: str, path: str) -> Address:
    accession = accession.lower()
    if re.fullmatch(r"ds[0-9]+", accession) is None:
        raise UsageError(f"{text.partition('?')[0]!r} names no data set of OpenNeuro. {_FORMS}")
    if tag and re.fullmatch(_TAG, tag) is None:
        raise UsageError(f"{tag!r} cannot be the name of a version. {_FORMS}")
    if {".", ".."} & set(path.split("/")):
        raise UsageError(f"{path!r} is no path below the root of a data set. {_FORMS}")
    return Address(accession, tag, path.strip("/"))
