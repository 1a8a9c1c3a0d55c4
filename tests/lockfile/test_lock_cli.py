"""``neurofetch lock`` and ``neurofetch get --locked`` as a user runs them."""

import json
import os
import shutil
import signal
import time

import pytest

from testbed.s3 import Generated, S3Object, S3Server
from tests.display.schema import validate
from tests.faces import LICENSE, REFUSED, SMALL, Shell, bucket, on_disk
from tests.lockfile_world import FILES, LARGE, URL

pytestmark = pytest.mark.slow
CONTENT = FILES | {LARGE: b"volumes" * 9000}
GET = f"neurofetch get {URL} --dest data -q"


@pytest.fixture
def s3():
    objects = {f"ds/{path}": content for path, content in CONTENT.items()}
    with S3Server({"b": objects, "laion-fmri": bucket(SMALL)}, forbidden=REFUSED) as server:
        yield server


@pytest.fixture
def shell(tmp_path, s3):
    made = Shell(tmp_path, s3.url)
    made.env["NEUROFETCH_PATIENCE"] = "0"
    assert made(GET).code == 0
    return made


def document(done):
    told = json.loads(done.out)
    validate(told)
    return told


# -- make ------------------------------------------------------------------------------------------


def test_a_lock_goes_to_stdout_or_to_a_file_and_is_the_same(shell):
    printed = shell("neurofetch lock data")
    assert printed.code == 0
    assert printed.err == ""
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert lines[0]["neurofetch-lock"] == 1
    assert [line["path"] for line in lines[1:]] == sorted(CONTENT)
    done = shell("neurofetch lock --data-dir data --out a.lock")
    assert (done.code, done.out) == (0, "")
    assert "a.lock: 10 files" in done.err
    assert (shell.home / "a.lock").read_text() == printed.out
    assert shell("cd data && neurofetch lock").out == printed.out
    assert shell("neurofetch lock data", LC_ALL="C", LANG=None).out == printed.out


def test_what_is_left_out_is_told_and_quiet_keeps_the_warnings(shell):
    (shell.data / "mine.txt").write_text("mine")
    (shell.data / "README").unlink()
    done = shell("neurofetch lock data --out data/a.lock")
    assert "mine.txt" in done.err
    assert "not here any more, and so not in the lock: 1 file (README)" in done.err
    assert "a.lock:" in done.err
    assert "(a.lock" not in done.err
    quiet = shell("neurofetch lock data --out data/a.lock -q")
    assert "warning: fetched, but not here any more" in quiet.err


@pytest.mark.parametrize("name", ["ü", "u\u0308", "日本", "a/é/b", "😀.nii.gz"])
def test_a_locale_in_which_names_cannot_be_read_is_told_and_not_the_name(shell, name):
    path = shell.home / "other" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    (shell.home / "other" / "plain").write_bytes(b"x")
    same = shell("neurofetch lock other --all").out
    assert shell("neurofetch lock other --all", LC_ALL="C", TZ="Asia/Kathmandu").out == same
    narrow = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = shell("neurofetch lock other --all --out a.lock", **narrow)
    assert "cannot be read in this locale: set LC_ALL=C.UTF-8" in done.err
    assert "not valid UTF-8" not in done.err


def test_progress_is_told_while_files_are_read(shell):
    done = shell("neurofetch lock data --progress json --out a.lock")
    events = [json.loads(line) for line in done.err.splitlines()]
    for event in events:
        validate(event)
    assert events[-1]["event"] == "checking"
    assert events[-1]["files_done"] == events[-1]["files_total"] == len(CONTENT)


def test_a_reader_that_goes_away_is_no_fault(shell):
    done = shell("neurofetch lock data | head -n 1")
    assert done.code == 0
    assert "Traceback" not in done.err


# -- check, compare, update ------------------------------------------------------------------------


