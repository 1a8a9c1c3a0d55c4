"""``laion-fmri build-store``: beta stores, before the first analysis needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurofetch import console
from neurofetch.console import ExitCode

if TYPE_CHECKING:
    import argparse

    Commands = argparse._SubParsersAction[console.Parser]

__all__ = ["add_stores"]


def add_stores(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "build-store",
        help="build the beta stores of downloaded subjects",
        description="Build the beta stores of downloaded subjects; regions are then read in "
        "milliseconds. Sessions whose store is up to date are left as they are, so you can "
        "run it again, and run it in many jobs at once. The subject all stands for every "
        "subject. Needs pip install 'neurofetch[loader]'.",
        examples=(
            "laion-fmri build-store --subject sub-03",
            "laion-fmri build-store --subject all --workers 4 --store-dir /scratch/me/stores",
        ),
    )
    console.add_subject(
        parser, action="extend", nargs="+", required=True, help="such as sub-03 or 03"
    )
    parser.add_argument(
        "--session",
        "--ses",
        action="extend",
        nargs="+",
        metavar="S",
        help="such as ses-01 or 01 (default: all that are on disk)",
    )
    parser.add_argument(
        "--mask-source",
        choices=("anatomical", "rsquare"),
        default="anatomical",
        help="the brain mask (default: anatomical)",
    )
    parser.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="sessions at a time (default: one per processor, at most 4)",
    )
    parser.add_argument(
        "--store-dir",
        metavar="DIR",
        help="where the stores are, outside the data directory (default: LAION_FMRI_STORE_DIR, "
        "else the one that you chose with laion-fmri config, else in the data directory)",
    )
    console.add_data_dir(parser, "the one that was configured")
    console.add_output(parser)
    parser.set_defaults(handler=_build)


def _count(text: str) -> int:
    import argparse

    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, not {text!r}")
    return number


def _build(arguments: Any) -> int:
    from neurofetch.extras import need

    need("laion-fmri build-store", "loader", "numpy", "nibabel", "isal", "pandas")
    from laion_fmri.group import load_subjects

    def tell(name: str, done: int, total: int) -> None:
        console.remark(f"{name} ({done} of {total})", arguments)

    group = load_subjects(
        arguments.subject, data_dir=arguments.data_dir, store_dir=arguments.store_dir
    )
    places = group.build_store(
        arguments.session,
        n_jobs=arguments.workers,
        mask_source=arguments.mask_source,
        progress=tell,
    )
    stores = {name: str(path) for name, path in places.items()}
    if arguments.json:
        console.emit("stores", {"stores": stores})
    else:
        console.output("\n".join(stores.values()))
    return ExitCode.OK
