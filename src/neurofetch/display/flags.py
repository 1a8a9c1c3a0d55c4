"""Argument parsers: their behaviour, the flags that all commands share, and the exit codes."""

from __future__ import annotations

import argparse
import enum
import re
import sys
import textwrap
from typing import TYPE_CHECKING, Any, NoReturn

from neurofetch.display.outlet import outlet
from neurofetch.errors import UsageError
from neurofetch.net.settings import parse_patience
from neurofetch.planning.entities import ENTITY_NAMES
from neurofetch.planning.suggest import habit_of, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "ACCESS",
    "ALONG",
    "CHOICE",
    "ENTITIES",
    "MANY",
    "OUTPUT",
    "TRANSFER",
    "ExitCode",
    "Parser",
    "UsageExit",
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
    "group_of",
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
    NO_READER = 141
    TERMINATED = 143


EXIT_CODES = """\
exit codes:
  0    success
  1    a bug in neurofetch (please report it)
  2    wrong usage
  3    nothing matches, or a subject or value does not exist, or was not
       downloaded
  4    some files failed, were refused by the server, cannot be kept under
       their names, are missing, or differ from what they should be
  5    the licence was not accepted
  6    the server cannot be reached, or does not allow listing
  7    the data directory cannot be used (missing, read-only, full), or the
       output cannot be written
  130  interrupted with Ctrl-C (143: terminated); run it again to continue
  141  the program that read the output ended too early
"""


class UsageExit(SystemExit):
    """The end of a command that was called in a wrong way, which was said.

    Parameters
    ----------
    message : str
        What is wrong.
    """

    def __init__(self, message: str) -> None:
        super().__init__(int(ExitCode.USAGE))
        self.message = message


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help in which text is wrapped, commands and tables are not, and a value is named once."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = (
            line if line.startswith(" ") else textwrap.fill(line, max(width - len(indent), 20))
            for line in text.splitlines()
        )
        return textwrap.indent("\n".join(lines), indent) + "\n"

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        text = super()._format_args(action, default_metavar)
        return re.sub(r"^(\S+) \[\1 \.\.\.\]$", r"\1 ...", text)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """Return the names of a flag, and what follows any of them (as Python 3.13 has it)."""
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, action.dest.upper())
        return f"{', '.join(action.option_strings)} {value}"


