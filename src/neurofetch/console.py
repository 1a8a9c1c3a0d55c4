"""What all commands of this distribution share.

Results go to stdout and messages to stderr; every command has ``--json``; each kind of ending has
its exit code; an error that the user can correct shows no traceback.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import re
import signal
import sys
import warnings
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import FrameType
    from typing import Any

    from neurofetch.events import Event
    from neurofetch.model import Plan, Report
    from neurofetch.store.audit import Audit
    from neurofetch.store.clean import Remains

from neurofetch._platform import check_platform
from neurofetch._shown import in_letters_of, shown, shown_lines
from neurofetch.display.flags import (
    ACCESS,
    ALONG,
    CHOICE,
    ENTITIES,
    MANY,
    OUTPUT,
    TRANSFER,
    ExitCode,
    Parser,
    UsageExit,
    access,
    add_access,
    add_commands,
    add_completion,
    add_data_dir,
    add_filters,
    add_output,
    add_patience,
    add_progress,
    add_subject,
    add_transfer,
    group_of,
)
from neurofetch.display.outlet import outlet
from neurofetch.display.text import size, table
from neurofetch.display.width import WIDTH
from neurofetch.errors import (
    NeurofetchError,
    OutputError,
    SelectionWarning,
    ServerError,
    UsageError,
)

__all__ = [
    "ACCESS",
    "ALONG",
    "CHOICE",
    "ENTITIES",
    "MANY",
    "OUTPUT",
    "TRANSFER",
    "ExitCode",
    "Narrator",
    "Parser",
    "access",
    "add_access",
    "add_commands",
    "add_completion",
    "add_data_dir",
    "add_filters",
    "add_output",
    "add_patience",
    "add_progress",
    "add_subject",
    "add_transfer",
    "begin",
    "crew",
    "emit",
    "group_of",
    "narrated",
    "output",
    "progress",
    "remark",
    "run",
    "say",
    "show_audit",
    "show_plan",
    "show_remains",
    "show_report",
    "show_text",
    "size",
    "table",
]

# -- printing --------------------------------------------------------------------------------


def emit(document: str, values: Mapping[str, Any]) -> None:
    """Print a document as JSON on stdout; readable where the output can carry all letters.

    A command prints one document, also when it fails. See ``docs/json.md``.

    Parameters
    ----------
    document : str
        What it is, as "config".
    values : mapping
        For the words see ``docs/json.md``.
    """
    from neurofetch.display import words  # noqa: PLC0415 - not needed for --help

    _Stdout.has_document = True
    output(_json(words.document(document, values), indent=2))


def _emit_files(
    head: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], tail: Mapping[str, Any]
) -> None:
    """Print a document with a list of files, each on a line of its own, as they come.

    A plan may have a million of them: they are never in memory all at once.
    """
    _Stdout.has_document = True
    ending = [f",\n  {_json(name)}: {_json(value)}" for name, value in tail.items()]
    output(_json(head, indent=2).removesuffix("\n}") + ',\n  "files": [', end="")
    some: list[str] = []
    before = "\n    "
    for row in rows:
        some.append(before + _json(row))
        before = ",\n    "
        if len(some) >= _AT_ONCE:
            output("".join(some), end="")
            some.clear()
    output("".join([*some, "\n  ]", *ending, "\n}"]))


_AT_ONCE = 1000
"""Rows that are written together."""


def _json(value: object, indent: int | None = None) -> str:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class _Stdout:
    """What this process has printed."""

    has_document = False


_UNSEEN = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What JSON need not escape, and a terminal obeys."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def output(text: str, end: str = "\n") -> None:
    """Print a result on stdout, as it is.

    Parameters
    ----------
    text : str
    end : str
        What follows it.

    Raises
    ------
    OutputError
        If it cannot be written.
    BrokenPipeError
        If its reader has ended.
    """
    try:
        print(text, end=end)
        _flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritten(error) from error


def _flush() -> None:
    if sys.stdout is not None:  # it is None when it was closed from the start
        sys.stdout.flush()


def _unwritten(error: OSError) -> OutputError:
    return OutputError(
        f"the output cannot be written: {error.strerror or error}. Files that were fetched are in "
        "their places."
    )


def show_text(text: str) -> None:
    """Print a result for people on stdout: nothing in it can move a cursor."""
    output(in_letters_of(getattr(sys.stdout, "encoding", None), shown_lines(text)))


def say(text: str, end: str = "\n") -> None:
    """Print a message on stderr; where that cannot be written, it is lost.

    Parameters
    ----------
    text : str
    end : str
        What follows it; "" for a question.
    """
    outlet().say(shown_lines(text), end)


def _width(stream: object) -> int:
    """Return how wide the screen is that a stream is shown on."""
    try:
        if stream is not None and stream.isatty():  # type: ignore[attr-defined]
            return os.get_terminal_size(stream.fileno()).columns or WIDTH  # type: ignore[attr-defined]
    except (OSError, ValueError):
        pass  # the terminal does not say it
    return WIDTH


def _show_json(result: Plan | Report | Audit, error: Mapping[str, Any] | None = None) -> None:
    from neurofetch.display.faces import head_and_rows  # noqa: PLC0415 - not needed for --help

    head, rows = head_and_rows(result)
    _emit_files(head, rows, {} if error is None else {"error": error})


def show_plan(plan: Plan, arguments: argparse.Namespace) -> None:
    """Print a dry run."""
    from neurofetch.display.text import plan_text  # noqa: PLC0415 - not needed for --help

    if arguments.json:
        _show_json(plan)
    else:
        show_text(plan_text(plan, _width(sys.stdout), paths=arguments.paths))


def begin(plan: Plan, arguments: argparse.Namespace) -> None:
    """Say what is about to be fetched."""
    from neurofetch.display.text import plan_opening  # noqa: PLC0415 - not needed for --help

    text = plan_opening(plan, _width(sys.stderr))
    if text:
        remark(text, arguments)


def _mute_notes(arguments: argparse.Namespace) -> None:
    """Warn of no note of a plan that is printed with it; all that `--quiet` prints are warnings."""
    if not getattr(arguments, "quiet", False) or getattr(arguments, "dry_run", False):
        warnings.simplefilter("ignore", SelectionWarning)


def show_report(
    report: Report,
    arguments: argparse.Namespace,
    plan: Plan | None = None,
    error: Mapping[str, Any] | None = None,
) -> None:
    """Print what happened.

    Parameters
    ----------
    report : Report
    arguments : argparse.Namespace
    plan : Plan, optional
        What was said beforehand, and need not be said again.
    error : mapping, optional
        The error with which the command will end, in the words of JSON.
    """
    from neurofetch.display.text import report_text  # noqa: PLC0415

    if arguments.json:
        _show_json(report, error)
    elif arguments.paths:
        lines = map(str, report.paths)
        output("\n".join(shown(line) if _CONTROL.search(line) else line for line in lines))
    remark(report_text(report, plan, _width(sys.stderr)), arguments)


def remark(text: str, arguments: argparse.Namespace) -> None:
    """Print a message on stderr, unless the user wants it quiet."""
    if not arguments.quiet and not _talks_json(arguments):
        say(text)


def progress(arguments: argparse.Namespace) -> str:
    """Return how progress is to be shown."""
    return "none" if arguments.quiet else str(arguments.progress)


def _talks_json(arguments: argparse.Namespace) -> bool:
    """Whether stderr is for programs: one JSON value a line and nothing else."""
    return getattr(arguments, "progress", None) == "json"


class Narrator:
    """A listener that says what is about to be fetched, and then shows progress as asked.

    Parameters
    ----------
    arguments : argparse.Namespace
        With the flags of `add_transfer` and `add_output`.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        from neurofetch.display.progress import listener  # noqa: PLC0415 - not needed for --help
        from neurofetch.events import Planned  # noqa: PLC0415

        self.plan: Plan | None = None
        self.plan_shown: bool = False
        """Whether the user has read what is about to come."""
        self._planned = Planned
        self._arguments = arguments
        self._show = listener(progress(arguments))

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, self._planned):
            self.plan = event.plan
            begin(event.plan, self._arguments)
            self.plan_shown = not self._arguments.quiet and not _talks_json(self._arguments)
        self._show(event)


