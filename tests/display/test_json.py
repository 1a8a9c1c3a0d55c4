"""JSON is an interface: what every command prints, however it ends, is what the schema says."""

import inspect
import json
import re
import signal

import pytest

from laion_fmri import errors as laion_errors
from neurofetch import errors
from neurofetch.console import ExitCode
from neurofetch.display.words import SCHEMA, code_of, public_url
from neurofetch.model import IncompleteError
from testbed.s3 import S3Server
from tests.display import schema
from tests.display.results import study
from tests.display.schema import PAGE, validate
from tests.faces import LICENSE, REFUSED, SMALL, Shell, bucket

FILES = {
    "ds/dataset_description.json": b"{}",
    "ds/sub-01/anat/sub-01_T1w.nii.gz": b"anatomy" * 100,
    "ds/sub-01/meg/sub-01_task-x_meg.ds/x.meg4": b"field" * 100,
    "ds/sub-02/anat/sub-02_T1w.nii.gz": b"anatomy" * 200,
}
GET = "neurofetch get s3://b/ds --data-dir data"
AWAY = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "NEUROFETCH_PATIENCE": "0"}


@pytest.fixture
def s3():
    with S3Server({"b": dict(FILES), "laion-fmri": bucket(SMALL)}, forbidden=REFUSED) as server:
        yield server


@pytest.fixture
def shell(tmp_path, s3):
    return Shell(tmp_path, s3.url)


def one_document(done):
    """The one document on stdout, held against the schema; an error has the exit code."""
    told = json.loads(done.out)
    validate(told)
    assert told["schema"] == SCHEMA
    if "error" in told:
        assert told["error"]["exit"] == done.code
        assert told["error"]["message"].split("\n")[0] in done.err
    return told


def fail_one(s3, shell):
    s3.fault(key="ds/sub-01/anat/sub-01_T1w.nii.gz", method="GET", status=404)


def fetch(s3, shell):
    assert shell(GET).code == 0


def damage(s3, shell):
    fetch(s3, shell)
    (shell.data / "sub-01/anat/sub-01_T1w.nii.gz").write_bytes(b"other")


def lose(s3, shell):
    fetch(s3, shell)
    (shell.data / "sub-01/anat/sub-01_T1w.nii.gz").unlink()


def nothing(s3, shell):
    """Change nothing beforehand."""


ENDINGS = [
    (nothing, GET, 0, "report", ""),
    (fetch, GET, 0, "report", ""),
    (fail_one, GET, 4, "report", "incomplete"),
    (nothing, f"{GET} --dry-run", 0, "plan", ""),
    (fetch, f"{GET} --dry-run", 0, "plan", ""),
    (nothing, f"{GET} --subject 77", 3, "error", "unknown_value"),
    (nothing, "neurofetch get s3://b/none --data-dir data", 3, "error", "nothing_matched"),
    (nothing, f"{GET} --shard 9/2", 2, "error", "usage"),
    (nothing, f"{GET} --sujbect 01", 2, "error", "usage"),
    (nothing, "neurofetch gte", 2, "error", "usage"),
    (nothing, "touch file && neurofetch get s3://b/ds --data-dir file", 7, "error", "destination"),
    (fetch, "neurofetch verify data", 0, "audit", ""),
    (fetch, "neurofetch verify data --hash", 0, "audit", ""),
    (damage, "neurofetch verify data", 4, "audit", ""),
    (lose, "neurofetch verify data --remote s3://b/ds", 4, "audit", ""),
    (nothing, "neurofetch verify gone", 7, "error", "destination"),
    (fetch, "neurofetch clean data", 0, "clean", ""),
    (nothing, "neurofetch clean gone --dry-run", 7, "error", "destination"),
    (fetch, "neurofetch index data", 0, "index", ""),
    (lose, "neurofetch index data --hash", 0, "index", ""),
    (nothing, "neurofetch index gone", 7, "error", "destination"),
    (fetch, "neurofetch index data --out data/dataset_description.json", 2, "error", "usage"),
    (nothing, "laion-fmri config", 0, "config", ""),
    (nothing, "laion-fmri info", 0, "info", ""),
    (nothing, "laion-fmri info --subject 77", 3, "error", "subject_not_found"),
    (nothing, "laion-fmri download --subject 03 --ses averages", 0, "report", ""),
    (nothing, "laion-fmri download --subject 03 --ses 01 31 --dry-run", 0, "plan", ""),
    (nothing, "laion-fmri download", 2, "error", "usage"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("before", "line", "code", "kind", "error"), ENDINGS)
def test_a_command_prints_one_document_however_it_ends(s3, shell, before, line, code, kind, error):
    before(s3, shell)
    done = shell(f"{line} --json")
    assert done.code == code, done.err
    told = one_document(done)
    assert told["document"] == kind
    assert told.get("error", {}).get("code", "") == error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "environment", "code", "error"),
    [
        (GET, AWAY, 6, "unreachable"),
        ("laion-fmri download --subject 03", dict.fromkeys(LICENSE), 5, "license_not_accepted"),
        ("laion-fmri config", {"LAION_FMRI_DATA_DIR": None}, 2, "data_dir_not_set"),
        (GET, {"NEUROFETCH_PATIENCE": "soon"}, 2, "config"),
    ],
)
def test_what_is_around_a_command_and_wrong_is_an_error_document(
    shell, line, environment, code, error
):
    done = shell(f"{line} --json", **environment)
    assert done.code == code, done.err
    told = one_document(done)
    assert (told["document"], told["error"]["code"]) == ("error", error)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_prints_a_document_too(s3, shell, number):
    s3.fault(key="ds/sub-02/anat/sub-02_T1w.nii.gz", method="GET", rate=10)
    process = shell.start(f"{GET} --json --progress json")
    events = []
    while not events or events[-1]["event"] != "planned":
        events.append(json.loads(process.stderr.readline()))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    events += map(json.loads, err.splitlines())
    for event in events:
        validate(event)
    told = json.loads(out)
    validate(told)
    assert events[-1]["event"] == "interrupted"
    assert told["error"]["exit"] == process.returncode == 128 + number
    assert told["error"] == {k: v for k, v in events[-1].items() if k in told["error"]}


