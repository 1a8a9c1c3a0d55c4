"""Whatever a user may get wrong: a clear word before any byte moves, and nothing on the disk."""

import contextlib
import glob
import json
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from laion_fmri.config import DataDirNotSetError, config_path, dataset_initialize, get_data_dir
from laion_fmri.download import download
from laion_fmri.verify import verify
from neurofetch._shown import shown
from neurofetch.console import ExitCode
from neurofetch.engine import State
from neurofetch.errors import (
    ConfigError,
    DestinationError,
    DiskFullError,
    UsageError,
)
from neurofetch.model import IncompleteError, Status
from tests.faces import Shell, make_s3, on_disk

FUNC = "derivatives/glmsingle-tedana/sub-03/"
LINE = "laion-fmri download --subject 03 --ses averages"


@pytest.fixture
def s3():
    """A server of one test, to be told to misbehave."""
    with make_s3() as server:
        yield server


def nothing_was_fetched(s3, done, code):
    assert done.code == code
    assert done.out == ""
    assert not s3.requests(method="GET")


# -- the data directory --------------------------------------------------------------------------


def test_a_data_directory_that_does_not_exist(s3, shell):
    done = shell(LINE, LAION_FMRI_DATA_DIR="/nowhere/at/all")
    nothing_was_fetched(s3, done, ExitCode.DISK)
    assert "/nowhere/at/all does not exist. Check the path, or create it." in done.err
    assert not s3.requests()


def test_a_data_directory_that_is_a_file(s3, shell):
    (shell.home / "file").touch()
    done = shell(LINE, LAION_FMRI_DATA_DIR=str(shell.home / "file"))
    nothing_was_fetched(s3, done, ExitCode.DISK)
    assert "is a file. Choose a directory." in done.err


@pytest.fixture
def read_only(tmp_path):
    if os.geteuid() == 0:  # root may write anywhere, but not here
        yield "/proc"
    else:
        folder = tmp_path / "read-only"
        folder.mkdir(mode=0o555)
        yield str(folder)
        folder.chmod(0o755)


def test_a_data_directory_that_cannot_be_written(s3, shell, read_only):
    done = shell(LINE, LAION_FMRI_DATA_DIR=read_only)
    nothing_was_fetched(s3, done, ExitCode.DISK)
    assert f"cannot write to the data directory {read_only}" in done.err
    assert "Make it writable, or choose another directory." in done.err


@contextlib.contextmanager
def as_owner():
    """Give root its power back for a moment."""
    user = os.geteuid()
    if os.getuid() == 0:
        os.seteuid(0)
    yield
    os.seteuid(user)


