"""``neurofetch index``: a Parquet index of a data directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurofetch import console
from neurofetch.console import ExitCode

if TYPE_CHECKING:
    import argparse

__all__ = ["add_index"]


def add_index(commands: argparse._SubParsersAction[console.Parser]) -> None:
    """Add the command.

    Parameters
    ----------
    commands : action
        Where commands are added.
    """
    parser = commands.add_parser(
        "index",
        help="write a table of the files in a directory",
        description="Write a Parquet index of a directory: a row for each file with its BIDS "
        "entities, size, hash and source, and whether it is here, missing or changed. "
        "You can read it with DuckDB, pandas, Polars and what takes bids2table's "
        "tables. The directory may come from any tool, but most is known about files "
        "that neurofetch fetched. File contents are read only with --hash. Needs "
        "neurofetch[index].",
        examples=(
            "neurofetch index ds000001",
            "neurofetch index ds000001 --out ds000001.parquet --hash",
        ),
    )
    console.add_data_dir(parser, "the current directory", positional=True)
    parser.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        help="where to write it (default: .neurofetch/index.parquet in the directory)",
    )
    parser.add_argument(
        "--hash", action="store_true", help="read every byte, so that each file gets a hash"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace an existing file even if it is not an index",
    )
    console.add_progress(parser)
    console.add_output(parser)
    parser.set_defaults(handler=_index)


def _index(arguments: argparse.Namespace) -> int:
    from neurofetch.index.make import index  # noqa: PLC0415 - not needed for --help

    made = index(
        getattr(arguments, "data_dir", "."),
        arguments.out,
        read_all=arguments.hash,
        overwrite=arguments.overwrite,
        progress=console.progress(arguments),
    )
    if arguments.json:
        console.emit("index", made.to_dict())
    elif not arguments.quiet:
        console.show_text(str(made))
    for note in made.notes:
        console.remark(note, arguments)
    return ExitCode.OK if made.complete else ExitCode.INCOMPLETE
