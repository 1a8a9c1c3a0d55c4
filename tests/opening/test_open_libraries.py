"""What people open files with: pandas, nibabel, h5py, Dask, Zarr, xarray, mne; and fsspec."""

import gzip
import io
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import fsspec
import numpy as np
import pytest

import neurofetch
import neurofetch.opening.filesystem as filesystem
from neurofetch.errors import MissingRemoteError, UsageError
from neurofetch.opening import cached_path
from tests.opening_world import BLOCK, REPO


@pytest.fixture
def fs(world):
    return filesystem.NeurofetchFileSystem(skip_instance_cache=True, block_size=BLOCK)


@pytest.fixture
def tree(world):
    """A small data set."""
    world.put("ds/README", b"hello")
    for sub in ("01", "02"):
        for name, data in (("T1w.nii.gz", b"volume" + sub.encode()), ("T1w.json", b"{}")):
            world.put(f"ds/sub-{sub}/anat/sub-{sub}_{name}", data)
    return world


# -- what there is -----------------------------------------------------------------------------


def test_listing_by_level(tree, fs):
    assert fs.ls("s3://b/ds", detail=False) == ["b/ds/README", "b/ds/sub-01", "b/ds/sub-02"]
    assert fs.ls("neurofetch://b/ds/sub-01/anat/", detail=True)[1] == {
        "name": "b/ds/sub-01/anat/sub-01_T1w.nii.gz",
        "size": 8,
        "type": "file",
        "ETag": tree.s3.stored("ds/sub-01/anat/sub-01_T1w.nii.gz").etag.strip('"'),
        "LastModified": "2026-03-14T09:26:53.000Z",
    }
    assert fs.ls("b/ds/README", detail=False) == ["b/ds/README"]
    before = len(tree.s3.requests())
    fs.ls("b/ds")
    assert len(tree.s3.requests()) == before
    tree.put("ds/CHANGES", b"")
    assert len(fs.ls("b/ds", refresh=True)) == 4
    fs.invalidate_cache()
    assert fs.dircache == {}


def test_find_glob_walk_and_du(tree, fs):
    all_files = fs.find("b/ds")
    assert len(all_files) == 5
    assert len(tree.s3.requests("LIST")) == 1
    assert fs.find("b/ds", detail=True)["b/ds/README"]["size"] == 5
    assert "b/ds/sub-01/anat" in fs.find("b/ds", withdirs=True)
    assert fs.find("b/ds", maxdepth=1) == ["b/ds/README"]
    assert fs.find("b/ds/README") == ["b/ds/README"]
    assert fs.find("b/nothing") == []
    volumes = [one for one in all_files if one.endswith(".nii.gz")]
    assert fs.glob("neurofetch://b/ds/sub-*/anat/*.nii.gz") == volumes
    assert fs.glob("b/ds/**/*.nii.gz") == volumes
    assert fs.glob("b/ds/sub-0?") == ["b/ds/sub-01", "b/ds/sub-02"]
    assert fs.glob("b/ds/none*") == []
    assert next(fs.walk("b/ds")) == (
        "b/ds",
        ["sub-01", "sub-02"],
        ["README"],
    )
    assert fs.du("b/ds") == 25


def test_odd_keys_are_found_and_lead_no_walk_astray(world, fs):
    keys = ["x/a", "x//y", "x/marker/f", "x/Icon\r", "x/q?.txt", "x/[1]"]
    for key in (*keys, "x/marker/"):
        world.put(key, key.encode())
    found = fs.find("b/x")
    assert found == sorted(f"b/{key}" for key in keys)
    assert all(fs.cat_file(name) == name[2:].encode() for name in found)
    names = ["b/x/Icon\r", "b/x/[1]", "b/x/a", "b/x/marker", "b/x/q?.txt"]
    assert fs.ls("b/x", detail=False) == names
    fs.invalidate_cache()
    assert fs.ls("b/x", detail=False) == names
    walked = [f"{top}/{file}" for top, _, files in fs.walk("b/x") for file in files]
    assert sorted(walked) == sorted({*found} - {"b/x//y"})


