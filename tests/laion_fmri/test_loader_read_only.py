"""A data directory that you may only read, and a folder for beta stores elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dask.array  # noqa: F401 - another user may not be able to import it
import numpy as np
import pytest

from laion_fmri.config import (
    chosen_store_dir,
    config_path,
    dataset_initialize,
    set_store_dir,
    stores_of,
)
from laion_fmri.group import load_subjects
from laion_fmri.io import index
from laion_fmri.loader.torch_dataset import LazyTrials
from laion_fmri.stimuli import Stimuli
from laion_fmri.subject import Subject, load_subject
from neurofetch.errors import ConfigError, DestinationError, UsageError
from tests.loader_tree import SESSIONS, betas_path, naive_betas, naive_roi, same, write_tree
from tests.mounts import being, read_only, tmpfs

if TYPE_CHECKING:
    from collections.abc import Iterator

STORES = "LAION_FMRI_STORE_DIR"
NOBODY, SOMEBODY, LAB = 65534, 65533, 60123


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(STORES, raising=False)


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_tree(tmp_path / "data", subjects=("sub-01", "sub-03"))


@pytest.fixture
def kept(tree, tmp_path) -> Iterator[Path]:
    """The same directory where not even root may write."""
    with read_only(tree, tmp_path / "lab") as where:
        yield where


def everything(root: Path) -> dict[str, tuple[int, int]]:
    found = {path: path.lstat() for path in root.rglob("*")}
    return {str(path): (one.st_mtime_ns, one.st_size) for path, one in found.items()}


def roi_betas(root: Path, session: str = "ses-01") -> np.ndarray:
    return naive_betas(root, session)[:, naive_roi(root, "V1", "retinotopy")]


def use_it_all(root: Path, **how: object) -> Subject:
    """Read in every way, and hold it against nibabel."""
    sub = load_subject("03", data_dir=root, **how)
    for _ in range(2):
        assert same(sub.get_betas("01", roi="V1"), roi_betas(root))
    assert same(sub.get_betas("02"), naive_betas(root, "ses-02"))
    both = np.concatenate([naive_betas(root, one) for one in SESSIONS])
    assert same(sub.betas.values, both)
    assert same(sub.betas[30:20:-1, [9, 3, 3]].values, both[30:20:-1][:, [9, 3, 3]])
    for source in ("anatomical", "rsquare"):
        assert sub.get_brain_mask(source).sum() == sub.get_n_voxels(source)
    assert same(sub.get_roi_mask("V1"), naive_roi(root, "V1", "retinotopy"))
    assert len(sub.get_trial_info("01")) == len(naive_betas(root))
    columns = np.flatnonzero(sub.get_roi_mask("V1"))
    trials = LazyTrials(sub.layout, sub.store.sessions(), columns, None, images=True)
    assert same(trials._read(1, [7, 2]), roi_betas(root, "ses-02")[[7, 2]])
    with Stimuli(root) as stimuli:
        name = stimuli.metadata["image_name"][0]
        assert stimuli.images.get(name).size[0] > 0
    group = load_subjects("all", data_dir=root, **how)
    assert same(group.get_betas("ses-01", roi="V1")["sub-03"], roi_betas(root))
    assert len(index(root))
    return sub


# --- nothing is written where nothing may be ------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "read", "off"])
def test_what_is_read_from_a_read_only_disk_is_the_same_without_a_word(tree, kept, mode):
    before = everything(tree)
    sub = use_it_all(kept, store=mode)
    assert everything(tree) == before
    with pytest.raises(
        OSError, match=r"no beta store can be built in this data directory.*STORE_DIR"
    ):
        sub.build_store()
    assert not sub.remove_store()
    assert everything(tree) == before


def test_the_store_that_the_owner_built_is_read_by_all_and_removed_by_none(tree, kept):
    load_subject("03", data_dir=tree).build_store()
    before = everything(tree)
    sub = use_it_all(kept)
    assert sub.build_store() == kept / ".laion_fmri/store/sub-03.zarr"  # there is nothing to do
    with pytest.raises(OSError, match=r"sub-03\.zarr"):
        sub.remove_store()
    assert everything(tree) == before


def test_the_data_directory_can_be_chosen_where_nothing_may_be_written(kept):
    dataset_initialize(kept)
    use_it_all(kept)


# --- stores elsewhere -----------------------------------------------------------------------------


def by_keyword(stores: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    return {"store_dir": stores}


def by_variable(stores: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setenv(STORES, str(stores))
    return {}


def by_setting(stores: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    set_store_dir(stores)
    return {}


def by_relative_path(stores: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.chdir(stores.parent)
    return {"store_dir": stores.name}


def by_home(stores: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setenv("HOME", str(stores.parent))
    return {"store_dir": f"~/{stores.name}"}


WAYS = (by_keyword, by_variable, by_setting, by_relative_path, by_home)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_stores_of_a_read_only_directory_lie_where_you_say(tree, kept, tmp_path, monkeypatch, way):
    before, stores = everything(tree), tmp_path / "new" / "stores"
    stores.parent.mkdir()
    how = way(stores, monkeypatch)
    sub = use_it_all(kept, **how)
    assert sub.build_store() == sub.store.path
    assert sub.store.path.parent.parent == stores
    assert sorted(one.name for one in sub.store.path.iterdir()) == [*SESSIONS, "zarr.json"]
    monkeypatch.chdir("/")
    assert sub.store.path.is_dir()
    assert same(sub.get_betas("01", roi="V1"), roi_betas(kept))
    assert sub.remove_store()
    assert everything(tree) == before


def test_the_keyword_comes_before_the_variable_and_that_before_the_setting(tmp_path, monkeypatch):
    assert chosen_store_dir() is None
    set_store_dir(tmp_path / "kept")
    assert chosen_store_dir() == tmp_path / "kept"
    monkeypatch.setenv(STORES, "")  # as where a job's script has no value for it
    assert chosen_store_dir() == tmp_path / "kept"
    monkeypatch.setenv(STORES, str(tmp_path / "named"))
    assert chosen_store_dir() == tmp_path / "named"
    assert chosen_store_dir(tmp_path / "given") == tmp_path / "given"
    with pytest.warns(UserWarning, match=f"{STORES}=.*has priority"):
        set_store_dir(None)
    monkeypatch.delenv(STORES)
    assert chosen_store_dir() is None


def test_the_choice_of_stores_and_of_data_do_not_touch_each_other(tree, tmp_path):
    set_store_dir(tmp_path / "stores")
    dataset_initialize(tree)
    assert json.loads(config_path().read_text()) == {
        "store_dir": str(tmp_path / "stores"),
        "data_dir": str(tree),
    }
    set_store_dir(None)
    assert json.loads(config_path().read_text()) == {"data_dir": str(tree)}


def test_a_directory_that_two_names_lead_to_has_one_store(tree, tmp_path):
    (tmp_path / "link").symlink_to(tree)
    stores = tmp_path / "stores"
    one = load_subject("03", data_dir=tree, store_dir=stores)
    two = load_subject("03", data_dir=tmp_path / "link", store_dir=stores)
    assert one.build_store() == two.store.path
    assert one.store.path != load_subject("01", data_dir=tree, store_dir=stores).store.path
    assert stores_of(tree, stores) != stores_of(tmp_path / "data2", stores)
    assert stores_of(tree, None) == tree / ".laion_fmri" / "store"


def test_another_directory_at_the_same_path_gets_none_of_the_values(tree, tmp_path):
    """As on two machines with disks of their own, and one folder for stores."""
    stores = tmp_path / "stores"
    load_subject("03", data_dir=tree, store_dir=stores).build_store()
    tree.rename(tmp_path / "first")
    other = write_tree(tree)
    shutil.copyfile(betas_path(tree, "ses-02"), betas_path(tree, "ses-01"))
    sub = load_subject("03", data_dir=other, store_dir=stores)
    assert same(sub.get_betas("01", roi="V1"), roi_betas(other))
    assert same(sub.betas[:24].values, naive_betas(other))


# --- folders that cannot be used ------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "a/b"], ids=["itself", "above"])
def test_a_file_in_the_place_of_the_store_directory_is_told_at_once(
    tree, tmp_path, monkeypatch, below
):
    (tmp_path / "file").write_text("no folder")
    wrong = tmp_path / "file" / below
    with pytest.raises(
        DestinationError, match=r"is no directory.*\(store_dir\).*Choose a directory"
    ):
        load_subject("03", data_dir=tree, store_dir=wrong)
    with pytest.raises(DestinationError, match="Nothing was done"):
        set_store_dir(wrong)
    monkeypatch.setenv(STORES, str(wrong))
    with pytest.raises(DestinationError, match=STORES):
        load_subjects("all", data_dir=tree)
    monkeypatch.delenv(STORES)
    config_path().parent.mkdir(parents=True)
    config_path().write_text(json.dumps({"store_dir": str(wrong)}))
    with pytest.raises(DestinationError, match=r"config\.json"):
        load_subject("03", data_dir=tree)


@pytest.mark.parametrize("wrong", ["", "  ", 7, ["a"], "a\0b", True])
def test_what_is_no_path_is_no_store_directory(tree, wrong):
    with pytest.raises(
        UsageError, match=r"the store directory \(store_dir\) is .*Nothing was done"
    ):
        load_subject("03", data_dir=tree, store_dir=wrong)


@pytest.mark.parametrize("kept", [7, ["a"], {"a": 1}, True])
def test_a_setting_that_is_no_path_is_told_with_its_file(tree, kept):
    config_path().parent.mkdir(parents=True)
    config_path().write_text(json.dumps({"store_dir": kept}))
    with pytest.raises(UsageError, match=r"store_dir of .*config\.json"):
        load_subject("03", data_dir=tree)


def test_settings_that_are_damaged_are_told_and_those_of_others_are_no_matter(tree, monkeypatch):
    config_path().parent.mkdir(parents=True)
    config_path().write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json cannot be read"):
        load_subject("03", data_dir=tree)
    shutil.rmtree(config_path().parent)
    with tempfile.TemporaryDirectory() as folder:  # closed to others
        monkeypatch.setenv("XDG_CONFIG_HOME", folder)
        set_store_dir(Path(folder) / "stores")
        with being(NOBODY):
            assert chosen_store_dir() is None


def test_a_store_directory_that_is_read_only_is_told_and_files_are_read(tree, tmp_path):
    (tmp_path / "source").mkdir()
    expected = roi_betas(tree)
    with read_only(tmp_path / "source", tmp_path / "stores") as stores:
        sub = load_subject("03", data_dir=tree, store_dir=stores)
        with pytest.warns(
            UserWarning, match=r"No beta store for sub-03, ses-01 .*Read-only.*stores"
        ):
            assert same(sub.get_betas("01", roi="V1"), expected)
        with pytest.warns(UserWarning, match=rf"No beta store .*{stores} cannot be written"):
            lazy = sub.betas
        assert same(lazy[:24].values, naive_betas(tree))  # known by now: no word
        with pytest.raises(
            OSError, match=rf"in the store directory {stores}; reading works without"
        ):
            sub.build_store()
    assert not (tree / ".laion_fmri").exists()


def test_a_store_directory_that_is_full_is_told_and_files_are_read_once(tree, tmp_path):
    with tmpfs(tmp_path / "small", "64k") as stores:
        sub = load_subject("03", data_dir=tree, store_dir=stores)
        with pytest.warns(UserWarning, match="No space left on device"):
            assert same(sub.get_betas("01", roi="V1"), roi_betas(tree))
        with pytest.warns(UserWarning, match=rf"{stores}.* has no room for [0-9,]+ bytes"):
            lazy = sub.betas
        assert [len(sizes) for sizes in lazy.chunks] == [2, 1]
        assert same(lazy[:24].values, naive_betas(tree))
        with pytest.raises(OSError, match=r"No space left.*Choose another by store_dir"):
            sub.build_store()
        left = [path for path in stores.rglob("*") if not path.is_dir()]
        assert left == []


def test_stores_on_another_disk(tree, tmp_path):
    with tmpfs(tmp_path / "scratch", "64m") as stores:
        sub = use_it_all(tree, store_dir=stores)
        assert sub.store.path.is_relative_to(stores)
        assert sorted(one.name for one in sub.build_store().iterdir()) == [*SESSIONS, "zarr.json"]
    assert not (tree / ".laion_fmri").exists()


# --- two users ------------------------------------------------------------------------------------


@contextmanager
def lab(mode: int) -> Iterator[tuple[Path, Path]]:
    """A data directory of somebody else's, and a folder for stores that a group shares."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        tree = write_tree(Path(folder) / "data", subjects=("sub-01", "sub-03"))
        stores = Path(folder) / "stores"
        stores.mkdir()
        os.chown(stores, 0, LAB)
        stores.chmod(mode)
        yield tree, stores


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002], ids=oct)
def test_people_of_one_group_share_stores_whatever_their_umask(umask):
    with lab(0o2775) as (tree, stores):
        before = os.umask(umask)
        try:
            with being(SOMEBODY, groups=(LAB,)):
                one = load_subject("03", data_dir=tree, store_dir=stores)
                assert same(one.get_betas("01", roi="V1"), roi_betas(tree))
            path = betas_path(tree)
            stamp = path.stat()
            with being(NOBODY, groups=(LAB,)):
                two = load_subject("03", data_dir=tree, store_dir=stores, store="read")
                assert two.store.session("01").any_store() is not None  # of the first
                two = load_subject("03", data_dir=tree, store_dir=stores)
                assert two.build_store() == one.store.path  # the other session beside it
            os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 5))
            with being(NOBODY, groups=(LAB,)):
                assert same(two.get_betas("01", roi="V1"), roi_betas(tree))  # takes its place
                assert two.store.session("01").any_store() is not None
                assert two.remove_store()
        finally:
            os.umask(before)


