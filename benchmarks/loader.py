"""The loader on a session of the true grid: 143³, 200 volumes, 265,000 brain voxels (made up).

Every figure is the median of runs in processes of their own, taken in turn; memory is the peak of
the whole process (VmHWM). Each way of reading first checks out as equal to nibabel's values.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORK = Path(__file__).parent / "work" / "loader"
GRID = (143, 143, 143)
VOLUMES = 200
REPEATS = 3
MILLIMETRES = 1.8
GLM = "derivatives/glmsingle-tedana/sub-01"
BETAS = (
    f"{GLM}/ses-01/func/sub-01_ses-01_task-images_space-T1w_stat-effect_"
    "desc-SingletrialBetas_statmap.nii.gz"
)
TRIALS = f"{GLM}/ses-01/func/sub-01_ses-01_task-images_desc-SingletrialBetas_trials.tsv"
MEAN = f"{GLM}/sub-01_task-images_space-T1w_stat-rsquare_desc-R2mean_statmap.nii.gz"
ROI = "derivatives/rois/sub-01/face/sub-01_space-T1w_res-1pt8_label-FFA1_mask.nii.gz"

#: What each process does; `root` is the data directory, `timed` takes the seconds of a call.
_WAYS = {
    "igzip alone, no masking": """
from isal import igzip
buffer = bytearray(1 << 20)
def run():
    with igzip.open(root / betas, "rb") as file:
        while file.readinto(buffer):
            pass
timed(run)
""",
    "nibabel: load, then mask": """
import nibabel as nib
mask = np.nan_to_num(np.asarray(nib.load(root / mean).dataobj)) > 0
values = timed(lambda: np.asarray(nib.load(root / betas).dataobj)[mask].T)
""",
    "ours: whole brain, from the file": """
from laion_fmri.subject import load_subject
sub = load_subject("01", data_dir=root, store="off")
values = timed(lambda: sub.get_betas("ses-01"))
""",
    "ours: whole brain, from the store": """
from laion_fmri.subject import load_subject
sub = load_subject("01", data_dir=root, store="read")
values = timed(lambda: sub.get_betas("ses-01"))
""",
    "ours: an ROI, from the file": """
from laion_fmri.subject import load_subject
sub = load_subject("01", data_dir=root, store="off")
values = timed(lambda: sub.get_betas("ses-01", roi="FFA1"))
""",
    "ours: an ROI, first call, builds the store": """
from laion_fmri.subject import load_subject
sub = load_subject("01", data_dir=root)
sub.remove_store()
values = timed(lambda: sub.get_betas("ses-01", roi="FFA1"))
""",
    "ours: an ROI, from the store, new process": """
from laion_fmri.subject import load_subject
sub = load_subject("01", data_dir=root, store="read")
values = timed(lambda: sub.get_betas("ses-01", roi="FFA1"))
""",
    "ours: an ROI, from the store, second call": """
from laion_fmri.subject import load_subject
sub = load_subject("01", data_dir=root, store="read")
sub.get_betas("ses-01", roi="FFA1")
values = timed(lambda: sub.get_betas("ses-01", roi="FFA1"))
""",
}

_FRAME = """
import json, sys, time
from pathlib import Path
import numpy as np
root, betas, mean = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
seconds, values = [], None
def timed(call):
    begin, worked = time.perf_counter(), time.process_time()
    result = call()
    seconds.extend([time.perf_counter() - begin, time.process_time() - worked])
    return result
{way}
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) / 1000
shape = [] if values is None else list(values.shape)
total = 0.0 if values is None else float(np.abs(values).sum(dtype=np.float64))
print(json.dumps([*seconds, peak, shape, total]))
"""


_POOLS = {
    "1 thread": "sub.build_store(n_jobs=1)",
    "2 threads": "sub.build_store(n_jobs=2)",
    "1 process": "in_pool(1)",
    "2 processes": "in_pool(2)",
}
_STORES = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from laion_fmri.subject import load_subject
sub = load_subject("01", data_dir=root)
sub.remove_store()
def in_pool(count):
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        sub.build_store(executor=pool)
timed(lambda: {call})
sub.remove_store()
"""


