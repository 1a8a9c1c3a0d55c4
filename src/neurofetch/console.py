"""The manners that all commands of this distribution share.

stdout is data, stderr is talk; ``--json`` on each command; one exit code for each kind of ending;
no traceback for what a user can mend.
"""

from __future__ import annotations

import argparse
import enum
import json
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from neurofetch._audit import Audit
    from neurofetch._values import Plan, Report

from neurofetch._text import size, table

__all__ = [
    "ExitCode",
    "Parser",
    "add_filters",
    "add_output",
    "add_transfer",
    "begin",
    "emit",
    "end",
    "run",
    "show_audit",
    "show_plan",
    "show_report",
    "size",
    "table",
]


class ExitCode(enum.IntEnum):
    """How a command ended."""

    OK = 0
    FAULT = 1
    USAGE = 2
    NOTHING_MATCHED = 3
    INCOMPLETE = 4
    LICENSE = 5
    SERVER = 6
    DISK = 7
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_CODES = """\
exit codes:
  0    all that was asked for is there
  1    a fault in this program (please report it)
  2    wrong usage
  3    nothing matches, or a subject or value does not exist
  4    some files failed, or differ from what they should be
  5    the licence was not accepted
  6    the server cannot be reached, or refuses to list
  7    the data directory cannot take the files (missing, read-only, full)
  130  interrupted with Ctrl-C (143: terminated); run it again to go on
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose help ends with the exit codes.

    Abbreviated flags are not taken: a script that works today must not change its meaning when a
    flag is added.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        keywords.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        keywords.setdefault("allow_abbrev", False)
        keywords.setdefault("epilog", EXIT_CODES)
        super().__init__(*args, **keywords)


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the flags for what is printed, and how."""
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    group.add_argument("--quiet", "-q", action="store_true", help="say only what went wrong")


def add_transfer(parser: argparse.ArgumentParser) -> None:
    """Add the flags for how files are fetched."""
    group = parser.add_argument_group("transfer")
    group.add_argument(
        "--n-jobs", type=_whole, default=1, metavar="N", help="large files in flight (default: 1)"
    )
    group.add_argument("--dry-run", action="store_true", help="print the plan and fetch nothing")
    group.add_argument("--overwrite", action="store_true", help="fetch also what is here")
    group.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="fetch only part I of N (from 0) of the plan, for array jobs on a cluster",
    )
    group.add_argument(
        "--limit-rate",
        type=_rate,
        metavar="RATE",
        help="bytes a second over all connections, such as 20M",
    )
    group.add_argument(
        "--progress",
        choices=("auto", "bar", "lines", "json", "none"),
        default="auto",
        help="on stderr: a bar, a line now and then, or NDJSON events (default: a bar in a "
        "terminal, else lines)",
    )
    group.add_argument(
        "--paths", action="store_true", help="print the path of every file that is there on stdout"
    )


def add_filters(parser: argparse.ArgumentParser, flags: Sequence[tuple[str, str]]) -> None:
    """Add filters, each of which takes one or more values.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    flags : sequence of (name, help)
        The argument's name in Python; underscores become hyphens in the flag.
    """
    group = parser.add_argument_group("filters (one or more values each)")
    for name, text in flags:
        flag = "--" + name.replace("_", "-")
        group.add_argument(flag, dest=name, nargs="+", metavar="VALUE", help=text)


def _whole(text: str) -> object:
    """Return a whole number, or the text itself: what is wrong with it is said in one place."""
    try:
        return int(text)
    except ValueError:
        return text


def _shard(text: str) -> tuple[int, int]:
    index, slash, count = text.partition("/")
    if not slash or not index.isdigit() or not count.isdigit() or int(index) >= int(count):
        msg = f"{text!r} is not I/N with I from 0 to N-1, such as 0/8"
        raise argparse.ArgumentTypeError(msg)
    return int(index), int(count)


def _rate(text: str) -> float:
    factor = {"k": 1e3, "m": 1e6, "g": 1e9}.get(text[-1:].lower(), 1.0)
    try:
        value = float(text if factor == 1.0 else text[:-1]) * factor
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        msg = f"{text!r} is not a rate such as 500k or 20M"
        raise argparse.ArgumentTypeError(msg)
    return value