def test_info_and_its_kin(tree, fs):
    assert fs.info("s3://b/ds/README")["size"] == 5
    assert fs.info("b/ds/sub-01") == {"name": "b/ds/sub-01", "size": 0, "type": "directory"}
    assert fs.info("b")["type"] == "directory"
    assert (fs.exists("b/ds/README"), fs.exists("b/ds/nothing"), fs.exists("")) == (
        True,
        False,
        True,
    )
    assert (fs.isdir("b/ds"), fs.isfile("b/ds"), fs.isfile("b/ds/README")) == (True, False, True)
    assert fs.stat("b/ds/README")["name"] == "b/ds/README"
    assert fs.modified("b/ds/README").isoformat() == "2026-03-14T09:26:53+00:00"
    one = fs.checksum("b/ds/README"), fs.ukey("b/ds/README")
    tree.put("ds/README", b"world")
    fs.invalidate_cache()
    assert one[0] != fs.checksum("b/ds/README")
    assert one[1] != fs.ukey("b/ds/README")


def test_exists_does_not_say_no_where_the_server_does_not_answer(tree, fs):
    """fsspec's own would take an outage for a file that is not there."""
    tree.s3.fault(status=403)
    for ask in (fs.exists, fs.isfile, fs.isdir):
        with pytest.raises(PermissionError):
            ask("b/ds/README")


def test_reading_through_the_file_system(tree, fs):
    assert fs.cat_file("b/ds/README") == b"hello"
    assert fs.cat_file("b/ds/README", 1, -1) == b"ell"
    assert fs.cat_file("b/ds/README", -2) == b"lo"
    assert fs.cat_ranges(["b/ds/README"] * 2, [0, 3], [2, 9]) == [b"he", b"lo"]
    assert set(fs.cat("b/ds/sub-01", recursive=True).values()) == {b"volume01", b"{}"}
    assert (fs.head("b/ds/README", 2), fs.tail("b/ds/README", 2)) == (b"he", b"lo")
    assert fs.read_text("b/ds/README") == "hello"
    assert fs.read_block("b/ds/README", 1, 3) == b"ell"
    mapper = fs.get_mapper("b/ds")
    assert mapper["README"] == b"hello"
    assert "sub-01/anat/sub-01_T1w.json" in mapper
    with pytest.raises(KeyError):
        mapper["nothing"]
    with pytest.raises(MissingRemoteError):
        fs.cat_file("b/ds/nothing")
    assert fs.cached_path("b/ds/README").read_bytes() == b"hello"


def test_a_copy_has_its_name_only_when_it_is_whole_and_verified(tree, fs, tmp_path):
    data = tree.put_noise("large", blocks=20)
    seen = fsspec.callbacks.Callback()
    fs.get_file("b/large", tmp_path / "there" / "large", callback=seen)
    assert (tmp_path / "there" / "large").read_bytes() == data
    assert (seen.size, seen.value) == (len(data), len(data))
    tree.s3.fault(key="large", method="GET", flip=3)
    bare = filesystem.NeurofetchFileSystem(cache_dir=False, block_size=BLOCK)
    with pytest.raises(ValueError, match="differ"):
        bare.get_file("b/large", str(tmp_path / "wrong"))
    assert sorted(one.name for one in tmp_path.iterdir() if "cache" not in one.name) == ["there"]
    target = io.BytesIO()
    fs.get_file("b/ds/README", target)
    assert target.getvalue() == b"hello"


def test_urls_of_all_forms_lead_to_one_file(tree, fs):
    for url in ("b/ds/README", "s3://b/ds/README", "neurofetch://b/ds/README",
                "neurofetch://s3://b/ds/README", f"{tree.s3.url}/b/ds/README"):  # fmt: skip
        assert fs._strip_protocol(url) in ("b/ds/README", f"{tree.s3.url}/b/ds/README")
        with fs.open(url) as file:
            assert file.read() == b"hello"
    assert fs.unstrip_protocol("b/ds") == "neurofetch://b/ds"
    assert (fs._parent("b/ds/README"), fs._parent("b"), fs._parent("")) == ("b/ds", "", "")
    assert fs._parent("https://h/x/y?z=1/2") == "https://h/x"
    assert fs._parent("https://h") == ""


