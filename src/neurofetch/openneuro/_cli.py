"""``neurofetch openneuro``: list, search, info. Flags are the functions' arguments."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from neurofetch import console
from neurofetch.console import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurofetch.openneuro.described import DatasetInfo

    Commands = argparse._SubParsersAction[console.Parser]

__all__ = ["add_openneuro"]

_LONGEST = 60
_NAMED = 12


def add_openneuro(commands: Commands) -> None:
    """Add the command and its parts."""
    parser = commands.add_parser(
        "openneuro",
        help="the data sets of openneuro.org",
        description="List, search and describe the data sets of openneuro.org. To fetch one, use "
        "neurofetch get openneuro:ds000246.",
        examples=(
            "neurofetch openneuro search 'working memory' --modality meg",
            "neurofetch openneuro info ds000246",
        ),
    )
    parts = console.add_commands(parser, "part")
    _add_list(parts)
    _add_search(parts)
    _add_info(parts)


def _add_list(parts: Commands) -> None:
    parser = parts.add_parser(
        "list",
        help="public data sets, the newest first",
        description="List public data sets, the newest first.",
        examples=(
            "neurofetch openneuro list --modality meg",
            "neurofetch openneuro list --limit all --json",
        ),
    )
    _add_modality(parser)
    _add_how_many(parser)
    parser.set_defaults(handler=_list)


def _add_search(parts: Commands) -> None:
    parser = parts.add_parser(
        "search",
        help="search public data sets",
        description="Search public data sets, the best matches first. OpenNeuro's server decides "
        "what a word finds.",
        examples=(
            "neurofetch openneuro search 'working memory' --subjects 20-",
            "neurofetch openneuro search --task rest --modality eeg --ids",
        ),
    )
    parser.add_argument(
        "text", nargs="*", help="words in the name, README or authors; or an accession number"
    )
    _add_modality(parser)
    parser.add_argument(
        "--task",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="the name of a task, such as rest",
    )
    parser.add_argument("--author", nargs="+", action="extend", metavar="NAME")
    parser.add_argument(
        "--subjects",
        type=_bounds,
        default=(None, None),
        metavar="N-M",
        help="between N and M subjects; N- and -M work, too",
    )
    _add_how_many(parser)
    parser.set_defaults(handler=_search)


def _add_info(parts: Commands) -> None:
    parser = parts.add_parser(
        "info",
        help="describe one data set",
        description="Describe one data set: its newest version, or the one that you name, and a "
        "list of all versions with their owners' notes.",
        examples=(
            "neurofetch openneuro info ds000246",
            "neurofetch openneuro info openneuro:ds000246@1.0.0 --json",
        ),
    )
    parser.add_argument(
        "dataset", metavar="DATASET", help="its accession number, DOI, or address in your browser"
    )
    console.add_output(parser)
    parser.set_defaults(handler=_info)


def _add_modality(parser: console.Parser) -> None:
    parser.add_argument(
        "--modality",
        "--mod",
        metavar="NAME",
        help="only these: mri, eeg, ieeg, meg, pet, nirs",
    )


def _add_how_many(parser: console.Parser) -> None:
    parser.add_argument(
        "--limit", type=_limit, default=50, metavar="N", help="show at most N, or all (default: 50)"
    )
    parser.add_argument(
        "--ids", action="store_true", help="print only the accession numbers, one per line"
    )
    console.add_output(parser)


def _limit(text: str) -> int | None:
    if text == "all":
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 31):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number from 1 on nor all")
    return int(text)


def _bounds(text: str) -> tuple[int | None, int | None]:
    """Return from … to …; a single number is the least."""
    found = re.fullmatch(r"([0-9]{0,7})(-?)([0-9]{0,7})", text.strip(), re.ASCII)
    if found is None or not (found[1] or found[3]):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of subjects, such as 20 or 10-20")
    least, _, most = found.groups()
    return (int(least) if least else None), (int(most) if most else None)


# -- what they do ----------------------------------------------------------------------------


def _list(arguments: argparse.Namespace) -> int:
    from neurofetch.openneuro.catalogue import datasets  # noqa: PLC0415 - not needed for --help

    return _show(datasets(arguments.modality, limit=arguments.limit), arguments)


def _search(arguments: argparse.Namespace) -> int:
    from neurofetch.openneuro.catalogue import search  # noqa: PLC0415 - not needed for --help

    found = search(
        arguments.text,
        modality=arguments.modality,
        task=arguments.task,
        author=arguments.author,
        subjects=arguments.subjects,
        limit=arguments.limit,
    )
    return _show(found, arguments)


def _info(arguments: argparse.Namespace) -> int:
    from neurofetch.openneuro.catalogue import info  # noqa: PLC0415 - not needed for --help

    found = info(arguments.dataset)
    if arguments.json:
        console.emit("dataset", {"dataset": found.to_dict()})
        return ExitCode.OK
    console.show_text(console.table(_lines(found)))
    for note in found.notes:
        console.remark(note, arguments)
    return ExitCode.OK


def _show(found: Sequence[DatasetInfo], arguments: argparse.Namespace) -> int:
    if arguments.json:
        console.emit("datasets", {"datasets": [one.to_dict() for one in found]})
        return ExitCode.OK
    if arguments.ids:
        console.show_text("\n".join(one.accession for one in found))
    else:
        console.show_text(_table(found))
    if len(found) == arguments.limit:
        console.remark(f"the first {arguments.limit}; --limit all shows all", arguments)
    for note in dict.fromkeys(note for one in found for note in one.notes):
        console.remark(note, arguments)
    return ExitCode.OK


def _table(found: Sequence[DatasetInfo]) -> str:
    head = ("data set", "version", "size", "subjects", "modality", "name")
    rows = [
        (
            one.accession,
            one.version or "draft",
            _size(one.bytes_total),
            str(len(one.subjects) or ""),
            ", ".join(one.modalities),
            _short(one.name or ""),
        )
        for one in found
    ]
    return console.table([head, *rows], right=(2, 3))


def _size(count: int | None) -> str:
    return "" if count is None else console.size(count)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _lines(one: DatasetInfo) -> list[tuple[str, str]]:
    """Return what is known, a line each; what is not known has none."""
    rows = [
        ("data set", one.accession),
        ("name", one.name or ""),
        ("version", one.version or "none yet: only a draft"),
        ("deprecated", one.deprecated or ""),
        ("created", (one.created or "")[:10]),
        ("size", _size(one.bytes_total)),
        ("files", "" if one.files_total is None else f"{one.files_total:,}"),
        ("subjects", _counted(one.subjects)),
        ("sessions", _counted(one.sessions)),
        ("tasks", ", ".join(one.tasks)),
        ("modality", ", ".join(one.modalities)),
        ("authors", _some(one.authors)),
        ("license", one.license or ""),
        ("DOI", one.doi or ""),
        ("public", "no" if one.public is False else ""),
    ]
    for version in reversed(one.versions):
        withdrawn = f"deprecated: {version.deprecated}" if version.deprecated else ""
        told = [version.version, (version.created or "")[:10], withdrawn]
        rows.append(("", "  ".join(filter(None, told))))
    named = next((n for n, row in enumerate(rows) if not row[0]), None)
    if named is not None:
        rows[named] = ("versions", rows[named][1])
    rows += [("derivative", f"{each.name}  {each.url or ''}".strip()) for each in one.derivatives]
    rows.append(("to fetch it", f"neurofetch get {one.source}" if one.version else ""))
    return [row for row in rows if row[1]]


def _counted(names: Sequence[str]) -> str:
    return f"{len(names):,}  ({_some(names)})" if names else ""


def _some(names: Sequence[str]) -> str:
    more = f", … {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