_ADDRESS = re.compile(r".*://.*|(?:openneuro:)?ds[0-9]{6}\b.*", re.DOTALL)
"""What is an address of data, or an accession number."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose help ends with examples and exit codes, and whose errors are short.

    Abbreviated flags are not taken: a script that works today must not change its meaning when a
    flag is added.

    Parameters
    ----------
    *args, **keywords
        As argparse takes them.
    examples : sequence of str
        Whole lines of a shell, without comments.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **keywords: Any) -> None:
        self.examples: tuple[str, ...] = tuple(examples)
        self.needs_words = False
        """Whether it does nothing without arguments, though argparse requires none."""
        self.check: Callable[[argparse.Namespace], str] | None = None
        """Says what is wrong with arguments, each of which is right by itself."""
        self._words: tuple[str, ...] = ()
        if examples:
            lines = "".join(f"  {line}\n" for line in examples)
            keywords.setdefault("epilog", f"examples:\n{lines}\n{EXIT_CODES}")
        keywords.setdefault("formatter_class", _Help)
        keywords.setdefault("allow_abbrev", False)
        keywords.setdefault("epilog", EXIT_CODES)
        super().__init__(*args, **keywords)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse words; a command that needs some and gets none shows its help.

        Parameters
        ----------
        args, namespace
            As argparse takes them.
        """
        if args is not None:
            self._words = tuple(args)
            if not args and self._needs_words():
                self.print_help()
                raise UsageExit(f"{self.prog} needs arguments")
        known, rest = super().parse_known_args(args, namespace)
        if rest:  # said by the command that does not know them, and not by the one above it
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        if self.check is not None and (problem := self.check(known)):
            self.error(problem)
        return known, rest

    def _needs_words(self) -> bool:
        groups = self._mutually_exclusive_groups
        required = any(one.required for one in self._actions) or any(one.required for one in groups)
        return self.needs_words or required

    def _swallowed(self, message: str) -> str:
        """Say which address was taken for a value of a flag, where one is missing."""
        if "required: " not in message or not ("://" in message or "DATASET" in message):
            return ""
        flag = ""
        for word in self._words:
            if word.startswith("--"):
                flag = word.partition("=")[0]
            elif _ADDRESS.fullmatch(word) and flag:
                return f"  {word} was taken for a value of {flag}: write it before the flags\n"
        return ""

    def _dashed(self, message: str) -> str:
        """Say how to write a value that begins with a dash, and was taken for a flag."""
        found = re.search(r"argument (\S+): expected one argument$", message)
        names = found[1].split("/") if found else []
        for word, value in zip(self._words, self._words[1:], strict=False):
            if word in names and value.startswith("-"):
                return f"  a value that begins with a dash is written with =: {word}={value}\n"
        return ""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in a line or two, and where the help is."""
        message = re.sub(r"ignored explicit argument ('.*')$", r"takes no value, not \1", message)
        asked, _, offered = message.partition(" (choose from ")
        if choice := re.search(r"invalid choice: '(.*)'$", asked):
            given, names = [choice[1]], set(re.findall(r"[\w.-]+", offered))
        else:
            words = re.split(r"[\s=]+", message.partition("unrecognized arguments: ")[2])
            given, names = [word for word in words if word.startswith("--")], self._flags()
        habits = [(word, habit_of(word)) for word in given if word.startswith("--")]
        hints = "".join(f"  {word}: {habit}\n" for word, habit in habits if habit)
        hints += "".join(
            f"  {word}: did you mean {found[0]}?\n"
            for word in given
            if word not in names
            and not habit_of(word)
            and (found := nearest(word, names, 1, cutoff=0.75 if word.startswith("--") else 0.6))
        )
        hints += self._swallowed(message) + self._dashed(message)
        text = f"{self.prog}: {message}\n{hints}See {self.prog} --help\n"
        self._print_message(text, sys.stderr)
        raise UsageExit("\n".join([message, *map(str.strip, hints.splitlines())]))

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help on stdout; what is wrong is talk, and a full log is no reason to fail."""
        if file is sys.stderr:
            outlet().say(message, end="")
        elif file is not None:  # it is None where stdout was closed from the start
            file.write(message)  # an error is not passed over, as argparse does

    def _flags(self) -> set[str]:
        """Return all long flags, those of the commands too."""
        found: set[str] = set()
        for action in self._actions:
            found.update(name for name in action.option_strings if name.startswith("--"))
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    found.update(parser._flags())
        return found


class _Completion(argparse.Action):
    """Print the completion of a shell; shtab is imported only then (it takes 30 ms)."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002
        values: object,
        option_string: str | None = None,  # noqa: ARG002
    ) -> NoReturn:
        import shtab  # noqa: PLC0415 - 30 ms

        for action in _actions_of(parser):
            if action.metavar in _PATHS:
                complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
                action.complete = complete  # type: ignore[attr-defined]
        print(shtab.complete(parser, str(values)))
        parser.exit()


_PATHS = ("DIR", "FILE")
"""What an argument that is a path is called in the help; shells complete it."""


def _actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Give all arguments of a command, and of the commands below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions_of(below)


def add_commands(
    parser: Parser, dest: str = "command", metavar: str = "COMMAND"
) -> argparse._SubParsersAction[Parser]:
    """Return where a command's own commands are added; without one of them, its help is shown.

    Parameters
    ----------
    parser : Parser
    dest : str
        The attribute that has the name of the command which was given.
    metavar : str
        What one is called in the help.
    """

    def show_help(_: argparse.Namespace) -> int:
        parser.print_help()
        return ExitCode.USAGE  # a script that forgot the command goes no further, as with git

    parser.set_defaults(handler=show_help)
    return parser.add_subparsers(dest=dest, metavar=metavar)


_DATA_DIR = "the data directory"


def add_data_dir(
    parser: argparse.ArgumentParser,
    default: str = "",
    *,
    required: bool = False,
    positional: bool = False,
    title: str = "",
) -> None:
    """Add the flag for the data directory, which has the same names in every command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    default : str
        What it is where the flag is not given.
    required : bool
        Whether it must be given.
    positional : bool
        Whether it may also be given without a flag; without a default, it must be given in one of
        the ways.
    title : str
        Of the group of flags in which it stands; by default it stands with those of no group.
    """
    text = f"{_DATA_DIR} (default: {default})" if default else _DATA_DIR
    flag: dict[str, Any] = {"metavar": "DIR", "dest": "data_dir", "help": text}
    if positional:
        group = parser.add_mutually_exclusive_group(required=not default)
        group.add_argument(
            "data_dir", nargs="?", metavar="DIR", help=text, default=argparse.SUPPRESS
        )
        group.add_argument("--data-dir", "--dest", **flag, default=argparse.SUPPRESS)
    else:
        place = group_of(parser, title) if title else parser
        place.add_argument("--data-dir", "--dest", **flag, required=required)


def add_subject(parser: argparse._ActionsContainer, **how: Any) -> None:
    """Add the flag for subjects where it is no filter.

    Parameters
    ----------
    parser : argparse.ArgumentParser or a group of one
    **how
        As `add_argument` takes it.
    """
    parser.add_argument(*_spellings("subject"), dest="subject", metavar="S", **how)


def _spellings(names: str) -> list[str]:
    """Return the flags for an argument: its names, and the short or long form of each entity.

    Parameters
    ----------
    names : str
        The name of the argument in Python, and other names after it.
    """
    found: dict[str, None] = dict.fromkeys(names.split())
    for long, short in ENTITY_NAMES.items():
        if long in found or short in found:
            found.update({long: None, short: None})
    return [f"--{name}" for name in found]


def add_completion(parser: argparse.ArgumentParser) -> None:
    """Add the flag that prints a shell's completion of the whole command."""
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        choices=("bash", "zsh", "tcsh", "fish", "powershell"),
        help="print shell completion script",
    )


