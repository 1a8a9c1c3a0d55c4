"""``laion-fmri stimuli`` and its Python twin: form, consent, id, and what is never shown."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from test_docs import blocks, commands

from laion_fmri import stimuli as access
from laion_fmri.access.request_id import auth_path, known_id
from laion_fmri.errors import AccessError, TermsNotAcceptedError
from laion_fmri.stimuli import AccessState
from neurofetch.console import ExitCode
from neurofetch.errors import DestinationError, UsageError
from testbed.laion import GATED
from tests.access_world import (
    FORM,
    LARGE,
    PARTS,
    REFRESH,
    SECRETS,
    WITHOUT,
    World,
    environment,
    stimuli,
    written,
)
from tests.display.schema import validate
from tests.faces import Shell, ended, on_disk

FLAGS = " ".join(f"--{name} '{text}'" for name, text in FORM.items())
PAGE = Path(__file__).parents[2] / "docs" / "stimuli.md"
DOWNLOAD = "laion-fmri download --subject sub-03 --ses averages --include-stimuli"
SENT = {
    "name": FORM["name"],
    "email": FORM["email"],
    "institution": FORM["institution"],
    "pi_or_supervisor": None,
    "research_purpose": FORM["purpose"],
    "accepted_terms": True,
    "acknowledged_privacy": True,
    "terms_version": "1.0",
    "source": "cli",
}


@pytest.fixture
def home(s3, service, tmp_path, monkeypatch):
    for name in WITHOUT:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(s3, service, tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def shell(s3, service, home):
    shell = Shell(home, s3.url)
    shell.env.update(environment(s3, service, home))
    return shell


@pytest.fixture
def world(s3, service, shell):
    return World(s3, service, shell.data, stimuli())


# -- the Python twin -------------------------------------------------------------------------


def test_a_request_sends_the_form_and_keeps_the_id(service, home):
    granted = access.request_access(**FORM, accept_terms="1.0")
    assert service.forms == [SENT]
    assert granted.granted
    assert granted.id_from == str(auth_path())
    assert {file.name: file.size for file in granted.files} == {
        key.removeprefix("stimuli/"): len(content) for key, content in stimuli().items()
    }
    kept = json.loads(auth_path().read_text())
    assert set(kept) == {"server_url", "request_id", "saved_at"}
    assert kept["server_url"] == service.url
    assert kept["request_id"] not in repr(granted)
    assert access.status().state is AccessState.GRANTED


def test_a_supervisor_may_be_named(service, home):
    access.request_access(**FORM, pi=" Charles Babbage ", accept_terms="1.0")
    assert service.forms[0]["pi_or_supervisor"] == "Charles Babbage"


@pytest.mark.parametrize("accepted", ["", "0.9", True, None, 1.0])
def test_consent_names_the_version_that_holds(service, home, accepted):
    with pytest.raises(TermsNotAcceptedError, match=r"version '1\.0'") as caught:
        access.request_access(**FORM, accept_terms=accepted)
    assert ("no text" in str(caught.value)) == isinstance(accepted, bool | float)
    assert f"{service.url}/terms" in str(caught.value)
    assert service.requests(method="POST") == []
    assert known_id() is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": " "}, "name is missing"),
        ({"email": "ada"}, "'ada' is not an email address"),
        ({"institution": ""}, "institution is missing"),
        ({"purpose": "short"}, "has 5 characters"),
        ({"name": "", "purpose": ""}, "name is missing; purpose is missing"),
        ({"name": 3, "pi": ["Babbage"]}, "name, pi: expected text"),
    ],
)
def test_a_form_that_lacks_something_is_not_sent(service, home, change, named):
    with pytest.raises(UsageError, match=named):
        access.request_access(**{**FORM, **change}, accept_terms="1.0")
    assert service.log == []


def test_a_form_that_the_service_does_not_take_is_told(service, home):
    detail = [{"loc": ["body", "email"], "msg": "no such domain"}]
    body = json.dumps({"detail": detail}).encode()
    service.fault(key="api/v1/access/request", status=422, body=body)
    with pytest.raises(UsageError, match="email: no such domain"):
        access.request_access(**FORM, accept_terms="1.0")
    assert known_id() is None
    assert list(auth_path().parent.iterdir()) == []


def test_nothing_is_sent_where_the_id_could_not_be_kept(service, home):
    (home / "cache").write_text("a file")
    with pytest.raises(DestinationError, match="XDG_CACHE_HOME"):
        access.request_access(**FORM, accept_terms="1.0")
    assert service.forms == []


def test_every_state_has_its_words(service, home, monkeypatch):
    assert access.status().state is AccessState.NONE
    monkeypatch.setenv("LAION_FMRI_REQUEST_ID", "0" * 32)
    assert access.status().state is AccessState.UNKNOWN
    request_id = service.grant()
    monkeypatch.setenv("LAION_FMRI_REQUEST_ID", request_id)
    assert access.status().state is AccessState.GRANTED
    service.update_terms("2.0")
    outdated = access.status()
    assert (outdated.state, outdated.terms.version) == (AccessState.OUTDATED, "2.0")
    service.revoke(request_id)
    revoked = access.status()
    assert revoked.state is AccessState.REVOKED
    assert "access to the stimuli was revoked" in revoked.detail


def test_a_response_without_an_id_is_an_error(service, home):
    service.fault(key="api/v1/access/request", status=200, body=b'{"request_id": ""}')
    with pytest.raises(AccessError, match="without an id"):
        access.request_access(**FORM, accept_terms="1.0")
    assert known_id() is None


# -- the command -----------------------------------------------------------------------------


@pytest.mark.slow
def test_ask_by_flags_then_fetch(service, shell, world):
    assert shell("laion-fmri stimuli status").code == ExitCode.LICENSE
    done = shell(f"laion-fmri stimuli request {FLAGS} --accept-terms 1.0 --json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    validate(said)
    assert (said["state"], said["request_id_from"]) == ("granted", str(auth_path()))
    assert service.forms == [SENT]
    assert shell("laion-fmri stimuli status").code == 0
    assert shell(DOWNLOAD).code == 0
    assert set(GATED) <= on_disk(shell.data)


@pytest.mark.slow
def test_who_has_access_is_not_asked_again(service, shell):
    ask = f"laion-fmri stimuli request {FLAGS} --accept-terms 1.0"
    shell(ask)
    assert "access: granted" in shell(ask).out
    assert len(service.forms) == 1
    shell(f"{ask} --again")
    assert len(service.forms) == 2


def test_ask_at_a_terminal(service, shell):
    answers = [*(FORM[name] for name in ("name", "email", "institution")), "", FORM["purpose"]]
    typed = "\n".join([*answers, "I ACCEPT", ""]).encode()
    code, screen = shell.in_terminal("laion-fmri stimuli request", typed)
    assert code == 0, screen
    assert service.forms == [SENT]
    talk, _, data = screen.partition("--stdout--")
    assert f"{service.url}/terms" in talk
    assert "version 1.0" in talk
    assert "I ACCEPT" not in data
    assert "access: granted" in data


def test_another_phrase_is_no_consent(service, shell):
    code, screen = shell.in_terminal(
        f"laion-fmri stimuli request --name A --email a@b --institution C --pi D "
        f"--purpose {'x' * 20}",
        b"yes\n",
    )
    assert code == ExitCode.LICENSE
    assert "not accepted" in screen
    assert service.forms == []


@pytest.mark.parametrize("flag", ["", "--accept-terms 0.9", "--accept-terms ''"])
def test_without_a_terminal_consent_is_a_flag_that_names_the_version(service, shell, flag):
    done = shell(f"laion-fmri stimuli request {FLAGS} {flag}", input="I ACCEPT\n" * 9)
    assert done.code == ExitCode.LICENSE
    assert f"{service.url}/terms" in done.err
    assert "Nothing was sent" in done.err
    assert service.requests(method="POST") == []


def test_without_a_terminal_a_missing_field_is_wrong_usage(service, shell):
    done = shell("laion-fmri stimuli request --name A --accept-terms 1.0")
    assert done.code == ExitCode.USAGE
    assert "email is missing; institution is missing; purpose is missing" in done.err
    assert service.forms == []


def test_a_variable_that_hides_the_new_id_is_told(service, shell):
    done = shell(
        f"laion-fmri stimuli request {FLAGS} --accept-terms 1.0", LAION_FMRI_REQUEST_ID="typo"
    )
    assert done.code == 0
    assert "LAION_FMRI_REQUEST_ID is set and wins" in done.err


@pytest.mark.slow
def test_a_service_that_is_down_has_its_code(service, shell):
    done = shell("laion-fmri stimuli status", LAION_FMRI_ACCESS_URL="http://127.0.0.1:1")
    assert done.code == ExitCode.SERVER
    assert "does not respond" in done.err


# -- the page --------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_about_the_stimuli_works_word_for_word(service, shell):
    mine = [block for block in blocks(PAGE) if Path(__file__).name in block.skipped]
    lines = [line for block in mine if block.language == "console" for line in commands(block)]
    assert len(lines) == 3
    for line in lines:
        done = shell(line)
        assert done.code == 0, done.err
    assert set(GATED) <= on_disk(shell.data)
    for block in mine:
        if block.language == "python":
            exec(block.text, {})
    assert [form["name"] for form in service.forms] == ["Ada Lovelace"] * 2


# -- what must not be shown ------------------------------------------------------------------


def bare(text, request_id):
    """Neither the id nor a signed address is in what a user may paste into a report."""
    for secret in (*SECRETS, request_id):
        assert secret not in text, secret


@pytest.mark.slow
def test_no_id_and_no_address_in_anything_that_is_printed_or_written(service, shell, world):
    request_id = service.grant()
    with_id = {"LAION_FMRI_REQUEST_ID": request_id}
    wrong = {"status": 503, "times": 2}
    service.fault(key=LARGE, **wrong)
    lines = [
        f"{DOWNLOAD} --dry-run --json",
        f"{DOWNLOAD} --dry-run",
        f"{DOWNLOAD} --json --progress json",
        f"{DOWNLOAD} --paths --progress lines",
        "laion-fmri verify --hash --remote --json",
        "laion-fmri stimuli status",
        "laion-fmri stimuli status --json",
    ]
    for line in lines:
        done = shell(line, **with_id)
        assert done.code == 0, done.err
        bare(done.out + done.err, request_id)
    bare(written(shell.data), request_id)
    service.expire_urls()
    service.revoke(request_id)
    (shell.data / LARGE).unlink()
    for line in (f"{DOWNLOAD} --json --progress json", "laion-fmri stimuli status"):
        done = shell(line, **with_id)
        assert done.code in (ExitCode.INCOMPLETE, ExitCode.LICENSE)
        assert "access to the stimuli was revoked" in done.err + done.out
        bare(done.out + done.err, request_id)
    bare(written(shell.data), request_id)


@pytest.mark.slow
def test_killed_in_the_middle_and_resumed_with_other_addresses(service, shell, world):
    request_id = service.grant()
    env = {"LAION_FMRI_REQUEST_ID": request_id}
    service.fault(key=LARGE, byte_range=f"bytes={(PARTS - 1) * (8 << 20)}-*", times=1, stall=30)
    process = shell.start(f"{DOWNLOAD} --quiet", **env)
    partial = shell.data / ".laion_fmri" / "partial"
    until = time.monotonic() + 30
    while time.monotonic() < until and noted(partial) < PARTS - 1:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert ended(process).code == -signal.SIGKILL
    assert LARGE not in on_disk(shell.data)
    bare(written(shell.data), request_id)
    service.expire_urls()
    world.forget()
    done = shell(f"{DOWNLOAD} --json", **env)
    assert done.code == 0, done.err
    assert (shell.data / LARGE).read_bytes() == stimuli()[LARGE]
    assert len(world.ranges()) == 1
    assert len(world.asked(REFRESH)) == 1


def noted(partial):
    """How many whole parts the logs of all partials name; fronts of parts have more words."""
    logs = partial.glob("*.log") if partial.exists() else ()
    lines = [line for log in logs for line in log.read_bytes().splitlines()[1:]]
    return sum(line.count(b",") == 2 for line in lines)