@pytest.mark.slow
def test_every_event_is_of_the_schema_and_of_the_words_of_the_report(s3, shell):
    fail_one(s3, shell)
    s3.fault(key="ds/sub-02/anat/sub-02_T1w.nii.gz", method="GET", status=503, times=1)
    done = shell(f"{GET} --json --progress json")
    events = [json.loads(line) for line in done.err.splitlines()]
    for event in events:
        validate(event)
    told = one_document_of(done.out)
    rows = {row["path"]: row for row in told["files"]}
    seen = {event["path"]: event for event in events if event["event"] == "file"}
    assert set(seen) == set(rows)
    for path, row in rows.items():
        assert row == {word: value for word, value in seen[path].items() if word in row}
    assert {event["event"] for event in events} >= {"planned", "retrying", "file", "finished"}
    assert told["error"] == {k: v for k, v in events[-1].items() if k in told["error"]}


def one_document_of(text):
    told = json.loads(text)
    validate(told)
    return told


@pytest.mark.slow
def test_the_source_etag_and_checksum_of_each_file_are_told(s3, shell):
    told = one_document_of(shell(f"{GET} --json").out)
    plan = one_document_of(shell(f"{GET} --json --dry-run").out)
    planned = {row["path"]: row for row in plan["files"]}
    assert len(told["files"]) == len(FILES)
    for row in told["files"]:
        assert row["url"].startswith(s3.url)
        assert row["url"].endswith(row["key"])
        assert row["etag"]
        assert re.fullmatch("[0-9a-f]+", row["checksum"]["value"])
        for word in ("key", "url", "etag", "size", "unit"):
            assert row[word] == planned[row["path"]][word]
    units = {row["unit"] for row in told["files"]}
    assert units == {None, "sub-01/meg/sub-01_task-x_meg.ds"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@h/a%20b", "https://h/a%20b"),
        ("https://h/k?X-Amz-Signature=3f&X-Amz-Credential=AK", "https://h/k"),
        ("https://h/k?versionId=7&token=t", "https://h/k?versionId=7"),
        ("https://h/k#fragment", "https://h/k"),
        ("https://[bad/k", ""),
    ],
)
def test_no_credential_and_no_signature_is_told(url, shown):
    assert public_url(url) == shown


def test_every_kind_of_error_has_a_code_that_the_documents_list():
    text = PAGE.read_text(encoding="utf-8")
    kinds = [
        kind
        for module in (errors, laion_errors)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, errors.NeurofetchError)
    ]
    for kind in [*kinds, IncompleteError]:
        code = code_of(kind)
        assert re.fullmatch(r"[a-z][a-z0-9_]*", code)
        assert f"`{code}`" in text, kind
    for code in ("usage", "interrupted", "disk", "missing_extra"):
        assert f"`{code}`" in text
    for code in ExitCode:
        assert code is not None


def test_every_word_of_the_schema_is_described_in_the_documents():
    text = PAGE.read_text(encoding="utf-8")
    words = set()

    def gather(part):
        if isinstance(part, dict):
            words.update(part.get("properties", {}))
            for one in part.values():
                gather(one)

    for name, part in schema.SCHEMA["$defs"].items():
        if name not in ("info", "access"):  # described by their commands
            gather(part)
    assert [word for word in sorted(words) if f"`{word}`" not in text] == []
    schema.judge(schema.SCHEMA).check_schema(schema.SCHEMA)


def test_the_example_in_the_documents_is_what_is_printed():
    found = re.search(
        r"<!-- file -->\n```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found
    assert json.loads(found[1]) == study(3).to_dict()["files"][9]
