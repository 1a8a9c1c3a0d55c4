"""Tokens of OpenNeuro: where they are found, where they go, and that nobody gets to see one."""

import copy
import json
import logging
import os
import pickle
import sys
import traceback

import pytest

from neurofetch.errors import ConfigError
from neurofetch.sources.openneuro_token import (
    VARIABLE,
    Token,
    is_reviewer_link,
    token_advice,
    token_for,
)
from testbed.openneuro import EXPIRED, token_of

SITE = "https://openneuro.org"
OTHER = "https://staging.openneuro.org"


@pytest.fixture
def home(tmp_path):
    return tmp_path


def official(home, content, folder=".config"):
    path = home / folder / "openneuro" / "config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def openneuro_py(home, content):
    folder = "Library/Application Support" if sys.platform == "darwin" else ".config"
    path = home / folder / "openneuro-py" / "config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def environ(home, **more):
    return {"HOME": str(home), **more}


def test_no_token_is_no_error(home):
    assert token_for(SITE, environ(home)) is None
    assert token_for(SITE, environ(home, **{VARIABLE: "  "})) is None


def test_the_variable_is_before_the_official_file_and_that_before_openneuro_pys(home):
    first, second, third = token_of("a"), token_of("b"), token_of("c")
    py = openneuro_py(home, {"endpoint": f"{SITE}/", "apikey": third})
    assert token_for(SITE, environ(home)).authorization == f"Bearer {third}"
    assert token_for(SITE, environ(home)).origin == str(py)
    path = official(home, {SITE: second, "errorReporting": False})
    assert token_for(SITE, environ(home)).authorization == f"Bearer {second}"
    assert token_for(SITE, environ(home)).origin == str(path)
    found = token_for(SITE, environ(home, **{VARIABLE: f" {first}\n"}))
    assert (found.authorization, found.origin) == (f"Bearer {first}", VARIABLE)


def test_files_are_only_read(home):
    paths = [
        official(home, {SITE: token_of("b")}),
        openneuro_py(home, {"endpoint": SITE, "apikey": token_of("c")}),
    ]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    for path in paths:
        path.chmod(0o400)
    token_for(SITE, environ(home))
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths] == before
    assert sorted(p for p in home.rglob("*") if p.is_file()) == sorted(paths)


def test_xdg_config_home_moves_both_files(home):
    token = token_of("b")
    official(home, {SITE: token}, folder="elsewhere")
    found = token_for(SITE, environ(home, XDG_CONFIG_HOME=str(home / "elsewhere")))
    assert found.authorization == f"Bearer {token}"
    assert token_for(SITE, environ(home, XDG_CONFIG_HOME="relative")) is None


@pytest.mark.parametrize(
    ("endpoint", "server", "fits"),
    [
        (SITE, SITE, True),
        (f"{SITE}/", SITE, True),
        (f"{SITE}:443/crn", SITE, True),
        ("https://OPENNEURO.org", SITE, True),
        (SITE, OTHER, False),
        (OTHER, SITE, False),
        ("http://openneuro.org", SITE, False),
        (f"{SITE}:8443", SITE, False),
        (f"{SITE}.evil.example", SITE, False),
        ("openneuro.org", SITE, False),
        ("https://[", SITE, False),
        ("", SITE, False),
    ],
)
def test_a_token_of_a_file_goes_to_the_server_that_it_is_for(home, endpoint, server, fits):
    official(home, {endpoint: token_of("b")})
    assert (token_for(server, environ(home)) is not None) == fits
    official(home, {})
    openneuro_py(home, {"endpoint": endpoint, "apikey": token_of("c")})
    assert (token_for(server, environ(home)) is not None) == fits


@pytest.mark.parametrize(
    ("server", "goes"),
    [
        (SITE, True),
        ("http://127.0.0.1:9876", True),
        ("http://localhost:9876", True),
        ("http://[::1]:9876", True),
        ("http://openneuro.org", False),
        ("http://10.0.0.1", False),
        ("http://localhost.example", False),
    ],
)
def test_no_token_goes_over_a_line_that_others_can_read(home, server, goes):
    env = environ(home, **{VARIABLE: token_of()})
    assert (token_for(server, env) is not None) == goes
    assert ("use https" in token_advice(server, None, "ds000002", env)) == (not goes)