def test_a_check_exits_with_4_where_the_directory_differs_and_names_what(shell):
    shell("neurofetch lock data --out a.lock")
    done = shell("neurofetch lock data --check a.lock")
    assert (done.code, done.out) == (0, "10 same, 0 added, 0 changed, 0 gone\n")
    assert shell("neurofetch lock data --check a.lock -q").out == ""
    (shell.data / "README").write_text("wörds\x1b[2J")
    (shell.data / "CHANGES").unlink()
    for flags in ("--check a.lock", "--diff a.lock", "--check a.lock --hash", "--check a.lock -q"):
        done = shell(f"neurofetch lock data {flags}")
        assert done.code == 4
        assert "gone    CHANGES" in done.out
        assert "changed README" in done.out
    told = document(shell("neurofetch lock data --check a.lock --json"))
    assert (told["document"], told["ok"]) == ("difference", False)
    assert told["counts"] == {"same": 8, "added": 0, "changed": 1, "gone": 1}
    assert [one["path"] for one in told["files"]] == ["CHANGES", "README"]


def test_two_locks_are_compared_and_one_is_made_anew(shell):
    shell("neurofetch lock data --subject 01 --out a.lock && neurofetch lock data --out b.lock")
    done = shell("neurofetch lock --diff a.lock b.lock")
    assert done.code == 4
    assert "added   sub-02/anat/sub-02_T1w.nii.gz" in done.out
    assert shell("neurofetch lock --diff b.lock b.lock").code == 0
    (shell.data / "README").write_text("other")
    before = (shell.home / "a.lock").read_text()
    done = shell("neurofetch lock data --update a.lock")
    assert done.code == 0
    assert "changed README" in done.out
    after = (shell.home / "a.lock").read_text()
    assert after != before
    assert json.loads(after.splitlines()[0])["query"] == {"subject": ["01"]}
    assert shell("neurofetch lock data --check a.lock").code == 0
    told = document(shell("neurofetch lock data --update a.lock --json"))
    assert told["ok"]


@pytest.mark.parametrize(
    "how", ["--out data/a.lock", "> data/a.lock", "--out data/sub-01/a.lock", "--out data/./a.lock"]
)
def test_a_lock_of_every_file_is_not_of_itself(shell, how):
    path = how.split()[-1]
    assert shell(f"neurofetch lock data --all {how}").code == 0
    assert "a.lock" not in (shell.home / path).read_text()
    done = shell(f"neurofetch lock data --check {path}")
    assert (done.code, done.out) == (0, "10 same, 0 added, 0 changed, 0 gone\n")
    before = (shell.home / path).read_bytes()
    assert shell(f"neurofetch lock data --update {path}").code == 0
    assert shell(f"neurofetch lock data --all {how}").code == 0
    assert (shell.home / path).read_bytes() == before


def test_an_update_loses_no_line_where_a_part_of_the_data_is_here(shell):
    shell("neurofetch lock data --out a.lock; neurofetch lock data --all --out all.lock")
    shell("neurofetch lock data --subject 01 --out one.lock")
    shell("neurofetch get --locked a.lock part --from data --subject 02")
    for lock in ("a.lock", "all.lock", "one.lock"):
        before = (shell.home / lock).read_bytes()
        done = shell(f"neurofetch lock part --update {lock}")
        assert done.code in (3, 4)
        assert "gone    sub-01/anat" in done.out or "sub-01 does not exist" in done.err
        told = document(shell(f"neurofetch lock part --update {lock} --json"))
        assert not told.get("ok")
        assert (shell.home / lock).read_bytes() == before
    done = shell("neurofetch lock part --update a.lock -q")
    assert "a.lock was not changed: 3 files of it are not here" in done.out


def test_a_lock_goes_to_what_is_no_file_and_to_where_a_link_leads(shell):
    printed = shell("neurofetch lock data").out
    assert shell("neurofetch lock data --out /dev/stdout -q | cat").out == printed
    done = shell("mkfifo pipe; cat pipe > read.lock & neurofetch lock data --out pipe; wait")
    assert done.code == 0
    assert (shell.home / "read.lock").read_text() == printed
    assert (shell.home / "pipe").is_fifo()
    assert shell("mkdir papers; ln -s papers/a.lock a.lock; neurofetch lock data --out a.lock")
    assert (shell.home / "a.lock").is_symlink()
    assert (shell.home / "papers" / "a.lock").read_text() == printed
    full = shell("neurofetch lock data --out /dev/full")
    assert full.code == 7
    assert "No space left" in full.err


