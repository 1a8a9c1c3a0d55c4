"""Embeddings, segmentations, captions and stimuli, fetched by themselves."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from laion_fmri import _stimulus_access as older
from laion_fmri.access.request_id import auth_path
from laion_fmri.config import dataset_initialize
from laion_fmri.download import (
    download,
    download_captions,
    download_embeddings,
    download_segmentations,
    download_stimuli,
    request_stimulus_access,
)
from laion_fmri.errors import (
    AccessError,
    AccessRevokedError,
    LicenseNotAcceptedError,
    NotInBucketError,
    TermsNotAcceptedError,
    TermsOutdatedError,
    UnknownRequestError,
)
from laion_fmri.stimulus_downloads import plan_embeddings
from neurofetch.model import IncompleteError
from testbed.laion import GATED
from tests.acceptance_world import QUIET, objects, world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance_world import World

pytestmark = QUIET

BASE = "stimuli/task-images_desc-"
ANSWERS = ["Ada Lovelace", "ada@example.org", "Analytical Engines", "", "models of visual cortex"]
TWO = ["SigLIP2", "CLIP"]
DOWN = "http://127.0.0.1:1"


@pytest.fixture
def here(tmp_path) -> Iterator[World]:
    with world(tmp_path) as made:
        dataset_initialize(str(made.data))
        yield made


def gets(here: World) -> list[str]:
    return [one.key for one in here.s3.requests(method="GET") if one.key]


def type_in(here: World, *lines: str) -> None:
    here.patch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


# --- public files ---------------------------------------------------------------------------------


def test_one_model_is_one_file_of_the_plan(here):
    plan = plan_embeddings(["CLIP"])
    assert [step.want.path for step in plan.steps] == [f"{BASE}CLIP_embeddings.h5"]
    assert gets(here) == []
    only = download("01", ses="01", suffix="trials", include_embeddings=["CLIP"], dry_run=True)
    without = download("01", ses="01", suffix="trials", dry_run=True)
    paths = [{step.want.path for step in one.steps} for one in (only, without)]
    assert paths[0] - paths[1] == {f"{BASE}CLIP_embeddings.h5"}


@pytest.mark.parametrize(
    ("call", "keys"),
    [
        (lambda: download_embeddings(TWO), [f"{model}_embeddings.h5" for model in TWO]),
        (download_segmentations, ["segmentations.h5", "segmentations_metadata.csv"]),
        (download_captions, ["captions.csv"]),
    ],
    ids=["embeddings", "segmentations", "captions"],
)  # fmt: skip
def test_what_is_here_is_not_fetched_again(here, call, keys):
    found = call()
    assert sorted(gets(here)) == sorted(BASE + key for key in keys)
    for key in keys:
        assert (here.data / (BASE + key)).read_bytes() == objects()[BASE + key]
    here.s3.clear_log()
    assert call() == found
    assert gets(here) == []
    damaged = here.data / (BASE + keys[0])
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert call() == found
    assert gets(here) == [BASE + keys[0]]
    assert damaged.read_bytes() == objects()[BASE + keys[0]]


def test_a_file_that_the_bucket_lacks_is_told_and_nothing_is_fetched(here):
    here.s3.delete(f"{BASE}PEcore_embeddings.h5")
    with pytest.raises(NotInBucketError, match="PEcore") as caught:
        download_embeddings("all")
    assert isinstance(caught.value, RuntimeError)
    assert isinstance(caught.value, FileNotFoundError)
    assert gets(here) == []


def test_the_licence_comes_before_any_public_file(tmp_path):
    with world(tmp_path, agreed=False) as there:
        dataset_initialize(str(there.data))
        type_in(there)
        for call in (download_embeddings, download_segmentations, download_captions):
            with pytest.raises(LicenseNotAcceptedError):
                call()
        assert there.asked() == 0
        assert download_captions(accept_license="CC0-1.0").is_file()
        assert download_segmentations()["h5"].is_file()


def test_files_go_where_the_call_says(here, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    assert download_captions(other) == other / f"{BASE}captions.csv"
    assert not (here.data / "stimuli").exists()


# --- gated files ----------------------------------------------------------------------------------


def test_stimuli_are_fetched_and_kept_when_the_service_is_away(here):
    found = download_stimuli()
    assert {f"stimuli/{name}" for name in found} == set(GATED)
    for key in GATED:
        assert (here.data / key).read_bytes() == objects()[key]
    here.patch.setenv("LAION_FMRI_ACCESS_URL", DOWN)
    here.patch.setenv("NEUROFETCH_PATIENCE", "0")
    assert download_stimuli() == found


def test_what_is_spoilt_is_not_called_up_to_date_when_the_service_is_away(here, capsys):
    found = download_stimuli()
    here.patch.setenv("LAION_FMRI_ACCESS_URL", DOWN)
    here.patch.setenv("NEUROFETCH_PATIENCE", "0")
    capsys.readouterr()
    assert download_stimuli() == found
    said = capsys.readouterr().err
    assert "kept as they are, since the access service gave no list" in said
    assert "up to date" not in said
    path = found["task-images_metadata.csv"]
    whole = path.read_bytes()
    path.write_text("spoilt")
    with pytest.raises(AccessError, match="does not respond"):
        download_stimuli()
    with pytest.raises(IncompleteError):
        download("01", ses="averages", include_stimuli=True)
    here.patch.setenv("LAION_FMRI_ACCESS_URL", here.service.url)
    assert download_stimuli() == found
    assert path.read_bytes() == whole


def test_what_is_outdated_is_not_called_up_to_date_without_an_id(here):
    path = download_stimuli()["task-images_metadata.csv"]
    path.write_text("of another version")
    here.patch.delenv("LAION_FMRI_REQUEST_ID")
    with pytest.raises(AccessError, match="data use agreement"):
        download_stimuli()


@pytest.mark.parametrize(
    "call",
    [
        download_stimuli,
        download_segmentations,
        download_captions,
        lambda data_dir: download_embeddings("CLIP", data_dir),
        lambda data_dir: plan_embeddings("CLIP", data_dir),
    ],
)
def test_a_variable_that_was_never_set_is_no_data_directory(here, tmp_path, call):
    (tmp_path / "work").mkdir()
    here.patch.chdir(tmp_path / "work")
    for wrong in ("", " ", 3):
        with pytest.raises(ValueError, match="data directory"):
            call(wrong)
    assert list(Path().iterdir()) == []
    here.patch.setenv("HOME", str(here.data.parent))
    call(f"~/{here.data.name}")
    assert list(Path().iterdir()) == []


def test_an_address_of_another_type_is_told(here):
    for wrong in (3, b"http://127.0.0.1:1"):
        with pytest.raises(TypeError, match="server_url"):
            download_stimuli(server_url=wrong)


def test_stimuli_come_from_the_service_that_is_named(here):
    here.patch.setenv("LAION_FMRI_ACCESS_URL", DOWN)
    assert len(download_stimuli(server_url=here.service.url)) == 2
    assert gets(here) == []


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("unknown", UnknownRequestError),
        ("revoked", AccessRevokedError),
        ("outdated", TermsOutdatedError),
    ],
)
def test_each_refusal_of_the_service_has_its_error(here, state, error):
    request_id = here.service.grant()
    here.patch.setenv("LAION_FMRI_REQUEST_ID", request_id)
    if state == "unknown":
        here.patch.setenv("LAION_FMRI_REQUEST_ID", "0" * 32)
    if state == "revoked":
        here.service.revoke(request_id)
    if state == "outdated":
        here.service.update_terms("2.0")
    with pytest.raises(error) as caught:
        download_stimuli()
    assert isinstance(caught.value, RuntimeError)
    assert request_id not in str(caught.value)
    if state == "outdated":
        assert caught.value.terms_version == "2.0"
        assert caught.value.accept_url == f"{here.service.url}/terms/accept"


def test_without_an_id_and_without_a_terminal_nobody_is_asked(here):
    here.patch.delenv("LAION_FMRI_REQUEST_ID")
    type_in(here, *ANSWERS, "yes")
    with pytest.raises(AccessError, match="laion-fmri stimuli request"):
        download_stimuli()
    assert here.service.forms == []


def test_without_an_id_the_form_is_filled_in_at_a_terminal(here):
    """As a user does: in a terminal of its own, answer by answer."""
    code = "from laion_fmri.download import download_stimuli; print(sorted(download_stimuli()))"
    env = {**os.environ, **here.env, "LAION_FMRI_ACCEPT_LICENSE": "CC0-1.0"}
    env.pop("LAION_FMRI_REQUEST_ID")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=env,
        text=True,
    )
    os.close(slave)
    typed = "".join(f"{line}\n" for line in [*ANSWERS, "yes"])
    threading.Thread(target=os.write, args=(master, typed.encode())).start()
    out, _ = process.communicate(timeout=60)
    os.close(master)
    assert process.returncode == 0
    assert out.strip() == str(sorted(key.rpartition("/")[2] for key in GATED))
    assert here.service.forms[0]["name"] == ANSWERS[0]
    assert all((here.data / key).is_file() for key in GATED)


def test_wrong_bytes_never_get_the_name(here):
    name = GATED[1].rpartition("/")[2]
    here.service.fault(key=GATED[1], times=9, body=b"x" * len(objects()[GATED[1]]))
    with pytest.raises(IncompleteError, match=name):
        download_stimuli()
    assert not (here.data / GATED[1]).exists()
    assert (here.data / GATED[0]).is_file()


# --- the form -------------------------------------------------------------------------------------


def test_the_form_asks_in_the_known_order_and_keeps_the_id(here):
    here.patch.delenv("LAION_FMRI_REQUEST_ID")
    type_in(here, *ANSWERS, "yes")
    answer = request_stimulus_access()
    assert here.service.forms == [
        {
            "name": ANSWERS[0],
            "email": ANSWERS[1],
            "institution": ANSWERS[2],
            "pi_or_supervisor": None,
            "research_purpose": ANSWERS[4],
            "accepted_terms": True,
            "acknowledged_privacy": True,
            "terms_version": "1.0",
            "source": "cli",
        }
    ]
    assert set(answer) == {"request_id", "expires_at", "files"}
    kept = json.loads(auth_path().read_text())
    assert kept["request_id"] == answer["request_id"]
    assert auth_path().stat().st_mode & 0o777 == 0o600
    shown = f"{answer!r}{answer}"
    assert answer["request_id"] not in shown
    assert "Signature" not in shown
    assert len(download_stimuli()) == 2


@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        ([*ANSWERS, "no"], TermsNotAcceptedError, "not accepted"),
        ([*ANSWERS, ""], AccessError, "not accepted"),
        ([*ANSWERS], AccessError, "no answer"),
        ([], AccessError, "no answer"),
        (["", *ANSWERS[1:], "yes"], AccessError, "name is missing"),
        ([ANSWERS[0], "ada", *ANSWERS[2:], "yes"], AccessError, "no email address"),
        ([*ANSWERS[:4], "short", "yes"], AccessError, "fewer than 20"),
    ],
)
def test_a_form_that_is_not_whole_or_not_agreed_to_is_not_sent(here, answers, error, words):
    here.patch.delenv("LAION_FMRI_REQUEST_ID")
    type_in(here, *answers)
    with pytest.raises(error, match=words) as caught:
        request_stimulus_access()
    assert isinstance(caught.value, RuntimeError)
    assert here.service.requests(method="POST") == []
    assert not auth_path().exists()


def test_a_form_that_the_service_refuses_is_told(here):
    body = json.dumps({"detail": [{"loc": ["body", "email"], "msg": "no such domain"}]}).encode()
    here.service.fault(key="api/v1/access/request", status=422, body=body)
    type_in(here, *ANSWERS, "yes")
    with pytest.raises(AccessError, match="no such domain"):
        request_stimulus_access()


def test_older_names_of_the_errors_are_these(here):
    assert older.AccessServiceError is AccessError
    assert older.AccessNotFoundError is UnknownRequestError
    assert issubclass(older.TermsOutdatedError, older.AccessServiceError)
    assert issubclass(older.AccessServiceError, RuntimeError)
