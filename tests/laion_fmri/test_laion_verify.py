"""``laion-fmri verify``: what is on the disk, against the receipts, every byte, and the bucket."""

import json
import os
import shutil

import pytest

from laion_fmri.verify import verify
from neurofetch.console import ExitCode
from neurofetch.errors import NothingMatchedError
from neurofetch.events import Listing
from testbed.laion import write_local
from testbed.s3 import S3Object
from tests.faces import SMALL, Shell, bucket, local, make_s3, on_disk, same_bytes

pytestmark = pytest.mark.slow
LINE = "laion-fmri download --subject 03 --ses averages"
R2MEAN = (
    "derivatives/glmsingle-tedana/sub-03/"
    "sub-03_task-images_space-T1w_stat-rsquare_desc-R2mean_statmap.nii.gz"
)


@pytest.fixture
def s3():
    """A server of one test, which may lose or change files."""
    with make_s3() as server:
        yield server


@pytest.fixture
def shell(tmp_path, s3):
    """A user whose data directory holds a complete download."""
    shell = Shell(tmp_path, s3.url)
    assert shell(LINE).code == 0
    return shell


def states(done):
    return {f["path"]: f["state"] for f in json.loads(done.out)["files"]}


@pytest.mark.parametrize("where", ["data", "data/derivatives", "."])
def test_the_data_directory_is_found_from_folders_in_it_and_above_it(shell, where):
    done = shell(f"cd {where} && laion-fmri verify --json", LAION_FMRI_DATA_DIR=None)
    assert (done.code, len(states(done))) == (0, len(on_disk(shell.data)))
    done = shell(f"laion-fmri verify --data-dir {where} --json")
    assert (done.code, len(states(done))) == (0, len(on_disk(shell.data)))
    (shell.data / R2MEAN).unlink()
    done = shell(f"cd {where} && laion-fmri verify", LAION_FMRI_DATA_DIR=None)
    assert done.code == ExitCode.INCOMPLETE
    assert f"missing: {R2MEAN}" in done.out


def test_where_no_data_directory_is_chosen_and_none_is_here_that_is_said(shell):
    (shell.home / "empty").mkdir()
    shutil.move(shell.data, shell.home / "a")
    (shell.home / "a" / "b").mkdir()
    shutil.move(shell.home / "a" / ".laion_fmri", shell.home / "a" / "b" / ".gone")
    done = shell("cd empty && laion-fmri verify", LAION_FMRI_DATA_DIR=None)
    assert done.code == ExitCode.USAGE
    assert "no data directory is set" in done.err


def test_several_data_directories_are_named_and_none_is_guessed(shell):
    shutil.copytree(shell.data, shell.home / "copy")
    done = shell("laion-fmri verify --data-dir .")
    assert done.code == ExitCode.USAGE
    assert str(shell.data) in done.err
    assert str(shell.home / "copy") in done.err


def test_what_neurofetch_get_fetched_is_not_called_nothing(shell):
    raw = shell.home / "raw"
    get = f"neurofetch get s3://laion-fmri/sub-03/ses-01/anat --data-dir {raw} --bare"
    assert shell(get).code == 0
    done = shell(f"laion-fmri verify --data-dir {raw}")
    assert done.code == ExitCode.NOTHING_MATCHED
    assert f"Use: neurofetch verify {raw}" in done.err


def flip(path, *, keep_time=True):
    """Turn the bits of one byte in the middle; size and, if told so, time stay."""
    info = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


@pytest.mark.parametrize("flags", ["", "--hash", "--remote", "--hash --remote"])
def test_what_was_fetched_is_good(shell, flags):
    done = shell(f"laion-fmri verify {flags}")
    assert done.code == 0
    word = "good" if "--hash" in flags else "unchanged by size and time (contents not read)"
    assert f"{len(on_disk(shell.data))} {word}" in done.out
    assert shell(f"laion-fmri verify {flags} --quiet").out == ""


def test_a_long_listing_shows_how_far_it_is(s3, shell, monkeypatch):
    s3.fault(method="LIST", delay=0.1)
    for name, text in shell.env.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr("neurofetch.fetcher._QUICK", 0.0)
    monkeypatch.setattr("neurofetch._threads._BEAT", 0.02)
    events = []
    assert verify(remote=True, progress=events.append).ok
    listings = [event for event in events if isinstance(event, Listing)]
    assert listings
    assert listings[-1].over
    assert listings[-1].files >= len(on_disk(shell.data))


