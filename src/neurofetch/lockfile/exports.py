"""A lock in the formats of other tools."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from typing import TYPE_CHECKING, Any

from neurofetch._shown import shown
from neurofetch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from neurofetch.lockfile.values import Head, LockedFile

    Files = Sequence[LockedFile]

__all__ = ["FORMATS", "exported"]

_NO_SHA256 = (
    "{} has no SHA-256 in this lock ({}), which the format {} needs of every file. Nothing was "
    "written. Make the lock again without --quick: neurofetch lock DIR."
)
_GZIPPED = "application/gzip"
_TYPES = {
    ".tsv": "text/tab-separated-values",
    ".bval": "text/plain",
    ".bvec": "text/plain",
    ".md": "text/markdown",
    "": "text/plain",
}
_CROISSANT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_LICENCES = {
    "cc0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "cc0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "pddl": "https://opendatacommons.org/licenses/pddl/1-0/",
    "pd": "https://creativecommons.org/publicdomain/mark/1.0/",
    "cc-by-4.0": "https://creativecommons.org/licenses/by/4.0/",
}
"""Addresses of licences that data sets name by a word."""


def exported(form: str, head: Head, files: Files) -> bytes:
    """Return a lock in the format of another tool.

    Parameters
    ----------
    form : {"sha256sum", "pooch", "croissant", "datapackage"}
    head : Head
    files : sequence of LockedFile

    Raises
    ------
    UsageError
        If there is no such format, or it cannot say what the lock says.
    """
    make = FORMATS.get(form) if isinstance(form, str) else None
    if make is None:
        known = ", ".join(["lock", *FORMATS])
        msg = f"there is no format {form!r}. Nothing was written. Choose one of {known}."
        raise UsageError(msg)
    return b"".join(make(head, files))


def _sha256(file: LockedFile, form: str) -> str:
    found = file.hash("sha256")
    if not found:
        msg = _NO_SHA256.format(shown(file.path), ", ".join(file.hashes), form)
        raise UsageError(msg)
    return found


def _sha256sum(_: Head, files: Files) -> Iterator[bytes]:
    """Give the lines that ``sha256sum -c`` reads.

    A name with a backslash or the end of a line in it is escaped, and a backslash before the hash
    says so: https://www.gnu.org/software/coreutils/manual/html_node/md5sum-invocation.html.
    """
    for file in files:
        name = file.path
        for letter, escaped in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r")):
            name = name.replace(letter, escaped)
        mark = "\\" if name != file.path else ""
        yield f"{mark}{_sha256(file, 'sha256sum')}  {name}\n".encode()


def _pooch(_: Head, files: Files) -> Iterator[bytes]:
    """Give the lines that ``pooch.Pooch.load_registry`` reads: name, hash, address.

    It splits them as a shell does, so a name is quoted where that changes it:
    https://www.fatiando.org/pooch/latest/registry-files.html.
    """
    for file in files:
        if "\n" in file.path or "\r" in file.path:
            msg = (
                f"{shown(file.path)}: a registry of pooch cannot name a file with the end of a "
                "line in its name. Nothing was written. Leave the file out, or use another format."
            )
            raise UsageError(msg)
        found = file.hash("sha256")
        known = f"sha256:{found}" if found else _of_pooch(file)
        words = [_in_quotes(file.path), known, *([file.url] if file.url else [])]
        yield " ".join(words).encode() + b"\n"


def _of_pooch(file: LockedFile) -> str:
    found = file.hash("md5")
    if not found:
        raise UsageError(_NO_SHA256.format(shown(file.path), ", ".join(file.hashes), "pooch"))
    return f"md5:{found}"


def _in_quotes(name: str) -> str:
    plain = name.replace("_", "").replace("-", "").replace(".", "").replace("/", "")
    if plain.isascii() and plain.isalnum():
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _croissant(head: Head, files: Files) -> Iterator[bytes]:
    """Give a description in Croissant: https://docs.mlcommons.org/croissant/docs/croissant-spec.html."""
    name = head.name or head.folder or "data"
    said: dict[str, Any] = {
        "@context": _CROISSANT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": f"{name}: {head.files:,} files, {head.bytes:,} bytes.",
        "url": _home(head),
        "version": head.version,
        "license": _LICENCES.get(head.license.lower(), head.license),
        "citeAs": head.doi,
        "distribution": [_object(file) for file in files],
    }
    yield _document({word: value for word, value in said.items() if value})


