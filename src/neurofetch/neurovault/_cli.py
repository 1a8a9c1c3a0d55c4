"""``neurofetch neurovault``: fetch, search, info, show, verify; flags are the arguments."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Literal

from neurofetch import console
from neurofetch.console import ExitCode
from neurofetch.pictures._cli import add_look, add_out, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from neurofetch.events import Event
    from neurofetch.model import Report

    Commands = argparse._SubParsersAction[console.Parser]

__all__ = ["add_neurovault"]

_COLUMNS = ("id", "collection_id", "map_type", "name")
_MAIN = (
    "name", "collection_id", "map_type", "image_type", "modality", "cognitive_paradigm_cogatlas",
    "number_of_subjects", "not_mni", "is_thresholded", "file_size", "DOI", "authors",
    "journal_name", "owner_name", "number_of_images", "add_date", "modify_date", "url",
)  # fmt: skip
_LONGEST = 60
_NO_FIELDS = frozenset({"self", "text", "kind", "collection_text", "limit", "path"})
"""Names that a search has for something else."""


def add_neurovault(commands: Commands) -> None:
    """Add the command and its parts."""
    parser = commands.add_parser(
        "neurovault",
        help="statistical maps of neurovault.org",
        description="Statistical maps of neurovault.org: fetch, search, look, draw, verify.",
        examples=(
            "neurofetch neurovault fetch --collection 1952",
            "neurofetch neurovault search --update 'working memory'",
        ),
    )
    parts = console.add_commands(parser, "part")
    _add_fetch(parts)
    _add_search(parts)
    _add_info(parts)
    _add_show(parts)
    _add_verify(parts)


def _add_fetch(parts: Commands) -> None:
    parser = parts.add_parser(
        "fetch",
        help="fetch collections and images by id",
        description="Fetch collections and images by id, into a cache that nilearn reads too. You "
        "can run it again: files that are already here are skipped.",
        examples=(
            "neurofetch neurovault fetch --collection 1952 --dry-run",
            "neurofetch neurovault fetch --image 111 32980 --data-dir nilearn_data",
        ),
    )
    parser.needs_words = True
    parser.add_argument(
        "--collection",
        action="extend",
        nargs="+",
        default=[],
        metavar="ID",
        help="whole collections",
    )
    parser.add_argument(
        "--image", action="extend", nargs="+", default=[], metavar="ID", help="single images"
    )
    parser.add_argument("--mode", choices=("download_new", "overwrite", "offline"))
    _add_data_dir(parser)
    parser.add_argument(
        "--fetch-neurosynth-words", action="store_true", help="fetch Neurosynth's words too"
    )
    parser.add_argument(
        "--resample",
        action="store_true",
        help="resample to voxels of 3 mm (needs neurofetch[resample])",
    )
    parser.add_argument("--interpolation", choices=("continuous", "linear", "nearest"))
    group = console.group_of(parser, console.TRANSFER)
    group.add_argument("--connections", type=int, metavar="N", help="requests at once (default: 4)")
    group.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="for each request (default: 10)"
    )
    group.add_argument(
        "--max-failures",
        type=int,
        metavar="N",
        help="stop after N failures in a row (default: 100)",
    )
    console.add_patience(group)
    group = console.group_of(parser, console.OUTPUT)
    group.add_argument("--dry-run", action="store_true", help="print the plan and fetch nothing")
    console.add_progress(group)
    group.add_argument(
        "--paths",
        action="store_true",
        help="print the paths on stdout; with --dry-run, list every file of the plan",
    )
    console.add_output(parser)
    parser.set_defaults(handler=_fetch)


def _add_search(parts: Commands) -> None:
    parser = parts.add_parser(
        "search",
        help="search the local catalogue",
        description="Search the local catalogue of all collections and images. No request is "
        "made, except with --update.",
        examples=(
            "neurofetch neurovault search --update 'working memory' --limit 20",
            "neurofetch neurovault search --field map_type='Z map' not_mni=false --ids",
        ),
    )
    parser.add_argument(
        "text",
        nargs="?",
        help='words that must occur; put several in "quotes" to find them together',
    )
    parser.add_argument("--kind", choices=("images", "collections"), default="images")
    parser.add_argument("--collection-text", metavar="TEXT", help="words of the collection")
    parser.add_argument(
        "--field",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help='such as map_type="Z map" not_mni=false',
    )
    parser.add_argument("--limit", metavar="N", help="show at most N (default: all)")
    parser.add_argument("--ids", action="store_true", help="print only the ids, one per line")
    parser.add_argument(
        "--update", action="store_true", help="first create the catalogue, or bring it up to date"
    )
    console.add_output(parser)
    parser.set_defaults(handler=_search)


def _add_info(parts: Commands) -> None:
    parser = parts.add_parser(
        "info",
        help="show the metadata of one image or collection",
        description="Print the metadata of one image, or of one collection.",
        examples=(
            "neurofetch neurovault info 32980",
            "neurofetch neurovault info 1952 --collection",
        ),
    )
    parser.add_argument("id", type=_id_of("images"), metavar="ID")
    parser.add_argument("--collection", action="store_true", help="ID is that of a collection")
    console.add_output(parser)
    parser.set_defaults(handler=_info)


def _add_show(parts: Commands) -> None:
    parser = parts.add_parser(
        "show",
        help="draw a contact sheet of a downloaded collection",
        description="Draw the maps of a downloaded collection on one sheet. Maps of the same "
        "kind share one colour range. No request is made. Needs nilearn: pip install "
        "'neurofetch[plot]'.",
        examples=(
            "neurofetch neurovault show 1952",
            "neurofetch neurovault show 32980 --image --out map.html",
        ),
    )
    parser.add_argument("id", metavar="ID", help="of a collection")
    parser.add_argument("--image", action="store_true", help="ID is that of an image")
    _add_data_dir(parser)
    add_look(parser)
    add_out(parser)
    console.add_output(parser)
    parser.set_defaults(handler=_show)


def _add_verify(parts: Commands) -> None:
    parser = parts.add_parser(
        "verify",
        help="check the cache: read every volume to its end",
        description="Read every record and every volume of the cache. Nothing is changed.",
        examples=(
            "neurofetch neurovault verify",
            "neurofetch neurovault verify --collection 1952 --data-dir nilearn_data",
        ),
    )
    parser.add_argument(
        "--collection",
        type=_id_of("collections"),
        action="extend",
        nargs="+",
        metavar="ID",
        help="only these",
    )
    _add_data_dir(parser)
    console.add_output(parser)
    parser.set_defaults(handler=_verify)


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    console.add_data_dir(parser, "NILEARN_SHARED_DATA, NILEARN_DATA or ~/nilearn_data")


def _id_of(kind: Literal["collections", "images"]) -> Callable[[str], int]:
    """Return what reads an id of this kind; also that in the address of its page."""

    def read(text: str) -> int:
        found = re.fullmatch(rf"(?:https?://\S+/{kind}/)?(-?[0-9]+)/?", text.strip())
        if found is None:
            page = f"https://neurovault.org/{kind}/1952/"
            raise argparse.ArgumentTypeError(f"{text!r} is no id: a whole number, as in {page}")
        return int(found[1])

    return read


# -- what they do ----------------------------------------------------------------------------


def _fetch(arguments: argparse.Namespace) -> int:
    from neurofetch.errors import UsageError  # noqa: PLC0415 - not needed for --help
    from neurofetch.neurovault.fetch.functions import (  # noqa: PLC0415
        plan_neurovault_ids,
        report_neurovault_ids,
    )
    from neurofetch.neurovault.settings import Settings  # noqa: PLC0415

    if not arguments.collection and not arguments.image:
        raise UsageError("Name at least one --collection or --image. Nothing was fetched.")
    ids, data_dir = (arguments.collection, arguments.image), arguments.data_dir
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    if arguments.dry_run:
        names = ("mode", "timeout", "connections", "resample", "patience")
        asked = {name: given[name] for name in names if name in given}
        plan = plan_neurovault_ids(*ids, data_dir=data_dir, **asked)
        console.show_plan(plan, arguments)
        return ExitCode.INCOMPLETE if plan.notes else ExitCode.OK

    def fetch(listen: Callable[[Event], None]) -> Report:
        fixed = {"progress": listen, "on_error": "raise", "vectorize_words": False}
        settings = Settings.of({**given, **fixed})
        return report_neurovault_ids(*ids, settings, data_dir)

    return console.narrated(fetch, arguments)


def _search(arguments: argparse.Namespace) -> int:
    from neurofetch.errors import NothingMatchedError  # noqa: PLC0415 - not needed for --help
    from neurofetch.neurovault.tables import filled_catalogue, update_catalogue  # noqa: PLC0415

    if arguments.update:
        done = update_catalogue()
        if not arguments.quiet:
            counts = f"{done.added:,} added, {done.changed:,} changed, {done.removed:,} removed"
            console.say(f"catalogue: {counts}")
    query = {
        "kind": arguments.kind,
        "collection_text": arguments.collection_text,
        "limit": arguments.limit,
        **dict(map(_field, arguments.field)),
    }
    words = {name: value for name, value in query.items() if name != "limit"}
    known = filled_catalogue()
    ids = known.ids(arguments.text, **query)
    if arguments.json:
        if ids:
            records = known.records(ids, kind=arguments.kind)
            console.emit("search", {"kind": arguments.kind, "records": list(records)})
    elif arguments.ids and ids:
        console.output("\n".join(map(str, ids)))
    elif ids:
        _show_rows(known.records(ids, kind=arguments.kind))
    if not ids:
        raise NothingMatchedError(known.why_nothing(arguments.text, **words))
    return ExitCode.OK


def _field(text: str) -> tuple[str, object]:
    """Return a field and its value; numbers, true, false and null are meant as such."""
    import json  # noqa: PLC0415 - not needed for --help

    from neurofetch.errors import UsageError  # noqa: PLC0415

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--field takes NAME=VALUE, not {text!r}.")
    if name in _NO_FIELDS:
        raise UsageError(f"{name} is no field of a record: see neurofetch neurovault search --help")
    try:
        parsed = json.loads(value)
    except ValueError:
        return name, value
    return name, value if isinstance(parsed, dict | list) else parsed


def _show_rows(records: Sequence[Mapping[str, object]]) -> None:
    names = [name for name in _COLUMNS if any(name in record for record in records)]
    rows = [[_cell(record.get(name)) for name in names] for record in records]
    console.show_text(console.table([names, *rows], right=(0,)))


def _cell(value: object) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _info(arguments: argparse.Namespace) -> int:
    from neurofetch.neurovault.tables import one_record  # noqa: PLC0415

    kind: Literal["image", "collection"] = "collection" if arguments.collection else "image"
    record: Mapping[str, object] = one_record(kind, arguments.id)
    if arguments.json:
        console.emit("record", {"kind": kind, "id": arguments.id, "record": dict(record)})
        return ExitCode.OK
    shown = [(name, record[name]) for name in _MAIN if record.get(name) is not None]
    rows = [(name, " ".join(str(value).split())) for name, value in shown]
    console.show_text(console.table([("id", str(arguments.id)), *rows]))
    return ExitCode.OK


def _show(arguments: argparse.Namespace) -> int:
    from neurofetch.errors import UsageError  # noqa: PLC0415 - not needed for --help
    from neurofetch.neurovault.pictures import show  # noqa: PLC0415

    try:
        number = _id_of("images" if arguments.image else "collections")(arguments.id)
    except argparse.ArgumentTypeError as exc:  # which kind of id it is, only the other flag says
        raise UsageError(f"{exc}") from None
    return tell(
        show(
            number,
            arguments.out,
            image=arguments.image,
            data_dir=arguments.data_dir,
            threshold=arguments.threshold,
            page=arguments.page,
            limit=arguments.limit,
            title=arguments.title,
        ),
        arguments,
    )


def _verify(arguments: argparse.Namespace) -> int:
    from neurofetch.neurovault.cache.verify import verify  # noqa: PLC0415

    return console.show_audit(verify(arguments.data_dir, arguments.collection), arguments)
