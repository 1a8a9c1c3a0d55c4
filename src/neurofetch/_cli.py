"""The ``neurofetch`` command: any public BIDS bucket, and NeuroVault."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from neurofetch import console
from neurofetch.console import ExitCode
from neurofetch.neurovault._cli import add_neurovault
from neurofetch.planning.entities import ENTITY_NAMES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["build_parser", "main"]

_FILTERS = (
    ("subject sub", "with or without sub-"),
    ("ses session", "with or without ses-; only files of these sessions"),
    ("task", "with or without task-"),
    ("acq acquisition", "with or without acq-"),
    ("run", "with or without run-; a number"),
    ("echo", "with or without echo-; a number"),
    ("part", "with or without part-"),
    ("space", "with or without space-"),
    ("res resolution", "with or without res-"),
    ("hemi hemisphere", "with or without hemi-"),
    ("label", "with or without label-"),
    ("stat statistic", "with or without stat-"),
    ("desc description", "with or without desc-"),
    ("datatype", "such as func or perf: the folder that a file lies in"),
    ("suffix", "such as bold or T1w"),
    ("extension", "such as nii.gz"),
    ("include", "globs on the path below the prefix; without a slash, names of files or folders"),
    ("exclude", "globs of files to leave out"),
)
_LISTED = {name for names, _ in _FILTERS for name in names.split()}
_UNLISTED = [
    short if short == long else f"{short} {long}"
    for long, short in ENTITY_NAMES.items()
    if short not in _LISTED
]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    from neurofetch._version import __version__  # noqa: PLC0415

    parser = console.Parser(
        prog="neurofetch", description="Fetch public brain-imaging data, and verify it."
    )
    parser.add_argument("--version", action="version", version=f"neurofetch {__version__}")
    console.add_completion(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_get(commands)
    _add_verify(commands)
    _add_clean(commands)
    add_neurovault(commands)
    return parser


def _add_get(commands: argparse._SubParsersAction[console.Parser]) -> None:
    parser = commands.add_parser(
        "get",
        help="fetch files of a public BIDS bucket",
        description="Fetch files of a public BIDS bucket, verified to the last byte. "
        "You can run it again: files that are already here are skipped.",
    )
    parser.add_argument("url", metavar="s3://BUCKET/PREFIX")
    parser.add_argument("--dest", required=True, metavar="DIR", help="the data directory")
    parser.add_argument("--region", help="of the bucket (default: found out)")
    console.add_filters(parser, _FILTERS, _UNLISTED)
    console.add_transfer(parser)
    console.add_output(parser)
    parser.set_defaults(handler=_get)


def _add_verify(commands: argparse._SubParsersAction[console.Parser]) -> None:
    parser = commands.add_parser(
        "verify",
        help="check the files on the disk",
        description="Compare a data directory with the receipts that were written when its files "
        "were fetched. Exits with 4 if a file is missing or differs, and names it.",
    )
    parser.add_argument("dest", metavar="DIR", help="the data directory")
    parser.add_argument("--hash", action="store_true", help="read every byte")
    parser.add_argument("--remote", metavar="s3://BUCKET/PREFIX", help="ask the bucket too")
    parser.add_argument("--region", help="of the bucket (default: found out)")
    console.add_progress(parser)
    console.add_output(parser)
    parser.set_defaults(handler=_verify)


def _get(arguments: argparse.Namespace) -> int:
    from neurofetch._api import get, plan  # noqa: PLC0415 - not needed for --help

    names = [names.split()[0] for names in [*(names for names, _ in _FILTERS), *_UNLISTED]]
    filters = {name: getattr(arguments, name) for name in names}
    common = {
        "overwrite": arguments.overwrite,
        "shard": arguments.shard,
        "region": arguments.region,
        **filters,
    }
    where = (arguments.url, arguments.dest)
    if arguments.dry_run:
        console.show_plan(plan(*where, **common), arguments)
        return ExitCode.OK
    common |= {"n_jobs": arguments.n_jobs, "limit_rate": arguments.limit_rate}
    common |= {"patience": arguments.patience}
    return console.narrated(lambda listen: get(*where, progress=listen, **common), arguments)


def _verify(arguments: argparse.Namespace) -> int:
    from neurofetch._api import verify  # noqa: PLC0415 - not needed for --help

    found = verify(
        arguments.dest,
        read_all=arguments.hash,
        url=arguments.remote,
        region=arguments.region,
        progress=console.progress(arguments),
    )
    return console.show_audit(found, arguments)


def _add_clean(commands: argparse._SubParsersAction[console.Parser]) -> None:
    parser = commands.add_parser(
        "clean",
        help="remove what stopped runs left in a data directory",
        description="Show the partial files of runs that were stopped or killed, and remove them. "
        "What runs under way have is left alone, and so are all complete files. You need this "
        "only to free space: the next run resumes what it can, and removes the rest by itself.",
    )
    parser.add_argument("dest", metavar="DIR", help="the data directory")
    parser.add_argument("--dry-run", action="store_true", help="only show, remove nothing")
    console.add_output(parser)
    parser.set_defaults(handler=_clean)


def _clean(arguments: argparse.Namespace) -> int:
    from neurofetch.store.clean import clean  # noqa: PLC0415

    found = clean(arguments.dest, dry_run=arguments.dry_run)
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