@pytest.fixture
def shared(s3, monkeypatch):
    """A complete data directory that others filled, and that this user can only read."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "shared")
        root.mkdir()
        for name, text in Shell(Path(folder), s3.url).env.items():
            monkeypatch.setenv(name, text)
        monkeypatch.setenv("LAION_FMRI_DATA_DIR", str(root))
        download("03", ses="averages", progress=False)
        folders = [Path(folder), *(Path(at) for at, _, _ in os.walk(root))]
        for path in folders:
            path.chmod(0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield root
        if user == 0:
            os.seteuid(0)
        for path in filter(Path.exists, folders):
            path.chmod(0o755)


def test_a_complete_directory_that_can_only_be_read_is_good_enough(s3, shared):
    seen = len(s3.requests())
    report = download("03", ses="averages", progress=False, verify=True)
    assert {outcome.status for outcome in report} == {Status.KEPT}
    assert {request.method for request in s3.requests()[seen:]} == {"LIST"}
    with pytest.raises(DestinationError, match="cannot write to the data directory"):
        download("03", ses="01", progress=False)
    assert {request.method for request in s3.requests()[seen:]} == {"LIST"}


def test_files_of_others_that_cannot_be_adopted_are_not_called_damaged(s3, shared):
    with as_owner():
        shared.joinpath(".laion_fmri").chmod(0o755)
        shutil.rmtree(shared / ".laion_fmri" / "receipts")
        shared.joinpath(".laion_fmri").chmod(0o555)
    found = verify(shared, read_all=True, remote=True)
    assert found.ok
    assert {finding.state for finding in found.findings} == {State.GOOD}
    assert "that cannot be written down" in found.findings[0].detail
    seen = len(s3.requests())
    assert download("03", ses="averages", progress=False, verify=True).bytes_moved == 0
    assert not [request for request in s3.requests()[seen:] if request.method == "GET"]


def test_the_packages_own_folder_is_taken_by_a_file(s3, shell):
    (shell.data / ".laion_fmri").touch()
    nothing_was_fetched(s3, shell(LINE), ExitCode.DISK)


def test_a_folder_stands_where_a_file_belongs(s3, shell):
    (shell.data / "README").mkdir()
    done = shell(LINE)
    nothing_was_fetched(s3, done, ExitCode.DISK)
    assert "README is not a file. Nothing was fetched. Move it away." in done.err


def test_a_link_that_leads_out_of_the_data_directory(s3, shell):
    outside = shell.home / "outside"
    outside.mkdir()
    (shell.data / "derivatives").symlink_to(outside)
    done = shell(LINE)
    assert done.code == ExitCode.USAGE
    assert str(outside) in done.err
    assert not list(outside.iterdir())


def test_a_data_directory_that_is_itself_a_link_is_fine(s3, shell):
    (shell.home / "link").symlink_to(shell.data)
    assert shell(LINE, LAION_FMRI_DATA_DIR=str(shell.home / "link")).code == 0
    assert on_disk(shell.data)


def test_a_disk_that_is_too_full(s3, shell):
    key = f"{FUNC}sub-03_task-images_desc-GLMsingle_summary.json"
    s3.lie(key, size=10**15)
    done = shell(LINE)
    nothing_was_fetched(s3, done, ExitCode.DISK)
    assert re.search(r"1,000,000,000,\d+,\d+ bytes are still to come", done.err)
    assert "Free some space, choose fewer files" in done.err
    assert not on_disk(shell.data)
    dry = shell(LINE + " --dry-run")
    assert dry.code == 0
    assert "It does not fit on the disk: 1.00 PB more must be free." in dry.out


def test_a_disk_needs_no_margin_beside_the_bytes_to_come(s3, user):
    """What is here already is not counted again: the bytes are those that are still to come."""
    key = f"{FUNC}sub-03_task-images_desc-GLMsingle_summary.json"
    path = user / key
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        file.truncate(10**13)  # a sparse file, larger than any disk here
    s3.lie(key, size=10**13)
    plan = download("03", ses="averages", dry_run=True)
    assert plan.bytes_here == 10**13 > plan.free
    assert download("03", ses="averages").ok
    s3.lie(key, size=10**13 + 1)
    with pytest.raises(DiskFullError):
        download("03", ses="averages")


# -- servers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["localhost:9000", "ftp://host", "http://", "http://h:port"])
def test_an_endpoint_that_is_no_url(s3, shell, endpoint):
    done = shell(LINE, AWS_ENDPOINT_URL=endpoint)
    nothing_was_fetched(s3, done, ExitCode.USAGE)
    assert f"AWS_ENDPOINT_URL={endpoint!r} is not a URL such as https://" in done.err


def test_the_endpoint_of_s3_alone_wins(s3, shell):
    done = shell(LINE, AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ENDPOINT_URL_S3=s3.url)
    assert done.code == 0


def test_a_certificate_file_that_does_not_exist(s3, shell):
    done = shell(LINE, AWS_CA_BUNDLE="/no/such.pem")
    nothing_was_fetched(s3, done, ExitCode.USAGE)
    assert "AWS_CA_BUNDLE=/no/such.pem: there is no such file" in done.err


def test_a_proxy_is_asked_as_the_usual_variables_say(s3, shell):
    env = {"AWS_ENDPOINT_URL": "http://far.example", "http_proxy": s3.url}
    assert shell(LINE, **env).code == 0
    assert s3.requests(method="GET")


def test_a_portals_page_instead_of_a_listing(s3, shell):
    s3.fault(method="LIST", status=200, body=b"<!DOCTYPE html><html><p>Please log in</html>")
    done = shell(LINE)
    nothing_was_fetched(s3, done, ExitCode.SERVER)


def test_a_variable_that_is_no_number(s3, shell):
    done = shell(LINE, NEUROFETCH_LINE_SECONDS="soon")
    nothing_was_fetched(s3, done, ExitCode.USAGE)
    assert "NEUROFETCH_LINE_SECONDS='soon' is not a positive number" in done.err


# -- hostile keys --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tail",
    ["../escape", "a/../../escape", "x//y", "nul\x00byte", "x/./y"],
)
def test_a_hostile_key_is_left_out_and_named_and_all_the_others_come(s3, user, tail):
    s3.put(f"{FUNC}{tail}", b"evil")
    with pytest.raises(IncompleteError, match=r"1 of \d+ files failed(.|\n)*--exclude") as caught:
        download("03", ses="averages")
    (failed,) = caught.value.report.failures
    assert failed.key == f"{FUNC}{tail}"
    assert shown(failed.path) in str(caught.value)
    assert not s3.requests(key=glob.escape(f"{FUNC}{tail}"))
    assert len(on_disk(user)) == len(caught.value.report) - 1
    assert list(user.parent.iterdir()) == [user]
    assert all(b"evil" not in path.read_bytes() for path in user.rglob("*") if path.is_file())


@pytest.mark.parametrize("tail", ["back\\slash", "..\\escape", "Icon\r", "C:x", "tail. "])
def test_a_key_that_is_only_odd_comes_under_its_own_name(s3, user, tail):
    s3.put(f"{FUNC}{tail}", b"odd")
    assert download("03", ses="averages").ok
    assert (user / f"{FUNC}{tail}").read_bytes() == b"odd"


@pytest.mark.parametrize(
    ("one", "two"),
    [("a_label-FFA9_x.gz", "a_label-FFA-9_x.gz"), ("n/f", "n")],
)
def test_two_keys_never_become_one_file_and_the_other_is_named(s3, user, one, two):
    s3.put(f"{FUNC}{one}", b"1")
    s3.put(f"{FUNC}{two}", b"22")
    with pytest.raises(IncompleteError, match=r"1 of \d+ files failed") as caught:
        download("03", ses="averages")
    assert one in str(caught.value)
    assert two in str(caught.value)
    assert (user / f"{FUNC}{one}").read_bytes() == b"1"
    assert not s3.requests(key=f"{FUNC}{two}")


def test_names_that_differ_only_in_case_both_come_where_the_disk_holds_both(s3, user):
    for name in ("Map.nii.gz", "map.nii.gz"):
        s3.put(f"{FUNC}{name}", name.encode())
    assert download("03", ses="averages").ok
    for name in ("Map.nii.gz", "map.nii.gz"):
        assert (user / f"{FUNC}{name}").read_bytes() == name.encode()


def test_an_empty_folder_mark_is_not_a_file(s3, user):
    s3.put(f"{FUNC}empty/", b"")
    assert download("03", ses="averages").ok
    assert not (user / FUNC / "empty").exists()


# -- what else may be wrong in Python ------------------------------------------------------------


@pytest.mark.parametrize("shard", [(3, 3), (-1, 2), (0, 0), "0/2", (0,), (0.0, 2), 3])
def test_a_shard_that_is_not_in_range(s3, user, shard):
    with pytest.raises(ValueError, match="the index runs from 0"):
        download("03", ses="averages", shard=shard)
    assert not s3.requests()


@pytest.mark.parametrize("progress", ["loud", 3])
def test_a_progress_that_does_not_exist(s3, user, progress):
    with pytest.raises(UsageError, match="auto, bar, lines, json, none"):
        download("03", progress=progress)
    assert not s3.requests()


@pytest.mark.parametrize("rate", [0, -1.0, float("nan"), "fast"])
def test_a_rate_that_cannot_be(s3, user, rate):
    with pytest.raises(UsageError, match="limit_rate"):
        download("03", ses="averages", limit_rate=rate)
    assert not s3.requests(method="GET")


# -- the configuration file ----------------------------------------------------------------------


@pytest.fixture
def unset(user, monkeypatch):
    monkeypatch.delenv("LAION_FMRI_DATA_DIR")
    return user


def test_other_keys_of_the_public_packages_file_survive(unset):
    path = config_path()
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"data_dir": "/elsewhere", "theme": {"dark": True}, "version": 3}))
    assert str(get_data_dir()) == "/elsewhere"
    dataset_initialize(str(unset))
    assert json.loads(path.read_text()) == {
        "data_dir": str(unset),
        "theme": {"dark": True},
        "version": 3,
    }
    assert get_data_dir() == unset
    assert not [p for p in path.parent.iterdir() if p != path]


def test_the_file_lies_where_xdg_says_or_in_the_home(unset, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert str(config_path()) == "/xdg/laion_fmri/config.json"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert str(config_path()) == "/home/me/.config/laion_fmri/config.json"


@pytest.mark.parametrize("content", ["{", "[]", '"x"', "\x00"])
def test_a_broken_file_is_named(unset, content):
    config_path().parent.mkdir(parents=True)
    config_path().write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        get_data_dir()


def test_a_directory_must_exist_before_it_is_chosen(unset, shell):
    with pytest.raises(FileNotFoundError, match="mkdir -p"):
        dataset_initialize(unset / "no")
    (unset / "file").touch()
    with pytest.raises(NotADirectoryError):
        dataset_initialize(unset / "file")
    with pytest.raises(UsageError, match="text or a path, not None"):
        dataset_initialize(None)
    assert not config_path().exists()
    done = shell("laion-fmri config --data-dir ./no")
    assert done.code == ExitCode.DISK
    assert "mkdir -p" in done.err


def test_an_empty_name_is_not_the_current_directory(unset, shell):
    with pytest.raises(UsageError, match="empty"):
        dataset_initialize("")
    done = shell('laion-fmri config --data-dir "$NOT_SET"')
    assert (done.code, "empty" in done.err) == (2, True)
    assert not config_path().exists()


def test_a_name_that_is_too_long_is_a_message(shell):
    done = shell(f"laion-fmri config --data-dir {'x' * 300}")
    assert (done.code, "does not exist" in done.err) == (7, True)
    done = shell("laion-fmri verify", LAION_FMRI_DATA_DIR="x" * 300)
    assert (done.code, "Traceback" in done.err) == (7, False)


def test_none_chosen_is_an_error_that_says_how(unset):
    with pytest.raises(DataDirNotSetError, match="laion-fmri config --data-dir DIR"):
        get_data_dir()


def test_the_variable_overrides_the_choice(user, tmp_path):
    with pytest.warns(UserWarning, match=f"LAION_FMRI_DATA_DIR={user} has priority"):
        dataset_initialize(tmp_path)
    assert get_data_dir() == user
    assert stat.S_ISREG(config_path().stat().st_mode)


def test_a_configuration_that_cannot_be_written_is_a_clear_error(unset, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", "/proc/nowhere")
    with pytest.raises(DestinationError, match="LAION_FMRI_DATA_DIR"):
        dataset_initialize(unset)
