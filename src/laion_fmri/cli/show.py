"""``laion-fmri show``: a picture of a session, without code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurofetch import console
from neurofetch.console import ExitCode

if TYPE_CHECKING:
    import argparse

    Commands = argparse._SubParsersAction[console.Parser]

__all__ = ["add_show"]


def add_show(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "show",
        help="draw a session that is on disk: mean R², noise ceiling, mean beta, ROI outlines",
        description="Draw a session that is on disk: the mean R² over sessions, the session's "
        "noise ceiling and the mean of its single-trial betas, with the outlines of regions of "
        "interest. Needs nilearn: pip install 'neurofetch[plot]'.",
        examples=("laion-fmri show --subject sub-03 --session ses-01 --out brain.png",),
    )
    console.add_subject(parser, required=True, help="such as sub-03 or 03")
    parser.add_argument(
        "--session", "--ses", required=True, metavar="S", help="such as ses-01 or 01"
    )
    parser.add_argument(
        "--roi",
        action="extend",
        nargs="+",
        metavar="R",
        help="ROIs or categories to outline, or all (default: each category as one outline)",
    )
    parser.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="FILE",
        help="such as brain.png: .png, .svg, .pdf or .html",
    )
    console.add_data_dir(parser, "the one that was configured")
    console.add_output(parser)
    parser.set_defaults(handler=_show)


def _show(arguments: Any) -> int:
    from neurofetch.extras import need

    need("laion-fmri show", "plot", "numpy", "nibabel", "isal", "pandas", "nilearn", "matplotlib")
    from laion_fmri.plotting import show

    try:
        path = show(
            arguments.subject,
            arguments.session,
            arguments.roi,
            arguments.out,
            data_dir=arguments.data_dir,
        )
    except ImportError as exc:  # an extra is not installed: the message names it
        console.say(f"laion-fmri: {exc}")
        return ExitCode.USAGE
    if arguments.json:
        console.emit("picture", {"path": str(path)})
    elif not arguments.quiet:
        console.output(str(path))
    return ExitCode.OK
