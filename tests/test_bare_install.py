"""After `pip install neurofetch` alone: both of the user's pages run; what else is missing is told.

Each test is a process in which the libraries of the extras cannot be imported, as if they were not
installed.
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from neurofetch.console import ExitCode
from testbed.neurovault import NeuroVault
from tests.faces import LICENSE, make_s3

REPO = Path(__file__).resolve().parent.parent
EXTRAS = (
    "numpy", "pandas", "scipy", "sklearn", "duckdb", "nibabel", "isal", "nilearn", "zarr", "dask",
    "xarray", "matplotlib", "torch", "h5py", "PIL", "joblib", "pyarrow",
)  # fmt: skip
_BLOCK = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {extras!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture(scope="module")
def vault():
    with NeuroVault() as server:
        server.vault.add_collection(1952, images=range(101, 106))
        server.vault.add_collection(7, images=[5, 6, 7])
        yield server


@pytest.fixture(scope="module")
def s3():
    with make_s3() as server:
        yield server


@pytest.fixture
def bare(tmp_path, vault, s3):
    """Return a function that runs a script in such a process."""

    def run(script, *, lacks=EXTRAS):
        code = _BLOCK.format(extras=set(lacks)) + textwrap.dedent(script)
        data = tmp_path / "data"
        data.mkdir(exist_ok=True)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "XDG_CONFIG_HOME": str(tmp_path / ".config"),
            "XDG_CACHE_HOME": str(tmp_path / ".cache"),
            "AWS_ENDPOINT_URL": s3.url,
            "LAION_FMRI_DATA_DIR": str(data),
            "NEUROVAULT_API_URL": vault.api_url,
            "NEUROSYNTH_API_URL": vault.neurosynth_url,
            **LICENSE,
        }
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def test_the_page_of_neurovault_runs_with_nothing_but_the_package(bare):
    done = bare("""
        import json, pickle, copy
        from neurofetch.datasets import fetch_neurovault_ids

        first = fetch_neurovault_ids(collection_ids=[1952], image_ids=[6, "5"], verbose=0)
        again = fetch_neurovault_ids([1952], [6, 5], "offline", verbose=0)
        copied = pickle.loads(pickle.dumps(first))
        assert copied.images == first.images == first["images"] == again.images
        assert copy.deepcopy(first).images_meta == first.images_meta
        assert "images_meta" in dir(first) and not hasattr(first, "vocabulary")
        print(json.dumps({
            "ids": [meta["id"] for meta in first.images_meta],
            "collections": [meta["id"] for meta in first.collections_meta],
            "kinds": [type(first.images).__name__, type(first.images_meta[0]).__name__],
            "paths": first.images, "ok": first.report.ok, "about": first.description[:10],
        }))
        """)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ids"] == [101, 102, 103, 104, 105, 6, 5]
    assert found["collections"] == [1952] * 5 + [7, 7]
    assert found["kinds"] == ["list", "dict"]
    assert (found["ok"], found["about"]) == (True, "NeuroVault")
    assert all(Path(path).read_bytes()[:2] == b"\x1f\x8b" for path in found["paths"])


def test_filters_and_a_dry_run_and_verify_need_no_more(bare):
    done = bare("""
        from neurofetch.neurovault import IsIn, fetch_neurovault, plan_neurovault_ids, verify
        print(len(plan_neurovault_ids([7]).moving))
        found = fetch_neurovault(2, collection_id=7, image_terms={"id": IsIn(5, 7)}, verbose=0)
        print([meta["id"] for meta in found.images_meta], verify().ok)
        """)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["3", "[5, 7] True"]


def test_the_page_of_laion_fmri_runs_with_nothing_but_the_package(bare):
    done = bare("""
        import neurofetch, laion_fmri
        from laion_fmri.download import download

        print(download(subject="sub-03", ses="averages", progress=False).ok)
        print(download("03", ses=["ses-01", "averages"], suffix="statmap", progress=False).ok)
        """)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True"]


def test_what_the_engine_checks_without_isal_is_refused_as_with_it(bare, vault):
    """The class: a check that is weaker where a library is missing."""
    vault.vault.add_collection(66, images=[661, 662, 663])
    urls = [vault.vault.images[n]["file"] for n in (661, 662)]
    assert all("/66/" in url for url in urls)
    script = """
        import gzip, json
        from neurofetch.neurovault.cache.volume_check import DamagedVolumeError, check_volume
        header = bytearray(352)
        header[:4] = (348).to_bytes(4, "little")
        header[40:48] = b"\\3\\0\\2\\0\\2\\0\\2\\0"
        header[70:74] = b"\\2\\0\\10\\0"
        header[344:348] = b"n+1\\0"
        whole = gzip.compress(bytes(header) + bytes(8), mtime=0)
        wrong = bytearray(whole)
        wrong[-5] ^= 1
        cases = [whole, whole + whole[:0] + bytes(20), whole[:-4], bytes(wrong), whole + b"x",
                 gzip.compress(whole), gzip.compress(bytes(header)), b"<html>", b""]
        said = []
        for case in cases:
            open("v", "wb").write(case)
            try:
                check_volume("v")
                said.append("whole")
            except DamagedVolumeError as error:
                said.append(error.cause.partition(" (")[0])
        print(json.dumps(said))
        """
    without, with_all = bare(script), bare(script, lacks=())
    assert without.returncode == 0, without.stderr
    assert json.loads(without.stdout) == json.loads(with_all.stdout)
    assert json.loads(without.stdout).count("whole") == 3


CALLS = {
    "fetch_neurovault_ids([7], fetch_neurosynth_words=True)": "neurovault",
    "fetch_neurovault_ids([7], resample=True)": "resample",
    "fetch_neurovault(2, resample=True)": "resample",
    "fetch_neurovault(2, fetch_neurosynth_words=True)": "neurovault",
    "plan_neurovault_ids([7], resample=True)": "resample",
    "neurovault.images([7])": "neurovault",
    "neurovault.collections()": "neurovault",
    "neurovault.update_catalogue()": "neurovault",
    "neurovault.search('map')": "neurovault",
    "neurovault.catalogue().ids('map')": "neurovault",
    "neurovault.catalogue().update(images=[])": "neurovault",
    "__import__('neurofetch.index').index.index()": "index",
    "__import__('laion_fmri.subject')": "loader",
    "__import__('laion_fmri.group')": "loader",
    "__import__('laion_fmri.io')": "loader",
    "__import__('laion_fmri.brain')": "loader",
}


@pytest.mark.slow
def test_each_call_that_needs_an_extra_names_it_before_any_request(bare, vault):
    """The class: a library that is missed in the middle, after the bytes have come."""
    before = len(vault.requests())
    done = bare(f"""
        import json
        from neurofetch import neurovault
        from neurofetch.errors import UsageError
        from neurofetch.neurovault import (
            fetch_neurovault, fetch_neurovault_ids, plan_neurovault_ids)
        said = {{}}
        for call in {list(CALLS)!r}:
            try:
                said[call] = repr(eval(call))
            except ImportError as error:
                assert isinstance(error, UsageError)
                said[call] = str(error)
        print(json.dumps(said))
        """)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for call, extra in CALLS.items():
        assert f"pip install 'neurofetch[{extra}]'" in said[call], (call, said[call])
        assert "Nothing was done" in said[call]
    assert len(vault.requests()) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "lacks", "extra"),
    [
        ("__import__('laion_fmri.plotting').plotting.show('03', '01', out='x.png')",
         ("nilearn", "matplotlib"), "plot"),
        ("__import__('laion_fmri.subject').subject.load_subject('03')", ("nibabel",), "loader"),
        ("__import__('laion_fmri.subject').subject.Subject('sub-03', '.').betas",
         ("xarray",), "loader"),
        ("__import__('laion_fmri.subject').subject.Subject('sub-03', '.').to_torch_dataset('01')",
         ("torch",), "torch"),
        ("__import__('laion_fmri.io').io.index()", ("pandas",), "loader"),
        ("__import__('laion_fmri.io').io.load_nifti_mask('x.nii')", ("isal",), "loader"),
        ("__import__('laion_fmri.discovery').discovery.get_participants()", ("pandas",), "loader"),
    ],
)  # fmt: skip
def test_one_library_alone_that_is_missing_is_named_with_its_extra(bare, call, lacks, extra):
    done = bare(
        f"""
        try:
            {call}
        except ImportError as error:
            print(error)
        """,
        lacks=lacks,
    )
    assert f"pip install 'neurofetch[{extra}]'" in done.stdout, done.stderr
    assert lacks[0] in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "words", "extra"),
    [
        ("neurofetch._cli", "neurovault search map --update", "neurovault"),
        ("neurofetch._cli", "neurovault fetch --collection 7 --resample", "resample"),
        ("neurofetch._cli", "neurovault fetch --collection 7 --resample --dry-run", "resample"),
        ("neurofetch._cli", "index", "index"),
        ("laion_fmri.cli.main", "show --subject 03 --session 01 --out x.png", "plot"),
    ],
)
def test_each_command_that_needs_an_extra_ends_with_2_and_asks_nothing(
    bare, vault, s3, module, words, extra
):
    before = len(vault.requests()) + len(s3.requests())
    done = bare(f"""
        from {module} import main
        sys.exit(main({words.split()!r}))
        """)
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert f"pip install 'neurofetch[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(vault.requests()) + len(s3.requests()) == before


@pytest.mark.slow
def test_the_command_that_fetches_by_id_runs_and_words_need_numpy_alone(bare):
    done = bare("""
        from neurofetch._cli import main
        sys.exit(main("neurovault fetch --image 5 --fetch-neurosynth-words --json".split()))
        """)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"]
