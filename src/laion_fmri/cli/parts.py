"""Commands for one part of the data each: raw data, embeddings, stimuli, and the access to them.

Handlers look functions up when they run, so that scripts may replace these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurofetch import console
from neurofetch.console import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    Commands = argparse._SubParsersAction[console.Parser]

__all__ = ["add_license", "add_parts"]

_CONFIGURED = "the one that was configured"
_RAW_FILTERS = (
    ("ses", "such as ses-01 or 01"),
    ("task", "such as images"),
    ("run", "such as 1"),
    ("echo", "such as 2"),
    ("part", "mag or phase"),
    ("suffix", "such as bold"),
    ("extension", "such as nii.gz"),
)
_SINGLE = (
    ("segmentations", "fetch the segmentations of the stimuli, and their table"),
    ("captions", "fetch the captions of the stimuli"),
    ("stimuli", "download the stimulus images and their table (you need access)"),
)


def add_parts(commands: Commands) -> None:
    """Add the commands."""
    _add_raw(commands)
    _add_embeddings(commands)
    for name, text in _SINGLE:
        parser = commands.add_parser(
            f"download-{name}",
            help=text,
            description=f"{text.capitalize()}. Files that you already have are not downloaded "
            "again.",
            examples=(f"laion-fmri download-{name}",),
        )
        console.add_data_dir(parser, _CONFIGURED)
        if name != "stimuli":  # they have terms of their own
            add_license(parser)
        parser.set_defaults(handler=_single(name))
    _add_access(commands)


def _add_raw(commands: Commands) -> None:
    parser = commands.add_parser(
        "download-raw",
        help="download only the raw BIDS data of one or more subjects",
        description="Fetch raw BIDS data, and the files at the root of the data set.",
        examples=("laion-fmri download-raw --subject sub-03 --ses 01 --run 1 --part mag",),
    )
    console.add_subject(
        parser, action="extend", nargs="+", required=True, help="such as sub-03 or 03"
    )
    console.add_filters(parser, _RAW_FILTERS)
    console.add_transfer(parser)
    console.add_data_dir(parser, _CONFIGURED)
    add_license(parser)
    console.add_output(parser)
    parser.set_defaults(handler=_raw)


def add_license(parser: argparse._ActionsContainer) -> None:
    """Add the flag that accepts the licence of the data."""
    parser.add_argument(
        "--accept-license",
        metavar="CC0-1.0",
        help="accept the licence of the data, by name (or set LAION_FMRI_ACCEPT_LICENSE)",
    )


def _licensed(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the keyword of the licence where it was given: functions of scripts may lack it."""
    named = getattr(arguments, "accept_license", None)
    return {} if named is None else {"accept_license": named}


def _add_embeddings(commands: Commands) -> None:
    parser = commands.add_parser(
        "download-embeddings",
        help="fetch the public embeddings of the stimuli",
        description="Fetch the public embeddings of the stimuli: CLIP, DINOv2, PEcore, SigLIP2.",
        examples=("laion-fmri download-embeddings --model CLIP",),
    )
    parser.add_argument(
        "--model", action="extend", nargs="+", metavar="MODEL", help="some models; default: all"
    )
    parser.add_argument(
        "--n-jobs",
        type=int,
        default=1,
        metavar="N",
        help="large files to fetch at once (default: 1)",
    )
    console.add_data_dir(parser, _CONFIGURED)
    add_license(parser)
    parser.set_defaults(handler=_embeddings)


def _add_access(commands: Commands) -> None:
    parser = commands.add_parser(
        "request-access",
        help="request access to the stimulus pictures",
        description="Request access to the stimulus pictures: answer the questions of the form. "
        "The request id that the service returns is saved where only you can read it.",
        examples=("laion-fmri request-access",),
    )
    parser.set_defaults(handler=_request_access)
    parser = commands.add_parser(
        "login",
        help="save a request id that you have received",
        description="Save the request id that the access service gave you, where only you can "
        "read it.",
        examples=("laion-fmri login --request-id ID",),
    )
    parser.add_argument("--request-id", required=True, metavar="ID", help="as you received it")
    parser.set_defaults(handler=_login)
    parser = commands.add_parser(
        "logout",
        help="remove the saved request id",
        description="Remove the request id from this computer. You do not lose your access.",
        examples=("laion-fmri logout",),
    )
    parser.set_defaults(handler=_logout)


# -- handlers --------------------------------------------------------------------------------


def _raw(arguments: argparse.Namespace) -> int:
    from laion_fmri import download

    names = [name for name, _ in _RAW_FILTERS]
    names += ["subject", "n_jobs", "overwrite", "shard", "limit_rate", "patience", "data_dir"]
    keywords: dict[str, Any] = {name: getattr(arguments, name) for name in names}
    keywords |= {
        "offline": arguments.offline or None,
        "mirrors": arguments.mirror,
        **_licensed(arguments),
    }
    if arguments.dry_run:
        listen = console.progress(arguments)
        plan: Any = download.download_raw(dry_run=True, progress=listen, **keywords)
        console.show_plan(plan, arguments)
        return ExitCode.OK

    def fetch(listen: console.Narrator) -> Any:
        with console.crew(arguments) as crew:
            return download.download_raw(progress=listen, **keywords, **crew)

    return console.narrated(fetch, arguments)


def _embeddings(arguments: argparse.Namespace) -> int:
    from laion_fmri import download

    models = arguments.model or "all"
    download.download_embeddings(
        models,
        data_dir=arguments.data_dir,
        n_jobs=arguments.n_jobs,
        **_licensed(arguments),
    )
    return ExitCode.OK


def _single(name: str) -> Callable[[argparse.Namespace], int]:
    def handler(arguments: argparse.Namespace) -> int:
        from laion_fmri import download

        fetch = getattr(download, f"download_{name}")
        fetch(data_dir=arguments.data_dir, **_licensed(arguments))
        return ExitCode.OK

    return handler


def _request_access(_: argparse.Namespace) -> int:
    from laion_fmri import download

    download.request_stimulus_access()
    _note_variable()
    return ExitCode.OK


def _login(arguments: argparse.Namespace) -> int:
    from laion_fmri._constants import ACCESS_SERVICE_URL
    from laion_fmri.access.request_id import keep_new_id
    from neurofetch.errors import UsageError

    given = arguments.request_id.strip()
    if len(given.split()) != 1:
        what = "has gaps in it" if given else "is empty text"
        raise UsageError(f"the request id {what}. Nothing was changed. Copy it as you received it.")
    known = keep_new_id(lambda: given, ACCESS_SERVICE_URL)
    console.say(f"[laion-fmri] the request id is kept in {known.where}")
    _note_variable()
    return ExitCode.OK


def _note_variable() -> None:
    """Say if the environment has another request id, which comes first."""
    import os

    from laion_fmri.access.request_id import VARIABLE

    if os.environ.get(VARIABLE, "").strip():
        console.say(f"note: {VARIABLE} is set, and is what is used: unset it")


def _logout(_: argparse.Namespace) -> int:
    from laion_fmri.access.request_id import auth_path
    from neurofetch.errors import DestinationError

    path = auth_path()
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        console.say("[laion-fmri] no request id was kept")
    except OSError as error:
        msg = f"cannot remove {path}: {error.strerror}. Make its folder writable, or remove it."
        raise DestinationError(msg) from error
    else:
        console.say(f"[laion-fmri] {path} was removed")
    _note_variable()
    return ExitCode.OK