@contextlib.contextmanager
def crew(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Give the keywords for who fetches, as the flags and the environment say.

    That is nobody else, a pool of processes, or the workers of a Dask cluster.

    Parameters
    ----------
    arguments : argparse.Namespace

    Raises
    ------
    UsageError
        If the flags exclude each other, or one is no address.
    MissingExtraError
        If Dask is needed and not installed.
    UnreachableError
        If no scheduler answers.
    """
    scheduler = _scheduler(arguments)
    workers = arguments.workers
    if arguments.dry_run or (scheduler is None and workers is None):
        yield {}
    elif scheduler is not None:
        from neurofetch.cluster.dask import connected  # noqa: PLC0415 - few runs need it

        with connected(scheduler) as client:
            yield {"client": client, "workers": workers}
    else:
        from neurofetch.cluster.pool import Processes  # noqa: PLC0415 - few runs need it

        with Processes(workers) as executor:
            yield {"executor": executor}


def _scheduler(arguments: argparse.Namespace) -> str | None:
    """Return the address of the Dask scheduler that is to be used; None for none.

    What the flags say goes before the environment.

    Raises
    ------
    UsageError
    """
    given = vars(arguments)
    named = given.get("scheduler")  # it is an address: the parser has looked at it
    others = [name for name in ("shard", "slurm") if given.get(name) is not None]
    here = others or arguments.workers is not None
    if named is None and (here or not os.environ.get("DASK_SCHEDULER_ADDRESS")):
        return None
    if named is None:
        from neurofetch.net.scheduler import scheduler_from_environment  # noqa: PLC0415 - see above

        return scheduler_from_environment()
    if others:
        msg = f"--scheduler says who fetches, and so does --{others[0]}. Nothing was done. Leave"
        raise UsageError(f"{msg} one out.")
    return str(named)


def narrated(fetch: Callable[[Narrator], Report], arguments: argparse.Namespace) -> ExitCode:
    """Fetch, say what is about to come, show progress, and print what happened.

    Parameters
    ----------
    fetch : callable
        Takes the listener, and returns the report.
    arguments : argparse.Namespace

    Raises
    ------
    IncompleteError
        As `fetch` raised it, after the report is printed; `run` prints its message.
    """
    from neurofetch.model import IncompleteError  # noqa: PLC0415

    narrator = Narrator(arguments)
    try:
        report = fetch(narrator)
    except IncompleteError as error:
        try:
            told = _error_json(error, _message(error), _code(error) or ExitCode.INCOMPLETE)
            show_report(error.report, arguments, narrator.plan, told)
        except (OutputError, BrokenPipeError) as unwritten:
            msg = f"the report was not printed: {unwritten.strerror or unwritten}"
            warnings.warn(msg, UserWarning, stacklevel=2)
        raise
    show_report(report, arguments, narrator.plan)
    return ExitCode.OK


def show_audit(audit: Audit, arguments: argparse.Namespace) -> ExitCode:
    """Print what was found, and return the code to exit with."""
    from neurofetch.display.text import audit_text  # noqa: PLC0415

    if arguments.json:
        _show_json(audit)
    elif not arguments.quiet or not audit.ok:
        show_text(audit_text(audit))
    if not audit.findings:
        return ExitCode.NOTHING_MATCHED
    if not audit.ok:
        text = "What is damaged or missing comes anew if you run what fetched it once more."
        remark(text, arguments)
    return ExitCode.OK if audit.ok else ExitCode.INCOMPLETE


def show_remains(found: Sequence[Remains], arguments: argparse.Namespace) -> ExitCode:
    """Print what was left over, and return the code to exit with."""
    from neurofetch.display.text import remains_text  # noqa: PLC0415
    from neurofetch.display.words import remains_json  # noqa: PLC0415

    left = not arguments.dry_run and any(one.stays for one in found)
    if arguments.json:
        root = os.path.abspath(arguments.data_dir)
        emit("clean", remains_json(found, root, dry_run=arguments.dry_run))
    elif not arguments.quiet or left:
        show_text(remains_text(found, dry_run=arguments.dry_run))
    return ExitCode.DISK if left else ExitCode.OK


# -- running ---------------------------------------------------------------------------------


def run(
    program: str,
    parser: Callable[[], argparse.ArgumentParser],
    argv: Sequence[str] | None = None,
    codes: Callable[[BaseException], ExitCode | None] | None = None,
) -> int:
    """Read the arguments and run their handler; an error that a user can correct becomes a message.

    Parameters
    ----------
    program : str
        Its name, for messages.
    parser : callable
        Returns the parser. What it parses carries a `handler`, which takes the arguments and
        returns the exit code. With ``--progress json``, warnings and errors are events too.
    argv : sequence of str, optional
        By default the arguments of the process.
    codes : callable, optional
        Exit codes for the errors of one command.

    Returns
    -------
    int
    """
    _open_standard_streams()
    _Stdout.has_document = False
    talk = _Talk(program)
    _talk_of_warnings(talk)
    _end_on_terminate()
    _print_any_text()
    try:
        check_platform()
        return _handled(parser(), argv, talk)
    except (KeyboardInterrupt, _TerminatedError) as error:
        terminated = isinstance(error, _TerminatedError)
        code = ExitCode.TERMINATED if terminated else ExitCode.INTERRUPTED
        talk.of_error("interrupted", error, talk.stopped, code)
        return code
    except BrokenPipeError:
        _drop_what_cannot_be_written()
        return ExitCode.NO_READER
    except Exception as error:
        missing = _missing_library(error)
        found = ExitCode.USAGE if missing else (codes(error) if codes else None) or _code(error)
        if found is None:
            raise
        code = found
        talk.of_error("error", error, missing or _message(error), code)
        _drop_what_cannot_be_written()
        return code
    finally:
        with contextlib.suppress(KeyboardInterrupt, _TerminatedError):  # it is the end already
            outlet().drain()
        if argv is None:  # then the process ends
            gc.freeze()  # else it would look for garbage first, for 15 ms and more


def _message(error: Exception) -> str:
    """Return what happened and what to do."""
    if isinstance(error, OSError) and not isinstance(error, NeurofetchError):
        return _of_system(error)
    advice = error.advice if isinstance(error, ServerError) else ""
    if advice in str(error):
        return str(error)
    return f"{error}. {advice}" if advice else str(error)


def _of_system(error: OSError) -> str:
    """Return what the system refused, without its number."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return (
            "the current directory does not exist any more. Nothing was done. Go to one that does: "
            "cd DIR."
        )
    except OSError:
        pass  # such as one that we may not look into: then the error itself says most
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None]
    what = (error.strerror or str(error) or type(error).__name__).removesuffix(".")
    where = f"{' and '.join(map(str, names))}: " if names else ""
    return f"{where}{what}. Check the path, and who may read and write there."