def _object(file: LockedFile) -> dict[str, Any]:
    found = file.hash("sha256")
    hashed = {"sha256": found} if found else {"md5": file.hash("md5")}
    if not found and not hashed["md5"]:
        msg = _NO_SHA256.format(shown(file.path), ", ".join(file.hashes), "croissant")
        raise UsageError(msg)
    return {
        "@type": "cr:FileObject",
        "@id": _identifier(file.path),
        "name": file.path,
        "contentUrl": file.url or file.path,
        "contentSize": f"{file.size} B",
        "encodingFormat": _media_type(file.path),
        **hashed,
    }


def _identifier(path: str) -> str:
    """Return what a file is called within the description: its path, where that is plain.

    There, an identifier is a part of a URL, and has no spaces, not even escaped ones.
    """
    if re.fullmatch(r"[A-Za-z0-9._/-]+", path):
        return path
    return f"file-{hashlib.sha256(path.encode()).hexdigest()[:24]}"


def _home(head: Head) -> str:
    """Return an address of the data set that people can open."""
    if head.doi:
        return f"https://doi.org/{head.doi.removeprefix('doi:').removeprefix('https://doi.org/')}"
    return head.source


def _media_type(path: str) -> str:
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    ending = name[dot:].lower() if dot > 0 else ""
    if ending == ".gz":
        return _GZIPPED
    return _TYPES.get(ending) or _KNOWN.get(ending, "application/octet-stream")


_KNOWN = mimetypes.MimeTypes(filenames=()).types_map[1]
"""What Python itself knows: what a system adds differs from machine to machine."""


def _datapackage(head: Head, files: Files) -> Iterator[bytes]:
    """Give a data package: https://datapackage.org/standard/data-package/."""
    said: dict[str, Any] = {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": _package_name(head.folder) or "data",
        "title": head.name,
        "version": head.version,
        "homepage": _home(head) if head.doi else "",
        "id": head.doi,
    }
    if head.license:
        address = _LICENCES.get(head.license.lower())
        named = {"path": address} if address else {}
        said["licenses"] = [{"title": head.license, **named}]
    if head.source:
        said["sources"] = [{"title": head.source}]
    said["resources"] = [_resource(file) for file in files]
    yield _document({word: value for word, value in said.items() if value})


def _resource(file: LockedFile) -> dict[str, Any]:
    """Return a file of a data package; a path is a relative one, or an address."""
    if file.path.startswith(("~", ".")) or "\\" in file.path:
        where = file.url or file.path
    else:
        where = file.path
    found = file.hash("sha256")
    digest = f"sha256:{found}" if found else file.hash("md5")
    if not digest:  # git's hash is not the SHA-1 of the content alone
        msg = _NO_SHA256.format(shown(file.path), ", ".join(file.hashes), "datapackage")
        raise UsageError(msg)
    number = hashlib.sha256(file.path.encode()).hexdigest()[:8]
    said = {
        "name": f"{_package_name(file.path)}-{number}",
        "path": where,
        "bytes": file.size,
        "hash": digest,
        "mediatype": _media_type(file.path),
    }
    if file.url and where != file.url:
        said["sources"] = [{"title": "download", "path": file.url}]
    return said


def _package_name(text: str) -> str:
    """Return a text as the name of a package or resource may be: small letters, digits, ``-._``."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-._") else "-" for c in text.lower())
    return plain.strip("-._")


def _document(said: dict[str, Any]) -> bytes:
    return json.dumps(said, indent=1, ensure_ascii=False).encode() + b"\n"


FORMATS: dict[str, Callable[[Head, Files], Iterator[bytes]]] = {
    "sha256sum": _sha256sum,
    "pooch": _pooch,
    "croissant": _croissant,
    "datapackage": _datapackage,
}
"""The formats of other tools."""