def test_without_remote_no_server_is_asked(s3, shell):
    seen = len(s3.requests())
    assert shell("laion-fmri verify --hash", AWS_ENDPOINT_URL="http://127.0.0.1:9").code == 0
    assert len(s3.requests()) == seen


def test_a_flipped_byte_is_found_by_reading_every_byte_and_named(shell):
    flip(shell.data / R2MEAN)
    assert shell("laion-fmri verify").code == 0  # size and time are as they were
    done = shell("laion-fmri verify --hash")
    assert done.code == ExitCode.INCOMPLETE
    (line,) = [line for line in done.out.splitlines() if line.startswith("differs: ")]
    assert R2MEAN in line
    assert "its bytes changed" in line
    quiet = shell("laion-fmri verify --hash --quiet")
    assert R2MEAN in quiet.out


def test_download_verify_repairs_what_is_damaged_and_fetches_nothing_else(s3, shell):
    flip(shell.data / R2MEAN)
    assert shell(LINE).code == 0
    assert (shell.data / R2MEAN).read_bytes() != bucket(SMALL)[R2MEAN]
    s3.clear_log()
    done = shell(LINE + " --verify")
    assert done.code == 0
    assert "1 file fetched" in done.err
    assert [request.key for request in s3.requests(method="GET")] == [R2MEAN]
    same_bytes(shell.data, bucket(SMALL))
    assert shell("laion-fmri verify --hash").code == 0


def test_a_dry_run_says_what_verify_would_repair(shell):
    flip(shell.data / R2MEAN)
    plan = json.loads(shell(LINE + " --verify --dry-run --json").out)
    (step,) = [step for step in plan["files"] if step["action"] != "keep"]
    assert (step["path"], step["action"]) == (R2MEAN, "replace")
    assert "damaged" in step["reason"]


@pytest.mark.parametrize("flags", ["", "--hash", "--remote"])
def test_missing_cut_and_touched_files_are_found(shell, flags):
    gone, cut, touched = sorted(p for p in on_disk(shell.data) if "glmsingle" in p)[:3]
    (shell.data / gone).unlink()
    (shell.data / cut).write_bytes((shell.data / cut).read_bytes()[:-1])
    flip(shell.data / touched, keep_time=False)
    done = shell(f"laion-fmri verify {flags} --json")
    assert done.code == ExitCode.INCOMPLETE
    fine = "good" if flags == "--hash" else "unchanged"
    found = {path: state for path, state in states(done).items() if state != fine}
    changed = "differs" if flags == "--hash" else "times_changed"
    assert found == {gone: "missing", cut: "differs", touched: changed}


def test_a_file_that_changed_on_the_server_is_named(s3, shell):
    s3.put(R2MEAN, bytes(len(bucket(SMALL)[R2MEAN])))
    assert shell("laion-fmri verify --hash").code == 0
    done = shell("laion-fmri verify --remote")
    assert done.code == ExitCode.INCOMPLETE
    assert f"differs: {R2MEAN}: changed on the server since it was fetched" in done.out


# -- files of another tool -----------------------------------------------------------------------

THEIRS = {
    key: body
    for key, body in bucket(SMALL).items()
    if key == "README" or ("glmsingle" in key and "sub-01/ses-01" in key)
}


@pytest.fixture
def theirs(tmp_path, s3):
    """A user whose files another tool has put there: nothing is written down about them."""
    shell = Shell(tmp_path, s3.url)
    write_local(THEIRS, shell.data)
    return shell


def test_hash_and_remote_adopt_the_files_of_another_tool(s3, theirs):
    done = theirs("laion-fmri verify --remote --json")
    assert done.code == 0
    assert set(states(done).values()) == {"unknown"}
    done = theirs("laion-fmri verify --hash --remote --json")
    assert done.code == 0
    assert states(done) == dict.fromkeys(local(THEIRS), "adopted")
    assert set(states(theirs("laion-fmri verify --hash --json")).values()) == {"good"}
    flip(theirs.data / "README")
    assert theirs("laion-fmri verify --hash").code == ExitCode.INCOMPLETE
    assert not s3.requests(method="GET")