class Sample(NamedTuple):
    """One run: wall and processor seconds, peak megabytes, shape and sum of the result."""

    seconds: float
    cpu: float
    peak: float
    shape: list[int]
    total: float


def main() -> None:
    """Make the session once, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=VOLUMES)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--stores", action="store_true", help="only build stores of four sessions")
    arguments, _ = parser.parse_known_args()
    root = _session(arguments.volumes)
    if arguments.stores:
        _report_stores(root, arguments.repeats)
        return
    samples: dict[str, list[Sample]] = {name: [] for name in _WAYS}
    for _ in range(arguments.repeats):
        shutil.rmtree(root / ".laion_fmri", ignore_errors=True)
        for name in _order():
            samples[name].append(_run(root, _WAYS[name]))
    _report(samples, root)


def _report_stores(root: Path, repeats: int) -> None:
    """Build the stores of four equal sessions in threads and in processes, in turn."""
    for number in (2, 3, 4):
        for name in (BETAS, TRIALS):
            path = root / name.replace("ses-01", f"ses-{number:02}")
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.hardlink_to(root / name)
    samples: dict[str, list[Sample]] = {name: [] for name in _POOLS}
    for _ in range(repeats):
        for name, call in _POOLS.items():
            samples[name].append(_run(root, _STORES.format(call=call)))
    one = _median(samples["1 thread"], "seconds")
    print(f"stores of 4 sessions of {root.name}; processes have started anew, numpy and all")
    for name, runs in samples.items():
        seconds = _median(runs, "seconds")
        print(f"  {name:<14}{seconds:>8.2f} s   {one / seconds:.2f} times as fast as 1 thread")


def _order() -> list[str]:
    """Put the way that builds the store before those that read it."""
    names = list(_WAYS)
    builds = "ours: an ROI, first call, builds the store"
    names.remove(builds)
    names.insert(2, builds)
    return names


def _run(root: Path, way: str) -> Sample:
    code = _FRAME.format(way=way)
    command = [sys.executable, "-c", code, str(root), BETAS, MEAN]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Sample(*json.loads(done.stdout))


def _median(samples: list[Sample], field: str) -> float:
    return float(statistics.median(getattr(sample, field) for sample in samples))


def _report(samples: dict[str, list[Sample]], root: Path) -> None:
    size = (root / BETAS).stat().st_size / 1e6
    shape = samples["nibabel: load, then mask"][0].shape
    print(f"{shape[0]} volumes of {GRID}, {shape[1]} brain voxels; {size:.0f} MB gzipped")
    print(f"  {'':<44}{'seconds':>9}{'(spread)':>18}{'cpu s':>8}{'peak MB':>9}  result")
    for name, runs in samples.items():
        seconds = [run.seconds for run in runs]
        spread = f"({min(seconds):.4f}-{max(seconds):.4f})"
        result = f"{runs[0].shape}" if runs[0].shape else ""
        line = f"  {name:<44}{_median(runs, 'seconds'):>9.4f}{spread:>18}"
        print(f"{line}{_median(runs, 'cpu'):>8.3f}{_median(runs, 'peak'):>9.0f}  {result}")
    _check(samples)
    _ratios(samples)


def _check(samples: dict[str, list[Sample]]) -> None:
    """Say whether all ways gave the same values (sums of absolute values in float64)."""
    for what in ("whole brain", "an ROI"):
        totals = [runs[0].total for name, runs in samples.items() if what in name]
        if what == "whole brain":
            totals.append(samples["nibabel: load, then mask"][0].total)
        print(f"  {what}: {'same values' if np.ptp(totals) < 1e-6 * totals[0] else 'THEY DIFFER'}")


def _ratios(samples: dict[str, list[Sample]]) -> None:
    naive, ours = samples["nibabel: load, then mask"], samples["ours: whole brain, from the file"]
    plain = samples["igzip alone, no masking"]
    filed = samples["ours: an ROI, from the file"]
    stored = samples["ours: an ROI, from the store, second call"]
    faster = _median(naive, "seconds") / _median(ours, "seconds")
    memory = _median(ours, "peak") / _median(naive, "peak")
    roi = _median(filed, "seconds") / _median(stored, "seconds")
    limit = _median(ours, "seconds") / _median(plain, "seconds")
    work = _median(naive, "cpu") / _median(ours, "cpu")
    rows = [
        ("whole brain, nibabel over ours, time", faster, "4 or more", faster >= 4),
        ("whole brain, nibabel over ours, processor", work, "", True),
        ("whole brain, ours over nibabel, memory", memory, "0.1 or less", memory <= 0.1),
        ("ROI, file over store, time", roi, "100 or more", roi >= 100),
        ("forward pass over decompression alone, time", limit, "near 1", True),
    ]
    for what, value, goal, met in rows:
        wish = f"   goal: {goal}" if goal else ""
        print(f"  {what:<46}{value:>8.2f}{wish}{'' if met else '  MISSED'}")


def _session(volumes: int) -> Path:
    """Make the session, or take the one that an earlier run made."""
    root = WORK / f"{volumes}-volumes"
    done = root / "complete"
    if done.exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    mask = _ellipsoid((36.0, 44.0, 40.0), (71.0, 71.0, 71.0))
    rng = np.random.default_rng(0)
    _write_map(root / MEAN, mask * rng.uniform(1, 40, GRID))
    _write_map(root / ROI, _ellipsoid((4.0, 3.6, 3.6), (95.0, 50.0, 55.0)).astype(np.float32))
    _write_trials(root / TRIALS, volumes)
    _write_betas(root / BETAS, mask, volumes, rng)
    done.touch()
    return root


def _ellipsoid(axes: tuple[float, ...], centre: tuple[float, ...]) -> NDArray[np.bool_]:
    places = np.stack(np.meshgrid(*map(np.arange, GRID), indexing="ij"), axis=-1)
    inside: NDArray[np.bool_] = (((places - centre) / axes) ** 2).sum(axis=-1) < 1
    return inside


def _affine() -> NDArray[np.float64]:
    affine = np.diag([MILLIMETRES, MILLIMETRES, MILLIMETRES, 1.0])
    affine[:3, 3] = -MILLIMETRES * 71
    return affine


def _write_map(path: Path, values: NDArray[np.floating]) -> None:
    import nibabel as nib  # noqa: PLC0415 - only when the session is made

    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values.astype(np.float32), _affine()), path)


def _write_trials(path: Path, volumes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"ses-01\t{n // 100 + 1}\t{n}\tshared_{n:04}.jpg" for n in range(volumes)]
    path.write_text("\n".join(["session\trun\tbeta_index\tlabel", *rows]) + "\n")


def _write_betas(
    path: Path, mask: NDArray[np.bool_], volumes: int, rng: np.random.Generator
) -> None:
    """Write noise with a fixed pattern in the brain and zeros outside, as real betas are."""
    import nibabel as nib  # noqa: PLC0415
    from isal import igzip  # noqa: PLC0415

    header = nib.Nifti1Header()
    header.set_data_shape((*GRID, volumes))
    header.set_data_dtype(np.float32)
    header.set_sform(_affine(), 1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    places = np.flatnonzero(mask.ravel(order="F"))
    pattern = rng.standard_normal(places.size, dtype=np.float32)
    volume = np.zeros(mask.size, dtype="<f4")
    opener: Any = igzip.open
    with opener(path, "wb", compresslevel=1) as file:
        file.write(header.binaryblock + b"\0" * 4)
        for _ in range(volumes):
            volume[places] = pattern + 1.5 * rng.standard_normal(places.size, dtype=np.float32)
            file.write(volume.tobytes())


if __name__ == "__main__":
    main()
