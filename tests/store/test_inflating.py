"""Gzipped files as programs leave them: of several members, empty ones, padded, cut, damaged."""

import gzip
import io
import random

import pytest

from neurofetch.extras import is_installed
from neurofetch.store import inflating
from neurofetch.store.inflating import Inflated

EMPTY = gzip.compress(b"")
BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
SOME, MORE = random.Random(1).randbytes(5000), b"value" * 900

FILES = {
    "one member": (gzip.compress(SOME), SOME),
    "of bgzip": (gzip.compress(SOME) + gzip.compress(MORE) + BGZIP_END, SOME + MORE),
    "empty ones between": (
        EMPTY + gzip.compress(SOME) + EMPTY * 3 + gzip.compress(MORE),
        SOME + MORE,
    ),
    "padded": (gzip.compress(SOME) + bytes(70_000) + gzip.compress(MORE) + bytes(9), SOME + MORE),
    "an empty one after padding": (gzip.compress(MORE) + bytes(512) + EMPTY, MORE),
    "foreign bytes at the end": (gzip.compress(SOME) + b"older and longer", SOME),
    "half of a magic number at the end": (gzip.compress(SOME) + b"\x1f", SOME),
    "nothing": (EMPTY, b""),
}


@pytest.fixture(params=["igzip", "zlib"])
def way(request, monkeypatch):
    if request.param == "zlib":
        monkeypatch.setattr(inflating, "is_installed", lambda _: False)
    elif not is_installed("isal"):
        pytest.skip("isal is not installed")


def read(compressed, at_once, size):
    """Return all that a file holds, where a disk gives some bytes at a time."""
    file = io.BytesIO(compressed)
    inflated = Inflated(lambda most: file.read(min(most, at_once)))
    blocks = []
    while block := inflated.read(size):
        assert len(block) <= size
        blocks.append(block)
    return b"".join(blocks)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", [1, 100, 1 << 19])
@pytest.mark.parametrize("at_once", [1, 1000, 1 << 17])
@pytest.mark.parametrize("name", FILES)
def test_all_that_a_file_holds_is_read_in_whatever_pieces(name, at_once, size):
    compressed, content = FILES[name]
    assert read(compressed, at_once, size) == content


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("cut", [0, 1, 5, 18, 2000, 5000, 5015, 5022])
def test_a_file_that_is_cut_off_anywhere_is_said_to_end_too_early(cut):
    compressed = gzip.compress(SOME)
    assert cut < len(compressed)
    with pytest.raises(EOFError):
        read(compressed[:cut], 1000, 1000)
    if cut > 1:  # of a second member, too
        with pytest.raises(EOFError):
            read(gzip.compress(MORE) + compressed[:cut], 1000, 1000)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("place", [2, 2000, -6, -2])
def test_a_byte_that_is_wrong_is_noticed(place):
    compressed = bytearray(gzip.compress(SOME))
    compressed[place] ^= 1
    with pytest.raises((EOFError, Inflated(lambda _: b"").damage)):
        read(bytes(compressed), 1000, 1000)
