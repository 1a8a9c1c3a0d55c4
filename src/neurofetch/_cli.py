"""The ``neurofetch`` command: any public BIDS bucket, and NeuroVault."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from neurofetch import console
from neurofetch.console import ExitCode
from neurofetch.index._cli import add_index
from neurofetch.jobs import add_slurm, add_status, submitted, wrong_jobs
from neurofetch.lockfile._cli import add_lock, add_locked, get_by_lock, what_is_missing
from neurofetch.neurovault._cli import add_neurovault
from neurofetch.openneuro._cli import add_openneuro
from neurofetch.pictures._cli import add_show
from neurofetch.planning.entities import ENTITY_NAMES
from neurofetch.ui._cli import add_ui

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["build_parser", "main"]

_FILTERS = (
    ("subject sub", "with or without sub-"),
    ("ses session", "with or without ses-; only files of these sessions"),
    ("task", "with or without task-"),
    ("run", "with or without run-; a number"),
    ("datatype", "such as func or perf: the folder that a file lies in"),
    ("suffix", "such as bold or T1w"),
    ("extension", "such as nii.gz"),
    (
        "include",
        "glob patterns for the path below the prefix; one without a slash matches names of "
        "files or folders",
    ),
    ("exclude", "glob patterns for files to leave out"),
)
_ENTITIES = (
    ("acq acquisition", "with or without acq-"),
    ("echo", "with or without echo-; a number"),
    ("part", "with or without part-"),
    ("space", "with or without space-"),
    ("res resolution", "with or without res-"),
    ("hemi hemisphere", "with or without hemi-"),
    ("label", "with or without label-"),
    ("stat statistic", "with or without stat-"),
    ("desc description", "with or without desc-"),
)
_LISTED = {name for names, _ in (*_FILTERS, *_ENTITIES) for name in names.split()}
_UNLISTED = [
    short if short == long else f"{short} {long}"
    for long, short in ENTITY_NAMES.items()
    if short not in _LISTED
]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    from neurofetch._version import __version__  # noqa: PLC0415

    parser = console.Parser(
        prog="neurofetch",
        description="Fetch public brain-imaging data, and verify them.",
        examples=(
            "neurofetch get openneuro:ds000246@1.0.1 --subject 0001",
            "neurofetch get s3://openneuro.org/ds000001 --data-dir ds000001 --subject 01",
            "neurofetch verify ds000246",
            "neurofetch neurovault fetch --collection 1952",
        ),
    )
    parser.add_argument("--version", action="version", version=f"neurofetch {__version__}")
    console.add_completion(parser)
    commands = console.add_commands(parser)
    _add_get(commands)
    _add_verify(commands)
    _add_clean(commands)
    add_status(commands, "neurofetch")
    add_lock(commands, _FILTERS, _ENTITIES, _UNLISTED)
    add_index(commands)
    add_show(commands)
    add_neurovault(commands)
    add_openneuro(commands)
    add_ui(commands)
    return parser


def _add_get(commands: argparse._SubParsersAction[console.Parser]) -> None:
    parser = commands.add_parser(
        "get",
        help="fetch files of OpenNeuro, or of a BIDS bucket",
        usage="neurofetch get DATASET [--data-dir DIR] [which files] [options]\n"
        "       neurofetch get --locked FILE [DIR] [--from PLACE ...] [which files] [options]",
        description="Fetch files of a data set of OpenNeuro, or of a BIDS bucket, verified "
        "to the last byte. You can run it again: files that you already have are skipped.",
        examples=(
            "neurofetch get ds000246 --subject 0001 --dry-run",
            "neurofetch get openneuro:ds000246@1.0.1/sub-0001/meg",
            "neurofetch get s3://openneuro.org/ds000001 --data-dir ds000001 --suffix bold T1w",
            "neurofetch get s3://openneuro.org/ds000117 --data-dir ds000117 --sub 01 --follow",
            "neurofetch get --locked paper.lock ds000001",
        ),
    )
    parser.needs_words = True
    parser.check = _what_is_wrong
    parser.add_argument(
        "url",
        nargs="?",
        metavar="DATASET",
        help="for OpenNeuro: an accession number, optionally with a version and a path "
        "(openneuro:ds000246@1.0.1/sub-0001), a DOI, or the address of its web page; for a "
        "bucket: s3://BUCKET/PREFIX; with --locked: the data directory",
    )
    console.add_filters(parser, _FILTERS)
    _add_choices(console.group_of(parser, console.CHOICE))
    console.add_filters(parser, _ENTITIES, _UNLISTED, console.ENTITIES)
    _add_along(console.group_of(parser, console.ALONG))
    default = "for OpenNeuro, a folder with the name of the data set"
    console.add_data_dir(parser, default, title=console.TRANSFER)
    console.add_transfer(parser)
    add_slurm(parser)
    where = console.group_of(parser, console.TRANSFER)
    add_locked(where)
    where.add_argument(
        "--target-dir", metavar="DIR", dest="data_dir", help="another name of --data-dir"
    )
    where.add_argument("--region", help="the region of the bucket (default: detected)")
    console.add_access(parser)
    where.add_argument(
        "--mix",
        action="store_true",
        help="allow a data directory that holds another data set; files of one never replace "
        "files of the other",
    )
    where.add_argument(
        "--update",
        action="store_true",
        help="bring a data directory with another version to this one: files whose content "
        "differs are replaced",
    )
    where.add_argument(
        "--verify",
        action="store_true",
        help="also read every byte of the files that you have, and download damaged ones again",
    )
    console.add_output(parser)
    parser.set_defaults(handler=_get)


def _add_choices(group: argparse._ArgumentGroup) -> None:
    """Add what else decides which files are asked for."""
    group.add_argument(
        "--derivatives",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="none, all (the default), or names of folders in derivatives/",
    )
    group.add_argument(
        "--permissive",
        action="store_true",
        help="also take files that lack an entity that you ask for (not subject or session)",
    )


def _add_along(group: argparse._ArgumentGroup) -> None:
    """Add what decides what comes with the files that are asked for."""
    group.add_argument(
        "--bare",
        action="store_true",
        help="fetch only what you ask for: no sidecars, no events, no description of the data set",
    )
    group.add_argument(
        "--follow",
        action="store_true",
        help="also fetch what chosen files name: stimuli of events, the empty-room recording, "
        "the images of a field map",
    )


def _add_verify(commands: argparse._SubParsersAction[console.Parser]) -> None:
    parser = commands.add_parser(
        "verify",
        help="check the files on the disk",
        description="Compare a data directory of any kind (BIDS, LAION-fMRI, NeuroVault) with the "
        "receipts that were written when its files were fetched. DIR can be any folder in "
        "it. Exits with 4 if a file is missing or differs, and names it; with 3 if there is"
        " nothing to check.",
        examples=(
            "neurofetch verify",
            "neurofetch verify ds000001 --hash",
            "neurofetch verify ds000001 --hash --remote s3://openneuro.org/ds000001",
        ),
    )
    console.add_data_dir(parser, "the current directory", positional=True)
    parser.add_argument("--hash", action="store_true", help="read every byte")
    parser.add_argument(
        "--remote",
        nargs="?",
        const="",
        metavar="s3://BUCKET/PREFIX",
        help="also compare with the bucket: this one, or the one that the files came from",
    )
    parser.add_argument("--region", help="the region of the bucket (default: detected)")
    console.add_access(parser)
    console.add_progress(parser)
    console.add_output(parser)
    parser.set_defaults(handler=_verify)


def _what_is_wrong(arguments: argparse.Namespace) -> str:
    return what_is_missing(arguments) or wrong_jobs(arguments)


def _get(arguments: argparse.Namespace) -> int:
    from neurofetch._api import get, plan  # noqa: PLC0415 - not needed for --help

    listed = (names for names, _ in (*_FILTERS, *_ENTITIES))
    names = [names.split()[0] for names in (*listed, *_UNLISTED)]
    filters = {name: getattr(arguments, name) for name in names}
    if arguments.locked is not None:
        return get_by_lock(arguments, filters)
    common = {
        "overwrite": arguments.overwrite,
        "shard": arguments.shard,
        "region": arguments.region,
        **console.access(arguments),
        "follow": arguments.follow,
        "mix": arguments.mix,
        "update": arguments.update,
        "verify": arguments.verify,
        "bare": arguments.bare,
        "permissive": arguments.permissive,
        "derivatives": arguments.derivatives,
        "offline": arguments.offline or None,
        "mirrors": arguments.mirror,
        **filters,
    }
    where = (arguments.url, arguments.data_dir)
    if arguments.slurm is not None:
        show = console.progress(arguments)
        return submitted(
            lambda: plan(*where, progress=show, **common), arguments, "neurofetch", ".neurofetch"
        )
    if arguments.dry_run:
        made = plan(*where, progress=console.progress(arguments), **common)
        console.show_plan(made, arguments)
        return ExitCode.OK
    common |= {"n_jobs": arguments.n_jobs, "limit_rate": arguments.limit_rate}
    common |= {"patience": arguments.patience}
    with console.crew(arguments) as crew:
        common |= crew
        return console.narrated(lambda listen: get(*where, progress=listen, **common), arguments)


def _verify(arguments: argparse.Namespace) -> int:
    from neurofetch._api import verify  # noqa: PLC0415 - not needed for --help
    from neurofetch.store.places import find_places  # noqa: PLC0415

    where, url = getattr(arguments, "data_dir", None), arguments.remote
    if url and where is None and "://" not in url:  # `verify --remote DIR`
        where, url = url, ""
    found = verify(
        where,
        read_all=arguments.hash,
        url=url or None,
        remote=url == "",
        region=arguments.region,
        **console.access(arguments),
        progress=console.progress(arguments),
    )
    named = Path(os.path.abspath(where or "."))
    checked = list(dict.fromkeys(place.root for place in find_places(named))) or [named]
    if checked != [named]:
        console.remark(f"checked: {', '.join(map(str, checked))}", arguments)
    return console.show_audit(found, arguments)


def _add_clean(commands: argparse._SubParsersAction[console.Parser]) -> None:
    parser = commands.add_parser(
        "clean",
        help="remove the partial files that stopped runs left behind",
        description="List the partial files of runs that were stopped or killed, and remove them. "
        "Complete files are not touched, nor are the partial files of runs that are still "
        "going. You need this only to free space: the next run resumes what it can, and "
        "removes the rest by itself.",
        examples=("neurofetch clean ds000001 --dry-run", "neurofetch clean ds000001"),
    )
    console.add_data_dir(parser, positional=True)
    parser.add_argument("--dry-run", action="store_true", help="only list them, remove nothing")
    console.add_output(parser)
    parser.set_defaults(handler=_clean)


def _clean(arguments: argparse.Namespace) -> int:
    from neurofetch.store.clean import clean  # noqa: PLC0415

    found = clean(arguments.data_dir, dry_run=arguments.dry_run)
    return console.show_remains(found, arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        By default the arguments of the process.

    Returns
    -------
    int
        The exit code; see `neurofetch.console.ExitCode`.
    """
    return console.run("neurofetch", build_parser, argv)


if __name__ == "__main__":
    sys.exit(main())