def test_the_lock_as_a_document(shell):
    told = document(shell("neurofetch lock data --json"))
    assert told["source"] == URL
    assert told["files_total"] == len(told["files"]) == len(CONTENT)
    told = document(shell("neurofetch lock data --out a.lock --json"))
    assert (told["lock"], told["files"]) == ("a.lock", [])
    told = document(shell("neurofetch lock nowhere --json"))
    assert told["error"]["code"] == "destination"
    (shell.home / "bad.lock").write_text("{}\n")
    done = shell("neurofetch get --locked bad.lock new --json")
    assert done.code == 2
    assert document(done)["error"]["code"] == "lock_file"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("data --check a.lock --format pooch", "--format would do nothing with --check"),
        ("data --check a.lock --subject 01", "a filter would do nothing"),
        ("data --check a.lock --all --quick", "--quick and --all would do nothing"),
        ("data --hash", "--hash would do nothing with no --check and no --diff"),
        ("data --update a.lock --all", "--all would do nothing with --update"),
        ("data --check a.lock --out b.lock", "not allowed with"),
        ("data --diff a.lock a.lock", "looks at no directory"),
        ("--diff a.lock a.lock a.lock", "Leave the rest out"),
        ("data --format zip", "invalid choice: 'zip'"),
        ("data --check none.lock", "cannot be read"),
        ("a.lock --quick", "read as it is"),
        ("data --out .", "it is a folder"),
        ("a.lock --check a.lock", "To compare two locks: --diff a.lock FILE"),
        ("a.lock --update a.lock", "Name the directory that the lock is of"),
        ("a.lock --diff a.lock", "is a file, and no data directory"),
    ],
)
def test_what_makes_no_sense_is_told(shell, words, said):
    shell("neurofetch lock data --out a.lock")
    before = (shell.home / "a.lock").read_bytes()
    done = shell(f"neurofetch lock {words}")
    assert done.code in (2, 7)
    assert done.out == ""
    assert said in done.err
    assert "Traceback" not in done.err
    assert (shell.home / "a.lock").read_bytes() == before


# -- bring -----------------------------------------------------------------------------------------


def test_a_lock_is_brought_planned_and_brought_again(shell, s3):
    shell("neurofetch lock data --out a.lock")
    plan = document(shell("neurofetch get --locked a.lock new --dry-run --json"))
    assert plan["files_to_fetch"] == len(CONTENT)
    assert not (shell.home / "new").exists()
    report = document(shell("neurofetch get --locked a.lock new --json"))
    assert report["ok"]
    assert on_disk(shell.home / "new") == set(CONTENT)
    s3.clear_log()
    done = shell("neurofetch get --locked a.lock --data-dir new")
    assert "Nothing to fetch" in done.err
    assert s3.requests() == []
    assert shell("neurofetch lock new").out == (shell.home / "a.lock").read_text()
    assert shell("neurofetch get --locked a.lock -q").code == 0  # into a folder of its name
    assert on_disk(shell.home / "ds") == set(CONTENT)
    assert shell("neurofetch verify ds --hash").code == 0


def test_what_is_gone_is_named_with_code_4(shell, s3):
    shell("neurofetch lock data --out a.lock")
    s3.delete("ds/README")
    done = shell("neurofetch get --locked a.lock new")
    assert done.code == 4
    assert "README: the address in the lock: " in done.err
    assert "--from" in done.err
    done = shell("neurofetch get --locked a.lock new --from data")
    assert done.code == 0
    assert on_disk(shell.home / "new") == set(CONTENT)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("--locked a.lock s3://b/ds", 2, "nothing from s3://b/ds"),
        ("--locked a.lock new --data-dir other", 2, "nothing from new"),
        ("--locked a.lock new --follow --bare", 2, "--follow, --bare would do nothing"),
        ("--locked a.lock new --mirror data", 2, "Name the places with --from"),
        ("--locked a.lock new --subject 77", 3, "sub-77 does not exist"),
        ("--locked a.lock new --from none", 2, "there is no directory"),
        ("--locked none.lock new", 2, "cannot be read"),
        ("--locked '' new", 2, "cannot be read"),
        ("s3://b/ds --data-dir new --from data", 2, "--locked FILE"),
        ("--data-dir new", 2, "DATASET (or --locked FILE)"),
    ],
)
def test_what_a_lock_does_not_decide_is_told(shell, words, code, said):
    shell("neurofetch lock data --out a.lock")
    done = shell(f"neurofetch get {words}")
    assert done.code == code, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (shell.home / "new").exists()


