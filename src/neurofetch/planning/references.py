"""Which files does a metadata file name? Read from its content, by the BIDS specification.

Events name stimuli, sidecars name the files that they belong to or were made from: the column
``stim_file``, and the JSON fields of `FIELDS`. All of them are in the schema of BIDS, with the
formats ``bids_uri``, ``dataset_relative``, ``participant_relative``, ``file_relative`` and
``stimuli_relative``; a test holds the table against it.

What is no path is not read as one: ``B0FieldSource`` holds identifiers. The column ``filename`` of
``scans.tsv`` is left out with intent: it lists all recordings of a session, so to follow it would
be to choose the session.
"""

from __future__ import annotations

import json
import re
import unicodedata
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from neurofetch.planning.bids_schema import DERIVATIVE_ENTITIES, RAW_ENTITIES, SUFFIXES_OF
from neurofetch.planning.entities import datatype_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "ATLAS",
    "FIELDS",
    "STIM_FILE",
    "Home",
    "Reference",
    "atlas_of",
    "can_name",
    "home_of",
    "links",
    "references",
]

STIM_FILE: Final = "stim_file"
"""The column of events that names stimuli."""

ATLAS: Final = "atlas"
"""The entity that names an atlas, which a file at the root of the data set describes."""

FIELDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "AnatomicalImage": ("subject", "dataset"),
        "AssociatedEmptyRoom": ("dataset", "subject"),
        "BasedOn": ("subject", "dataset"),
        "DigitizedHeadPoints": ("file", "dataset", "subject"),
        "IntendedFor": ("subject", "dataset"),
        "RawSources": ("dataset", "subject", "outer"),
        "ReferenceSignal": ("subject", "dataset"),
        "Sources": ("dataset", "subject", "outer"),
        "SpatialReference": ("dataset", "subject", "outer"),
    }
)
"""The JSON fields that name files, and what a plain path in each is relative to. The first is what
the specification says; the others are what people write all the same, and count where the first
leads to no file. A BIDS URI can stand in each of them."""
_INTENDED_IN_IEEG: Final = ("dataset", "subject")

_TABLES: Final = ("_events.tsv", "_beh.tsv")
_NAMING: Final = (
    SUFFIXES_OF["fmap"]
    | (SUFFIXES_OF["mrs"] - {"events"})
    | {"coordsystem", "m0scan", "meg", "photo", "MTsat", "MWFmap", "T1rho", "UNIT1"}
    | frozenset({suffix for suffix in SUFFIXES_OF["anat"] if suffix.endswith("map")})
)
"""Suffixes of raw JSON files for which the schema has such a field."""
_DERIVED = re.compile(f"_(?:{'|'.join(sorted((DERIVATIVE_ENTITIES - RAW_ENTITIES) | {'space'}))})-")
_SPOKEN: Final = frozenset({"DigitizedHeadPoints", "SpatialReference"})
"""Fields that may hold words instead of a path ("orig")."""

