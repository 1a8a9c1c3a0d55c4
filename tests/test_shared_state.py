"""What else lies on a disk of a file server: journals, listings, the cache of blocks, stores.

Two mounts of one folder stand for two hosts; each process works through one of them.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from laion_fmri.beta_store.read import Sources
from laion_fmri.volumes.masking import Voxels
from neurofetch.store.receipts import read_receipts
from testbed.neurovault import NeuroVault
from testbed.s3 import S3Object, S3Server
from tests.engine_world import noise
from tests.loader_files import GRID, make_image, naive, random_mask, write_image
from tests.shared_disk import shared_disk

pytestmark = pytest.mark.slow

LATE = 1.5
BAD = {
    "late": LATE, "without": ["symlink", "link"], "locks": "lie", "lost": 0.05, "grain": 2,
    "forgets": True, "numbers": True,
}  # fmt: skip
DISKS = {"late": {"late": LATE}, "no locks": BAD | {"locks": "ENOLCK"}, "all of it": BAD}
TREE = Path(__file__).parent.parent


@pytest.fixture(params=DISKS)
def hosts(tmp_path, request):
    """Give the folders through which two hosts see one; skip where they cannot be mounted."""
    server = tmp_path / "server"
    server.mkdir()
    with contextlib.ExitStack() as stack:
        found = []
        for number, name in enumerate(("a", "b")):
            (tmp_path / name).mkdir()
            how = DISKS[request.param] | {"seed": number + 1}
            where = stack.enter_context(shared_disk(tmp_path / name, server, **how))
            if where is None:
                pytest.skip("a file system cannot be mounted here")
            found.append(where)
        yield found


def start(*arguments, **environ):
    """Start Python with these arguments."""
    usual = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return subprocess.Popen(
        [sys.executable, "-W", "error", *map(str, arguments)],
        env=usual | {"PYTHONPATH": f"{TREE / 'src'}:{TREE}"} | environ,
        cwd=TREE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(processes):
    """Return what the processes printed; all of them must have ended well."""
    said = [process.communicate(timeout=90) for process in processes]
    codes = [process.returncode for process in processes]
    assert codes == [0] * len(codes), "\n".join(err[-3000:] for _, err in said)
    return [out for out, _ in said]


JOURNAL = """
import sys
from pathlib import Path
from neurofetch.model import Receipt, VerificationLevel
from neurofetch.store.receipts import Journal, read_receipts

state, name = Path(sys.argv[1]), sys.argv[2]
for run in range(6):
    journal = Journal(state)
    for n in range(20):
        path = f"{name}-{run}-{n}"
        journal.append(Receipt(path, "k", "", 1, 1, VerificationLevel.SIZE, "", n))
    journal.close()
    unread = read_receipts(state).unread
    assert not unread, unread
"""


def test_no_receipt_is_lost_where_hosts_merge_their_journals(hosts):
    state = "data/.neurofetch"
    ended([start("-c", JOURNAL, host / state, f"{host.name}{n}") for host in hosts for n in "12"])
    time.sleep(LATE)
    wanted = {
        f"{h}{p}-{run}-{n}" for h in "ab" for p in "12" for run in range(6) for n in range(20)
    }
    for host in hosts:
        assert set(read_receipts(host / state)) == wanted


def test_what_one_host_listed_the_other_goes_by_without_a_network(hosts):
    objects = {f"sub-{n:02}/f.nii": noise(2000, n) for n in range(8)}
    with S3Server({"b": {key: S3Object(body) for key, body in objects.items()}}) as s3:
        ask = {"AWS_ENDPOINT_URL_S3": s3.url}
        get = ["-m", "neurofetch", "get", "s3://b", "--progress", "none", "--dest"]
        ended([start(*get, host / "data", **ask) for host in hosts for _ in range(2)])
        assert len(s3.requests("GET", "sub*")) <= len(objects) + 1
        time.sleep(LATE)
        s3.clear_log()
        ended([start(*get, host / "data", "--offline", **ask) for host in hosts])
        assert s3.log == []


OPEN = """
import hashlib, sys
import neurofetch
for round in range(3):
    with neurofetch.open(sys.argv[1], block_size=65536, cache_dir=sys.argv[2]) as file:
        print(hashlib.sha256(file.read()).hexdigest(), flush=True)