def test_fsspec_finds_it_by_the_entry_point_that_pyproject_declares(tree, tmp_path):
    """In a process that has not imported it, as after `pip install`."""
    points = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["entry-points"]
    info = tmp_path / "site" / "stand_in-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stand-in\nVersion: 0\n")
    lines = [f"{name} = {place}" for name, place in points["fsspec.specs"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[fsspec.specs]", *lines]))
    script = (
        "import sys, fsspec; assert 'neurofetch' not in sys.modules\n"
        "with fsspec.open('neurofetch://b/ds/README') as file: print(file.read())\n"
        "print(fsspec.filesystem('neurofetch').ls('b/ds', detail=False)[0])"
    )
    path = os.pathsep.join(filter(None, [str(info.parent), os.environ.get("PYTHONPATH", "")]))
    done = tree.process(script, PYTHONPATH=path)
    out, error = done.communicate(timeout=60)
    assert done.returncode == 0, error
    assert out.split("\n")[:2] == ["b'hello'", "b/ds/README"]


def test_open_needs_no_library_of_others_and_importing_loads_none(tree):
    script = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in {'fsspec', 'numpy', 'pandas', 'botocore'}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import neurofetch\n"
        "assert 'neurofetch.opening' not in sys.modules\n"
        "with neurofetch.open('s3://b/ds/README', 'r') as file: print(file.read())"
    )
    out, error = tree.process(script).communicate(timeout=60)
    assert out == "hello\n", error


def test_fsspecs_own_ways_in(tree, fs):
    with fsspec.open("neurofetch://b/ds/README", "rt") as file:
        assert file.read() == "hello"
    files = fsspec.open_files("neurofetch://b/ds/sub-*/anat/*.json")
    assert len(files) == 2
    found, path = fsspec.url_to_fs("neurofetch://s3://b/ds/README", block_size=BLOCK)
    assert (type(found), path) == (type(fs), "b/ds/README")
    again = type(fs).from_json(fs.to_json())
    assert again.cat("b/ds/README") == b"hello"
    tree.put("ds/z.txt.gz", gzip.compress(b"packed"))
    with fs.open("b/ds/z.txt.gz", "rt", compression="infer") as file:
        assert file.read() == "packed"


# -- libraries ---------------------------------------------------------------------------------


def test_pandas_reads_a_table(world, fs):
    import pandas as pd

    world.put("ds/participants.tsv", b"participant_id\tage\nsub-01\t30\nsub-02\t41\n")
    world.put("ds/more.tsv.gz", gzip.compress(b"a\tb\n1\t2\n"))
    table = pd.read_csv("neurofetch://b/ds/participants.tsv", sep="\t")
    assert list(table["age"]) == [30, 41]
    assert pd.read_csv("neurofetch://s3://b/ds/more.tsv.gz", sep="\t")["b"][0] == 2
    with neurofetch.open("s3://b/ds/participants.tsv") as file:
        assert len(pd.read_csv(file, sep="\t")) == 2
    with pytest.raises(FileNotFoundError):
        pd.read_csv("neurofetch://b/ds/nothing.tsv")


def test_pandas_reads_columns_of_a_parquet_file(world):
    import pandas as pd

    table = pd.DataFrame({"a": np.arange(50_000.0), "b": np.random.default_rng(0).random(50_000)})
    local = io.BytesIO()
    table.to_parquet(local)
    world.put("t.parquet", local.getvalue())
    read = pd.read_parquet("neurofetch://b/t.parquet", columns=["a"])
    assert read["a"].sum() == table["a"].sum()


def volume(shape=(20, 20, 20, 6)):
    import nibabel as nib

    data = np.random.default_rng(0).integers(0, 999, shape, dtype=np.int16)
    return nib.Nifti1Image(data, np.eye(4)), data


def test_nibabel_reads_a_slice_from_a_stream(world):
    import nibabel as nib

    image, data = volume((64, 64, 40, 6))
    world.put("v.nii", image.to_bytes())
    with neurofetch.open("s3://b/v.nii", block_size=BLOCK) as file:
        holder = nib.FileHolder(fileobj=file)
        lazy = nib.Nifti1Image.from_file_map({"header": holder, "image": holder})
        assert np.array_equal(lazy.dataobj[..., 3], data[..., 3])
    assert world.served() < len(image.to_bytes()) / 2


def test_nibabel_reads_a_gzipped_volume_from_fsspec(world, fs):
    import nibabel as nib

    image, data = volume()
    world.put("v.nii.gz", gzip.compress(image.to_bytes()))
    with fs.open("b/v.nii.gz", compression="gzip") as file:
        assert np.array_equal(nib.Nifti1Image.from_stream(file).get_fdata(), data)


def test_nibabel_maps_a_cached_path_into_memory(world):
    import nibabel as nib

    image, data = volume()
    world.put("ds/v.nii", image.to_bytes())
    loaded = nib.load(cached_path("s3://b/ds/v.nii"), mmap="r")
    mapped = np.asanyarray(loaded.dataobj)
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(mapped, data)


def test_h5py_reads_a_part_of_a_dataset(world):
    import h5py

    values = np.random.default_rng(0).random((200, 1000))
    local = io.BytesIO()
    with h5py.File(local, "w") as file:
        file.create_dataset("x", data=values, chunks=(10, 1000))
    world.put("x.h5", local.getvalue())
    with neurofetch.open("s3://b/x.h5", block_size=BLOCK) as file, h5py.File(file, "r") as opened:
        assert np.array_equal(opened["x"][30:35], values[30:35])
    assert world.served() < len(local.getvalue()) / 2


def test_numpy_loads_arrays(world):
    local = io.BytesIO()
    np.savez(local, a=np.arange(9), b=np.ones(3))
    world.put("x.npz", local.getvalue())
    with neurofetch.open("s3://b/x.npz") as file, np.load(file) as loaded:
        assert loaded["a"].sum() == 36


def test_dask_reads_bytes_and_tables_in_its_workers(world, fs):
    import dask.bytes
    import dask.dataframe as dd

    for number in range(4):
        rows = "".join(f"{number},{row}\n" for row in range(2000))
        world.put(f"t/{number}.csv", f"n,row\n{rows}".encode())
    table = dd.read_csv("neurofetch://b/t/*.csv", blocksize=5000)
    assert table.npartitions > 4
    assert table["row"].sum().compute(scheduler="threads") == 4 * 1999 * 1000
    _, blocks = dask.bytes.read_bytes("neurofetch://b/t/*.csv", delimiter=b"\n", blocksize=4000)
    read = b"".join(block.compute(scheduler="sync") for file in blocks for block in file)
    assert read.count(b"\n") == 8004


@pytest.mark.slow
def test_dask_reads_in_processes(world):
    script = (
        "import dask.dataframe as dd\n"
        "if __name__ == '__main__':\n"
        "    table = dd.read_csv('neurofetch://b/t.csv', blocksize=2000)\n"
        "    print(table['row'].sum().compute(scheduler='processes', num_workers=2))"
    )
    world.put("t.csv", ("row\n" + "".join(f"{row}\n" for row in range(2000))).encode())
    path = world.tmp / "script.py"
    path.write_text("import neurofetch.opening.filesystem\n" + script)
    done = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ},
        cwd=REPO,
    )
    assert done.stdout.strip() == str(1999 * 1000), done.stderr


