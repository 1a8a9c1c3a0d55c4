"""The receipts of a data directory, in little room: there may be one for each of a million files.

A receipt is kept as the bytes that it comes to, and made into a value when it is asked for. One
that does not fit the usual pattern (another ETag than S3's, another key than its path) is kept as
it is.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neurofetch.model import Receipt, VerificationLevel, same_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["MOST", "Receipts"]

MOST = (1 << 63) - 1
"""No size, time or count is larger."""

_TEXT = rb'"([ !#-\[\]-~]*)"'
_NUMBER = rb"([0-9]{1,19})"
_LINE = re.compile(
    rb'\{"path":'
    + _TEXT
    + rb',"key":'
    + _TEXT
    + rb',"etag":"([0-9a-f]{32})?(?:-([1-9][0-9]{0,3}))?"'
    rb',"size":' + _NUMBER + rb',"mtime_ns":' + _NUMBER + rb',"rung":"([a-z0-9-]{1,20})"'
    rb',"digest":"(?:([a-z0-9]{1,12}):((?:[0-9a-f]{2}){4,32}))?"'
    rb',"when":([0-9]{1,12}\.[0-9]{1,9})(?:,"version":"([A-Za-z0-9._-]{1,128})")?'
    rb'(?:,"url":"([!#-\[\]-~]+)")?'
    rb',"seq":' + _NUMBER + rb"\}\n?"
)
"""A receipt as it is written, of letters that stand for themselves alone."""
_LINES = re.compile(
    r'\{"path":"([^"]*)","key":"([^"]*)","etag":"([0-9a-f]{32})?(?:-([1-9][0-9]{0,3}))?"'
    r',"size":([0-9]{1,19}),"mtime_ns":([0-9]{1,19}),"rung":"([a-z0-9-]{1,20})"'
    r',"digest":"(?:([a-z0-9]{1,12}):([0-9a-f]{8,64}))?"'
    r',"when":([0-9]{1,12}\.[0-9]{1,9})(?:,"version":"([A-Za-z0-9._-]{1,128})")?'
    r'(?:,"url":"([^" ]+)")?'
    r',"seq":([0-9]{1,19})\}\n'
)
"""The same for text that has no letters but those of `_LETTERS`: in a third of the time."""
_LETTERS = bytes(set(range(0x20, 0x7F)) - set(b"\\")) + b"\n"
_BEGINNING = '{"path":"'
_HEAD = struct.Struct("<BBBHqqdqB")
"""Level, base, algorithm, parts of the ETag, size, time, when, seq, length of the ETag; then ETag
and digest. A row that has a version or an address, too, ends with both, a space between; then the
algorithm stands there with the length of the digest."""
_SEEN = struct.Struct("<B2xHqq16xB16s")
"""Of these: level, parts, size, time; length of the ETag and the ETag."""
_SEQ = struct.Struct("<29xq")
_WITH_ETAG = 16
_FEW = 255

_Row = bytes | Receipt | int


class Receipts(Mapping[str, Receipt]):
    """The receipts of a data directory: by path, the one that holds.

    Parameters
    ----------
    paths : iterable of str
        Paths that the caller holds anyway: they are not held a second time.

    Attributes
    ----------
    rivals : dict of str to dict of Receipt to None
        Where there are several that the file here may be the one of: those that runs wrote at the
        same time, and the one before. (After a power cut the disk may hold the receipt of a new
        version, and under the name still the old one.) In the order in which they were read.
    unread : list of str
        Journals that are there and could not be read, and why.
    damaged : int
        Lines that are no receipts: a crash cut them short, or the disk lost them.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._rows: dict[str, _Row | None] = dict.fromkeys(paths)
        self._levels = {level.value.encode(): n for n, level in enumerate(VerificationLevel)}
        self._bases = _Numbers()
        self._algorithms = _Numbers()
        self.rivals: dict[str, dict[Receipt, None]] = {}
        self.unread: list[str] = []
        self.damaged: int = 0

    # -- what a mapping has ------------------------------------------------------------------

    def __getitem__(self, path: str) -> Receipt:
        row = self._rows[path]
        if row is None or type(row) is int:
            raise KeyError(path)
        return row if type(row) is Receipt else self._receipt(path, row)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[str]:
        return (path for path, row in self._rows.items() if row is not None)

    def __len__(self) -> int:
        return sum(row is not None for row in self._rows.values())

    def __contains__(self, path: object) -> bool:
        return self._rows.get(path) is not None  # type: ignore[call-overload]

    @property
    def are_any(self) -> bool:
        """Whether there may be a receipt: no journal was read, if not."""
        return bool(self._rows)

    # -- reading -----------------------------------------------------------------------------

    def add_line(self, line: bytes) -> bool:
        """Take a line of a journal; one that is no whole receipt is passed over: False."""
        found = _LINE.fullmatch(line)
        row = self._packed(found) if found is not None else None
        if row is None:
            receipt = _from_line(line)
            if receipt is not None:
                self.add(receipt)
            return receipt is not None
        path = found[1].decode("ascii")  # type: ignore[index]
        if self._rows.get(path) is None:
            self._rows[path] = row
        else:
            self.add(self._receipt(path, row))
        return True

    def add_lines(self, lines: bytes) -> None:
        """Take whole lines of a journal, as `add_line` takes each."""
        quick = self._quick_rows(lines)
        if quick is None:
            *whole, last = lines.split(b"\n")
            self.damaged += sum(not self.add_line(line) for line in whole if line)
            if last:  # it may be written just now
                self.add_line(last)
            return
        rows = self._rows
        for path, row in quick:
            if rows.get(path) is None:
                rows[path] = row
            else:
                self.add(self._receipt(path, row))

    def _quick_rows(self, lines: bytes) -> list[tuple[str, bytes]] | None:
        """Return the paths of these lines and their receipts; None where any is unusual."""
        if lines.translate(None, _LETTERS):
            return None
        text = lines.decode("ascii")
        found = _LINES.findall(text)
        many = len(found)
        if (
            text.count("\n") != many
            or text.count(_BEGINNING) != many
            or text.count("\n" + _BEGINNING) != many - 1
            or not text.startswith(_BEGINNING)
        ):
            return None
        kinds: dict[tuple[str, str, str], tuple[int, int, int]] = {}
        quick = []
        pack, unhex = _HEAD.pack, bytes.fromhex
        try:
            for one in found:
                path, key, etag, parts, size, mtime_ns, rung, name, digest, when, *more, seq = one
                tail = " ".join(more) if more[0] or more[1] else ""
                algorithm = f"{name} {len(digest) // 2}" if tail else name
                kind = rung, algorithm, key[: len(key) - len(path)]
                numbers = kinds.get(kind)
                if numbers is None:
                    numbers = kinds[kind] = self._kind(*kind)
                if not key.endswith(path) or (parts and not etag):
                    return None
                row = pack(
                    *numbers,
                    int(parts) if parts else 0,
                    int(size),
                    int(mtime_ns),
                    float(when),
                    int(seq),
                    _WITH_ETAG if etag else 0,
                )
                quick.append((path, row + unhex(etag + digest) + tail.encode("ascii")))
        except (ValueError, struct.error):  # no digest, no level, or too large a number
            return None
        return quick

    def _kind(self, rung: str, algorithm: str, base: str) -> tuple[int, int, int]:
        """Return what a row says of its level, its base and the algorithm of its digest."""
        found = self._levels.get(rung.encode()), self._bases.of(base.encode())
        kind = self._algorithms.of(algorithm.encode())
        if found[0] is None or found[1] is None or kind is None:
            raise ValueError
        return found[0], found[1], kind

    def _packed(self, found: re.Match[bytes]) -> bytes | None:
        path, key, etag, parts, size, mtime_ns, rung, algorithm, digest, when, *more, seq = (
            found.groups(b"")
        )
        level = self._levels.get(rung)
        if level is None or not key.endswith(path) or (parts and not etag):
            return None
        base = self._bases.of(key[: len(key) - len(path)])
        tail = b" ".join(more) if any(more) else b""
        if tail:
            algorithm = b"%s %d" % (algorithm, len(digest) // 2)
        kind = self._algorithms.of(algorithm)
        if base is None or kind is None:
            return None
        length = _WITH_ETAG if etag else 0
        numbers = int(size), int(mtime_ns), int(seq)
        if max(numbers) > MOST:
            return None
        head = _HEAD.pack(
            level, base, kind, int(parts or 0), *numbers[:2], float(when), numbers[2], length
        )
        hashes = bytes.fromhex((etag + digest).decode("ascii"))
        return head + hashes + tail

    def _receipt(self, path: str, row: bytes) -> Receipt:
        level, base, kind, parts, size, mtime_ns, when, seq, length = _HEAD.unpack_from(row)
        start = _HEAD.size
        middle = start + length
        etag = row[start:middle].hex()
        algorithm, more, count = self._algorithms.text(kind).partition(" ")
        end = middle + int(count) if more else len(row)
        version, _, url = row[end:].decode("ascii").partition(" ")
        return Receipt(
            path,
            self._bases.text(base) + path,
            f"{etag}-{parts}" if parts else etag,
            size,
            mtime_ns,
            _LEVELS[level],
            f"{algorithm}:{row[middle:end].hex()}" if algorithm else "",
            when,
            "",
            seq,
            version=version,
            url=url,
        )

    def add(self, receipt: Receipt) -> None:
        """Take one more receipt."""
        path = receipt.path
        known = self.get(path)
        if known is None:
            self._rows[path] = receipt
            return
        if receipt.seq > known.seq or (receipt.seq == known.seq and _later(receipt, known)):
            self._rows[path] = receipt
        least = self[path].seq - 1
        row = self.rivals.setdefault(path, {known: None})
        if receipt.seq >= least:
            row.setdefault(receipt)
        if receipt.seq > known.seq:  # else none of them is older than it was
            row = {one: None for one in row if one.seq >= least}
            self.rivals[path] = row
        if len(row) == 1:
            del self.rivals[path]

    def of(self, path: str, size: int, mtime_ns: int) -> Receipt | None:
        """Return the receipt of a file that is here; None where there is none for its path.

        Parameters
        ----------
        path : str
        size, mtime_ns : int
            Of the file: bytes, nanoseconds since the epoch.
        """
        row = self._rows.get(path)
        if row is None or type(row) is int:
            return None
        holds = row if type(row) is Receipt else self._receipt(path, row)  # type: ignore[arg-type]
        rivals = self.rivals.get(path, ()) if self.rivals else ()
        if not rivals or (holds.size, holds.mtime_ns) == (size, mtime_ns):
            return holds
        same = [one for one in rivals if one.size == size and same_time(one.mtime_ns, mtime_ns)]
        exact = (one for one in same if one.mtime_ns == mtime_ns)
        return next(exact, same[0] if same else holds)

    def seen(self, path: str) -> tuple[int, int, int, int, int, bytes] | None:
        """Return what tells at a glance whether a file is as it was fetched, and as it is listed.

        Returns
        -------
        tuple or None
            The number of the level (see `VerificationLevel`); the parts of the ETag, 0 for one of
            a whole file; size; time in nanoseconds; 16; the 16 bytes of the ETag. None where it
            takes a closer look, as it does where 16 is another number.
        """
        row = self._rows.get(path)
        if type(row) is not bytes or len(row) < _SEEN.size or path in self.rivals:
            return None
        return _SEEN.unpack_from(row)

    def all(self) -> Iterable[Receipt]:
        """Give all of them, those included that several runs wrote at the same time."""
        for path, receipt in self.items():
            yield from self.rivals.get(path, (receipt,))

    # -- what a run still needs --------------------------------------------------------------

    def seq(self, path: str) -> int | None:
        """Return the place of the receipt that holds among those of its path; None without any."""
        return _seq(self._rows.get(path))

    def forget(self) -> None:
        """Keep nothing but what `seq` returns."""
        rows = self._rows
        for path, row in rows.items():
            rows[path] = _SEQ.unpack_from(row)[0] if type(row) is bytes else _seq(row)
        self.rivals.clear()


def _seq(row: _Row | None) -> int | None:
    if type(row) is bytes:
        seq: int = _SEQ.unpack_from(row)[0]
        return seq
    return row.seq if type(row) is Receipt else row  # type: ignore[return-value]


_LEVELS = tuple(VerificationLevel)


class _Numbers:
    """Small numbers for the few texts that many receipts share; 0 is none."""

    def __init__(self) -> None:
        self._texts: list[str] = [""]
        self._numbers: dict[bytes, int] = {b"": 0}

    def of(self, text: bytes) -> int | None:
        """Return the number of a text; None where there are too many."""
        number = self._numbers.get(text)
        if number is None and len(self._texts) < _FEW:
            number = self._numbers[text] = len(self._texts)
            self._texts.append(text.decode("ascii"))
        return number

    def text(self, number: int) -> str:
        return self._texts[number]


def _later(receipt: Receipt, known: Receipt) -> bool:
    """Which of two that count the same is shown where the file itself cannot tell."""
    return (receipt.mtime_ns, receipt.when) >= (known.mtime_ns, known.when)


def _from_line(line: bytes) -> Receipt | None:
    """Parse one line; None for one that is no whole receipt, whatever it is."""
    try:
        data: dict[str, Any] = json.loads(line)
        receipt = Receipt(
            data["path"],
            data["key"],
            data["etag"],
            data["size"],
            data["mtime_ns"],
            VerificationLevel(data["rung"]),
            data["digest"],
            float(data["when"]),
            data.get("listed", ""),
            data.get("seq", 0),
            data.get("source", ""),
            data.get("damaged") is True,
            data.get("version", ""),
            data.get("url", ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
    texts = (
        receipt.path,
        receipt.key,
        receipt.etag,
        receipt.digest,
        receipt.listed,
        receipt.source,
        receipt.version,
        receipt.url,
    )
    numbers = (receipt.size, receipt.mtime_ns, receipt.seq)
    sound = all(type(text) is str for text in texts) and all(type(n) is int for n in numbers)
    sound = sound and math.isfinite(receipt.when) and max(map(abs, numbers)) <= MOST
    return receipt if sound else None
