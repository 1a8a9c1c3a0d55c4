"""Where keys come from, one way after the other, and what is said where a way is closed."""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import subprocess
import sys
import traceback
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest

from neurofetch.credentials.sources import credentials_of
from neurofetch.engine import Network
from neurofetch.errors import CredentialsError, UnreachableError
from testbed.aws_keys import KeyServer
from tests.credential_world import (
    KEY_ID,
    SECRET,
    SECRETS,
    TOKEN,
    forget_aws,
    printing,
    process_keys,
    program,
    set_keys,
    static,
)

NETWORK = Network(connect_timeout=2.0, read_timeout=2.0)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    forget_aws(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def server():
    with KeyServer(KEY_ID, SECRET, TOKEN) as server:
        yield server


def found(profile: str = "") -> tuple[str, str, str]:
    keys = credentials_of(profile, NETWORK).keys()
    return keys.key_id, keys.secret, keys.token


def refused(profile: str = "") -> str:
    """Return what is said, which shows nothing that must not be shown."""
    with pytest.raises(CredentialsError) as caught:
        found(profile)
    told = "".join(traceback.format_exception(caught.value))
    for secret in SECRETS:
        assert secret not in told
    assert "Nothing was fetched" in str(caught.value)
    return str(caught.value)


# -- the environment -------------------------------------------------------------------------------


def test_the_variables_of_aws(monkeypatch):
    set_keys(monkeypatch)
    assert found() == (KEY_ID, SECRET, "")
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    assert found() == (KEY_ID, SECRET, TOKEN)


@pytest.mark.parametrize("left", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_a_key_is_told_with_what_is_missing(left, monkeypatch):
    set_keys(monkeypatch)
    monkeypatch.delenv(left)
    assert f"and {left} is not" in refused()


def test_no_keys_are_told_with_what_there_is_instead(home, monkeypatch):
    assert "there are no keys in the environment" in refused()
    (home / "credentials").write_text(f"[lab]\n{static()}")
    assert "--profile lab" in refused()
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert "the profile of AWS_PROFILE: --profile work" in refused()


# -- a profile -------------------------------------------------------------------------------------


def test_keys_and_a_session_of_a_profile(home):
    (home / "credentials").write_text(f"[lab]\n{static(token=TOKEN)}")
    assert found("lab") == (KEY_ID, SECRET, TOKEN)


def test_a_file_that_changes_is_read_again(home):
    (home / "credentials").write_text(f"[lab]\n{static()}")
    held = credentials_of("lab", NETWORK)
    used = held.keys()
    (home / "credentials").write_text(f"[lab]\n{static('AKIANEW', 'new', TOKEN)}")
    assert held.renewed(used)
    assert held.keys().key_id == "AKIANEW"


INCOMPLETE = {
    "nothing": ("region = us-east-1\n", "has no credentials"),
    "no secret": (f"aws_access_key_id = {KEY_ID}\n", "has no aws_secret_access_key"),
    "no key": (f"aws_secret_access_key = {SECRET}\n", "has no aws_access_key_id"),
    "a space": (static(secret=f"{SECRET} x"), "characters that no key has"),
    "role alone": ("role_arn = arn:aws:iam::1:role/a\n", "whose keys assume it"),
    "role and nobody": (
        "role_arn = arn:aws:iam::1:role/a\nsource_profile = nobody\n",
        "there is no profile 'nobody'",
    ),
    "two sources": (
        "role_arn = arn:aws:iam::1:role/a\nsource_profile = x\ncredential_source = Environment\n",
        "Leave one of them in",
    ),
    "circle": ("role_arn = arn:aws:iam::1:role/a\nsource_profile = other\n", "lead in a circle"),
    "source unknown": (
        "role_arn = arn:aws:iam::1:role/a\ncredential_source = Sky\n",
        "Environment, EcsContainer, Ec2InstanceMetadata",
    ),
    "mfa": (
        f"{static()}role_arn = arn:aws:iam::1:role/a\nsource_profile = lab\nmfa_serial = x\n",
        "aws configure export-credentials --profile lab --format process",
    ),
    "duration": (
        f"{static()}role_arn = arn:aws:iam::1:role/a\nsource_profile = lab\n"
        "duration_seconds = long\n",
        "duration_seconds",
    ),
    "token without role": ("web_identity_token_file = /nowhere\n", "no role_arn"),
    "token that is not there": (
        "role_arn = arn:aws:iam::1:role/a\nweb_identity_token_file = /nowhere/x\n",
        "cannot be used: No such file",
    ),
    "container": ("credential_source = EcsContainer\n", "this is no container of AWS"),
}


@pytest.mark.parametrize("case", INCOMPLETE)
def test_what_a_profile_lacks_is_told(case, home):
    text, said = INCOMPLETE[case]
    more = "[profile other]\nrole_arn = arn:aws:iam::1:role/b\nsource_profile = lab\n"
    (home / "config").write_text(f"[profile lab]\n{text}{more}")
    assert said in refused("lab")


# -- a program -------------------------------------------------------------------------------------


def of_program(home, body: str) -> None:
    command = program(home, body)
    (home / "config").write_text(f"[profile lab]\ncredential_process = {command}\n")


def test_a_program_prints_keys_with_and_without_an_end(home):
    of_program(home, printing(process_keys()))
    assert found("lab") == (KEY_ID, SECRET, "")
    end = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    of_program(home, printing(process_keys(SessionToken=TOKEN, Expiration=end)))
    keys = credentials_of("lab", NETWORK).keys()
    assert (keys.token, round(keys.expires)) == (
        TOKEN,
        round(datetime.fromisoformat(end).timestamp()),
    )


def test_the_words_of_a_program_may_be_quoted(home):
    folder = home / "a folder"
    folder.mkdir()
    program(folder, printing(process_keys()))
    line = f'"{sys.executable}" "{folder}/keys.py"'
    (home / "config").write_text(f"[profile lab]\ncredential_process = {line}\n")
    assert found("lab")[0] == KEY_ID


FAILING = {
    "ends badly": (f"import sys; print({SECRET!r}); sys.exit('log in again')", "log in again"),
    "tells a key": (f"import sys; sys.exit('cannot use {SECRET}')", "ended with 1"),
    "says nothing": ("", "printed what is no JSON"),
    "no JSON": (f"print({SECRET!r})", "printed what is no JSON"),
    "a list": (f"print('[\"{SECRET}\"]')", "no object of JSON"),
    "version": (printing(process_keys(Version=2)), "no keys of version 1"),
    "no secret": (printing({"Version": 1, "AccessKeyId": KEY_ID}), "printed no SecretAccessKey"),
    "null": (
        printing({"Version": 1, "AccessKeyId": None, "SecretAccessKey": None}),
        "printed no AccessKeyId and no SecretAccessKey",
    ),
    "number": (printing(process_keys(AccessKeyId=7)), "characters that no key has"),
    "no time": (printing(process_keys(Expiration="soon")), "is no time in ISO"),
    "over": (printing(process_keys(Expiration="2020-01-01T00:00:00Z")), "have expired"),
    "nested": ("print('[' * 200000)", "printed what is no JSON"),
    "nested more": ("print('{\"a\":' * 200000)", "printed what is no JSON"),
    "a large number": ("print('9' * 9999)", "printed what is no JSON"),
    "endless": ("while True: print('y' * 999)", "printed more than 1,048,576 bytes"),
    "endless complaint": (
        "import sys\nwhile True: sys.stderr.write('y' * 999)",
        "printed more than 1,048,576 bytes",
    ),
    "killed": ("import os; os.kill(os.getpid(), 9)", "ended with -9"),
    "no text": ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')", "printed what is no JSON"),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_program_that_fails_is_told_without_what_it_printed(case, home):
    body, said = FAILING[case]
    of_program(home, body)
    if case == "over":
        with pytest.raises(CredentialsError, match="have expired"):
            found("lab")
        return
    assert said in refused("lab")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/no/such/program", "cannot be run: No such file"),
        ('"half a quote', "a quote without its other half"),
    ],
)
def test_a_program_that_cannot_be_run_is_told(line, said, home):
    (home / "config").write_text(f"[profile lab]\ncredential_process = {line}\n")
    assert said in refused("lab")


SLOW = {
    "silent": "import time; time.sleep(60)",
    "says something": f"import time; print({SECRET!r}, flush=True); time.sleep(60)",
    "says no more": "import os, time; os.close(1); os.close(2); time.sleep(60)",
    "leaves another": "import subprocess; subprocess.Popen(['sleep', '20'])",
}


@pytest.mark.parametrize("case", SLOW)
def test_a_program_that_does_not_end_is_ended(case, home, monkeypatch):
    monkeypatch.setattr("neurofetch.credentials.sources._PROCESS_SECONDS", 0.5)
    of_program(home, SLOW[case])
    assert "did not end within" in refused("lab")


# -- roles -----------------------------------------------------------------------------------------

ARN = "arn:aws:iam::123456789012:role/fetcher"


def test_a_role_by_way_of_a_variable_a_token_and_of_two_profiles(home, server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    (home / "token").write_text("web-token\n")
    (home / "config").write_text(
        f"[profile me]\n{static('AKIAME', 'mine')}"
        f"[profile lab]\nrole_arn = {ARN}\nsource_profile = me\nexternal_id = e&1\n"
        "role_session_name = here\nduration_seconds = 900\nregion = eu-west-1\n"
        f"[profile self]\n{static('AKIAME', 'mine')}role_arn = {ARN}\nsource_profile = self\n"
        f"[profile web]\nrole_arn = {ARN}\nweb_identity_token_file = {home}/token\n"
        f"[profile env]\nrole_arn = {ARN}\ncredential_source = Environment\n"
    )
    for name in ("lab", "self", "web"):
        assert found(name) == (KEY_ID, SECRET, TOKEN)
    set_keys(monkeypatch, "AKIAENV", "env")
    assert found("env") == (KEY_ID, SECRET, TOKEN)
    forms = [parse_qs(request.body.decode()) for request in server.log]
    assert forms[0] | {"Version": [""]} == {
        "Action": ["AssumeRole"],
        "Version": [""],
        "RoleArn": [ARN],
        "RoleSessionName": ["here"],
        "ExternalId": ["e&1"],
        "DurationSeconds": ["900"],
    }
    assert "AKIAME/" in server.log[0].headers["authorization"]
    assert "/eu-west-1/sts/aws4_request" in server.log[0].headers["authorization"]
    assert forms[2]["WebIdentityToken"] == ["web-token"]
    assert "authorization" not in server.log[2].headers
    assert "AKIAENV/" in server.log[3].headers["authorization"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ROLE_ARN", ARN)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", f"{home}/token")
    assert found() == (KEY_ID, SECRET, TOKEN)


def test_a_source_that_has_keys_and_a_role_gives_its_keys(home, server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    (home / "config").write_text(
        f"[profile me]\n{static('AKIAME', 'mine')}role_arn = {ARN}/me\nsource_profile = me\n"
        f"[profile lab]\nrole_arn = {ARN}/lab\nsource_profile = me\n"
    )
    assert found("lab") == (KEY_ID, SECRET, TOKEN)
    (asked,) = server.log  # as AWS's own tools do: its role is for those who name it
    assert parse_qs(asked.body.decode())["RoleArn"] == [f"{ARN}/lab"]
    assert "AKIAME/" in asked.headers["authorization"]


def test_a_source_that_does_not_exist_is_told_with_who_names_it(home):
    (home / "config").write_text(
        f"[profile me]\n{static()}[profile lab]\nrole_arn = {ARN}\nsource_profile = mee\n"
    )
    said = refused("lab")
    assert said.startswith("the profile 'lab' names a source_profile: there is no profile 'mee'")
    assert "Did you mean 'me'?" in said


def test_a_role_that_is_denied_is_told_with_the_words_of_the_service(home, server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    (home / "config").write_text(
        f"[profile me]\n{static()}[profile lab]\nrole_arn = {ARN}-denied\nsource_profile = me\n"
    )
    said = refused("lab")
    assert "the profile 'lab': the role could not be assumed" in said
    assert "not authorized to perform: sts:AssumeRole" in said


def test_a_service_that_is_away_is_told_as_that(home, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    (home / "config").write_text(
        f"[profile me]\n{static()}[profile lab]\nrole_arn = {ARN}\nsource_profile = me\n"
    )
    with pytest.raises(UnreachableError, match="the role could not be assumed: cannot connect"):
        found("lab")


def test_an_answer_without_keys_is_told(home, server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    server.fault(status=200, body=b"<html>welcome</html>")
    (home / "config").write_text(
        f"[profile me]\n{static()}[profile lab]\nrole_arn = {ARN}\nsource_profile = me\n"
    )
    assert "what came holds no keys" in refused("lab")


# -- machines --------------------------------------------------------------------------------------


def test_a_container_gives_keys_where_a_variable_says_so(home, server, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "first")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert found() == (KEY_ID, SECRET, TOKEN)
    (home / "pod-token").write_text("second\n")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(home / "pod-token"))
    (home / "config").write_text("[profile pod]\ncredential_source = EcsContainer\n")
    assert found("pod") == (KEY_ID, SECRET, TOKEN)
    assert [r.headers["authorization"] for r in server.log] == ["first", "second"]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "http://10.0.0.1/x",
        "ftp://127.0.0.1/x",
        "x",
        "http://[::2]/",
        "http://[",
    ],
)
def test_a_container_elsewhere_is_not_asked(url, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    assert "must be https, or an address of this machine" in refused()


def test_an_instance_gives_keys_where_a_profile_says_so(home, server, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
    (home / "config").write_text("[profile ec2]\ncredential_source = Ec2InstanceMetadata\n")
    assert found("ec2") == (KEY_ID, SECRET, TOKEN)
    assert [request.method for request in server.log] == ["PUT", "GET", "GET"]
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "AWS_EC2_METADATA_DISABLED" in refused("ec2")


def test_no_machine_is_asked_where_nothing_says_so(server, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
    refused()
    assert server.log == []


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_machine_that_refuses_is_told(status, server, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/container")
    server.fault(status=status)
    assert "the machine gives out no keys" in refused()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"Code": "Failed"}', b"\xff", b"[" * 60000])
def test_what_is_no_key_of_a_machine_is_told(body, server, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/container")
    server.fault(status=200, body=body)
    assert "what came" in refused()


# -- single sign-on --------------------------------------------------------------------------------

SSO = (
    "[profile lab]\nsso_session = work\nsso_account_id = 123456789012\nsso_role_name = Reader\n"
    "region = us-east-1\n"
    "[sso-session work]\nsso_start_url = https://work.awsapps.com/start\nsso_region = us-east-1\n"
)


def log_in(home, hours: float) -> None:
    folder = home / ".aws" / "sso" / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    end = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"startUrl": "https://work.awsapps.com/start", "accessToken": "login-token"}
    said |= {"region": "us-east-1", "expiresAt": end}
    name = hashlib.sha1(b"work", usedforsecurity=False).hexdigest()
    (folder / f"{name}.json").write_text(json.dumps(said))


OWN_PROCESS = """
import logging, sys
logging.basicConfig(level=1, stream=open(sys.argv[1], "w") if sys.argv[1:] else sys.stdout)
if not sys.argv[1:]:
    logging.disable()
from neurofetch.credentials.sources import credentials_of
from neurofetch.engine import Network
try:
    keys = credentials_of("lab", Network()).keys()
    print(keys.key_id, keys.secret, keys.token, keys.expires < float("inf"))
except (ValueError, OSError) as error:
    print(type(error).__name__, error)
"""
"""botocore reads where the home is when it is imported."""


@pytest.mark.slow
@pytest.mark.parametrize("hours", [1.0, None, -1.0], ids=["holds", "none", "over"])
def test_a_login_is_used_by_way_of_botocore_or_told_with_the_command(
    hours, home, server, monkeypatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", server.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO_OIDC", server.url)
    (home / "config").write_text(SSO)
    if hours is not None:
        log_in(home, hours)
    done = subprocess.run(
        [sys.executable, "-c", OWN_PROCESS], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    if hours == 1.0:
        assert done.stdout == f"{KEY_ID} {SECRET} {TOKEN} True\n"
    else:
        assert "the login of the profile 'lab' does not hold" in done.stdout
        assert "aws sso login --profile lab" in done.stdout


@pytest.mark.slow
def test_a_login_is_in_no_log_at_any_level(home, server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", server.url)
    (home / "config").write_text(SSO)
    log_in(home, 1.0)
    words = [sys.executable, "-c", OWN_PROCESS, str(home / "log")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert KEY_ID in done.stdout
    told = (home / "log").read_text()
    assert "credentials of the profile 'lab' are at hand" in told
    assert not any(secret in told for secret in (*SECRETS, "login-token"))


DAMAGED = ["garbage", "5", "[]", "{}", "null", "", "\xff", '{"accessToken": 5}']


@pytest.mark.slow
@pytest.mark.parametrize("said", [*DAMAGED, "expiresAt"], ids=[*map(repr, DAMAGED), "no time"])
def test_a_login_whose_file_is_damaged_is_told(said, home, server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", server.url)
    (home / "config").write_text(SSO)
    log_in(home, 1.0)
    for path in (home / ".aws" / "sso" / "cache").iterdir():
        if said == "expiresAt":
            path.write_text(json.dumps(json.loads(path.read_text()) | {"expiresAt": "soon"}))
        else:
            path.write_text(said, encoding="latin-1")
    words = [sys.executable, "-c", OWN_PROCESS]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("CredentialsError the login of the profile 'lab' does not hold")
    assert "aws sso login --profile lab" in done.stdout


@pytest.mark.slow
def test_a_login_whose_service_is_away_is_no_login_that_is_over(home, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    (home / "config").write_text(SSO)
    log_in(home, 1.0)
    words = [sys.executable, "-c", OWN_PROCESS]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("UnreachableError the profile 'lab': the service that knows")


def test_without_botocore_the_command_that_helps_is_told(home, monkeypatch):
    (home / "config").write_text(SSO)
    real = builtins.__import__

    def without(name, *args, **how):
        if name.partition(".")[0] == "botocore":
            raise ImportError(name)
        return real(name, *args, **how)

    monkeypatch.setattr(builtins, "__import__", without)
    said = refused("lab")
    assert "pip install botocore" in said
    assert "credential_process = aws configure export-credentials --profile lab" in said


def test_a_variable_that_names_the_home_of_a_program_is_expanded(home):
    (home / "bin").mkdir()
    path = home / "bin" / "keys"
    path.write_text(f"#!{sys.executable}\n{printing(process_keys())}")
    path.chmod(0o755)
    (home / "config").write_text("[profile lab]\ncredential_process = ~/bin/keys\n")
    assert os.environ["HOME"] == str(home)
    assert found("lab")[0] == KEY_ID
