"""Those who come from openneuro-py find what they know, and are told what is otherwise."""

import pytest

import neurofetch
from neurofetch.errors import UnknownArgumentError, UsageError
from testbed.openneuro import OpenNeuro, small_tree
from tests.faces import Shell

TREE = small_tree()


@pytest.fixture
def site(monkeypatch, tmp_path):
    with OpenNeuro() as server:
        server.add("ds000001", {"1.0.0": TREE})
        monkeypatch.setenv("OPENNEURO_URL", server.url)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        monkeypatch.delenv("OPENNEURO_API_KEY", raising=False)
        monkeypatch.chdir(tmp_path)
        yield server


@pytest.fixture
def shell(tmp_path, site):
    made = Shell(tmp_path, "")
    made.env["OPENNEURO_URL"] = site.url
    return made


def names(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".neurofetch" not in path.parts
    }


def test_target_dir_is_the_data_directory(site, tmp_path):
    neurofetch.get("ds000001", target_dir=tmp_path / "study", include="sub-01")
    assert "sub-01/anat/sub-01_T1w.nii.gz" in names(tmp_path / "study")
    assert neurofetch.plan("ds000001", target_dir="study", include=["sub-01"]).bytes_to_fetch == 0
    neurofetch.get("ds000001", include="sub-02")
    assert "sub-02/anat/sub-02_T1w.nii.gz" in names(tmp_path / "ds000001")


@pytest.mark.parametrize("other", ["dest", "data_dir"])
def test_two_names_of_the_data_directory_are_one_too_many(site, other):
    with pytest.raises(UsageError, match=f"{other} and target_dir are the same"):
        neurofetch.get("ds000001", **{other: "a", "target_dir": "b"})
    assert site.log == []


def test_the_flag_too(shell, tmp_path):
    done = shell("neurofetch get ds000001 --target-dir here --include sub-01 --exclude '*_bold*'")
    assert done.code == 0, done.err
    found = names(tmp_path / "here")
    assert "sub-01/anat/sub-01_T1w.nii.gz" in found
    assert not any("bold.nii" in name for name in found)


HABITS = [
    ("tag", "1.0.0", "openneuro:ds000246@1.0.1"),
    ("dataset", "ds000001", "name the data set first"),
    ("max_concurrent_downloads", 16, "found out"),
    ("max_retries", 5, "patience"),
    ("metadata_timeout", 60.0, "patience"),
    ("verify_hash", True, "every file is verified"),
    ("verify_size", False, "every file is verified"),
]


@pytest.mark.parametrize(("name", "value", "told"), HABITS)
def test_an_argument_of_openneuro_py_is_told_what_there_is_in_its_place(site, name, value, told):
    for function in (neurofetch.get, neurofetch.plan):
        with pytest.raises(UnknownArgumentError, match=told):
            function("ds000001", **{name: value})
    assert site.log == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value", "told"), HABITS)
def test_a_flag_of_openneuro_py_too(shell, site, name, value, told):
    flag = "--" + name.replace("_", "-")
    done = shell(f"neurofetch get ds000001 {flag} {value}")
    assert done.code == 2
    assert f"{flag}: " in done.err
    assert told in done.err
    assert site.log == []
