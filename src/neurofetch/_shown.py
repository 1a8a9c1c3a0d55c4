"""Names and messages of others, as they are shown: nothing in them can move a cursor. Pure.

Keys of a bucket and messages of a server may hold anything: line breaks, the escape sequences with
which a terminal is told to clear itself or to change its title, marks that turn the direction of
writing. What is shown to people goes through `shown`; what programs read (JSON) is exact.
"""

from __future__ import annotations

import re

__all__ = ["in_letters_of", "shown", "shown_lines"]

# C0, DEL, C1; line and paragraph separators; marks that turn the direction of writing; what cannot
# be seen; and lone surrogates, which stand for bytes that are no UTF-8.
_UNSEEN = (
    "\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\ufffb\ud800-\udfff"
)
_LONGEST = 4096
"""Letters: no file has a longer path, and what is longer is no message to a reader."""
_IN_LINES = re.compile(f"[{_UNSEEN}]")
_ANYWHERE = re.compile(f"[\n{_UNSEEN}]")


def shown(text: str) -> str:
    r"""Return a name as it can be shown on one line: what is no visible character is escaped.

    Examples
    --------
    >>> print(shown("Icon\r"), shown("a\x1b[2Jb"), shown("sub-01/größe 日本.txt"))
    Icon\r a\x1b[2Jb sub-01/größe 日本.txt
    """
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}…"
    return text if text.isprintable() else _ANYWHERE.sub(_escaped, text)


def shown_lines(text: str) -> str:
    r"""Return a text of several lines as it can be shown: as `shown`, but its lines stay.

    Examples
    --------
    >>> print(shown_lines("a\x07\nb"))
    a\x07
    b
    """
    return text if text.isprintable() else _IN_LINES.sub(_escaped, text)


_PLAIN = {ord("…"): "...", ord("→"): "->", ord("²"): "2"}
"""What stands in messages of this program and is no ASCII."""


def in_letters_of(encoding: str | None, text: str) -> str:
    """Return a text for people as an encoding can write it: with plain signs where it has no other.

    Letters of names that it lacks stay; whoever writes the text escapes them.

    Parameters
    ----------
    encoding : str or None
    text : str

    Examples
    --------
    >>> in_letters_of("ascii", "sub-1 → sub-01"), in_letters_of("utf-8", "sub-1 → sub-01")
    ('sub-1 -> sub-01', 'sub-1 → sub-01')
    """
    if text.isascii():
        return text
    try:
        text.encode(encoding or "ascii", "surrogateescape")
    except (LookupError, UnicodeEncodeError):
        return text.translate(_PLAIN)
    return text


def _escaped(found: re.Match[str]) -> str:
    number = ord(found[0])
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is no UTF-8, as Python keeps it in a path
        return f"\\x{number - 0xDC00:02x}"
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")
