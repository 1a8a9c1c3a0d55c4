"""``neurofetch show`` and ``neurofetch neurovault show``: a picture, without code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neurofetch import console
from neurofetch.console import ExitCode
from neurofetch.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from neurofetch.pictures.front import Drawn

__all__ = ["add_look", "add_out", "add_show", "tell"]


def add_show(commands: argparse._SubParsersAction[console.Parser]) -> None:
    """Add ``neurofetch show``."""
    parser = commands.add_parser(
        "show",
        help="draw a file, or a contact sheet of a directory",
        description="Draw a volume, values on a surface or a table; for a directory, draw a "
        "contact sheet of its volumes. Colours, range and unit depend on the kind of file. "
        "Nothing is downloaded. Needs "
        "nilearn: pip install 'neurofetch[plot]'.",
        examples=(
            "neurofetch show sub-01_T1w.nii.gz",
            "neurofetch show sub-01_task-rest_bold.nii.gz --frame 3 --out third.png",
            "neurofetch show ds000001 --out ds000001.html --open",
            "neurofetch show ds000001 --include '*_T1w.nii.gz' --page 2",
        ),
    )
    parser.add_argument("what", metavar="FILE", help="a file, or a directory")
    parser.add_argument(
        "--include",
        action="extend",
        nargs="+",
        default=[],
        metavar="GLOB",
        help="for a directory: only files whose path or name matches",
    )
    parser.add_argument(
        "--frame", metavar="N", help="which volume of a series, from 1, or mean (default: mean)"
    )
    add_look(parser)
    add_out(parser)
    console.add_output(parser)
    parser.set_defaults(handler=_show)


def add_look(parser: argparse.ArgumentParser) -> None:
    """Add what every picture of volumes takes."""
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="hide values closer to zero than this (default: 2 for z and t maps on an anatomy)",
    )
    parser.add_argument("--page", type=int, default=1, metavar="N", help="which sheet (default: 1)")
    parser.add_argument(
        "--limit",
        type=int,
        default=12,
        metavar="N",
        help="files on a sheet (default: 12, most: 48)",
    )
    parser.add_argument("--title", default="", metavar="TEXT", help="the title of the picture")


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add where the picture goes."""
    parser.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        help="the picture: .png, .svg, .pdf or .html (default: a new PNG in the current directory)",
    )
    parser.add_argument(
        "--open", action="store_true", help="open the picture in your default program"
    )


def tell(drawn: Drawn, arguments: argparse.Namespace) -> int:
    """Say where the picture is, and what is not on it; open it if that was asked for.

    The exit code is that of something missing where a file that was asked for is not on it.
    """
    if arguments.json:
        console.emit("picture", drawn.to_dict())
    elif not arguments.quiet:
        console.show_text(str(drawn.path))
    for note in drawn.notes:
        console.remark(note, arguments)
    if arguments.open:
        import webbrowser  # noqa: PLC0415 - only here

        if not webbrowser.open(drawn.path.absolute().as_uri()):
            console.remark(f"Nothing here can open it: {drawn.path}", arguments)
    return ExitCode.INCOMPLETE if drawn.failed else ExitCode.OK


def _show(arguments: argparse.Namespace) -> int:
    from neurofetch.pictures.front import show  # noqa: PLC0415 - not needed for --help

    drawn = show(
        Path(arguments.what),
        arguments.out,
        frame=_frame(arguments.frame),
        threshold=arguments.threshold,
        include=arguments.include,
        page=arguments.page,
        limit=arguments.limit,
        title=arguments.title,
    )
    return tell(drawn, arguments)


def _frame(text: str | None) -> int | str | None:
    if text is None or text == "mean":
        return text
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--frame {text}: expected the number of a volume, or mean.") from None
