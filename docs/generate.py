"""Write the pages that are generated: ``python -m docs.generate`` (or ``make pages``).

``docs/cli.md`` is what ``--help`` says of each command, at a fixed width; pages in ``docs/man/``
say the same to ``man``. ``docs/how-*.svg`` are the figures of a page.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from docs.figures import figures
from docs.man_pages import man_pages
from laion_fmri.cli import main as laion_fmri
from neurofetch import _cli as neurofetch
from neurofetch.display.flags import EXIT_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parent / "cli.md"
MAN = Path(__file__).parent / "man"

_HEAD = """\
<!-- Generated from `--help` by `make pages`; do not edit. -->

# Command reference

This is what `--help` prints for each command. Results go to stdout, messages to stderr. Most
commands take `--json` and `--quiet`. The exit code is one of these:

```text
{codes}```
"""


def page() -> str:
    """Return the command reference."""
    pieces = [_HEAD.format(codes=EXIT_CODES)]
    with patch.dict(os.environ, {"COLUMNS": "88", "NO_COLOR": "1"}):
        for parser in (laion_fmri.build_parser(), neurofetch.build_parser()):
            for level, one in _with_commands(parser):
                text = one.format_help().replace(EXIT_CODES, "").strip()
                pieces.append(f"{'#' * level} `{one.prog}`\n\n```text\n{text}\n```\n")
    return "\n".join(pieces)


def _with_commands(
    parser: argparse.ArgumentParser, level: int = 2
) -> Iterator[tuple[int, argparse.ArgumentParser]]:
    """Yield a parser and those of its commands, each with the level of its heading."""
    yield level, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from _with_commands(one, level + 1)


def pages() -> dict[Path, str]:
    """Return the text of each generated page."""
    found = {PAGE: page(), **figures()}
    for parser in (laion_fmri.build_parser(), neurofetch.build_parser()):
        with patch.dict(os.environ, {"COLUMNS": "88", "NO_COLOR": "1"}):
            found |= {MAN / name: text for name, text in man_pages(parser).items()}
    return found


def write() -> None:
    """Write all of them, and remove man pages of commands that are gone."""
    MAN.mkdir(exist_ok=True)
    made = pages()
    for path in set(MAN.glob("*.1")) - set(made):
        path.unlink()
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
