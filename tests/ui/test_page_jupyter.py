"""The page behind Jupyter: a real server of Jupyter, with jupyter-server-proxy."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from neurofetch.ui.jupyter import launcher
from testbed.ports import free_port

pytest.importorskip("jupyter_server_proxy", reason="jupyter-server-proxy is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def jupyter(shell):
    """Jupyter, started in the user's folder, with the launcher as its entry point gives it."""
    port, settings = free_port(), shell.home / "jupyter_server_config.py"
    lines = (
        "from neurofetch.ui.jupyter import launcher",
        "c.ServerProxy.servers = {'neurofetch': launcher()}",
        "c.ServerApp.jpserver_extensions = {'jupyter_server_proxy': True}",
        "c.ServerApp.base_url = '/user/me/'",
        "c.IdentityProvider.token = 'jupyters-own-token'",
    )
    settings.write_text("\n".join(lines), "utf-8")
    words = ["-m", "jupyter_server", "--no-browser", "--allow-root", f"--port={port}"]
    with (shell.home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *words, f"--config={settings}"],
            cwd=shell.home,
            env={**shell.env, "PYTHONWARNINGS": "ignore", "JUPYTER_PLATFORM_DIRS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://127.0.0.1:{port}/user/me/"
    finally:
        process.terminate()
        process.wait(timeout=60)


def ask(url, body=None, headers=(), seconds=60):
    until = time.monotonic() + seconds
    while True:
        request = urllib.request.Request(url, body, dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            if error.code < 500 or time.monotonic() > until:
                return error.code, error.read()
        except (ConnectionError, urllib.error.URLError):
            if time.monotonic() > until:
                raise
        time.sleep(0.3)


def test_whoever_jupyter_lets_in_gets_the_page_and_nobody_else(jupyter, shell):
    mine = {"Authorization": "token jupyters-own-token"}
    status, text = ask(f"{jupyter}neurofetch/", headers=mine)
    assert (status, text[:15].lower()) == (200, b"<!doctype html>"), text
    status, text = ask(f"{jupyter}neurofetch/api/start", headers=mine)
    assert status == 200
    assert json.loads(text)["directories"][0]["name"] == str(shell.home)
    body = {"source": {"kind": "directory"}, "to": {"directory": "d1", "folder": ""}}
    posting = {**mine, "Content-Type": "application/json", "X-Neurofetch": "1"}
    text = json.dumps(body).encode()
    status, _ = ask(f"{jupyter}neurofetch/api/catalogues", text, posting)
    assert status == 200
    stranger = {"Authorization": "token another"}
    status, text = ask(f"{jupyter}neurofetch/api/start", headers=stranger)
    assert b"directories" not in text
    evil = {**posting, "Origin": "https://evil.example"}
    status, text = ask(f"{jupyter}neurofetch/api/catalogues", b"{}", evil)
    assert status == 403


def test_the_token_for_jupyter_is_new_each_time_and_on_no_command_line():
    one, other = launcher(), launcher()
    (token,) = one["environment"].values()
    assert token not in " ".join(one["command"])
    assert token not in str(other)
    assert one["request_headers_override"] == {"Authorization": f"token {token}"}


@pytest.mark.parametrize("token", ["short", "x" * 31, "with space" * 4, "semi;colon" * 4, "é" * 40])
def test_a_token_that_could_be_guessed_or_is_no_word_is_refused(shell, token):
    done = shell("neurofetch ui --no-browser", NEUROFETCH_UI_TOKEN=token)
    assert done.code == 2
    assert "Nothing was started" in done.err
    assert token not in done.err