def test_a_killed_run_goes_on_where_it_was(shell, s3):
    large = "sub-02/func/large.nii.gz"
    s3.put(f"ds/{large}", S3Object(Generated(24 << 20, seed=5)))
    assert shell(GET).code == 0
    shell("neurofetch lock data --out a.lock")
    s3.fault(key=f"ds/{large}", method="GET", rate=4 << 20)
    process = shell.start("neurofetch get --locked a.lock new -q")
    until = time.monotonic() + 30
    while not any(p.stat().st_blocks > 16 << 10 for p in (shell.home / "new").rglob("*.part")):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    s3.clear_faults()
    s3.clear_log()
    assert shell("neurofetch get --locked a.lock new -q").code == 0
    assert shell("neurofetch lock new --check a.lock --hash").code == 0
    assert sum(request.sent for request in s3.requests("GET", f"*{large}")) < 24 << 20


def test_two_runs_at_once_bring_it_together(shell):
    shell("neurofetch lock data --out a.lock")
    for flags in ("", "--from data"):
        shutil.rmtree(shell.home / "new", ignore_errors=True)
        runs = [shell.start(f"neurofetch get --locked a.lock new -q {flags}") for _ in range(3)]
        ends = [run.communicate(timeout=60) for run in runs]
        assert [run.returncode for run in runs] == [0, 0, 0], ends
        assert shell("neurofetch lock new --check a.lock --hash").code == 0
        assert os.listdir(shell.home / "new/.neurofetch/claims") == []


# -- LAION-fMRI ------------------------------------------------------------------------------------


def test_offline_a_lock_is_brought_from_folders_alone(shell, s3):
    shell("neurofetch lock data --out a.lock")
    s3.clear_log()
    for number, way in enumerate(("--offline", "")):
        env = {} if way else {"NEUROFETCH_OFFLINE": "1"}
        (shell.home / "data" / "README").rename(shell.home / "README")
        words = f"neurofetch get --locked a.lock new{number} {way} --from"
        done = shell(f"{words} s3://b/ds data -q", **env)
        assert done.code == 4
        assert "1 of 10 files failed" in done.err
        (shell.home / "README").rename(shell.home / "data" / "README")
        assert shell(f"{words} data -q", **env).code == 0
        assert on_disk(shell.home / f"new{number}") == set(CONTENT)
    plan = document(shell("neurofetch get --locked a.lock other --offline --dry-run --json"))
    assert plan["files_to_fetch"] == len(CONTENT)
    assert s3.log == []


def test_many_runs_at_once_copy_what_is_large(shell):
    (shell.home / "large").mkdir()
    for name in "abc":
        with open(shell.home / "large" / name, "wb") as file:
            file.truncate(100 << 20)
            file.write(name.encode())
    shell("neurofetch lock large --all --out a.lock")
    words = "neurofetch get --locked a.lock new -q --from large"
    runs = [shell.start(words) for _ in range(6)]
    ends = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0] * 6, ends
    assert shell("neurofetch lock new --check a.lock --hash").code == 0


def test_a_directory_of_laion_fmri_is_locked_and_brought(shell):
    line = "laion-fmri download --subject 03 --ses 01 averages -q --data-dir laion"
    (shell.home / "laion").mkdir()
    done = shell(line, **LICENSE)
    assert done.code == 0, done.err
    assert shell("neurofetch lock laion --out laion.lock").code == 0
    head = json.loads((shell.home / "laion.lock").read_text().splitlines()[0])
    assert (head["kind"], head["source"]) == ("laion-fmri", "s3://laion-fmri")
    assert shell("neurofetch get --locked laion.lock again -q").code == 0
    assert on_disk(shell.home / "again") == on_disk(shell.home / "laion")
    assert shell("neurofetch lock again").out == (shell.home / "laion.lock").read_text()
    done = shell("laion-fmri verify --data-dir again --hash")
    assert done.code == 0, done.err
    done = shell(line.replace("laion ", "again ").replace("--data-dir laion", "--data-dir again"))
    assert done.code == 0, done.err