def test_zarr_and_xarray_read_a_store(world, fs, tmp_path):
    import xarray as xr
    import zarr

    values = np.arange(10_000.0).reshape(100, 100)
    local = tmp_path / "x.zarr"
    xr.Dataset({"v": (("x", "y"), values)}).to_zarr(local, zarr_format=2, consolidated=True)
    for path in local.rglob("*"):
        if path.is_file():
            world.put(f"x.zarr/{path.relative_to(local)}", path.read_bytes())
    group = zarr.open_group(
        zarr.storage.FsspecStore.from_mapper(fs.get_mapper("b/x.zarr"))
        if not hasattr(zarr.storage, "FsspecStore")
        else zarr.storage.FsspecStore.from_url("neurofetch://b/x.zarr", read_only=True),
        mode="r",
    )
    assert group["v"][3, 4] == values[3, 4]
    opened = xr.open_zarr("neurofetch://b/x.zarr", chunks=None)
    assert np.array_equal(opened["v"].to_numpy(), values)


def test_mne_reads_a_recording_by_its_path(world, tmp_path):
    mne = pytest.importorskip("mne")
    raw = mne.io.RawArray(np.random.default_rng(0).random((2, 500)), mne.create_info(2, 100.0))
    local = tmp_path / "sub-01_raw.fif"
    raw.save(local)
    world.put("ds/meg/sub-01_raw.fif", local.read_bytes())
    read = mne.io.read_raw_fif(cached_path("s3://b/ds/meg/sub-01_raw.fif"))
    assert np.allclose(read.get_data(), raw.get_data())


def test_a_library_that_wants_a_path_gets_one_with_the_right_ending(world):
    world.put("ds/sub-01_task-rest_eeg.json", json.dumps({"x": 1}).encode())
    path = cached_path("s3://b/ds/sub-01_task-rest_eeg.json")
    assert path.name == "sub-01_task-rest_eeg.json"
    assert json.loads(Path(path).read_text()) == {"x": 1}


def test_which_buckets_there_are_cannot_be_listed(world, fs):
    for url in ("", "s3://", "neurofetch://"):
        with pytest.raises(UsageError, match="Name one"):
            fs.ls(url)