# -- printing --------------------------------------------------------------------------------


def emit(value: object) -> None:
    """Print a value as JSON on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def show_plan(plan: Plan, arguments: argparse.Namespace) -> None:
    """Print a dry run."""
    from neurofetch._text import plan_json, plan_text  # noqa: PLC0415 - not needed for --help

    if arguments.json:
        emit(plan_json(plan))
    else:
        print(plan_text(plan))


def begin(plan: Plan, arguments: argparse.Namespace) -> None:
    """Say what is about to be fetched."""
    from neurofetch._text import plan_summary  # noqa: PLC0415

    if not arguments.quiet:
        print(plan_summary(plan), file=sys.stderr)


def show_report(report: Report, arguments: argparse.Namespace) -> None:
    """Print what happened."""
    from neurofetch._text import report_json, report_text  # noqa: PLC0415

    if arguments.json:
        emit(report_json(report))
    elif arguments.paths:
        print("\n".join(map(str, report.paths)))
    if not arguments.quiet or not report.ok:
        print(report_text(report), file=sys.stderr)


def show_audit(audit: Audit, arguments: argparse.Namespace) -> ExitCode:
    """Print what was found, and return the code to exit with."""
    from neurofetch._text import audit_json, audit_text  # noqa: PLC0415

    if arguments.json:
        emit(audit_json(audit))
    elif not arguments.quiet or not audit.ok:
        print(audit_text(audit))
    return ExitCode.OK if audit.ok else ExitCode.INCOMPLETE


# -- running ---------------------------------------------------------------------------------


def run(
    program: str,
    command: Callable[[], int],
    codes: Callable[[BaseException], ExitCode | None] | None = None,
) -> int:
    """Run a command; turn every error that a user can mend into a message and an exit code.

    Parameters
    ----------
    program : str
        Its name, for messages.
    command : callable
        Returns the exit code.
    codes : callable, optional
        Exit codes for errors of a face's own.

    Returns
    -------
    int
    """
    _talk_of_warnings(program)
    _end_on_terminate()
    try:
        return _flushed(command())
    except (KeyboardInterrupt, _TerminatedError) as error:
        print(f"{program}: {INTERRUPTED}", file=sys.stderr)
        terminated = isinstance(error, _TerminatedError)
        return ExitCode.TERMINATED if terminated else ExitCode.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:
        code = (codes(error) if codes else None) or _code(error)
        if code is None:
            raise
        print(f"{program}: {error}", file=sys.stderr)
        return code


INTERRUPTED = (
    "stopped. Finished files are in their places, finished parts of the others are kept. "
    "Run the same command again to go on where it stopped."
)


def _flushed(code: int) -> int:
    """Write stdout out now, while a broken pipe can still be dealt with."""
    sys.stdout.flush()
    return code


def _code(error: Exception) -> ExitCode | None:
    from neurofetch import _errors as errors  # noqa: PLC0415 - not needed for --help

    table: tuple[tuple[type[BaseException], ExitCode], ...] = (
        (errors.UnknownValueError, ExitCode.NOTHING_MATCHED),
        (errors.NothingMatchedError, ExitCode.NOTHING_MATCHED),
        (errors.UsageError, ExitCode.USAGE),
        (errors.IncompleteError, ExitCode.INCOMPLETE),
        (errors.VerificationError, ExitCode.INCOMPLETE),
        (errors.DestinationError, ExitCode.DISK),
        (errors.ServerError, ExitCode.SERVER),
        (errors.NeurofetchError, ExitCode.USAGE),
    )
    return next((code for kind, code in table if isinstance(error, kind)), None)


class _TerminatedError(BaseException):
    """Somebody asked the process to end, as batch systems do before they kill it."""


def _end_on_terminate() -> None:
    def end(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
        raise _TerminatedError

    signal.signal(signal.SIGTERM, end)


def _talk_of_warnings(program: str) -> None:
    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"{program}: warning: {message}", file=sys.stderr)

    warnings.showwarning = show  # type: ignore[assignment]
    warnings.simplefilter("always", UserWarning)


def end(code: int) -> NoReturn:
    """Leave the process at once: threads that still wait on a dead server do not hold it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