def test_a_folder_that_only_its_owner_may_write_gives_nobody_else_rights():
    with lab(0o2755) as (tree, stores):
        os.chown(stores, SOMEBODY, LAB)
        with being(SOMEBODY, groups=(LAB,)):
            load_subject("03", data_dir=tree, store_dir=stores).build_store()
        made = [path for path in stores.rglob("*") if path.stat().st_mode & 0o022]
        assert made == []
        with being(NOBODY, groups=(LAB,)):
            sub = load_subject("03", data_dir=tree, store_dir=stores)
            assert same(sub.betas[:24].values, naive_betas(tree))
            with pytest.raises(OSError, match="Permission denied"):
                sub.remove_store()


def test_a_store_of_another_user_that_is_out_of_date_costs_no_build_that_cannot_end(monkeypatch):
    with lab(0o2755) as (tree, stores):
        load_subject("03", data_dir=tree, store_dir=stores).build_store()
        path = betas_path(tree)
        os.utime(path, ns=(1, 1))
        with being(NOBODY, groups=(LAB,)):
            sub = load_subject("03", data_dir=tree, store_dir=stores)
            monkeypatch.setattr("laion_fmri.beta_store.build._fill_shard", None)  # not even begun
            with pytest.warns(UserWarning, match="Permission denied"):
                assert same(sub.get_betas("01", roi="V1"), roi_betas(tree))
