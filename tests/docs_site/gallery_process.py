"""Runs an example of the gallery, and tells what became of it: ``gallery_process.py SCRIPT TELL``.

Figures are looked at instead of shown. What is told goes to the file TELL, as JSON. What the names
of the script should hold is read from stdin: a JSON list of expressions, which are evaluated.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.text import Text

FIGURES: list[str] = []


def show(*_: object, **__: object) -> None:
    for number in plt.get_fignums():
        figure = plt.figure(number)
        figure.canvas.draw()
        FIGURES.append(" | ".join(text.get_text() for text in figure.findobj(Text)))
        plt.close(figure)


def main(script: str, tell: str) -> None:
    plt.show = show
    names = runpy.run_path(script, run_name="__main__")
    left = len(plt.get_fignums())
    held = {one: bool(eval(one, names)) for one in json.load(sys.stdin)}
    told = {"figures": FIGURES, "not_shown": left, "held": held}
    Path(tell).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
