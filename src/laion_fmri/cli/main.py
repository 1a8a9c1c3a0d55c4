"""The ``laion-fmri`` command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laion_fmri.cli.parts import add_license, add_parts
from laion_fmri.cli.show import add_show
from laion_fmri.cli.stimuli import add_stimuli
from laion_fmri.cli.stores import add_stores
from neurofetch import console
from neurofetch.console import ExitCode
from neurofetch.jobs import add_slurm, add_status, status, submitted, wrong_jobs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from neurofetch.model import Report

    Commands = argparse._SubParsersAction[console.Parser]

__all__ = ["build_parser", "main"]

_FILTERS = (
    ("ses", "such as ses-01 or 01; 'averages' for the subject-level summaries"),
    ("task", "such as images"),
    ("space", "such as T1w"),
    ("desc", "such as singletrial"),
    ("stat", "such as effect"),
    ("suffix", "such as statmap"),
    ("extension", "such as nii.gz"),
    ("run", "runs of the raw data, such as 1"),
    ("echo", "echoes of the raw data, such as 2"),
    ("part", "parts of the raw data: mag or phase"),
    ("include", "glob patterns for the key; one without a slash matches names of files or folders"),
    ("exclude", "glob patterns for files to leave out"),
)
_CONFIGURED = "the one that was configured"
_EXTRAS = (
    ("stimuli", "also fetch stimuli/; the images need access"),
    ("freesurfer", "also fetch the FreeSurfer directory"),
    ("anatomical", "also fetch the anatomical derivatives"),
    ("raw", "also fetch the raw BIDS data"),
    ("localizers", "also fetch the localizers"),
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    from neurofetch import __version__

    parser = console.Parser(
        prog="laion-fmri",
        description="Download LAION-fMRI, and verify it.",
        examples=(
            "laion-fmri config --data-dir laion_fmri_data",
            "laion-fmri download --subject sub-03 --ses ses-01 --dry-run",
            "laion-fmri verify",
        ),
    )
    parser.add_argument("--version", action="version", version=f"laion-fmri {__version__}")
    console.add_completion(parser)
    commands = console.add_commands(parser)
    _add_config(commands)
    _add_info(commands)
    _add_download(commands)
    _add_verify(commands)
    add_status(commands, "laion-fmri", _CONFIGURED)
    commands.choices["status"].set_defaults(handler=_status)
    add_parts(commands)
    add_stimuli(commands)
    add_show(commands)
    add_stores(commands)
    parser.set_defaults(handler=lambda _: _help(parser))
    return parser


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return ExitCode.OK


def _add_config(commands: Commands) -> None:
    parser = commands.add_parser(
        "config",
        help="choose the data directory, or show it",
        description="Choose the data directory, or show which one is chosen. It must exist. A "
        "store directory holds beta stores outside the data directory.",
        examples=(
            "laion-fmri config",
            "laion-fmri config --data-dir laion_fmri_data",
            "laion-fmri config --store-dir ~/laion_fmri_stores",
        ),
    )
    console.add_data_dir(parser, _CONFIGURED)
    stores = parser.add_mutually_exclusive_group()
    stores.add_argument(
        "--store-dir",
        metavar="DIR",
        help="the store directory; it is created when a store is built",
    )
    stores.add_argument(
        "--no-store-dir",
        action="store_true",
        help="keep beta stores in the data directory again",
    )
    console.add_output(parser)
    parser.set_defaults(handler=_config)


def _add_info(commands: Commands) -> None:
    parser = commands.add_parser(
        "info",
        help="subjects, sessions, regions of interest, sizes",
        description="Show what the bucket has, and how much of it you have. If you name "
        "subjects, show their details.",
        examples=("laion-fmri info", "laion-fmri info --subject sub-03"),
    )
    console.add_subject(parser, action="extend", nargs="+", help="such as sub-03 or 03")
    console.add_data_dir(parser, _CONFIGURED)
    console.add_output(parser)
    parser.set_defaults(handler=_info)


def _add_download(commands: Commands) -> None:
    parser = commands.add_parser(
        "download",
        help="download the files of one or more subjects",
        usage="laion-fmri download --subject S ... [which files] [options]",
        description="Fetch files, verified to the last byte. You can run it again: files that "
        "you already have are skipped, and partial files are resumed. Use --subject all for "
        "every subject.",
        examples=(
            "laion-fmri download --subject sub-03 --ses ses-01 averages --dry-run",
            "laion-fmri download --subject 03 --session 01 --desc singletrial --extension nii.gz",
            "laion-fmri download --subject all --suffix statmap --accept-license CC0-1.0",
        ),
    )
    which = console.group_of(parser, console.CHOICE)
    console.add_subject(
        which, action="extend", nargs="+", required=True, help="such as sub-03 or 03"
    )
    console.add_filters(parser, _FILTERS)
    extras = console.group_of(parser, "other data")
    for name, text in _EXTRAS:
        extras.add_argument(f"--include-{name}", action="store_true", help=text)
    console.add_data_dir(parser, _CONFIGURED, title=console.TRANSFER)
    extras.add_argument(
        "--include-embeddings",
        action="extend",
        nargs="*",
        metavar="MODEL",
        help="also fetch the public embeddings of the stimuli, of these models or of all",
    )
    console.add_transfer(parser)
    add_slurm(parser)
    parser.check = wrong_jobs
    how = console.group_of(parser, console.TRANSFER)
    how.add_argument(
        "--mix",
        action="store_true",
        help="allow a data directory that holds another data set; files of one never replace "
        "files of the other",
    )
    how.add_argument(
        "--verify",
        action="store_true",
        help="also read every byte of the files that you have, and download damaged ones again",
    )
    add_license(how)
    console.add_output(parser)
    parser.set_defaults(handler=_download)


def _add_verify(commands: Commands) -> None:
    parser = commands.add_parser(
        "verify",
        help="check the files on the disk",
        description="Compare the data directory with the receipts that were written when its files "
        "were fetched: the one that was configured, or named, or the one around or in the folder "
        "that is named. If a file is missing or differs, it is named, and the exit code is 4.",
        examples=("laion-fmri verify", "laion-fmri verify --hash --remote"),
    )
    parser.add_argument("--hash", action="store_true", help="read every byte")
    parser.add_argument(
        "--remote",
        action="store_true",
        help="also compare with the bucket; with --hash, files from other tools get a receipt if"
        " they are identical to those of the bucket",
    )
    console.add_data_dir(parser, _CONFIGURED)
    console.add_progress(parser)
    console.add_output(parser)
    parser.set_defaults(handler=_verify)


# -- handlers: the imports wait until they are needed, for a quick --help ------------------------


def _config(arguments: argparse.Namespace) -> int:
    from laion_fmri.config import (
        chosen_store_dir,
        config_path,
        dataset_initialize,
        get_data_dir,
        set_store_dir,
        stores_of,
    )

    changes = arguments.store_dir is not None or arguments.no_store_dir
    if changes:
        set_store_dir(arguments.store_dir)
    if changes and arguments.data_dir is None and not arguments.json:
        elsewhere = chosen_store_dir()
        where = "in the data directory" if elsewhere is None else f"{elsewhere}"
        console.remark(f"beta stores: {where} (kept in {config_path()})", arguments)
        return ExitCode.OK
    if arguments.data_dir is not None:
        dataset_initialize(arguments.data_dir)
        chosen = os.path.abspath(os.path.expanduser(arguments.data_dir))
        console.remark(f"data directory: {chosen} (kept in {config_path()})", arguments)
    else:
        chosen = str(get_data_dir())
    stores = str(stores_of(chosen, elsewhere := chosen_store_dir()))
    if arguments.json:
        told = {"data_dir": chosen, "store_dir": stores, "config": str(config_path())}
        console.emit("config", told)
        return ExitCode.OK
    if arguments.data_dir is None:
        console.output(chosen)
    if elsewhere is not None:
        console.remark(f"beta stores: {stores}", arguments)
    return ExitCode.OK


def _info(arguments: argparse.Namespace) -> int:
    from laion_fmri.info import info, info_text

    found = info(arguments.subject, data_dir=arguments.data_dir)
    if arguments.json:
        console.emit("info", found.as_json())
    else:
        console.show_text(info_text(found, details=bool(arguments.subject)))
    return ExitCode.OK


def _download(arguments: argparse.Namespace) -> int:
    from laion_fmri.download import download

    keywords = _keywords(arguments)
    if arguments.slurm is not None:
        return _submitted(arguments, keywords)
    if arguments.dry_run:
        plan = download(dry_run=True, progress=console.progress(arguments), **keywords)
        console.show_plan(plan, arguments)
        return ExitCode.OK

    def fetch(listen: console.Narrator) -> Report:
        from neurofetch.model import Report

        with console.crew(arguments) as crew:
            done: Report | None = download(progress=listen, **keywords, **crew)
        return (
            Report(Path(), ()) if done is None else done
        )  # a script's own function may return nothing

    return console.narrated(fetch, arguments)


def _submitted(arguments: argparse.Namespace, keywords: dict[str, Any]) -> int:
    """Submit jobs; the licence is accepted before, since nobody can be asked in a job."""
    from laion_fmri._license import require_license
    from laion_fmri.config import chosen_directory
    from laion_fmri.download import download

    if not arguments.dry_run:
        require_license(chosen_directory(keywords["data_dir"]), keywords["accept_license"], "")

    def make_plan() -> Any:
        return download(dry_run=True, progress=console.progress(arguments), **keywords)

    return submitted(make_plan, arguments, "laion_fmri", ".laion_fmri")


def _status(arguments: argparse.Namespace) -> int:
    from laion_fmri.config import chosen_directory

    return status(arguments, chosen_directory(getattr(arguments, "data_dir", None)))


def _keywords(arguments: argparse.Namespace) -> dict[str, Any]:
    names = [name for name, _ in _FILTERS] + [f"include_{name}" for name, _ in _EXTRAS]
    names += ["subject", "n_jobs", "verify", "overwrite", "shard", "limit_rate", "patience"]
    names += ["accept_license", "data_dir", "mix"]
    offline = arguments.offline or None  # without the flag, the environment says it
    models = arguments.include_embeddings  # None: no flag; []: the flag alone
    embeddings = False if models is None else models or True
    given = {name: getattr(arguments, name) for name in names}
    return {
        **given,
        "include_embeddings": embeddings,
        "offline": offline,
        "mirrors": arguments.mirror,
    }


def _verify(arguments: argparse.Namespace) -> int:
    from laion_fmri.verify import verify

    found = verify(
        arguments.data_dir,
        read_all=arguments.hash,
        remote=arguments.remote,
        progress=console.progress(arguments),
    )
    named = os.path.abspath(arguments.data_dir or found.root)
    if str(found.root) != named:
        console.remark(f"checked: {found.root}", arguments)
    return console.show_audit(found, arguments)


def _codes(error: BaseException) -> ExitCode | None:
    from laion_fmri.errors import (
        DataDirNotSetError,
        DataNotFoundError,
        LicenseNotAcceptedError,
        StoreBuildError,
    )
    from neurofetch.errors import ServerError

    if isinstance(error, StoreBuildError):
        return ExitCode.INCOMPLETE if error.errno is None else ExitCode.DISK
    table: tuple[tuple[type[BaseException], ExitCode], ...] = (
        (LicenseNotAcceptedError, ExitCode.LICENSE),
        (DataDirNotSetError, ExitCode.USAGE),
        (DataNotFoundError, ExitCode.NOTHING_MATCHED),
        (ServerError, ExitCode.SERVER),  # a missing bucket is a FileNotFoundError too
        (FileNotFoundError, ExitCode.DISK),
        (NotADirectoryError, ExitCode.DISK),
    )
    return next((code for kind, code in table if isinstance(error, kind)), None)


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
    return console.run("laion-fmri", build_parser, argv, _codes)


if __name__ == "__main__":
    sys.exit(main())
