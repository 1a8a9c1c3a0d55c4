"""Write the session of README.md and its picture anew: `python -m tools.readme`.

The commands are those of the README. They run in an empty folder against a server of this computer
with made-up data, as a user who has never used the program.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from testbed.laion import Recipe, make_bucket
from testbed.s3 import S3Server

__all__ = ["PICTURE", "README", "commands", "main", "session", "told"]

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "readme.png"
RECIPE = Recipe(subjects=("sub-01", "sub-03"), grid=(60, 72, 60), trials_per_session=24)
HOME = "/home/ada"
"""What stands for the folder of the user: nobody wants to read where a temporary folder was."""


def session(text: str) -> str:
    """Return the session of the README: its first block of commands, with what they print."""
    found = re.search(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise ValueError("README.md has no block of commands")
    return found[1]


def commands(text: str) -> list[str]:
    """Return the commands of a session."""
    return [line[2:] for line in text.splitlines() if line.startswith("$ ")]


def told(lines: list[str], folder: Path, server: str) -> str:
    """Run commands one after another in a folder; return the session as a terminal shows it.

    Raises
    ------
    subprocess.CalledProcessError
        If one of them fails.
    """
    programs = str(Path(sys.executable).parent)
    environ = {
        "AWS_ENDPOINT_URL": server,
        "COLUMNS": "100",
        "HOME": str(folder),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
    }
    shown = ""
    for line in lines:
        done = subprocess.run(
            line,
            shell=True,
            cwd=folder,
            env=environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=True,
        )
        shown += f"$ {line}\n{done.stdout}".replace(str(folder.resolve()), HOME)
    return shown


def main() -> None:
    """Run the session, and write what it printed and drew."""
    text = README.read_text(encoding="utf-8")
    old = session(text)
    with (
        tempfile.TemporaryDirectory() as folder,
        S3Server({"laion-fmri": make_bucket(RECIPE)}) as server,
    ):
        new = told(commands(old), Path(folder), server.url)
        shutil.copyfile(next(Path(folder).glob("*.png")), PICTURE)
    README.write_text(text.replace(old, new), encoding="utf-8")


if __name__ == "__main__":
    main()