_LONGEST: Final = 2048
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_DRIVE = re.compile(r"[A-Za-z]:")
_UNUSABLE = re.compile("[\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_EXTENSION = re.compile(r"[^/\\]\.[A-Za-z][A-Za-z0-9.]*/?$")
_FORMS: Final = ("NFC", "NFD")
_ATLAS = re.compile(r"(?:^|[/_])atlas-([^_./]+)_[^/]*$")
_LINE = re.compile(r"\r\n|\n|\r")


class Home(NamedTuple):
    """The data set that a file belongs to.

    Parameters
    ----------
    root : str
        Its folder, below the root of everything: "" or ending in "/".
    outer : tuple of str
        The roots of the data sets that it lies in, the nearest first.
    links : mapping of str to str
        Its ``DatasetLinks``: what ``bids:NAME:`` stands for.
    """

    root: str = ""
    outer: tuple[str, ...] = ()
    links: Mapping[str, str] = MappingProxyType({})


class Reference(NamedTuple):
    """Something that a metadata file names.

    Parameters
    ----------
    field : str
        The column or the JSON field.
    text : str
        As it is written there.
    paths : tuple of str
        What it may mean, relative to the root of everything, the best first. None of them leads
        out of the root. Empty where it can be no path in here.
    elsewhere : bool
        Whether it lies in another data set, or on the web.
    """

    field: str
    text: str
    paths: tuple[str, ...] = ()
    elsewhere: bool = False


def can_name(path: str) -> bool:
    """Whether a file is one of those that name others, as far as its name tells.

    Parameters
    ----------
    path : str
        Relative to the root, with forward slashes.

    Examples
    --------
    >>> can_name("sub-01/func/sub-01_task-faces_events.tsv"), can_name("sub-01_T1w.json")
    (True, False)
    """
    # A million names may be asked, and few of them end so: they are not read as a whole.
    if path.endswith(".tsv"):
        return path.endswith(_TABLES)
    if not path.endswith(".json"):
        return False
    name = path.rpartition("/")[2]
    if name.removesuffix(".json").rpartition("_")[2] in _NAMING or "/fmap/" in path:
        return True
    if not name.startswith(("sub-", "tpl-")):
        return False
    return "derivatives/" in path or _DERIVED.search(name) is not None


def home_of(path: str, roots: Iterable[str]) -> Home:
    """Return the data set of a file, without its links.

    Parameters
    ----------
    path : str
    roots : iterable of str
        The folders of all data sets, each "" or ending in "/".
    """
    holding = sorted({root for root in roots if path.startswith(root)} | {""}, key=len)
    return Home(holding[-1], tuple(reversed(holding[:-1])))


def atlas_of(path: str, home: Home | None = None) -> Reference | None:
    """Return the description of the atlas that a file's own name names; None where it has none.

    Parameters
    ----------
    path : str
    home : Home, optional

    Examples
    --------
    >>> atlas_of("sub-01/anat/sub-01_atlas-AAL_dseg.nii.gz").paths
    ('atlas-AAL_description.json',)
    """
    found = _ATLAS.search(path)
    if found is None:
        return None
    home = home or Home()
    name = f"atlas-{found[1]}_description.json"
    return Reference(ATLAS, found[1], tuple(root + name for root in (home.root, *home.outer)))


def links(content: bytes) -> dict[str, str]:
    """Return the ``DatasetLinks`` of a ``dataset_description.json``; none where it has none."""
    found = _object(content) or {}
    named = found.get("DatasetLinks")
    if not isinstance(named, dict):
        return {}
    return {name: text for name, text in named.items() if isinstance(text, str)}


def references(path: str, content: bytes, home: Home | None = None) -> tuple[Reference, ...] | None:
    r"""Return what a metadata file names, each once.

    Parameters
    ----------
    path : str
        The file's own, relative to the root of everything.
    content : bytes
        All of it.
    home : Home, optional
        By default its data set is all there is.

    Returns
    -------
    tuple of Reference or None
        None where a JSON file is none.

    Examples
    --------
    >>> found = references("sub-01/func/sub-01_task-x_events.tsv", b"stim_file\ncat.jpg\n")
    >>> [one.paths for one in found]
    [('stimuli/cat.jpg',)]
    """
    home = home or Home()
    if path.endswith(".tsv"):
        return tuple(_stimulus(text, home) for text in _column(content, STIM_FILE))
    found = _object(content)
    if found is None:
        return None
    named: dict[Reference, None] = {}
    for field in FIELDS:
        for text in _texts(found.get(field)):
            if field not in _SPOKEN or text.startswith("bids:") or _EXTENSION.search(text):
                named[_reference(field, text, path, home)] = None
    return tuple(named)


# -- what is written ---------------------------------------------------------------------------


def _object(content: bytes) -> dict[str, object] | None:
    try:
        text = content.decode(json.detect_encoding(content), "replace").removeprefix("\ufeff")
        found = json.loads(text, parse_int=_unread)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _unread(_: str) -> None:
    """Leave a whole number unread: none is looked at, and a long one would be an error."""


def _texts(value: object) -> Iterator[str]:
    """Give the texts in a value, which may be a list, or a list of lists, or an object."""
    rest = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, str):
            text = one.strip()
            if text and text.lower() != "n/a":
                yield text
        elif isinstance(one, list):
            rest.extend(reversed(one))
        elif isinstance(one, dict):
            rest.extend(reversed(one.values()))


