"""A lock in the formats of other tools, as these tools read it."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import neurofetch
from neurofetch.errors import UsageError
from neurofetch.lockfile.lock import Lock
from neurofetch.lockfile.values import Head, LockedFile
from testbed.s3 import S3Server
from tests.display.schema import judge
from tests.faces import Shell
from tests.lockfile_world import FILES, sha256

ODD = {
    "a b.txt": b"1",
    "back\\slash": b"2",
    'quote".txt': b"3",
    "apostrophe's": b"4",
    "# comment": b"5",
    " leading": b"6",
    "ünïcode/日本.tsv": b"7",
    "-rf": b"8",
    "*star": b"9",
}
LINES = {"new\nline": b"10", "Icon\r": b"11", "both\\and\n": b"12"}


def locked(root, files, base="https://h/ds/", **head):
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    rows = tuple(
        LockedFile(
            path,
            len(content),
            (f"md5:{md5(content)}", f"sha256:{sha256(content)}"),
            base and f"{base}{number}",
        )
        for number, (path, content) in enumerate(sorted(files.items()))
    )
    size = sum(one.size for one in rows)
    return Lock(Head("s3://b/ds", "bids", files=len(rows), bytes=size, **head), rows)


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


# -- sha256sum -------------------------------------------------------------------------------------


def checked(root, manifest, *flags):
    (root.parent / "manifest").write_bytes(manifest)
    return subprocess.run(
        ["sha256sum", "-c", *flags, "../manifest"], cwd=root, capture_output=True, check=False
    )


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="there is no sha256sum here")
def test_sha256sum_reads_every_name_there_is(root):
    files = FILES | ODD | LINES
    manifest = locked(root, files).export("sha256sum")
    done = checked(root, manifest, "--strict")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(b": OK\n") == len(files)
    command = ["sha256sum", "--", *sorted(files)]
    assert manifest == subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
    (root / "new\nline").write_bytes(b"other")
    assert checked(root, manifest).returncode == 1


# -- pooch -----------------------------------------------------------------------------------------


def test_pooch_fetches_what_its_registry_names(root, tmp_path):
    pooch = pytest.importorskip("pooch")
    files = FILES | {name: one for name, one in ODD.items() if name not in ("-rf", " leading")}
    lock = locked(root, files)
    with S3Server({"b": {f"ds/{n}": c for n, c in enumerate_of(lock, files)}}) as s3:
        moved = tuple(
            one._replace(url=f"{s3.url}/b/ds/{number}") for number, one in enumerate(lock)
        )
        registry = tmp_path / "registry.txt"
        Lock(lock.head, moved).write(registry, "pooch")
        fetcher = pooch.create(path=tmp_path / "cache", base_url="")
        fetcher.load_registry(registry)
        assert set(fetcher.registry) == set(files)
        for path, content in files.items():
            with open(fetcher.fetch(path, progressbar=False), "rb") as file:
                assert file.read() == content


def enumerate_of(lock, files):
    return ((str(number), files[one.path]) for number, one in enumerate(lock))


def test_a_registry_of_pooch_cannot_have_every_name(root):
    with pytest.raises(UsageError, match="end of a line"):
        locked(root, LINES).export("pooch")


# -- croissant -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # rdflib's own
def test_croissant_is_valid_and_has_every_file(root, tmp_path):
    mlcroissant = pytest.importorskip("mlcroissant")
    lock = locked(
        root,
        FILES | ODD,
        name="Two subjects",
        version="1.0.2",
        license="CC0",
        doi="doi:10.18112/openneuro.ds000246.v1.0.1",
    )
    path = lock.write(tmp_path / "croissant.json", "croissant")
    found = mlcroissant.Dataset(jsonld=path)
    assert not found.metadata.ctx.issues.errors
    assert found.metadata.name == "Two subjects"
    assert found.metadata.version == "1.0.2"
    assert found.metadata.license == ["https://creativecommons.org/publicdomain/zero/1.0/"]
    files = {one.name: one for one in found.metadata.distribution}
    assert files["README"].id == "README"
    assert set(files) == {one.path for one in lock}
    for one in lock:
        assert files[one.path].sha256 == one.hash("sha256")
        assert files[one.path].content_url == one.url
        assert files[one.path].content_size == f"{one.size} B"
    done = subprocess.run(
        [Path(sys.executable).with_name("mlcroissant"), "validate", "--jsonld", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.lower().replace("0 error", "")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # rdflib's own
def test_croissant_of_a_data_set_that_says_nothing_of_itself(root, tmp_path):
    mlcroissant = pytest.importorskip("mlcroissant")
    path = locked(root, {"a": b"1"}, base="").write(tmp_path / "c.json", "croissant")
    found = mlcroissant.Dataset(jsonld=path)
    assert found.metadata.name == "ds"
    assert json.loads(path.read_bytes())["distribution"][0]["contentUrl"] == "a"


# -- a data package --------------------------------------------------------------------------------

#: https://datapackage.org/standard/data-package/ and data-resource/, as far as it is about files.
RULES = {
    "type": "object",
    "required": ["resources"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "name": {"type": "string", "pattern": r"^[a-z0-9._-]+$"},
        "version": {"type": "string"},
        "licenses": {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [{"required": ["name"]}, {"required": ["path"]}]},
        },
        "sources": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        "resources": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "path"],
                "properties": {
                    "name": {"type": "string", "pattern": r"^[a-z0-9._-]+$"},
                    "path": {"type": "string", "pattern": r"^(?!/)(?!.*(^|/)\.\.(/|$))"},
                    "bytes": {"type": "integer"},
                    "hash": {"type": "string", "pattern": r"^(sha256:)?[0-9a-f]+$"},
                    "mediatype": {"type": "string"},
                },
            },
        },
    },
}


def test_a_data_package_keeps_the_rules_of_the_standard(root, tmp_path):
    lock = locked(
        root, FILES | ODD, name="Two subjects", version="1.0.2", license="CC0", doi="doi:10.1/x"
    )
    path = lock.write(root / "datapackage.json", "datapackage")
    said = json.loads(path.read_bytes())
    judge(RULES).validate(said)
    names = [one["name"] for one in said["resources"]]
    assert len(set(names)) == len(names) == len(lock)
    for one, file in zip(said["resources"], lock, strict=True):
        assert (one["bytes"], one["hash"]) == (file.size, f"sha256:{file.hash('sha256')}")
        assert re.fullmatch(r"[\w.+-]+/[\w.+-]+", one["mediatype"])


def test_a_data_package_is_read_by_frictionless(root):
    frictionless = pytest.importorskip("frictionless")
    lock = locked(root, FILES)
    path = lock.write(root / "datapackage.json", "datapackage")
    package = frictionless.Package(str(path))
    assert len(package.resources) == len(FILES)
    assert frictionless.Package.validate_descriptor(str(path)).valid


# -- in general ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["sha256sum", "pooch", "croissant", "datapackage"])
def test_an_export_is_the_same_bytes_each_time(root, form):
    lock = locked(root, FILES, name="x")
    assert lock.export(form) == lock.export(form)
    assert lock.export("lock") == b"".join(lock.lines())


@pytest.mark.parametrize("form", ["sha256sum", "pooch", "croissant", "datapackage"])
def test_an_export_needs_a_hash_that_the_other_tool_knows(form):
    lock = Lock(Head(files=1, bytes=1), (LockedFile("a", 1, ("git:" + "0" * 40,)),))
    with pytest.raises(UsageError, match=f"has no SHA-256.*{form}.*without --quick"):
        lock.export(form)


def test_there_is_no_other_format(root):
    with pytest.raises(UsageError, match="Choose one of lock, sha256sum"):
        locked(root, {"a": b""}).export("zip")


@pytest.mark.slow
def test_the_command_exports_a_directory_or_a_lock(root, tmp_path):
    lock = locked(root, {"a": b"1"})
    shell = Shell(tmp_path, "")
    lock.write(tmp_path / "a.lock")
    for form in ("sha256sum", "pooch", "croissant", "datapackage"):
        assert shell(f"neurofetch lock a.lock --format {form}").out.encode() == lock.export(form)
    done = shell("neurofetch lock data --all --format sha256sum --out SHA256SUMS")
    assert done.code == 0, done.err
    assert shell("cd data && sha256sum -c ../SHA256SUMS").out == "a: OK\n"
    assert neurofetch.lock(tmp_path / "a.lock") == lock
