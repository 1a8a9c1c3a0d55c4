"""The man pages, from the parsers of the commands: what ``--help`` says, as ``man`` shows it."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from neurofetch._version import __version__
from neurofetch.display.flags import EXIT_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["man_page", "man_pages"]


def man_pages(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return the page of a command, and of each of its commands, by the names of their files.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    """
    every = dict(_with_commands(parser))
    return {f"{name}.1": man_page(one, every) for name, one in every.items()}


def _with_commands(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield parser.prog.replace(" ", "-"), parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from _with_commands(one)


def man_page(parser: argparse.ArgumentParser, every: Mapping[str, argparse.ArgumentParser]) -> str:
    """Return the page of a command, as roff.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    every : mapping of str to argparse.ArgumentParser
        All pages of the program, for the list of others.
    """
    name = parser.prog.replace(" ", "-")
    description = " ".join((parser.description or "").split())
    lines = [
        f'.TH "{name.upper()}" "1" "" "neurofetch {__version__}" "neurofetch"',
        ".SH NAME",
        f"{_plain(name)} \\- {_plain(description.partition('. ')[0].rstrip('.'))}",
        ".SH SYNOPSIS",
        *_synopsis(parser),
        ".SH DESCRIPTION",
        _plain(description),
        *_groups(parser),
        *_examples(parser),
        ".SH EXIT STATUS",
        *_exit_codes(),
        ".SH SEE ALSO",
        ", ".join(f"\\fB{_plain(other)}\\fR(1)" for other in _near(name, every)),
    ]
    return "\n".join(lines) + "\n"


def _near(name: str, every: Mapping[str, argparse.ArgumentParser]) -> list[str]:
    """Return the pages above, beside and below a page."""
    above = name.rpartition("-")[0]
    found = [other for other in every if other != name and other.startswith(name)]
    beside = [other for other in every if other != name and other.rpartition("-")[0] == above]
    first = [above] if above in every else []
    return [*first, *found, *beside] or [name]


def _plain(text: str) -> str:
    """Return text that roff takes for nothing but text."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(['.])", r"\\&\1", text, flags=re.MULTILINE)


def _synopsis(parser: argparse.ArgumentParser) -> list[str]:
    usage = parser.format_usage().removeprefix("usage: ").strip()
    every = re.split(r"\n\s*(?=" + re.escape(parser.prog) + r"\b)", usage)
    lines = []
    for one in every:
        words = " ".join(one.split()).removeprefix(parser.prog).strip()
        lines += [f"\\fB{_plain(parser.prog)}\\fR {_plain(words)}".rstrip(), ".br"]
    return lines[:-1]


def _groups(parser: argparse.ArgumentParser) -> list[str]:
    lines = []
    formatter = parser._get_formatter()
    for group in parser._action_groups:
        shown = [one for one in group._group_actions if one.help != argparse.SUPPRESS]
        if not shown:
            continue
        lines.append(f'.SH "{(group.title or "options").upper()}"')
        for action in shown:
            lines += _action(parser, formatter, action)
    return lines


def _action(
    parser: argparse.ArgumentParser, formatter: argparse.HelpFormatter, action: argparse.Action
) -> list[str]:
    if isinstance(action, argparse._SubParsersAction):
        lines = []
        for choice in action._choices_actions:
            page = f"{parser.prog} {choice.dest}".replace(" ", "-")
            lines += [".TP", f"\\fB{_plain(choice.dest)}\\fR"]
            lines.append(
                f"{_plain(formatter._expand_help(choice))} (see \\fB{_plain(page)}\\fR(1))"
            )
        return lines
    head = formatter._format_action_invocation(action)
    text = formatter._expand_help(action) if action.help else ""
    return [".TP", f"\\fB{_plain(head)}\\fR", _plain(text)]


def _examples(parser: argparse.ArgumentParser) -> list[str]:
    lines = getattr(parser, "examples", ())
    if not lines:
        return []
    return [".SH EXAMPLES", ".nf", *(f"    {_plain(line)}" for line in lines), ".fi"]


def _exit_codes() -> list[str]:
    lines: list[str] = []
    for line in EXIT_CODES.splitlines()[1:]:
        found = re.match(r"  ([0-9]+)\s+(.*)", line)
        if found:
            lines += [".TP", f"\\fB{found[1]}\\fR", _plain(found[2])]
        elif line.strip():
            lines.append(_plain(line.strip()))
    return lines
