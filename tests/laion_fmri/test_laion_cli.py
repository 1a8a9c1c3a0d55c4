"""The ``laion-fmri`` command as a shell sees it: exit codes, output, progress, signals."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import neurofetch
from neurofetch.console import ExitCode
from testbed.s3 import Generated, S3Server
from tests.faces import LICENSE, SMALL, Shell, bucket, ended, interrupt, make_s3, on_disk

FUNC = "derivatives/glmsingle-tedana/sub-03/ses-01/func/"
BETAS = (
    f"{FUNC}sub-03_ses-01_task-images_space-T1w_stat-effect_desc-SingletrialBetas_statmap.nii.gz"
)
AVERAGES = "laion-fmri download --subject 03 --ses averages"


@pytest.fixture(scope="module")
def steady():
    """A server of which no test changes anything."""
    with make_s3() as server:
        yield server


@pytest.fixture
def shell(tmp_path, steady):
    return Shell(tmp_path, steady.url)


@pytest.fixture
def s3():
    """A server of one test, to be told to misbehave."""
    with make_s3() as server:
        yield server


@pytest.fixture
def faulty(tmp_path, s3):
    return Shell(tmp_path, s3.url)


# -- endings -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_0_when_all_is_there_and_again_when_it_was_there_before(shell):
    first, second = shell(AVERAGES), shell(AVERAGES)
    assert (first.code, second.code) == (ExitCode.OK, ExitCode.OK)
    number = len(on_disk(shell.data))
    assert f"{number} files fetched" in first.err
    assert f"verified: {number} by checksum" in first.err
    assert re.fullmatch(
        rf"Nothing to fetch: all {number} files are already here, [\d.]+ kB\.\n"
        rf"verified when they came: {number} by checksum\n",
        second.err,
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("laion-fmri download --ses 01", "required: --subject"),
        ("laion-fmri donwload --subject 03", "did you mean download?"),
        ("laion-fmri download --subject 03 --sutfix bold", "--sutfix: did you mean --suffix?"),
        ("laion-fmri download --subject 03 --subj 01", "unrecognized arguments: --subj"),
        (
            "laion-fmri download --subject 03 --ses",
            "--ses/--session: expected at least one argument",
        ),
        ("laion-fmri download --subject 03 --shard 3/2", "'3/2' is not I/N"),
        ("laion-fmri download --subject 03 --limit-rate fast", "'fast' is not a rate"),
        ("laion-fmri download --subject 03 --progress loud", "invalid choice: 'loud'"),
        ("laion-fmri download --subject 03 --progress lins", "lins: did you mean lines?"),
        ("laion-fmri download --subject 0/3", "'0/3' is not a subject"),
        ("laion-fmri download --subject 03 --ses ''", "ses is empty text"),
    ],
)
def test_2_for_wrong_usage_in_few_lines(shell, line, says):
    done = shell(line)
    assert done.code == ExitCode.USAGE
    assert says in done.err
    assert done.err.count("\n") <= 4
    assert done.out == ""


@pytest.mark.parametrize("line", ["laion-fmri stimuli", "neurofetch", "neurofetch neurovault"])
def test_2_for_a_command_without_its_command_and_its_help_on_stdout(shell, line):
    done = shell(line)
    assert (done.code, done.err) == (ExitCode.USAGE, "")
    assert done.out == shell(f"{line} --help").out


@pytest.mark.parametrize(
    "line",
    [
        "laion-fmri license",  # not a command: no flag is meant
        "laion-fmri verify --ses 01",  # a flag of another command
        "laion-fmri download --subject 03 --shard 3/2",
        "laion-fmri download --subject 03 --limit-rate fast",
    ],
)
def test_a_hint_is_for_what_was_typed_not_for_the_words_of_the_message(shell, line):
    assert "did you mean" not in shell(line).err


def test_2_where_no_data_directory_was_chosen_and_how_to(shell):
    done = shell(AVERAGES, LAION_FMRI_DATA_DIR=None)
    assert done.code == ExitCode.USAGE
    assert "laion-fmri config --data-dir DIR" in done.err


@pytest.mark.parametrize("line", ["--subject 04", "--subject 03 --ses 99", "--subject 03 --ses 31"])
def test_3_when_nothing_matches(shell, line):
    done = shell(f"laion-fmri download {line}")
    assert done.code == ExitCode.NOTHING_MATCHED
    assert "Nothing was fetched" in done.err
    assert not on_disk(shell.data)


def test_4_when_files_failed_each_named_once_with_its_cause(s3, faulty):
    s3.fault(key="participants.*", method="GET", status=404)
    done = faulty(AVERAGES + " --quiet")
    assert done.code == ExitCode.INCOMPLETE
    for name in ("participants.tsv", "participants.json"):
        (line,) = [line for line in done.err.splitlines() if line.startswith(f"  {name}: ")]
        assert "404" in line
    assert "2 of " in done.err
    assert "un the same call again" in done.err
    assert "README" in on_disk(faulty.data)


def test_6_for_a_bucket_that_does_not_exist_or_lives_elsewhere(tmp_path):
    with S3Server({"other": {}}, elsewhere={"moved": "eu-west-1"}) as s3:
        shell = Shell(tmp_path, s3.url)
        missing = shell(AVERAGES)
        moved = shell(f"neurofetch get s3://moved/x --dest {shell.data}")
    assert (missing.code, moved.code) == (ExitCode.SERVER, ExitCode.SERVER)
    assert "no bucket 'laion-fmri'" in missing.err
    assert "AWS_ENDPOINT_URL" in missing.err
    assert "eu-west-1" in moved.err


def test_6_when_the_server_refuses_to_list(s3, faulty):
    s3.fault(method="LIST", status=403)
    done = faulty(AVERAGES)
    assert done.code == ExitCode.SERVER
    assert "403" in done.err


@pytest.mark.slow
def test_6_when_nobody_answers_and_what_to_check(shell):
    done = shell(AVERAGES, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert done.code == ExitCode.SERVER
    assert "127.0.0.1:9" in done.err
    assert "refused" in done.err
    assert "AWS_ENDPOINT_URL" in done.err


def test_the_exit_codes_are_in_the_help(shell):
    shown = shell("laion-fmri download --help").out
    listed = set(map(int, re.findall(r"^  (\d+)  +\S", shown, re.MULTILINE)))
    assert listed | {143} == {code.value for code in ExitCode}
    assert "143: terminated" in shown


# -- signals -------------------------------------------------------------------------------------


PART = 8 << 20
LARGE = 8 * PART


def start_slow(s3, shell, line, **env):
    """Start to fetch a file of eight parts, five of which hardly come; return when one is here."""
    s3.put(BETAS, Generated(LARGE, seed=1))
    s3.fault(key=BETAS, method="GET", byte_range="bytes=[2-5]*", rate=1e5)
    process = shell.start(line, **env)
    until = time.monotonic() + 15
    while not any(one.ended and one.sent == PART for one in s3.requests("GET", BETAS)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "the transfer did not begin"
        time.sleep(0.05)
    time.sleep(0.3)  # for the client to read what the server has sent
    return process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
)
def test_a_signal_stops_at_once_keeps_what_came_and_the_same_command_goes_on(
    s3, faulty, number, code
):
    line = "laion-fmri download --subject 03 --ses 01"
    done, seconds = interrupt(start_slow(s3, faulty, line), number)
    assert done.code == code
    assert seconds < 3  # a second is promised; this machine may be busy
    assert "Run the same command again to continue" in done.err
    assert BETAS not in on_disk(faulty.data)
    assert list((faulty.data / ".laion_fmri" / "partial").iterdir())

    s3.clear_faults()
    plan = json.loads(faulty(f"{line} --dry-run --json").out)
    (step,) = [step for step in plan["files"] if step["path"] == BETAS]
    assert step["action"] == "resume"
    assert 0 < step["bytes_to_fetch"] <= LARGE - PART
    s3.clear_log()
    assert faulty(line).code == ExitCode.OK
    assert sum(request.sent for request in s3.requests("GET", BETAS)) == step["bytes_to_fetch"]
    assert (faulty.data / BETAS).read_bytes() == Generated(LARGE, seed=1).read(0, LARGE)


@pytest.mark.slow
def test_ctrl_c_stops_a_listing_that_hangs(s3, faulty):
    s3.fault(method="LIST", delay=20)
    process = faulty.start(AVERAGES)
    while not s3.requests(method="LIST"):
        time.sleep(0.05)
    done, seconds = interrupt(process)
    assert done.code == ExitCode.INTERRUPTED
    assert seconds < 3


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_fault(shell):
    assert shell(AVERAGES + " --paths | head -n 1").code == 0
    assert shell("laion-fmri download --subject all --dry-run --json | head -n 1").err == ""


@pytest.mark.slow
@pytest.mark.parametrize("words", ["--print-completion zsh", "--help", "info --json"])
def test_a_reader_that_goes_away_is_told_apart_by_the_exit_code(shell, words):
    done = shell(f"{{ laion-fmri {words}; echo $? >&2; }} | exec true")
    assert done.err in ("141\n", "0\n")  # 0: all was written before the reader went
    gone = shell(f"{{ sleep 0.2; laion-fmri {words}; echo $? >&2; }} | exec true")
    assert gone.err == "141\n"


def test_an_output_that_takes_no_more_is_no_success(shell):
    done = shell("laion-fmri config >/dev/full")
    assert (done.code, "No space left" in done.err) == (ExitCode.DISK, True)
    assert shell("laion-fmri config >&-").code == 0  # closed from the start: nobody wants it


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize("how", ["", "--json"])
def test_any_locale_can_print_any_path(tmp_path, steady, encoding, how):
    folder = tmp_path / "d ü 脳"
    folder.mkdir()
    shell = Shell(tmp_path, steady.url)
    words = f"laion-fmri config {how}"
    done = shell(words, LAION_FMRI_DATA_DIR=str(folder), PYTHONIOENCODING=encoding)
    assert (done.code, done.err) == (0, "")
    if how:
        assert json.loads(done.out)["data_dir"] == str(folder)
    if encoding == "utf-8":
        assert str(folder) in done.out
    line = shell(
        AVERAGES + " --dry-run", LAION_FMRI_DATA_DIR=str(folder), PYTHONIOENCODING=encoding
    )
    assert line.code == 0


def test_a_data_directory_whose_name_is_no_text_is_printed_byte_by_byte(tmp_path, steady):
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    shell = Shell(tmp_path, steady.url)
    assert (
        shell("cd caf*/ && LAION_FMRI_DATA_DIR=. laion-fmri config | od -An -c | tr -d ' \n'").out[
            -8:
        ]
        == "caf351\\n"
    )
    assert json.loads(shell("cd caf*/ && LAION_FMRI_DATA_DIR=. laion-fmri config --json").out)


# -- stdout is data, stderr is talk ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        ("config", {"data_dir", "config"}),
        ("info", {"bucket", "data_dir", "subjects"}),
        ("info --subject 03", {"bucket", "data_dir", "subjects"}),
        ("download --subject 03 --ses averages --dry-run", {"root", "files", "bytes_to_fetch"}),
        ("download --subject 03 --ses averages", {"root", "files", "ok", "bytes_moved", "counts"}),
        ("download --subject 03 --ses averages --n-jobs 0 --desc r2m", {"root", "files", "notes"}),
        ("verify", {"error"}),
        ("verify --hash --remote", {"root", "ok", "files"}),
    ],
)
def test_json_is_alone_on_stdout(shell, command, keys):
    done = shell(f"laion-fmri {command} --json")
    nothing_here = command.startswith("verify")
    assert done.code == (ExitCode.NOTHING_MATCHED if nothing_here else 0)
    assert keys <= set(json.loads(done.out))


@pytest.mark.slow
def test_json_of_a_run_that_failed_is_whole_too(s3, faulty):
    s3.fault(key="README", method="GET", status=404)
    done = faulty(AVERAGES + " --json")
    report = json.loads(done.out)
    assert done.code == ExitCode.INCOMPLETE
    assert not report["ok"]
    assert [f["path"] for f in report["files"] if f["status"] == "failed"] == ["README"]


@pytest.mark.slow
def test_the_talk_is_on_stderr_and_quiet_silences_it(shell):
    done = shell(AVERAGES)
    assert done.out == ""
    assert "to fetch" in done.err
    quiet = shell(AVERAGES + " --overwrite --quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


@pytest.mark.slow
def test_paths_are_one_a_line_and_exist(shell):
    done = shell(AVERAGES + " --paths --quiet")
    paths = done.out.splitlines()
    assert {f"{shell.data}/{path}" for path in on_disk(shell.data)} == set(paths)
    assert len(paths) == len(set(paths))
    assert shell(AVERAGES + " --paths --quiet").out == done.out


def test_a_dry_run_is_a_table_and_writes_nothing(shell):
    done = shell(AVERAGES, **dict.fromkeys(LICENSE))
    assert done.code == ExitCode.LICENSE
    done = shell(
        AVERAGES.replace("averages", "01 31") + " --dry-run", LAION_FMRI_ACCEPT_LICENSE=None
    )
    assert done.code == 0
    assert done.err == ""
    assert re.search(r"^to fetch +\d+ +[\d.]+ kB$", done.out, re.MULTILINE)
    assert re.search(r"^already here +0 +0 bytes$", done.out, re.MULTILINE)
    assert re.search(r"^free on the disk +[\d.]+ .B$", done.out, re.MULTILINE)
    assert re.search(r"^withheld: ses-31: held out by the dataset's owners", done.out, re.M)
    assert "mean-R² map" in done.out
    assert not on_disk(shell.data)


@pytest.mark.slow
def test_a_short_dry_run_names_every_file_its_bytes_and_why(shell):
    line = "laion-fmri download --subject 03 --ses 01 --suffix trials --dry-run"
    table = shell(line).out
    plan = json.loads(shell(line + " --json").out)
    assert plan["files_total"] == len(plan["files"]) == plan["files_to_fetch"]
    assert plan["bytes_to_fetch"] == sum(len(bucket(SMALL)[s["key"]]) for s in plan["files"])
    lines = table.splitlines()
    for step in plan["files"]:
        (number,) = [n for n, line in enumerate(lines) if line.strip().endswith(step["path"])]
        assert step["why"] in lines[:number]


def test_what_the_plan_said_of_refused_files_is_not_said_again(shell):
    done = shell("laion-fmri download --subject 03 --ses 01 31 --suffix statmap")
    assert done.err.count("held out") == 1
    again = shell("laion-fmri download --subject 03 --ses 01 31 --suffix statmap")
    assert again.err.count("held out") == 1
    assert "to fetch  " not in again.err


def test_a_refusal_that_no_rule_of_the_dataset_foresaw_is_a_failure(s3, faulty):
    s3.forbidden = (*s3.forbidden, "participants.*")
    done = faulty(AVERAGES)
    assert done.code == ExitCode.INCOMPLETE
    assert len(re.findall(r"^  participants\S+: .*403", done.err, re.MULTILINE)) == 2
    assert "2 failed" in done.err
    assert done.err.count("ask their owners") == 1
    assert len(on_disk(faulty.data)) > 2, "all the others came"


def test_what_the_datasets_own_rules_withhold_is_no_failure(shell):
    done = shell("laion-fmri download --subject 03 --ses 01 31 --suffix statmap --include-stimuli")
    assert done.code == 0
    assert "held out by the dataset's owners" in done.err
    assert "gated by a data use agreement" in done.err


# -- progress ------------------------------------------------------------------------------------


@pytest.fixture
def slow(s3):
    s3.put(BETAS, bytes(300_000))
    s3.fault(key=BETAS, method="GET", rate=200_000)
    return "laion-fmri download --subject 03 --ses 01 --desc singletrial --extension nii.gz"


@pytest.mark.slow
def test_where_stderr_is_no_terminal_there_is_a_line_now_and_then(slow, faulty):
    done = faulty(slow, NEUROFETCH_LINE_SECONDS="0.3")
    lines = re.findall(
        r"^[\d.]+ s: .+ of .+, \d+ of \d+ files, .+/s(?:, .+ left)?$", done.err, re.MULTILINE
    )
    assert 2 <= len(lines) <= 6
    assert "\r" not in done.err
    assert not re.search(r"^[\d.]+ s: ", faulty(slow + " --overwrite --quiet").err, re.MULTILINE)


@pytest.mark.slow
def test_in_a_terminal_there_is_a_bar_with_bytes_rate_and_time(slow, faulty):
    code, screen = faulty.in_terminal(slow)
    assert code == 0
    assert "\r" in screen
    bar = r"\d+%\|[^|]*\| [\d.]+k/308k \[[\d:]+<[\d:?]+, +[\d.]+k?B/s, \d+/49 files"
    bars = re.findall(bar, screen)
    assert len(bars) >= 2
    assert screen.endswith("--stdout--\n")


def test_events_are_ndjson_on_stderr_and_nothing_else_is(s3, faulty):
    s3.fault(key="README", method="GET", status=503, times=1)
    s3.fault(key="participants.tsv", method="GET", status=404)
    done = faulty(AVERAGES + " --progress json --n-jobs 0")
    assert done.code == ExitCode.INCOMPLETE
    assert done.out == ""
    events = [json.loads(line) for line in done.err.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["warning", "planned"]
    assert kinds[-2:] == ["finished", "error"]
    assert {"progress", "file", "retrying"} <= set(kinds)
    files = {event["path"]: event["status"] for event in events if event["event"] == "file"}
    assert files["participants.tsv"] == "failed"
    assert files["README"] == "fetched"
    assert sum(status == "fetched" for status in files.values()) == len(on_disk(faulty.data))
    fields = {event["event"]: " ".join(event) for event in events}
    assert fields["file"] == (
        "schema event path unit key url etag checksum size status reason advice verification "
        "bytes_moved seconds retries"
    )
    assert fields["retrying"] == "schema event path reason wait"
    assert fields["progress"] == (
        "schema event files_done bytes_done bytes_total seconds rate retries files_total"
    )
    assert fields["planned"] == (
        "schema event root counts files_total files_to_fetch files_partly_here files_here "
        "files_withheld files_archived files_not_kept bytes_total bytes_to_fetch bytes_here "
        "bytes_archived bytes_free groups notes"
    )
    assert fields["finished"] == (
        "schema event root ok seconds counts files_total bytes_moved notes"
    )
    assert fields["error"] == "schema event message code advice exit"


@pytest.mark.parametrize(
    ("line", "extra"),
    [
        ("laion-fmri show --subject 03 --session 01 --out x.png", "plot"),
        ("neurofetch neurovault search x", "neurovault"),
    ],
)
def test_a_library_of_an_extra_that_is_missing_is_named_and_how_it_comes(shell, line, extra):
    """As after `pip install neurofetch` alone."""
    program, *words = line.split()
    module = {"laion-fmri": "laion_fmri.cli.main", "neurofetch": "neurofetch._cli"}[program]
    hidden = "import sys; sys.modules['numpy'] = sys.modules['duckdb'] = None"
    script = f"{hidden}; from {module} import main; sys.exit(main({words!r}))"
    done = shell(f'{sys.executable} -c "{script}"')
    assert done.code == ExitCode.USAGE
    assert re.search(r"needs .*(numpy|duckdb).* not installed", done.err)
    assert f"pip install 'neurofetch[{extra}]'" in done.err


# -- small things --------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["laion-fmri", "neurofetch"])
def test_completions_are_printed_and_parse(shell, program):
    done = shell(f"{program} --print-completion bash > made && bash -n made && cat made")
    assert done.code == 0
    assert "--limit-rate" in done.out
    assert shell(f"{program} --print-completion zsh").out.startswith("#compdef")


@pytest.mark.parametrize(
    ("program", "module"), [("laion-fmri", "laion_fmri"), ("neurofetch", "neurofetch")]
)
def test_the_command_is_a_module_too(shell, program, module):
    by_name, by_module = shell(f"{program} --version"), shell(f"python -m {module} --version")
    assert by_name.out == by_module.out == f"{program} {neurofetch.__version__}\n"
    assert shell(f"python -m {module} get").code == ExitCode.USAGE


HEAVY = ("numpy", "urllib3", "awscrt", "tqdm", "ssl", "pandas", "http.client", "nibabel")


@pytest.mark.parametrize("module", ["laion_fmri.cli.main", "neurofetch._cli"])
@pytest.mark.parametrize("words", [["--help"], ["verify", "--help"]])
def test_help_imports_nothing_heavy(module, words):
    script = (
        f"import sys\nfrom {module} import main\n"
        f"try: main({words!r})\nexcept SystemExit as end: assert end.code == 0\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: ")
    assert done.stderr == "[]\n"


@pytest.mark.slow
def test_info_tells_subjects_sessions_regions_and_sizes(shell):
    shell(AVERAGES)
    found = json.loads(shell("laion-fmri info --json").out)
    one, three = found["subjects"]
    assert (one["subject"], three["subject"]) == ("sub-01", "sub-03")
    assert three["sessions"] == ["ses-01", "ses-02"]
    assert three["held_out"] == ["ses-31"]
    assert "FFA1" in three["rois"]["face"]
    assert one["files_here"] == 0
    assert three["files_here"] == len([p for p in on_disk(shell.data) if "sub-03" in p])
    public = [k for k in bucket(SMALL) if "/sub-03/" in k and "ses-31" not in k]
    mine = [
        k
        for k in public
        if k.startswith(("derivatives/glm", "derivatives/rois"))
        or ("anatomical" in k and "res-1pt8_desc-brain_mask" in k)
    ]
    assert three["files_total"] == len(mine)
    assert three["bytes_total"] == sum(len(bucket(SMALL)[key]) for key in mine)
    table = shell("laion-fmri info --subject sub-03").out
    assert "FFA1" in table
    assert "ses-31   held out" in table
    everyone = shell("laion-fmri info --subject all").out
    assert "\nsub-01\n" in everyone
    assert table.partition("\nsub-03\n")[2] in everyone
    unknown = shell("laion-fmri info --subject 09")
    assert (unknown.code, unknown.out) == (ExitCode.NOTHING_MATCHED, "")


@pytest.mark.slow
def test_a_data_directory_for_one_run_needs_no_configuration(shell):
    other = shell.home / "other place"
    other.mkdir()
    flag = f"--data-dir '{other.name}'"
    none = {"LAION_FMRI_DATA_DIR": None}
    assert shell(f"{AVERAGES} {flag} --dry-run", **none).code == 0
    assert shell(f"{AVERAGES} {flag}", **none).code == 0
    number = len(on_disk(other))
    assert number > 100
    assert f"{number} good" in shell(f"laion-fmri verify --hash {flag}", **none).out
    found = json.loads(shell(f"laion-fmri info --json {flag}", **none).out)
    assert found["data_dir"] == str(other)
    assert found["subjects"][1]["files_here"] > 100
    assert not on_disk(shell.data)
    assert shell("laion-fmri config", **none).code == ExitCode.USAGE  # nothing was written down
    gone = shell("laion-fmri verify --data-dir nowhere", **none)
    assert (gone.code, "does not exist" in gone.err) == (ExitCode.DISK, True)


def test_info_needs_no_data_directory(shell):
    done = shell("laion-fmri info", LAION_FMRI_DATA_DIR=None)
    assert done.code == 0
    assert "data directory: none yet; choose one: laion-fmri config --data-dir DIR" in done.out
    found = json.loads(shell("laion-fmri info --json", LAION_FMRI_DATA_DIR=None).out)
    assert found["data_dir"] is None
    assert [one["files_here"] for one in found["subjects"]] == [0, 0]


@pytest.mark.slow
def test_a_shard_is_a_part_and_all_shards_are_the_whole(shell):
    whole = set(json_paths(shell(AVERAGES + " --dry-run --json")))
    parts = [json_paths(shell(f"{AVERAGES} --dry-run --json --shard {i}/3")) for i in range(3)]
    assert all(parts)
    assert sorted(path for part in parts for path in part) == sorted(whole)


def json_paths(done):
    return [step["path"] for step in json.loads(done.out)["files"]]


def test_end_waits_for_stdout(shell):
    process = shell.start("laion-fmri info --json")
    done = ended(process)
    assert json.loads(done.out)["subjects"]
