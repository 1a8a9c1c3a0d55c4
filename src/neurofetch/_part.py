"""One part of a large file: asked for by range, distrusted, written in its place, noted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurofetch._digests import crc, hasher
from neurofetch._errors import InterruptedTransferError, RemoteChangedError, TransientError
from neurofetch._part_file import BUFFER, Noted, PartFile
from neurofetch._single import fill

if TYPE_CHECKING:
    from neurofetch._answer import Answer
    from neurofetch._crew import Crew
    from neurofetch._large import LargeFile

__all__ = ["Part", "Unranged"]


class Unranged(Exception):  # noqa: N818 - a turn of events, no fault
    """The server cannot, or does not, send parts."""


class Part:
    """The task of fetching one part."""

    bulk = True
    opens = False
    tiny = False

    def __init__(self, crew: Crew, whole: LargeFile, file: PartFile, number: int) -> None:
        self._crew = crew
        self._whole = whole
        self._file = file
        self._number = number
        self._came = 0

    def run(self) -> None:
        """Fetch it, and tell the file how that went."""
        error: BaseException | None = None
        try:
            noted = self._crew.attempts.run(self._attempt, self._whole.told)
            self._file.note(self._number, noted)
            if self._crew.attempts.stop.is_set():
                error = InterruptedTransferError("stopped on request")
        except Exception as problem:  # noqa: BLE001 - handed to the file, which writes it down
            error = problem
        self._whole.part_done(self, error)

    def _attempt(self) -> Noted:
        crew, self._came = self._crew, 0
        try:
            with self._ask() as answer, crew.buffer(BUFFER) as buffer:
                return self._pour(answer, buffer)
        except BaseException:
            crew.count(-self._came)
            raise
        finally:
            self._whole.came(self._came)

    def _pour(self, answer: Answer, buffer: memoryview) -> Noted:
        """Write the body in its place; never a byte beyond."""
        file, count_bytes = self._file, self._crew.count
        position, left = self._number * file.part_size, file.length(self._number)
        update, value = crc(file.promise.crc).update, 0
        md5 = hasher("md5") if file.with_md5 else None
        while left:
            count = fill(answer, buffer[: min(BUFFER, left)])
            if not count:
                raise self._distrusted(f"{left} bytes less")
            data = buffer[:count]
            value = update(data, value)
            if md5 is not None:
                md5.update(data)
            file.write(data, position)
            position, left, self._came = position + count, left - count, self._came + count
            count_bytes(count)
        if answer.length is None and answer.readinto(buffer[:1]):
            raise self._distrusted("more than that")
        return value, md5.hexdigest() if md5 else ""

    def _ask(self) -> Answer:
        """Ask for the part, of this very version."""
        promise = self._file.promise
        first, last = self._range()
        headers = {"Range": f"bytes={first}-{last}", "If-Match": f'"{promise.etag}"'}
        answer = self._crew.ask(self._whole.step.want.remote, headers)
        try:
            self._check(answer)
        except BaseException:
            answer.close()
            raise
        return answer

    def _range(self) -> tuple[int, int]:
        """Return the first and the last byte."""
        first = self._number * self._file.part_size
        return first, first + self._file.length(self._number) - 1

    def _check(self, answer: Answer) -> None:
        """See that the answer is this part of this version; everything else is distrusted."""
        promise = self._file.promise
        if answer.status == 200 and answer.length in (None, promise.size):
            raise Unranged
        etag = answer.headers.get("etag", "").strip('"')
        if etag and etag != promise.etag:
            msg = f"{promise.name}: changed on the server while it was fetched"
            raise RemoteChangedError(msg)
        first, last = self._range()
        got = answer.headers.get("content-range", "")
        if got != f"bytes {first}-{last}/{promise.size}":
            raise self._distrusted(repr(got) if got else f"{answer.status} without a range")
        if answer.length not in (None, last - first + 1):
            raise self._distrusted(f"{answer.length} bytes")

    def _distrusted(self, got: str) -> TransientError:
        first, last = self._range()
        return TransientError(
            f"{self._file.promise.name}: asked for bytes {first}-{last}, got {got}"
        )