CHOICE = "which files (one or more values each; a flag may be repeated)"
ENTITIES = "other entities of BIDS (in the same way)"
ALONG = "what comes along"
TRANSFER = "where and how"
MANY = "many processes or machines"
ACCESS = "login and server (default: no login, and AWS)"
OUTPUT = "output"
"""The titles under which a help has its flags."""


def group_of(
    parser: argparse.ArgumentParser, title: str, text: str | None = None
) -> argparse._ArgumentGroup:
    """Return the group of flags of this title; it is made where there is none yet.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    title : str
    text : str, optional
        What stands below the title of a new group.
    """
    for group in parser._action_groups:
        if group.title == title:
            return group
    return parser.add_argument_group(title, text)


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the flags for what is printed, and how."""
    group = group_of(parser, OUTPUT)
    group.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    group.add_argument("--quiet", "-q", action="store_true", help="print only warnings and errors")


def add_transfer(parser: argparse.ArgumentParser) -> None:
    """Add the flags for how files are fetched."""
    group = group_of(parser, TRANSFER)
    group.add_argument(
        "--n-jobs",
        type=_whole,
        default=1,
        metavar="N",
        help="large files to fetch at once (default: 1)",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="download files again that you already have"
    )
    group.add_argument(
        "--limit-rate",
        type=_rate,
        metavar="RATE",
        help="bytes per second over all connections, such as 20M",
    )
    add_patience(group)
    group.add_argument(
        "--offline",
        action="store_true",
        help="do not use the network: choose from earlier listings of the server, and list the "
        "files that are missing",
    )
    group.add_argument(
        "--mirror",
        nargs="+",
        action="extend",
        metavar="PLACE",
        help="other places with the same bytes: folders, https://..., s3://BUCKET/PREFIX, nemar",
    )
    _add_many(parser)


def _add_many(parser: argparse.ArgumentParser) -> None:
    """Add the flags for who fetches, where one process is not enough."""
    group = group_of(parser, MANY)
    group.add_argument(
        "--workers",
        type=_workers,
        metavar="N",
        help="download in N processes on this machine, if one is too slow for the network; with "
        "--scheduler, at most N tasks at once",
    )
    group.add_argument(
        "--scheduler",
        type=_scheduler,
        metavar="ADDRESS",
        help="download on the workers of a Dask cluster, such as tcp://login1:8786 (default: "
        "$DASK_SCHEDULER_ADDRESS, if set); the workers must see DIR under the same path",
    )
    group.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="fetch only part I of N of the plan, counted from 0; for array jobs on a cluster",
    )
    group = group_of(parser, OUTPUT)
    group.add_argument("--dry-run", action="store_true", help="print the plan and fetch nothing")
    group.add_argument(
        "--paths",
        action="store_true",
        help="print the paths of all files that you have on stdout; with --dry-run, list every "
        "file of the plan",
    )
    add_progress(group)


def add_access(parser: argparse.ArgumentParser) -> None:
    """Add the flags for whose credentials a bucket is asked with, and at which server."""
    group = group_of(parser, ACCESS)
    group.add_argument(
        "--profile",
        metavar="NAME",
        help="sign requests with the credentials of this AWS profile",
    )
    group.add_argument(
        "--signed",
        action="store_true",
        help="sign requests with the keys in the environment (AWS_ACCESS_KEY_ID, ...)",
    )
    group.add_argument(
        "--requester-pays",
        action="store_true",
        help="agree to pay for the download, as some buckets require",
    )
    group.add_argument(
        "--endpoint",
        metavar="URL",
        help="an S3 server other than AWS, such as https://s3.example.edu",
    )


def access(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what these flags say, as functions take it."""
    return {
        "profile": arguments.profile,
        "signed": arguments.signed,
        "requester_pays": arguments.requester_pays,
        "endpoint": arguments.endpoint,
    }


