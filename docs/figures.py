"""Draws the figures of ``how-it-works.md``: ``python -m docs.figures`` (or ``make pages``).

Boxes stand on cards of their own colour, so that they can be read on a light and on a dark page.
"""

from __future__ import annotations

from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["figures", "write"]

HERE: Final = Path(__file__).parent
_STYLE: Final = """<style>
text { font: 14px system-ui, "DejaVu Sans", sans-serif; fill: #13211f; }
.small { font-size: 12px; fill: #3d4f4c; }
.title { font-weight: 600; }
.card { fill: #f4f7f6; stroke: #c7d3d0; }
.pure { fill: #dff0ec; stroke: #7fb8ad; }
.io { fill: #fbf1dd; stroke: #d5b46a; }
.bad { fill: #fbe4e1; stroke: #d68c82; }
.line { fill: none; stroke: #52706b; stroke-width: 1.6; }
.head { fill: #52706b; }
</style>"""


class _Box(NamedTuple):
    x: float
    y: float
    title: str
    text: str
    kind: str = "card"
    width: float = 132
    height: float = 62

    @property
    def svg(self) -> str:
        middle = self.x + self.width / 2
        shape = f'<rect class="{self.kind}" x="{self.x}" y="{self.y}" rx="8"'
        lines = [f'{shape} width="{self.width}" height="{self.height}"/>']
        lines.append(_text(middle, self.y + 26, self.title, "title"))
        lines.append(_text(middle, self.y + 46, self.text, "small"))
        return "".join(lines)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _arrow(points: Sequence[tuple[float, float]]) -> str:
    (x1, y1), (x2, y2) = points[-2:]
    path = " ".join(f"{'L' if n else 'M'}{x} {y}" for n, (x, y) in enumerate(points))
    right, down = (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)
    side = 5
    head = (
        f"M{x2} {y2} L{x2 - 9 * right - side * down} {y2 - 9 * down - side * right} "
        f"L{x2 - 9 * right + side * down} {y2 - 9 * down + side * right} Z"
    )
    return f'<path class="line" d="{path}"/><path class="head" d="{head}"/>'


def _svg(width: int, height: int, title: str, parts: list[str]) -> str:
    ground = f'<rect width="{width}" height="{height}" rx="12" fill="#ffffff"/>'
    begin = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
    body = "\n".join(parts)
    head = f'{begin} aria-label="{escape(title)}">\n<title>{escape(title)}</title>'
    return f"{head}\n{_STYLE}\n{ground}\n{body}\n</svg>\n"


def _way() -> str:
    steps = [
        ("request", "what you ask for", "pure"),
        ("list", "what there is", "io"),
        ("select", "what you mean", "pure"),
        ("survey", "what is here", "io"),
        ("plan", "what is missing", "pure"),
        ("transfer", "bring it", "io"),
        ("report", "what happened", "pure"),
    ]
    parts, width, gap = [], 112.0, 20.0
    for number, (title, text, kind) in enumerate(steps):
        x = 20 + number * (width + gap)
        parts.append(_Box(x, 34, title, text, kind, width).svg)
        if number:
            parts.append(_arrow([(x - gap + 2, 65), (x - 2, 65)]))
    end = 20 + 7 * width + 6 * gap
    back = [
        (end - width / 2, 96),
        (end - width / 2, 138),
        (20 + width / 2, 138),
        (20 + width / 2, 98),
    ]
    parts.append(_arrow(back))
    parts.append(
        _text(
            end / 2,
            131,
            "stopped, or something failed? Ask again: what is here is subtracted",
            "small",
        )
    )
    parts.append(
        _text(
            end / 2,
            166,
            "green: pure values, nothing is touched   ·   yellow: a server or the disk is asked",
            "small",
        )
    )
    return _svg(int(end + 20), 184, "From a request to a report", parts)


def _life() -> str:
    boxes = {
        "claim": _Box(20, 40, "claimed", "others leave it to us", "io", 150),
        "part": _Box(206, 40, "a partial file", "its own name, its own owner", "io", 196),
        "check": _Box(438, 40, "verified", "every byte hashed", "pure", 150),
        "flush": _Box(624, 40, "flushed", "on the disk for certain", "io", 168),
        "name": _Box(828, 40, "its final name", "and a receipt", "pure", 150),
        "kept": _Box(206, 156, "what came is kept", "and resumed by the next run", "io", 196),
        "wrong": _Box(438, 156, "thrown away", "wrong bytes: once more", "bad", 150),
    }
    row = ["claim", "part", "check", "flush", "name"]
    parts = [box.svg for box in boxes.values()]
    for one, other in pairwise(row):
        first, second = boxes[one], boxes[other]
        parts.append(_arrow([(first.x + first.width + 3, 71), (second.x - 3, 71)]))
    parts.append(_arrow([(304, 104), (304, 153)]))
    parts.append(_text(312, 134, "cut, killed, full", "small", "start"))
    parts.append(_arrow([(513, 104), (513, 153)]))
    parts.append(_text(521, 134, "it differs", "small", "start"))
    parts.append(_arrow([(203, 187), (95, 187), (95, 105)]))
    return _svg(998, 236, "What happens to a file until it has its name", parts)


def _proof() -> str:
    rows = [
        ("OpenNeuro", "the listing has each file's hash", "the bytes are those of the version"),
        (
            "S3 with a checksum",
            "CRC or SHA-256 of the object",
            "the bytes are those that were uploaded",
        ),
        (
            "S3 with an ETag",
            "MD5, where the ETag is one",
            "the same, if it was uploaded in one piece",
        ),
        (
            "NeuroVault",
            "no hash from the server",
            "complete, and a volume that can be read to its end",
        ),
    ]
    parts = [
        _text(30, 36, "server", "title", "start"),
        _text(230, 36, "what it says beforehand", "title", "start"),
        _text(520, 36, "what you know afterwards", "title", "start"),
    ]
    for number, (server, says, known) in enumerate(rows):
        y = 52 + number * 44
        parts.append(f'<rect class="pure" x="16" y="{y}" width="888" height="36" rx="8"/>')
        for x, text in ((30, server), (230, says), (520, known)):
            parts.append(_text(x, y + 23, text, "title" if x == 30 else "", "start"))
    parts.append(
        _text(
            30,
            250,
            "A receipt keeps the hash of what came, so that you can verify it later, offline.",
            "small",
            "start",
        )
    )
    return _svg(920, 268, "What is known of the bytes", parts)


def figures() -> dict[Path, str]:
    """Return each figure as SVG, by its file."""
    made = {"how-way": _way(), "how-life": _life(), "how-proof": _proof()}
    return {HERE / f"{name}.svg": text for name, text in made.items()}


def write() -> None:
    """Write all of them."""
    for path, text in figures().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
