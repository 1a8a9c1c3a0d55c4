"""Every flag that takes several values adds up when it is given several times."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys

import pytest

from laion_fmri.cli.main import build_parser as laion_fmri
from neurofetch._cli import build_parser as neurofetch
from neurofetch.planning.entities import ENTITY_NAMES

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
    if command == ("get",):  # a data set, or a lock
        return ["--locked", "1"]
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
    arguments = neurofetch().parse_args(["get", "s3://b", "--dest", "a", "--data-dir", "b"])
    assert arguments.data_dir == "b"


# -- the same thing has the same name --------------------------------------------------------------

BUILDERS = {"neurofetch": neurofetch, "laion-fmri": laion_fmri}
FLAGS = [
    (f"{program} {' '.join(command)}".strip(), action)
    for program, build in BUILDERS.items()
    for command, _, action in flags(build())
]
AT_DISK = {
    "neurofetch get",
    "neurofetch verify",
    "neurofetch clean",
    "neurofetch status",
    "laion-fmri status",
    "neurofetch lock",
    "neurofetch index",
    "neurofetch neurovault fetch",
    "neurofetch neurovault show",
    "neurofetch neurovault verify",
    "laion-fmri config",
    "laion-fmri info",
    "laion-fmri download",
    "laion-fmri download-captions",
    "laion-fmri download-embeddings",
    "laion-fmri download-raw",
    "laion-fmri download-segmentations",
    "laion-fmri download-stimuli",
    "laion-fmri verify",
    "laion-fmri show",
    "laion-fmri build-store",
}


def parsers(parser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


PARSERS = [
    pytest.param(build, parser, id=parser.prog)
    for build in BUILDERS.values()
    for parser in parsers(build())
]


def test_the_data_directory_has_both_its_names_in_every_command():
    named = [(command, set(action.option_strings)) for command, action in FLAGS]
    found = {command: names for command, names in named if names & {"--data-dir", "--dest"}}
    assert set(found) == AT_DISK
    assert all(names == {"--data-dir", "--dest"} for names in found.values())


def test_an_entity_has_its_long_and_its_short_name_in_every_command():
    for command, action in FLAGS:
        names = {name.removeprefix("--") for name in action.option_strings}
        for long, short in ENTITY_NAMES.items():
            if names & {long, short} and (action.dest, action.metavar) != ("label", None):
                assert names >= {long, short}, (command, names)


def test_a_flag_has_the_same_other_names_and_the_same_value_everywhere():
    kinds: dict[str, set[tuple[object, ...]]] = {}
    for _, action in FLAGS:
        for name in action.option_strings:
            value = "DIR" if action.metavar == "DIR" else ""
            kinds.setdefault(name, set()).add((frozenset(action.option_strings), value))
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


SAME_HELP = {"--json", "--quiet", "--dry-run", "--subject", "--progress", "--patience", "--region"}
SPOKEN_OTHERWISE = {"neurofetch get", "neurofetch lock", "neurofetch clean"}
"""A filter's help says how it filters; what is shown by a dry run that removes is no plan."""


@pytest.mark.parametrize("name", sorted(SAME_HELP))
def test_a_flag_that_means_the_same_says_the_same(name):
    texts = {
        action.help
        for command, action in FLAGS
        if name in action.option_strings
        and not (name in ("--subject", "--dry-run") and command in SPOKEN_OTHERWISE)
    }
    assert len(texts) == 1


def test_the_help_of_the_data_directory_differs_only_in_the_default():
    texts = {action.help for _, action in FLAGS if "--data-dir" in action.option_strings}
    assert {str(text).partition(" (default: ")[0] for text in texts} == {"the data directory"}


@pytest.mark.parametrize(
    "words", [["data"], ["--data-dir", "data"], ["--dest", "data"], ["--dest=data", "--json"]]
)
@pytest.mark.parametrize("command", ["verify", "clean"])
def test_a_data_directory_with_and_without_a_flag_is_the_same(command, words):
    assert neurofetch().parse_args([command, *words]).data_dir == "data"


@pytest.mark.parametrize("words", [["a", "--data-dir", "b"], ["--json"]])
def test_a_data_directory_is_given_once(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        neurofetch().parse_args(["clean", *words])
    assert "--data-dir" in capsys.readouterr().err


def test_only_verify_takes_the_current_directory():
    assert not hasattr(neurofetch().parse_args(["verify"]), "data_dir")
    with pytest.raises(SystemExit, match="2"):
        neurofetch().parse_args(["verify", "a", "--data-dir", "b"])


# -- help ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("build", "parser"), PARSERS)
def test_each_command_shows_examples_that_it_takes(build, parser):
    assert parser.examples
    for line in parser.examples:
        assert f"  {line}\n" in parser.format_help()
        assert f"{line} ".startswith(f"{parser.prog} ")
        _, *words = shlex.split(line)
        assert build().parse_args(words).handler.__name__ != "show_help", line


@pytest.mark.parametrize(
    ("build", "parser"),
    [one for one in PARSERS if "COMMAND" in one.id or one.values[1]._subparsers],
)
def test_a_command_without_its_command_shows_its_help_and_fails(build, parser, capsys):
    """`laion-fmri` alone does not fail: the public package of this name does not either."""
    arguments = build().parse_args(parser.prog.split()[1:])
    assert arguments.handler(arguments) == (0 if parser.prog == "laion-fmri" else 2)
    assert capsys.readouterr().out == parser.format_help()


# -- completion ------------------------------------------------------------------------------------


def test_every_argument_that_is_a_path_is_called_one():
    """By its name in the help a shell knows what to offer."""
    for command, action in FLAGS:
        names = {name.strip("-") for name in action.option_strings}
        if names & {"data-dir", "dest", "out", "output", "file", "log"}:
            assert action.metavar in ("DIR", "FILE"), command


BASH = """
set -e
cd {folder}
eval "$({python} -m {module} --print-completion bash)"
COMP_WORDS=({words} '{last}') COMP_CWORD={count}
"$(complete -p {program} | sed -E 's/.*-F ([^ ]+) .*/\\1/')" || true
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(folder, line, last):
    """What bash offers after a line."""
    program = line.split()[0]
    module = {"neurofetch": "neurofetch", "laion-fmri": "laion_fmri"}[program]
    script = BASH.format(
        folder=folder,
        python=sys.executable,
        module=module,
        words=line,
        last=last,
        count=len(line.split()),
        program=program,
    )
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name.rstrip("/") for name in done.stdout.split()}


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("neurofetch get s3://b --data-dir", False),
        ("neurofetch get s3://b --dest", False),
        ("neurofetch verify --data-dir", False),
        ("neurofetch verify", False),
        ("neurofetch clean", False),
        ("neurofetch neurovault fetch --data-dir", False),
        ("laion-fmri config --data-dir", False),
        ("laion-fmri download --subject 03 --data-dir", False),
        ("laion-fmri show --subject 03 --session 01 --out", True),
    ],
)
def test_bash_completes_paths(tmp_path, line, files, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, map(os.path.abspath, sys.path))))
    (tmp_path / "data-one").mkdir()
    (tmp_path / "data-two").mkdir()
    (tmp_path / "data.png").write_bytes(b"")
    expected = {"data-one", "data-two"} | ({"data.png"} if files else set())
    assert completed(tmp_path, line, "data") == expected


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_zsh_completes_paths(build, capsys):
    with pytest.raises(SystemExit):
        build().parse_args(["--print-completion", "zsh"])
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if "--data-dir" in line]
    assert lines
    assert all("_files -/" in line for line in lines)