def _open_standard_streams() -> None:
    """See that nothing else is opened in the place of a standard stream that was closed.

    Else a file of the dataset could be number 2, and get what is written to stderr.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(opened, True)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _missing_library(error: Exception) -> str:
    """Say which library of an extra is not installed; nothing if that is not what happened."""
    name = error.name.partition(".")[0] if isinstance(error, ImportError) and error.name else ""
    if not isinstance(error, ModuleNotFoundError) or name in ("", "neurofetch", "laion_fmri"):
        return ""
    return (
        f"this command needs {name}, which is not installed. Nothing was done. Install it with "
        "all that the commands use: pip install 'neurofetch[all]'"
    )


def _handled(parser: argparse.ArgumentParser, argv: Sequence[str] | None, talk: _Talk) -> int:
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:  # --help, --version, wrong usage
        code = int(end.code or 0)
        words = sys.argv[1:] if argv is None else argv
        if isinstance(end, UsageExit) and "--json" in words:
            emit("error", {"error": _error_json(end, end.message, ExitCode.USAGE)})
    except BrokenPipeError:
        raise
    except OSError as error:  # the help cannot be printed
        raise _unwritten(error) from error
    else:
        arguments.words = tuple(sys.argv[1:] if argv is None else argv)
        talk.in_json = _talks_json(arguments)
        talk.with_document = getattr(arguments, "json", False)
        talk.stopped = getattr(arguments, "stopped", INTERRUPTED)
        _mute_notes(arguments)
        code = int(arguments.handler(arguments))
    try:
        _flush()  # now, while a broken pipe can still be dealt with
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritten(error) from error
    return code


def _drop_what_cannot_be_written() -> None:
    """Spare the interpreter its own flush at the end: it would complain, and change the code."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _print_any_text() -> None:
    """See that no path can stop a command, whatever the locale: print escapes where need be."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        exact = sys.stdout.encoding.lower().replace("-", "") == "utf8"
        sys.stdout.reconfigure(errors="surrogateescape" if exact else "backslashreplace")


INTERRUPTED = (
    "stopped. Finished files are complete, and finished parts of the other files are kept. "
    "Run the same command again to continue where it stopped."
)


def _error_json(error: BaseException, message: str, code: int) -> dict[str, Any]:
    from neurofetch.display.words import error_json  # noqa: PLC0415 - not needed for --help

    return error_json(error, message, code)


class _Talk:
    """Messages on stderr: lines for people, or events for programs."""

    def __init__(self, program: str) -> None:
        self.in_json = False
        self.with_document = False
        """Whether stdout is for one document, also where there is no result."""
        self.stopped = INTERRUPTED
        """What is said when the command is interrupted."""
        self._program = program

    def __call__(self, kind: str, message: str, **more: object) -> None:
        """Say something.

        Parameters
        ----------
        kind : str
            The name of the event.
        message : str
        **more
            What else the event has.
        """
        word = "warning: " if kind == "warning" else ""
        if self.in_json:
            from neurofetch.display.words import SCHEMA  # noqa: PLC0415 - not needed for --help

            told = {"schema": SCHEMA, "event": kind, "message": message, **more}
            outlet().say(json.dumps(told))
        else:
            say(f"{self._program}: {word}{message}")

    def of_error(self, kind: str, error: BaseException, message: str, code: ExitCode) -> None:
        """Say that the command ends with an error, and print its document if none was printed."""
        if not (self.in_json or self.with_document):
            self(kind, message)
            return
        told = _error_json(error, message, code)
        self(kind, **(told if self.in_json else {"message": message}))
        if self.with_document and not _Stdout.has_document:
            with contextlib.suppress(OSError):  # nobody reads it, and the exit code tells
                emit("error", {"error": told})


def _code(error: Exception) -> ExitCode | None:
    from neurofetch._exits import exit_of  # noqa: PLC0415 - not needed for --help

    code = exit_of(error)
    return None if code is None else ExitCode(code)


class _TerminatedError(BaseException):
    """Somebody asked the process to end, as batch systems do before they kill it."""


def _end_on_terminate() -> None:
    def end(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
        raise _TerminatedError

    signal.signal(signal.SIGTERM, end)


def _talk_of_warnings(say: _Talk) -> None:
    def show(message: Warning | str, *_: object, **__: object) -> None:
        say("warning", str(message))

    warnings.showwarning = show
    warnings.simplefilter("always", UserWarning)
