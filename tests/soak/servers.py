"""Servers that fail at random: each request may be struck, as the seed has it."""

from __future__ import annotations

import random
import threading

from testbed._faults import NO_FAULT, Fault
from testbed.neurovault import NeuroVault
from testbed.s3 import HTML_PAGE, S3Object, S3Server
from tests.faults import wire

KIB = 1 << 10
ACTS = (
    *(
        wire.broken(place, then)
        for place in ("before", "head", "body", "last")
        for then in (wire.CUT, wire.RESET)
    ),
    wire.shorter_than_it_is,
    wire.longer_than_it_is,
    wire.to_the_close_cut,
    wire.chunked_cut,
    wire.chunked_without_end,
    wire.encoded,
    wire.answer_and_408,
    wire.answer_and_another,
    wire.drip_body,
    wire.broken("body", wire.STALL),
    wire.no_http,
)
STATUSES = (408, 412, 416, 429, 500, 502, 503, 504, 520)


class Dice:
    """Draws a fault for each request. It takes the place of the script of a server."""

    def __init__(self, seed, chance):
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._chance = chance
        self._slow = 1
        self.drawn = 0

    def calm(self):
        """Draw no more faults."""
        self._chance, self._slow = 0.0, 0

    def due(self, request):
        with self._lock:
            if self._random.random() >= self._chance:
                return Fault(delay=self._random.choice((0, 0.02, 0.05, 0.2)) * self._slow)
            self.drawn += 1
            return self._draw(request)

    def _draw(self, request):
        dice = self._random
        kind = dice.randrange(10)
        if kind < 5:
            return Fault(act=dice.choice(ACTS))
        if kind == 5:
            after = {"headers": {"Retry-After": dice.choice(("0", "1", "soon"))}}
            return Fault(status=dice.choice(STATUSES), **dice.choice(({}, after)))
        if kind == 6:
            return Fault(flip=dice.randrange(40 * KIB)) if request.key else NO_FAULT
        if kind == 7:
            return Fault(status=200, body=HTML_PAGE, headers={"Content-Type": "text/html"})
        if kind == 8:
            lies = ({"ignore_range": True}, {"content_range": "bytes 0-1/2"}, {"body": b""})
            return Fault(**dice.choice(lies))
        return Fault(rate=float(dice.choice((30, 100, 400)) * KIB))


class Bucket:
    """A bucket on a server that fails at random; it knows every version of each object."""

    def __init__(self, seed, chance):
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.versions = {}
        self.server = S3Server({"b": {}}, page_size=9)
        self.dice = self.server._script = Dice(seed + 1, chance)
        sizes = [0, 1] + [self._random.randrange(60 * KIB) for _ in range(16)]
        sizes += [self._random.randrange(150 * KIB, 900 * KIB) for _ in range(4)]
        self._random.shuffle(sizes)
        for n, size in enumerate(sizes):
            self._put(f"sub-{n % 4:02}/anat/sub-{n % 4:02}_run-{n}_bold.bin", size)

    def _put(self, key, size):
        content = self._random.randbytes(size)
        part = 64 * KIB if size > 128 * KIB else None
        kept = self._random.choice(("crc64nvme", "crc32c", "sha256", None))
        with self._lock:
            self.versions.setdefault(key, []).append(content)
        self.server.put(key, S3Object(content, part_size=part, checksum=kept))

    def change(self):
        """Let one object be another one from now on."""
        key = self._random.choice(sorted(self.versions))
        old = len(self.versions[key][-1])
        self._put(key, self._random.choice((old, old, old + 1, max(1, old // 2))))

    def current(self):
        return {key: versions[-1] for key, versions in self.versions.items()}


class Vault:
    """A NeuroVault that fails at random."""

    def __init__(self, seed, chance):
        self.server = NeuroVault()
        self.dice = self.server._script = Dice(seed + 2, chance)
        self.server.vault.add_collection(1952, images=range(101, 109))
        self.server.vault.add_collection(7, images=(5, 6))
        self.contents = {
            f"collection_{collection}/image_{image}.nii.gz": self.server.vault.body(
                f"/media/images/{collection}/map_{image}.nii.gz"
            )
            for collection, images in ((1952, range(101, 109)), (7, (5, 6)))
            for image in images
        }