def _column(content: bytes, name: str) -> Iterable[str]:
    """Return the different values of a column."""
    text = content.decode(json.detect_encoding(content), "replace").removeprefix("\ufeff")
    head, *rows = _LINE.split(text)
    names = [_cell(one) for one in head.split("\t")]
    if name not in names:
        return ()
    number = names.index(name)
    found: dict[str, None] = {}
    for row in rows:
        cells = row.split("\t")
        value = _cell(cells[number]) if number < len(cells) else ""
        if value and value.lower() != "n/a":
            found[value] = None
    return found


def _cell(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('""', '"').strip()
    return text


# -- what it means -----------------------------------------------------------------------------


def _stimulus(text: str, home: Home) -> Reference:
    if _SCHEME.match(text):
        return _by_scheme(STIM_FILE, text, home)
    plain = text.replace("\\", "/").removeprefix("./")
    # It is relative to stimuli/; many a data set has the folder in the value as well.
    below = ["", "stimuli/"] if plain.startswith("stimuli/") else ["stimuli/"]
    roots = [home.root + one for one in below] + [outer + below[-1] for outer in home.outer]
    return Reference(STIM_FILE, text, _paths(roots, text))


def _reference(field: str, text: str, path: str, home: Home) -> Reference:
    if _SCHEME.match(text):
        return _by_scheme(field, text, home)
    ways = FIELDS[field]
    if field == "IntendedFor" and datatype_of(path) == "ieeg":
        ways = _INTENDED_IN_IEEG
    folders: list[str] = []
    for way in ways:
        if way == "file":
            folders.append(path[: path.rfind("/") + 1])
        elif way == "subject":
            folders += _subject_folder(path, home.root)
        else:
            folders += [home.root] if way == "dataset" else home.outer
    return Reference(field, text, _paths(folders, text))


def _subject_folder(path: str, root: str) -> list[str]:
    """Return the folder of a file's subject; none where it belongs to none."""
    folder = root
    for name in path[len(root) :].split("/")[:-1]:
        folder += name + "/"
        if name.startswith("sub-"):
            return [folder]
    return []


def _by_scheme(field: str, text: str, home: Home) -> Reference:
    """Return what a URI names: the specification, Common principles, BIDS URI."""
    scheme, _, rest = text.partition(":")
    name, colon, path = rest.partition(":")
    if scheme.lower() != "bids" or not colon:
        return Reference(field, text, elsewhere=True)
    folder = home.root
    if name:
        link = home.links.get(name, "")
        if not link or (_SCHEME.match(link) and not link.startswith("bids::")):
            return Reference(field, text, elsewhere=True)
        linked = _inside(home.root, link.removeprefix("bids::"), may_be_root=True)
        if linked is None:  # beside the root, and so none of these files
            return Reference(field, text, elsewhere=True)
        folder = linked + "/" if linked else ""
    path = path.lstrip("/")
    meant = dict.fromkeys([path, path.partition("#")[0], _unescaped(path.partition("#")[0])])
    return Reference(field, text, tuple(one for way in meant for one in _paths([folder], way)))


def _unescaped(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "replace")

    return _ESCAPE.sub(plain, text)


def _paths(folders: Iterable[str], text: str) -> tuple[str, ...]:
    """Return where a path may lead from some folders, each place once."""
    found: dict[str, None] = {}
    for folder in folders:
        path = _inside(folder, text)
        if path is None:
            continue
        found[path] = None
        if not path.isascii():  # an accent has two spellings, and both look the same
            for form in _FORMS:
                found[unicodedata.normalize(form, path)] = None
    return tuple(found)


def _inside(folder: str, text: str, *, may_be_root: bool = False) -> str | None:
    """Return the path that a text means in a folder; None where it leads out of the root."""
    text = text.replace("\\", "/")
    if len(text) > _LONGEST or _UNUSABLE.search(text) or _DRIVE.match(text):
        return None
    if text.startswith("/"):
        return None
    parts = folder.split("/")[:-1] if folder else []
    for part in text.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    path = "/".join(parts)
    return path if path or may_be_root else None
