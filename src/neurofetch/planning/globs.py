"""Globs: which paths one matches, which was meant by one that matches none, and their order."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.planning.suggest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

__all__ = ["glob_note", "glob_problem", "glob_test", "meant_glob", "natural"]

MANY = 1000  # no glob that a person writes has more alternatives in braces

_SET = re.compile(
    r"\[[!^]?+\]?+[^]]*+\]"
)  # a bracket that stands first in it is one of its letters
_TOKEN = re.compile(rf"(?P<deep>(?<![^/])\*\*/(?:\*\*/)*)|(?P<star>\*+)|\?|{_SET.pattern}|.", re.S)
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_ESCAPE = re.compile(r"\\([]*?\[])")
"""A wildcard that stands for itself, as wcmatch and shells have it; `[*]` is the other way."""
_DIGITS = re.compile(r"([0-9]+)")
_ANY, _HERE = ".*", "[^/]*"
_BOUND = "(?<![^/])"  # at the beginning of a part of the path


def glob_test(patterns: Sequence[str]) -> Callable[[str], object]:
    """Return a test of whether a path matches any of these globs.

    Parameters
    ----------
    patterns : sequence of str
        See `Query`; at least one.

    Examples
    --------
    >>> test = glob_test(["sub-01/**/*.json", "*.tsv", "figures"])
    >>> [bool(test(path)) for path in ("sub-01/ses-01/func/a.json", "sub-01/b.tsv", "c.json")]
    [True, True, False]
    >>> bool(test("sub-02/figures/design.png"))
    True
    """
    alternatives = dict.fromkeys(chain.from_iterable(map(_alternatives, patterns)))
    return re.compile("|".join(_read(one).regex() for one in alternatives), re.DOTALL).fullmatch


def glob_problem(pattern: str) -> str:
    """Return why a text is no glob; empty for one that is."""
    try:
        alternatives = _alternatives(pattern)
        for one in alternatives:
            re.compile(_read(one).regex())
    except re.error as error:
        return f"has the malformed glob {pattern!r} ({error})"
    if len(alternatives) > MANY:
        return f"has the glob {pattern!r}, whose braces make more than {MANY} globs"
    return ""


def _alternatives(pattern: str) -> list[str]:
    """Return a glob, and the globs that its braces and backslashes stand for.

    The glob itself is among them, since a file may have braces and backslashes in its name.
    """
    escaped = _ESCAPE.sub(r"[\1]", pattern)
    found = [pattern] if escaped == pattern else [pattern, escaped]
    open_ones = list(found)
    while open_ones and len(found) <= MANY:
        one = open_ones.pop()
        braces = _BRACES.search(one)
        if braces is None:
            found.append(one)
            continue
        before, after = one[: braces.start()], one[braces.end() :]
        open_ones += [before + choice + after for choice in reversed(braces[1].split(","))]
    return list(dict.fromkeys(found))


class _Glob(NamedTuple):
    """A glob without braces, taken apart.

    Parameters
    ----------
    lead : str
        What anchors it at the root (``/`` or ``./``), or nothing.
    tokens : tuple of str
        Wildcards, and runs of letters that stand for themselves.
    tail : str
        The slashes at its end, which make it the name of a folder.
    """

    lead: str
    tokens: tuple[str, ...]
    tail: str

    def regex(self, literal: Callable[[str], str] = re.escape) -> str:
        """Return the regular expression; `literal` makes that of a text without wildcards.

        Of several ways to spend a ``*``, the first that fits what follows it leaves most room for
        the rest, so the others need not be tried (``(?>…)``, as `fnmatch` has it too): a glob of
        many stars takes no longer than one. This does not hold where a ``*`` that stays in its
        folder follows one that does not.
        """
        if not self.tokens:
            return _ANY
        by_name = not self.lead and not any("/" in token for token in self.tokens)
        star = _HERE if self.lead or by_name else _ANY
        stars: list[str] = []
        fixed = [""]
        for token in self.tokens:
            if token[0] == "*":
                stars.append(star if token == "*" else _ANY)
                fixed.append(_BOUND if token[-1] == "/" else "")
            else:
                fixed[-1] += _one(token, literal)
        text = ("(?:.*/)?" if by_name else "") + fixed[0]
        for index, (kind, rest) in enumerate(zip(stars, fixed[1:], strict=True)):
            following = stars[index + 1 : index + 2]
            first_fits = following and (kind == _HERE or following == [_ANY])
            text += f"(?>{kind}?{rest})" if first_fits else kind + rest
        return text + ("/.*" if self.tail else "(?:/.*)?")


def _read(pattern: str) -> _Glob:
    body = pattern.rstrip("/") if pattern.strip("/") else ""
    deep = body == "**" or body.endswith("/**")  # any number of folders, also none: no tail
    tail = "" if deep else pattern[len(body) :]
    bare = re.sub(r"\A(?:\./+|/+|\.\Z)+", "", body)
    lead = body[: len(body) - len(bare)]
    tokens: list[str] = []
    for match in _TOKEN.finditer(bare):
        token = match[0]
        plain = not _wild(token)
        if match["star"] and len(token) > 1:
            token = "**"
        if plain and tokens and not _wild(tokens[-1]):
            tokens[-1] += token
        else:
            tokens.append(token)
    return _Glob(lead, tuple(tokens), tail)


def _wild(token: str) -> bool:
    return token[0] in "*?" or _SET.fullmatch(token) is not None


def _one(token: str, literal: Callable[[str], str]) -> str:
    if not _wild(token):
        return literal(token)
    if token == "?":
        return "[^/]"
    negated = token[1] in "!^"
    inner = re.sub(r"([\\\[\]&~|])", r"\\\1", token[2 if negated else 1 : -1])
    inner = inner.replace("--", r"-\-")  # two of them mean something else to `re`
    return f"(?!/)[{'^' if negated else ''}{inner}]"


# -- what was meant --------------------------------------------------------------------------------


def glob_note(name: str, pattern: str, paths: Collection[str]) -> str:
    """Return what to say of a glob that matches nothing; empty for one that matches something.

    Parameters
    ----------
    name : str
        ``include`` or ``exclude``.
    pattern : str
    paths : collection of str
        What is listed.
    """
    if any(map(glob_test([pattern]), paths)):
        return ""
    meant, count = meant_glob(pattern, paths)
    files = "1 file" if count == 1 else f"{count} files"
    hint = f". Did you mean {meant}? It matches {files}" if meant else ""
    return f"{name} {pattern} matches no file{hint}"


def meant_glob(pattern: str, paths: Collection[str]) -> tuple[str, int]:
    """Return the glob that was meant by one that matches nothing, and how many files it matches.

    It may have been written in another case, with other zeros, with backslashes, as an address, as
    a path from another folder, as a regular expression, without its end, or with a typing error.

    Parameters
    ----------
    pattern : str
    paths : collection of str
        What is listed.

    Returns
    -------
    tuple of (str, int)
        ``("", 0)`` where nothing comes into question.

    Examples
    --------
    >>> meant_glob("sub-1/Anat/*", ["sub-01/anat/sub-01_T1w.nii.gz", "README"])
    ('sub-01/anat/*', 1)
    >>> meant_glob("func/*.json", ["sub-01/func/sub-01_bold.json", "README"])
    ('**/func/*.json', 1)
    """
    tried: set[str] = set()
    for candidate in _candidates(pattern, paths):
        if candidate in tried:
            continue
        tried.add(candidate)
        spelled = _respelled(candidate, paths)
        if spelled and (count := sum(map(bool, map(glob_test([spelled]), paths)))):
            return spelled, count
    return "", 0


def _candidates(pattern: str, paths: Collection[str]) -> Iterator[str]:
    """Return globs like this one, the likeliest first; case and zeros may still differ."""
    yield pattern
    if "," in pattern and "{" not in pattern:
        yield "{" + re.sub(r"\s*,\s*", ",", pattern) + "}"
    if re.search(r"\.\*|\\[.d]|[$^]", pattern):
        meant = re.sub(r"\\d[+*]?", "*", pattern).replace("\\.", ".").replace(".*", "*")
        yield from (meant.strip("^$"), meant.strip("^$") + "*")
    plain = re.sub(r"\A\w+:/+", "", pattern).replace("\\", "/").removeprefix("!")
    yield plain
    yield re.sub(r"(?<=[^/])/(?:\.?/)+", "/", plain)
    floating = "**/" + plain.removeprefix(".").lstrip("/")
    yield floating
    parts = plain.removeprefix(".").strip("/").split("/")
    shorter = [
        "/".join(parts[n:]) for n in range(1, len(parts)) if parts[n] and not _wild(parts[n])
    ]
    respelt = _respelt(plain, paths)
    if respelt:
        yield from (respelt, "**/" + respelt.lstrip("./"))
    yield from shorter
    if not set(plain) & set("*?[{/"):
        yield from (f"*{plain}", f"*{plain}*")  # a piece of a name, as a search has it
    if not plain.endswith(("*", "/")):
        yield from (one + end for end in (".gz", "*") for one in (plain, floating, *shorter))


def _respelled(candidate: str, paths: Collection[str]) -> str:
    """Return a glob in the case, and with the zeros, of a path that it then matches; or nothing."""
    alternatives = _alternatives(candidate)
    if len(alternatives) > 1 and any(map(glob_test([candidate]), paths)):
        return candidate
    for one in alternatives[1:] or alternatives:
        glob = _read(one)
        loose = re.compile(glob.regex(_loosely), re.DOTALL | re.IGNORECASE).fullmatch
        found = next(filter(None, map(loose, paths)), None)
        if found is not None:
            said = iter(found.groups())
            tokens = [token if _wild(token) else next(said) for token in glob.tokens]
            return glob.lead + "".join(tokens) + glob.tail
    return ""


def _loosely(text: str) -> str:
    pieces = re.split("([0-9]+)", text)
    pieces[::2] = map(re.escape, pieces[::2])
    pieces[1::2] = [f"(?<![0-9])0*{number.lstrip('0') or '0'}(?![0-9])" for number in pieces[1::2]]
    return f"({''.join(pieces)})"


_WORD = re.compile("[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*")


def _respelt(pattern: str, paths: Collection[str]) -> str:
    """Return a glob with each word that no path has replaced by the one most like it."""
    folders = {path.rpartition("/")[0] for path in paths}
    words = set(_WORD.findall(" ".join(folders)))
    for path in paths:
        words.update(_WORD.findall(path.rpartition("/")[2]))
    known = {word.casefold() for word in words}
    likely = [word for word in words if len(word) > 2]

    def real(match: re.Match[str]) -> str:
        word = match[0]
        if word.casefold() in known or len(word) < 3:
            return word
        return next(iter(nearest(word, likely, 1, cutoff=0.7)), word)

    respelt = _WORD.sub(real, pattern)
    return "" if respelt == pattern else respelt


def natural(path: str) -> list[str | int]:
    """Return a key by which sub-2 comes before sub-10.

    Parameters
    ----------
    path : str

    Examples
    --------
    >>> sorted(["sub-10/a", "sub-2/a", "README"], key=natural)
    ['README', 'sub-2/a', 'sub-10/a']
    """
    pieces: list[str | int] = [*_DIGITS.split(path)]  # text and numbers take turns
    pieces[1::2] = map(int, pieces[1::2])
    return pieces