def test_a_reviewer_link_is_a_token_for_one_data_set(home):
    value = token_of("reviewer", scopes=["dataset:reviewer"], dataset="ds000003")
    for link in (
        f"{SITE}/crn/reviewer/{value}",
        f"openneuro.org/crn/reviewer/{value}/",
        f"Bearer {value}",
    ):
        found = token_for(SITE, environ(home, **{VARIABLE: link}))
        assert found.authorization == f"Bearer {value}"
        assert found.dataset == "ds000003"
    assert is_reviewer_link(f" {SITE}/crn/reviewer/{value}\n")
    assert not is_reviewer_link(f"{SITE}/datasets/ds000003")
    told = token_advice(SITE, found, "ds000004")
    assert "for ds000003 alone" in told
    assert value not in told


WRONG = {
    "two words": "eyJhbGciOi secret-word",
    "a line break": "eyJhbGciOi\r\nHost: evil.example",
    "letters that no header carries": "gehéimnis-secret",
    "too short": "secret",
    "another address": "https://openneuro.org/keygen?secret",
    "a quoted one": '"eyJhbGciOi.secret"',
}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_what_is_no_token_is_refused_and_not_shown(home, value):
    with pytest.raises(ConfigError, match=VARIABLE) as caught:
        token_for(SITE, environ(home, **{VARIABLE: value}))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


BROKEN = {
    "no json": "{",
    "deep": "[" * 100_000,
    "a list": "[1]",
    "a number in its place": json.dumps({SITE: 7}),
    "no token in its place": json.dumps({SITE: "not a token"}),
    "too long": " " * (1 << 20) + "{}",
    "nothing": "",
    "null": "null",
    "bytes": "\x00\x01",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_of_another_program_stops_nothing_and_is_told(home, content):
    path = official(home, content)
    assert token_for(SITE, environ(home)) is None
    told = token_advice(SITE, None, "ds000002", environ(home))
    assert f"{SITE}/keygen" in told
    assert (str(path) in told) == (content != BROKEN["a number in its place"])
    token = token_of("c")
    openneuro_py(home, {"endpoint": SITE, "apikey": token})
    assert token_for(SITE, environ(home)).authorization == f"Bearer {token}"


def test_a_folder_a_pipe_and_a_file_of_others_in_its_place_stop_nothing(home):
    path = home / ".config/openneuro/config.json"
    path.mkdir(parents=True)
    assert token_for(SITE, environ(home)) is None
    path.rmdir()
    os.mkfifo(path)
    assert token_for(SITE, environ(home)) is None
    assert "it is no file" in token_advice(SITE, None, "", environ(home))


def test_a_token_says_when_it_ends(home):
    late = token_for(SITE, environ(home, **{VARIABLE: token_of(seconds=EXPIRED)}))
    assert late.has_ended()
    assert f"ended on {late.ends:%Y-%m-%d}" in token_advice(SITE, late, "ds000002")
    good = token_for(SITE, environ(home, **{VARIABLE: token_of()}))
    assert not good.has_ended()
    assert good.has_ended(now=good.ends.timestamp())
    assert "502" in token_advice(SITE, good, "ds000002")


ODD = {
    "no web token": "0123456789abcdef",
    "two parts": "eyJhbGciOi.eyJzdWIiOi",
    "no base 64": "aaaa.%%%%.bbbb".replace("%", "~"),
    "no object": "aaaa.WzFd.bbbb",
    "an end that is none": "aaaa.eyJleHAiOiAidG9tb3Jyb3cifQ.bbbb",
    "an end out of the calendar": "aaaa.eyJleHAiOiAxZTMwMH0.bbbb",
    "an end that is nothing": "aaaa.eyJleHAiOiBudWxsfQ.bbbb",
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_a_token_of_another_kind_is_sent_as_it_is(value):
    token = Token(value, VARIABLE)
    assert token.ends is None
    assert not token.has_ended()
    assert token.authorization == f"Bearer {value}"


def test_nobody_gets_to_see_a_token(home, caplog):
    value = token_of()
    token = token_for(SITE, environ(home, **{VARIABLE: value}))
    secret = value.split(".")[2]
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("neurofetch").info("%s %r", token, token)
    shown = [repr(token), str(token), f"{token}", f"{[token]}", caplog.text]
    shown += [token_advice(SITE, token, "ds000002"), repr(vars(type(token)))]
    shown += traceback.format_exception(ConfigError(token))
    assert not any(secret in text for text in shown)
    for handed_on in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not given to other processes"):
            handed_on(token)
    with pytest.raises(TypeError):
        json.dumps(token)