"""


def test_opened_files_are_right_whatever_the_cache_lies_on(hosts):
    import hashlib  # noqa: PLC0415

    body = noise(3_000_000, 5)
    with S3Server({"b": {"a.bin": S3Object(body)}}) as s3:
        ask = {"AWS_ENDPOINT_URL_S3": s3.url}
        runs = [start("-c", OPEN, "s3://b/a.bin", h / "cache", **ask) for h in hosts for _ in "12"]
        said = ended(runs)
        wanted = hashlib.sha256(body).hexdigest()
        assert [out.split() for out in said] == [[wanted] * 3] * 4
        time.sleep(LATE)
        s3.clear_log()
        ended([start("-c", OPEN, "s3://b/a.bin", host / "cache", **ask) for host in hosts])
        assert sum(request.sent for request in s3.requests("GET", "a.bin")) < len(body)


STORE = """
import sys
from pathlib import Path
import numpy as np
from laion_fmri.beta_store.build import ensure
from laion_fmri.beta_store.read import Sources
from laion_fmri.volumes.masking import Voxels

root, indices = Path(sys.argv[1]), np.load(sys.argv[2])
grid = tuple(map(int, sys.argv[4].split(",")))
sources = Sources(root, (root / "sub/betas.nii.gz", root / "sub/mean.nii.gz"))
store = ensure(Path(sys.argv[3]), sources, Voxels(grid, indices))
np.save(sys.argv[5], store.read(np.arange(len(indices))))
"""


def test_hosts_that_build_one_store_read_the_same_betas(hosts, tmp_path):
    first = hosts[0] / "data"
    betas = write_image(first / "sub" / "betas.nii.gz", make_image("<f4", 11))
    write_image(first / "sub" / "mean.nii.gz", make_image("<f4", 0))
    mask = random_mask()
    voxels = Voxels.from_mask(mask, GRID)
    np.save(tmp_path / "indices.npy", voxels.indices)
    expected = naive(betas, mask)
    time.sleep(LATE + 4)  # the times of the sources are those that the disk keeps
    outs = [tmp_path / f"out{n}.npy" for n in range(4)]
    runs = [
        start(
            "-c", STORE, host / "data", tmp_path / "indices.npy",
            host / "data/derivatives/stores/sub-03/ses-01", ",".join(map(str, GRID)), out,
        )
        for host, out in zip(hosts * 2, outs, strict=True)
    ]  # fmt: skip
    ended(runs)
    for out in outs:
        assert np.array_equal(np.load(out), expected)
    assert Sources(first, ()).paths == ()


VAULT = """
import json, sys
from neurofetch.neurovault import fetch_neurovault_ids
bunch = fetch_neurovault_ids([1952, 7], data_dir=sys.argv[1], mode=sys.argv[2], verbose=0)
print(json.dumps(sorted(meta["id"] for meta in bunch.images_meta)))
"""
THEIRS = """
import json, sys
from nilearn.datasets import neurovault
bunch = neurovault.fetch_neurovault_ids(
    [1952, 7], data_dir=sys.argv[1], mode="offline", verbose=0, vectorize_words=False
)
print(json.dumps(sorted(meta["id"] for meta in bunch.images_meta)))
"""


def test_hosts_that_share_neurovaults_cache_fill_it_for_nilearn_too(hosts):
    images = [5, 6, 7, *range(101, 106)]
    with NeuroVault() as server:
        server.vault.add_collection(1952, images=images[3:])
        server.vault.add_collection(7, images=images[:3])
        ask = {"NEUROVAULT_API_URL": server.api_url, "NEUROSYNTH_API_URL": server.neurosynth_url}
        runs = [start("-c", VAULT, h / "nv", "download_new", **ask) for h in hosts for _ in "12"]
        assert [json.loads(out) for out in ended(runs)] == [images] * 4
        assert len([r for r in server.log if r.key.endswith(".nii.gz")]) <= len(images) + 1
        time.sleep(LATE + 4)
        server.clear_log()
        runs = [start("-c", VAULT, host / "nv", "offline", **ask) for host in hosts]
        runs.append(start("-W", "default", "-c", THEIRS, hosts[1] / "nv"))
        assert [json.loads(out.splitlines()[-1]) for out in ended(runs)] == [images] * 3
        assert server.log == []