def add_patience(parser: argparse._ActionsContainer) -> None:
    """Add the flag for how long to wait for a network that is away."""
    parser.add_argument(
        "--patience",
        type=_patience,
        metavar="TIME",
        help="how long to wait if the network is down: 90 (seconds), 15m, 2h, 0 or inf (default: "
        "15m)",
    )


def add_progress(parser: argparse._ActionsContainer) -> None:
    """Add the flag for how progress is shown."""
    parser.add_argument(
        "--progress",
        choices=("auto", "bar", "lines", "json", "none"),
        default="auto",
        help="progress on stderr: a bar, occasional lines, or NDJSON events (default: a bar in a "
        "terminal, else lines)",
    )


def add_filters(
    parser: argparse.ArgumentParser,
    flags: Sequence[tuple[str, str]],
    unlisted: Sequence[str] = (),
    title: str = CHOICE,
) -> None:
    """Add filters, each of which takes one or more values, and may be given several times.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    flags : sequence of (names, help)
        The argument's name in Python, and other names of the flag after it. The short and the long
        name of an entity need not both be there.
    unlisted : sequence of str
        The same names, of filters that the help only names, all in one sentence.
    title : str
        Under which the help has them.
    """
    also = None
    if unlisted:
        spellings = ", ".join("--" + " or --".join(names.split()) for names in unlisted)
        also = f"Also {spellings}."
    group = group_of(parser, title, also)
    for names, text in [*flags, *((names, argparse.SUPPRESS) for names in unlisted)]:
        name = names.split()[0]
        group.add_argument(
            *_spellings(names), dest=name, action="extend", nargs="+", metavar="VALUE", help=text
        )


def _whole(text: str) -> object:
    """Return a whole number, or the text itself: what is wrong with it is said in one place."""
    try:
        return int(text)
    except ValueError:
        return text


def _workers(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        msg = f"{text!r} is no number of processes, such as 4"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _scheduler(text: str) -> str:
    from neurofetch.net.scheduler import checked_address  # noqa: PLC0415 - few calls need it

    try:
        return checked_address(text, "ADDRESS")
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("ADDRESS: ")) from error


def _shard(text: str) -> tuple[int, int]:
    index, slash, count = text.partition("/")
    if not slash or not index.isdigit() or not count.isdigit() or int(index) >= int(count):
        msg = f"{text!r} is not I/N with I from 0 to N-1, such as 0/8"
        raise argparse.ArgumentTypeError(msg)
    return int(index), int(count)


def _patience(text: str) -> float:
    try:
        return parse_patience(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _rate(text: str) -> float:
    plain = re.sub(r"(?:b|b/s)$", "", text.lower())  # 20MB/s is 20M
    factor = {"k": 1e3, "m": 1e6, "g": 1e9}.get(plain[-1:], 1.0)
    try:
        value = float(plain if factor == 1.0 else plain[:-1]) * factor
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        msg = f"{text!r} is not a rate such as 500k or 20M"
        raise argparse.ArgumentTypeError(msg)
    return value
