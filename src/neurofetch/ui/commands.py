"""From what was chosen in the page to the command and the Python call that do it. Pure.

The page runs these commands, so what it shows for copying is what happens.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from neurofetch._shown import shown
from neurofetch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["EXTRAS", "FACETS", "Call", "Choice", "Source", "call_for", "everything", "search_argv"]

FACETS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "subject": ("Subjects", "sub"),
        "session": ("Sessions", "ses"),
        "task": ("Tasks", "task"),
        "run": ("Runs", "run"),
        "datatype": ("Data types", ""),
        "suffix": ("Suffixes", ""),
        "extension": ("Extensions", ""),
        "space": ("Spaces", "space"),
        "stat": ("Statistics", "stat"),
        "desc": ("Descriptions", "desc"),
        "derivative": ("Derivatives", ""),
    }
)
"""What files are chosen by: the heading in the page, and the short name of the entity."""
_LAION: Final = (
    "subject",
    "session",
    "task",
    "run",
    "suffix",
    "extension",
    "space",
    "stat",
    "desc",
)
"""What `laion_fmri.download` takes of these."""
EXTRAS: Final = ("stimuli", "freesurfer", "anatomical", "raw", "localizers")
"""What LAION-fMRI has beside the responses, by the names of its flags."""
_LONGEST: Final = 20_000
"""Letters of a choice; a command line takes more, and a page has less."""
_MOST: Final = 5_000
"""Values of one facet."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the data come from, checked.

    Parameters
    ----------
    kind : {"laion", "bucket", "openneuro", "neurovault", "directory"}
    url : str
        Of a bucket, or the address of a data set of OpenNeuro.
    region, profile : str
        Of a bucket: where it is, and whose credentials sign, by name.
    extras : tuple of str
        Of LAION-fMRI: see `EXTRAS`.
    collections : tuple of int
        Of NeuroVault.
    search : str
        Words that images of NeuroVault are searched by, in its catalogue.
    update : bool
        Whether that catalogue is to be brought up to date first.
    """

    kind: str
    url: str = ""
    region: str = ""
    profile: str = ""
    extras: tuple[str, ...] = ()
    collections: tuple[int, ...] = ()
    search: str = ""
    update: bool = False

    @classmethod
    def checked(cls, given: object) -> Source:
        """Return what the page named, if it can be asked for.

        Parameters
        ----------
        given : object
            A mapping with ``kind``, and what that kind needs.

        Raises
        ------
        UsageError
        """
        if not isinstance(given, Mapping):
            raise UsageError("the page named no source. Nothing was done. Choose one.")
        make = _KINDS.get(str(given.get("kind")))
        if make is None:
            msg = f"{shown(str(given.get('kind')))[:40]!r} is no source. Nothing was done. Choose"
            raise UsageError(f"{msg} one of {', '.join(_KINDS)}.")
        return make(given)

    def as_json(self) -> dict[str, Any]:
        """Return what the page named."""
        said: dict[str, Any] = {"kind": self.kind}
        for name in ("url", "region", "profile", "search", "update"):
            if value := getattr(self, name):
                said[name] = value
        for name in ("extras", "collections"):
            if values := getattr(self, name):
                said[name] = list(values)
        if self.kind == "openneuro":
            said["data_set"] = self.url.removeprefix("openneuro:")
        return said

    @property
    def title(self) -> str:
        """What the page calls it."""
        if self.kind == "laion":
            return "LAION-fMRI"
        if self.kind == "neurovault":
            if self.search:
                return f"NeuroVault: {self.search}"
            numbers = ", ".join(map(str, self.collections[:5]))
            return f"NeuroVault: collection {numbers}{' …' if len(self.collections) > 5 else ''}"
        return self.url.removeprefix("openneuro:") or "What is here"

    @property
    def facets(self) -> tuple[str, ...]:
        """What its files can be chosen by."""
        if self.kind == "neurovault":
            return ("collection", "map_type", "modality")
        if self.kind == "laion":
            return _LAION
        return tuple(FACETS)


def _text(given: Mapping[str, object], name: str) -> str:
    value = given.get(name, "")
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 1_000 or not value.isprintable():
        msg = f"{name}={shown(str(value))[:60]!r} cannot be used. Nothing was done."
        raise UsageError(f"{msg} Give a text of one line.")
    return value.strip()


def _name(given: Mapping[str, object], name: str) -> str:
    value = _text(given, name)
    if value and not re.fullmatch(r"[A-Za-z0-9][\w.@+ -]*", value):
        raise UsageError(f"{name}={shown(value)[:60]!r} is no name of one. Nothing was done.")
    return value


def _laion(given: Mapping[str, object]) -> Source:
    extras = _strings(given.get("extras") or (), "extras")
    if unknown := [one for one in extras if one not in EXTRAS]:
        msg = f"{shown(unknown[0])[:40]!r} is nothing that LAION-fMRI has. Nothing was done. There"
        raise UsageError(f"{msg} are {', '.join(EXTRAS)}.")
    return Source("laion", extras=extras)


def _bucket(given: Mapping[str, object]) -> Source:
    url = _text(given, "url")
    if not re.fullmatch(r"s3://[^/?#\s]+(/[^?#]*)?", url):
        msg = f"{shown(url)[:100]!r} is no bucket. Nothing was done. Write s3://BUCKET/PREFIX."
        raise UsageError(msg)
    return Source("bucket", url, _name(given, "region"), _name(given, "profile"))


def _openneuro(given: Mapping[str, object]) -> Source:
    named = _text(given, "data_set").removeprefix("openneuro:")
    if version := _text(given, "version"):
        named = f"{named.partition('@')[0]}@{version}"
    if not re.fullmatch(r"ds[0-9]{6}(@[\w.-]{1,40})?", named):
        msg = f"{shown(named)[:60]!r} is no data set of OpenNeuro. Nothing was done. Write its "
        raise UsageError(
            f"{msg}accession number, as ds000246, with a version if need be: ds000246@1.0.1."
        )
    return Source("openneuro", f"openneuro:{named}")


def _neurovault(given: Mapping[str, object]) -> Source:
    search, numbers = _text(given, "search"), given.get("collections") or []
    if not isinstance(numbers, Sequence) or isinstance(numbers, str) or len(numbers) > _MOST:
        raise UsageError("collections of NeuroVault are a list of numbers. Nothing was done.")
    if not all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in numbers):
        msg = "the number of a collection of NeuroVault is above 0, as 1952. Nothing was done."
        raise UsageError(msg)
    if bool(search) == bool(numbers):
        msg = "Name collections of NeuroVault by number, or words to search for. Nothing was done."
        raise UsageError(msg)
    if search.startswith("-"):
        raise UsageError("Words to search for begin with a letter or a digit. Nothing was done.")
    collections = tuple(dict.fromkeys(numbers))
    update = given.get("update") is True
    return Source("neurovault", collections=collections, search=search, update=update)


def _directory(_: Mapping[str, object]) -> Source:
    return Source("directory")


_KINDS: Final = {
    "laion": _laion,
    "bucket": _bucket,
    "openneuro": _openneuro,
    "neurovault": _neurovault,
    "directory": _directory,
}


def _strings(value: object, name: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) > _MOST:
        raise UsageError(f"{name} is no list of at most {_MOST:,} texts. Nothing was done.")
    for one in value:
        if not isinstance(one, str) or not one or len(one) > 1_000 or not one.isprintable():
            msg = f"{shown(str(one))[:60]!r} cannot be a value of {name}. Nothing was done."
            raise UsageError(msg)
    return tuple(value)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which files of a source are chosen, checked.

    Parameters
    ----------
    values : tuple of (str, tuple of str)
        For each facet that narrows the choice, its values.
    include, exclude : tuple of str
        Globs.
    """

    values: tuple[tuple[str, tuple[str, ...]], ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def checked(cls, given: object, source: Source) -> Choice:
        """Return what the page chose, if the source can be asked for it.

        Parameters
        ----------
        given : object
            A mapping of facets to values, with ``include`` and ``exclude``.
        source : Source

        Raises
        ------
        UsageError
        """
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            raise UsageError("the page made no choice of files. Nothing was done.")
        texts = {str(name): _strings(value, str(name)) for name, value in given.items() if value}
        globs = {name: texts.pop(name, ()) for name in ("include", "exclude")}
        if unknown := [name for name in texts if name not in source.facets]:
            msg = f"files of {source.title} are not chosen by {shown(unknown[0])[:40]}."
            raise UsageError(f"{msg} Nothing was done. Use {', '.join(source.facets)}.")
        if source.kind == "neurovault" and any(globs.values()):
            raise UsageError("images of NeuroVault are not chosen by globs. Nothing was done.")
        ordered = tuple((name, texts[name]) for name in source.facets if name in texts)
        if sum(len(value) for _, values in ordered for value in values) > _LONGEST:
            msg = "so many values do not fit on a command line. Nothing was done. Choose fewer, or"
            raise UsageError(f"{msg} all by choosing none.")
        return cls(ordered, globs["include"], globs["exclude"])


@dataclass(frozen=True, slots=True)
class Call:
    """A command and a Python call that do the same.

    Parameters
    ----------
    argv : tuple of str
        The words of the command, its program first.
    python : str
        The statements.
    """

    argv: tuple[str, ...]
    python: str

    @property
    def command(self) -> str:
        """The command as one types it."""
        return shlex.join(self.argv)

    def with_flags(self, *flags: str) -> Call:
        """Return the same with further words at the end of the command."""
        return replace(self, argv=(*self.argv, *flags))

    def as_json(self) -> dict[str, str]:
        """Return both for the page."""
        return {"command": self.command, "python": self.python}


def everything(source: Source, root: str) -> Call:
    """Return the call that names all files of a source.

    Parameters
    ----------
    source : Source
    root : str
        The data directory.
    """
    return call_for(source, Choice(), root)


def call_for(source: Source, choice: Choice, root: str, images: Iterable[int] = ()) -> Call:
    """Return the call that brings what was chosen.

    Parameters
    ----------
    source : Source
    choice : Choice
    root : str
        The data directory.
    images : iterable of int
        Of NeuroVault: the images that were chosen; none for whole collections.
    """
    if source.kind == "laion":
        return _download(source, choice, root)
    if source.kind == "neurovault":
        return _fetch(source, root, tuple(images))
    if source.kind == "directory":
        python = f"import neurofetch\n\nneurofetch.verify({root!r})\n"
        return Call(("neurofetch", "verify", *_positional(root)), python)
    return _get(source, choice, root)


def _positional(root: str) -> tuple[str, ...]:
    return ("--", root) if root.startswith("-") else (root,)


def _flag(name: str, values: Sequence[str]) -> list[str]:
    """Return a flag with its values; a value that looks like a flag is tied to it."""
    if any(value.startswith("-") for value in values):
        return [f"--{name}={value}" for value in values]
    return [f"--{name}", *values] if values else []


def _keyword(name: str, values: Sequence[str]) -> tuple[str, str]:
    return name, repr(values[0]) if len(values) == 1 else repr(list(values))


def _call(function: str, fixed: Sequence[str], keywords: Sequence[tuple[str, str]]) -> str:
    """Return a call on one line where it fits, else with a line for each argument."""
    arguments = [*fixed, *(f"{name}={value}" for name, value in keywords)]
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= 88:
        return f"{line}\n"
    return f"{function}(\n" + "".join(f"    {one},\n" for one in arguments) + ")\n"


def _get(source: Source, choice: Choice, root: str) -> Call:
    argv = ["neurofetch", "get", source.url, "--data-dir", root]
    keywords = []
    for name, values in choice.values:
        flag = "derivatives" if name == "derivative" else name
        argv += _flag(flag, values)
        keywords.append(_keyword(flag, values))
    for name, values in (("include", choice.include), ("exclude", choice.exclude)):
        argv += _flag(name, values)
        keywords += [_keyword(name, values)] if values else []
    for name in ("region", "profile"):
        if value := getattr(source, name):
            argv += _flag(name, (value,))
            keywords.append((name, repr(value)))
    call = _call("neurofetch.get", (repr(source.url), repr(root)), keywords)
    return Call(tuple(argv), f"import neurofetch\n\n{call}")


_LAION_NAMES: Final = MappingProxyType({"session": "ses"})


def _download(source: Source, choice: Choice, root: str) -> Call:
    chosen = dict(choice.values)
    subjects = chosen.pop("subject", ()) or ("all",)
    argv = ["laion-fmri", "download", *_flag("subject", subjects)]
    keywords = []
    globs = {"include": choice.include, "exclude": choice.exclude}
    for name, values in (*chosen.items(), *globs.items()):
        if values:
            short = _LAION_NAMES.get(name, name)
            argv += _flag(short, values)
            keywords.append(_keyword(short, values))
    for name in source.extras:
        argv.append(f"--include-{name}")
        keywords.append((f"include_{name}", "True"))
    argv += ["--data-dir", root]
    keywords.append(("data_dir", repr(root)))
    call = _call("download", (_keyword("", subjects)[1],), keywords)
    return Call(tuple(argv), f"from laion_fmri.download import download\n\n{call}")


def _fetch(source: Source, root: str, images: tuple[int, ...]) -> Call:
    argv = ["neurofetch", "neurovault", "fetch"]
    keywords = []
    if images:
        argv += _flag("image", list(map(str, images)))
        keywords.append(("image_ids", repr(list(images))))
    elif source.collections:
        argv += _flag("collection", list(map(str, source.collections)))
        keywords.append(("collection_ids", repr(list(source.collections))))
    argv += ["--data-dir", root]
    keywords.append(("data_dir", repr(root)))
    call = _call("fetch_neurovault_ids", (), keywords)
    return Call(tuple(argv), f"from neurofetch.datasets import fetch_neurovault_ids\n\n{call}")


def search_argv(source: Source) -> tuple[str, ...]:
    """Return the command that searches the catalogue of NeuroVault.

    Parameters
    ----------
    source : Source
    """
    argv = ["neurofetch", "neurovault", "search", source.search]
    return (*argv, "--update") if source.update else tuple(argv)
