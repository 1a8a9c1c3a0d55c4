"""Every flag that takes several values adds up when it is given several times."""

from __future__ import annotations

import argparse

import pytest

from laion_fmri.cli.main import build_parser as laion_fmri
from neurofetch._cli import build_parser as neurofetch

SEVERAL = ("+", "*")


def flags(parser: argparse.ArgumentParser, command: tuple[str, ...] = ()):
    """Every command below a parser, with each of its flags."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from flags(below, (*command, name))
        elif action.option_strings:
            yield command, parser, action


LISTS = [
    pytest.param(build, command, action, id=" ".join((*command, action.option_strings[0])))
    for build in (neurofetch, laion_fmri)
    for command, _, action in flags(build())
    if action.nargs in SEVERAL
]


def needed(build, command: tuple[str, ...], but: argparse.Action) -> list[str]:
    """What a command does not work without: a word for each."""
    parser = build()
    for name in command:
        below = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        parser = below.choices[name]
    others = [a for a in parser._actions if a.required and a.dest != but.dest]
    flagged = [word for a in others if a.option_strings for word in (a.option_strings[0], "1")]
    bare = ["1" for a in others if not a.option_strings]
    return [*flagged, *(["--", *bare] if bare else [])]  # it is no value of the flag before it


def test_there_are_such_flags_in_each_command():
    found = {(param.values[1][0]) for param in LISTS}
    assert found >= {"get", "neurovault", "download", "info", "show"}
    assert len(LISTS) > 30


@pytest.mark.parametrize(("build", "command", "action"), LISTS)
def test_a_flag_that_takes_several_values_adds_up(build, command, action):
    first = action.option_strings[0]
    last = action.option_strings[-1]  # another spelling of the same flag, where there is one
    rest = needed(build, command, action)

    def parsed(*words: str) -> list[str]:
        arguments = build().parse_args([*command, *words, *rest])
        return [str(value) for value in getattr(arguments, action.dest)]

    assert parsed(first, "1", "2") == ["1", "2"]
    assert parsed(first, "1", first, "2") == ["1", "2"]
    assert parsed(first, "1", "2", last, "3", first, "4", "5") == ["1", "2", "3", "4", "5"]
    assert parsed(f"{first}=1", last, "2") == ["1", "2"]
    assert parsed(first, "3") == ["3"], "one parse leaves nothing for the next"


def test_a_flag_with_one_value_keeps_the_last_as_argparse_does():
    arguments = neurofetch().parse_args(["get", "s3://b", "--dest", "a", "--dest", "b"])
    assert arguments.dest == "b"