def test_a_damaged_file_of_another_tool_is_not_adopted_but_named(theirs):
    flip(theirs.data / "README")
    done = theirs("laion-fmri verify --hash --remote")
    assert done.code == ExitCode.INCOMPLETE
    assert "differs: README: not the server's file" in done.out
    assert states(theirs("laion-fmri verify --json"))["README"] == "differs", "not adopted"


def test_a_file_of_another_tool_whose_etag_says_nothing_is_held_against_the_checksum(s3, theirs):
    s3.put("README", S3Object(THEIRS["README"], forced_etag="opaque-and-not-a-digest"))
    done = theirs("laion-fmri verify --hash --remote --json")
    assert states(done)["README"] == "adopted"
    assert len(s3.requests(method="HEAD", key="README")) == 1


def test_a_copy_is_no_damage_and_is_known_once_it_was_read(shell):
    copy = shell.home / "copy"
    shutil.copytree(shell.data, copy, copy_function=shutil.copyfile)
    number = len(on_disk(copy))
    where = f"--data-dir {copy}"
    done = shell(f"laion-fmri verify {where}")
    assert done.code == 0
    assert f"{number} with times changed (copied?; contents not read: use --hash)" in done.out
    assert f"{number} good" in shell(f"laion-fmri verify --hash {where}").out
    assert f"{number} unchanged" in shell(f"laion-fmri verify {where}").out


def test_what_the_bucket_does_not_have_any_more_is_counted_as_such(s3, shell):
    s3.delete(R2MEAN)
    done = shell("laion-fmri verify --remote")
    assert done.code == 0
    assert "1 not in the bucket" in done.out
    states_now = states(shell("laion-fmri verify --remote --json"))
    assert states_now[R2MEAN] == "not_in_bucket"


def test_a_folder_with_nothing_in_it_says_so_by_its_exit_code(tmp_path, s3):
    shell = Shell(tmp_path, s3.url)
    done = shell("laion-fmri verify --hash --remote")
    assert done.code == ExitCode.NOTHING_MATCHED
    assert done.out.startswith("no files: ")
    done = shell("laion-fmri verify")
    assert done.code == ExitCode.NOTHING_MATCHED
    assert "compare files of other tools" in done.err
    with pytest.raises(NothingMatchedError, match="nothing that laion-fmri fetched is in"):
        verify(shell.data)


def test_a_data_directory_can_be_moved(shell):
    moved = shell.home / "moved"
    shutil.move(shell.data, moved)
    done = shell("laion-fmri verify --hash", LAION_FMRI_DATA_DIR=str(moved))
    assert done.code == 0
    assert f"{len(on_disk(moved))} good" in done.out


def test_reading_every_byte_shows_progress(shell):
    done = shell("laion-fmri verify --hash --progress json")
    events = [json.loads(line) for line in done.err.splitlines()]
    assert {event["event"] for event in events} == {"checking"}
    size = sum((shell.data / path).stat().st_size for path in on_disk(shell.data))
    assert events[-1]["bytes_done"] == events[-1]["bytes_total"] == size
    assert shell("laion-fmri verify --hash --progress bar").err.strip().endswith(" files]")
    assert shell("laion-fmri verify --hash").err == ""  # too short for a line
    assert shell("laion-fmri verify --hash --progress json --quiet").err == ""


def test_reading_before_fetching_shows_both(shell):
    damaged = shell.data / "README"
    text = damaged.read_bytes()
    damaged.write_bytes(text[:-1] + b"?")
    done = shell(LINE + " --verify --progress json")
    kinds = [json.loads(line)["event"] for line in done.err.splitlines()]
    assert kinds.index("checking") < kinds.index("planned") < kinds.index("finished")
    assert damaged.read_bytes() == text
    damaged.write_bytes(text[:-1] + b"?")
    done = shell(LINE + " --verify --progress bar")
    assert "replaced: README: here, but damaged: " in done.err
    assert "141/141 files]\n" in done.err  # the first bar is closed before the second begins
    assert "1/1 files]\n1 file fetched" in done.err
