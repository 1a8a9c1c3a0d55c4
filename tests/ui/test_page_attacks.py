"""What other users, other pages and hostile data try at the local page; each by real requests."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ui_world import Client, page

pytestmark = pytest.mark.slow

STRANGE_HOSTS = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1.evil.example:{port}",
    "localhost.evil.example:{port}",
    "localhost.:x",
    "127.0.0.2:{port}",
    "0.0.0.0:{port}",
    "169.254.169.254:{port}",
    "user@127.0.0.1:{port}",
    "127.0.0.1:{port}/evil",
    "[::1]evil:{port}",
    "",
]


@pytest.mark.parametrize("path", ["", "api/start", "static/app.mjs", "api/events"])
@pytest.mark.parametrize("host", STRANGE_HOSTS)
def test_a_name_that_leads_here_by_dns_rebinding_gets_nothing(shared, host, path):
    """The page of another site whose name leads to 127.0.0.1 now; even with cookie and token."""
    name = host.format(port=shared.port)
    answer = shared.raw("GET", f"/{path}?token={shared.token}", headers={"Host": name})
    assert answer.status == 403
    assert answer.json["error"]["code"] == "host"
    assert "set-cookie" not in answer.headers


def test_a_request_without_a_host_gets_nothing(shared):
    assert shared.raw("GET", "/api/start", headers={"Host": None}).status == 403


@pytest.mark.parametrize("name", ["127.0.0.1:{}", "localhost:{}", "[::1]:{}", "LOCALHOST:{}"])
@pytest.mark.parametrize("away", [0, 1234])
def test_its_own_names_are_taken_also_where_a_tunnel_begins_at_another_port(shared, name, away):
    headers = {"Host": name.format(shared.port + away)}
    assert shared.raw("GET", "/api/start", headers=headers).status == 200
    origin = f"http://{headers['Host']}"
    own = {**headers, "Origin": origin, "Sec-Fetch-Site": "same-origin"}
    assert shared.post("api/nothing", **own).status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_request_that_has_no_body_and_brings_one_is_refused(shared, method):
    """What follows it on the connection would be read as a request of its own."""
    inner = f"GET /api/jobs HTTP/1.1\r\nHost: {shared.host}\r\n\r\n"
    head = f"{method} /api/start HTTP/1.1\r\nHost: {shared.host}\r\n"
    with socket.create_connection(("127.0.0.1", shared.port), timeout=30) as line:
        line.sendall(f"{head}Content-Length: {len(inner)}\r\n\r\n{inner}".encode())
        answer = b""
        while some := line.recv(65536):
            answer += some
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


def test_what_the_page_says_beside_directory_and_folder_is_not_kept(shared):
    to = {"directory": "d1", "folder": "", "x": float("nan"), "y": ["z" * 1000]}
    answer = shared.post("api/catalogues", {"source": {"kind": "directory"}, "to": to})
    assert answer.json["to"] == {"directory": "d1", "folder": ""}
    assert shared.get("api/start").status == 200


def test_the_token_that_jupyter_gives_is_not_given_on_to_commands(shell):
    token = "x" * 40
    with page(shell, NEUROFETCH_UI_TOKEN=token) as (process, client):
        assert client.token == token
        client.enter()
        client.post(
            "api/catalogues",
            {
                "source": {"kind": "bucket", "url": "s3://study/ds"},
                "to": {"directory": "d1", "folder": "x"},
            },
        )
        seen = []
        until = time.monotonic() + 10
        while not seen and time.monotonic() < until:
            found = subprocess.run(
                ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
            )
            for child in found.stdout.split():
                try:
                    seen.append(Path(f"/proc/{child}/environ").read_bytes())
                except OSError:
                    continue
        assert seen
        assert not any(token.encode() in one for one in seen)


def test_behind_a_proxy_the_address_names_no_token_which_jupyter_would_take_for_its_own(shell):
    with page(shell, "--base-path", "/user/me/proxy/8000/", "--allow-host", "*") as (_, client):
        assert "/user/me/proxy/8000/?ticket=" in client.url
        ticket = client.url.partition("ticket=")[2]
        for query in (f"ticket={ticket}", f"token=jupyters&ticket={ticket}", f"token={ticket}"):
            assert client.raw("GET", f"/?{query}").status == 200
        assert client.raw("GET", "/?token=jupyters&ticket=none").status == 403


def test_a_closed_terminal_ends_the_page_as_ctrl_c_does(shell):
    browser = shell.home / "browser"
    browser.write_text("#!/bin/sh\nexit 0\n", "utf-8")
    browser.chmod(0o755)
    process = shell.start("neurofetch ui", BROWSER=f"{browser} %s")
    folder = shell.home / ".cache/neurofetch"
    until = time.monotonic() + 30
    while not list(folder.glob("ui-*.html")) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert not list(folder.glob("ui-*.html"))


@pytest.mark.parametrize("home", ["/nowhere", "relative"])
def test_where_no_browser_can_be_told_the_page_is_there_all_the_same(shell, home):
    process = shell.start("neurofetch ui", XDG_CACHE_HOME=None, HOME=home)
    try:
        line = ""
        while "http://" not in line:
            line = process.stderr.readline()
            assert line, "it ended"
        client = Client(re.search(r"http\S+", line)[0]).enter()
        assert client.get("api/start").status == 200
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "api/start"),
        ("GET", "api/jobs"),
        ("GET", "api/events"),
        ("GET", "api/catalogues/c1"),
        ("GET", "api/shelf"),
        ("GET", "api/nothing"),
        ("POST", "api/plans"),
        ("POST", "api/catalogues"),
        ("POST", "api/jobs/j1/stop"),
        ("PUT", "api/plans"),
    ],
)
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Cookie": "neurofetch-{port}="},
        {"Cookie": "neurofetch-{port}={token}"},
        {"Cookie": "neurofetch=x; session=y"},
        {"Authorization": "token "},
        {"Authorization": "token wrong"},
        {"Authorization": "Basic {token}"},
        {"Authorization": "{token}"},
    ],
    ids=lambda given: " ".join(given.values()) or "nothing",
)
def test_another_user_of_the_machine_without_the_token_gets_nothing(shared, method, path, given):
    stranger = Client(shared.url)
    said = {k: v.format(port=shared.port, token=shared.token) for k, v in given.items()}
    body = b"{}" if method == "POST" else None
    own = {"Content-Type": "application/json", "X-Neurofetch": "1"}
    answer = stranger.raw(method, f"/{path}", body, {**own, **said})
    assert answer.status == (501 if method == "PUT" else 401)
    assert shared.token.encode() not in answer.body
    assert b"/" + str(shared.home).encode().rpartition(b"/")[2] not in answer.body


def test_the_page_itself_is_locked_without_the_token(shared):
    answer = Client(shared.url).raw("GET", "/")
    assert answer.status == 403
    assert b"locked" in answer.body
    assert "set-cookie" not in answer.headers
    for wrong in ("", "x", shared.token[:-1], shared.token + "A", shared.token.swapcase()):
        assert Client(shared.url).raw("GET", f"/?token={wrong}").status == 403


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_is_not_the_token(shared):
    answer = Client(shared.url).raw("GET", f"/?token={shared.token}")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"neurofetch-{shared.port}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(re.split("; ?", cookie))
    assert shared.token not in cookie


def test_a_cookie_that_went_to_another_port_of_this_machine_opens_nothing(shared):
    """Browsers send it there: to the server of another user, whom a link brought the user to."""
    thief = Client(shared.url)
    thief.headers["Cookie"] = shared.headers["Cookie"]
    for path in ("api/start", "api/jobs", "api/events", "api/shelf?directory=d1", "api/start?key="):
        assert thief.get(path).status == 401, path
    assert thief.post("api/catalogues").status == 401
    empty = thief.get("")
    assert empty.status == 200
    for secret in (shared.token, shared.headers["X-Neurofetch-Key"], str(shared.home)):
        assert secret.encode() not in empty.body
    key = {"X-Neurofetch-Key": shared.headers["X-Neurofetch-Key"]}
    assert Client(shared.url).raw("GET", "/api/start", headers=key).status == 401


def test_programs_may_send_the_token_in_a_header(shared):
    for scheme in ("token", "Bearer"):
        headers = {"Authorization": f"{scheme} {shared.token}"}
        assert Client(shared.url).raw("GET", "/api/start", headers=headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost:{port}"},
        {"Origin": "file://"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"X-Neurofetch": None},
        {"X-Neurofetch": "0"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": None},
    ],
    ids=lambda given: " ".join(f"{k}:{v}" for k, v in given.items()),
)
def test_a_form_or_script_of_another_site_changes_nothing_with_the_users_cookie(shared, headers):
    said = {k: v and v.format(port=shared.port) for k, v in headers.items()}
    before = shared.get("api/jobs").json
    answer = shared.post("api/catalogues", {"source": {"kind": "directory"}}, **said)
    assert answer.status in (403, 415)
    assert shared.get("api/jobs").json == before


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["api/start", "api/events", "api/jobs"])
def test_a_picture_or_script_in_a_page_of_another_site_reads_nothing(shared, site, path):
    answer = shared.raw("GET", f"/{path}", headers={"Sec-Fetch-Site": site})
    assert answer.status == 403


@pytest.mark.parametrize("path", ["", "api/start", "static/nothing.mjs", "api/nothing"])
def test_no_answer_allows_another_origin_and_all_have_the_strict_policy(shared, path):
    answer = shared.raw("GET", f"/{path}", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-frame-options"] == "DENY"


def test_a_preflight_is_not_answered(shared):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = shared.raw("OPTIONS", "/api/plans", headers=asked)
    assert answer.status == 501
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../_cli.py",
        "/static/..%2f_cli.py",
        "/static/%2e%2e/_cli.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/app.mjs%00.html",
        "/static/__init__.py",
        "/static/",
        "/static/..\\server.py",
        "//etc/passwd",
        "/../../../etc/passwd",
        "/api/../../etc/passwd",
        "http://127.0.0.1/etc/passwd",
        "/api/items/..%2f..%2fetc%2fpasswd",
        "/api/shelf?directory=d1&folder=..%2f..",
        "/api/shelf?directory=/etc",
        "/api/shelf?directory=d1&folder=/etc",
    ],
)
def test_no_address_leads_to_a_file_outside(shared, path):
    answer = shared.raw("GET", path)
    assert answer.status in (400, 403, 404)
    assert b"root:" not in answer.body
    assert b"import annotations" not in answer.body


@pytest.mark.parametrize(
    "folder",
    ["..", ".", "a/b", "/etc", "a\\b", "~", ".ssh", "-rf", "a\0b", "a\nb", "x" * 101, ["a"], 7],
    ids=repr,
)
def test_the_page_names_no_path(shared, folder):
    to = {"directory": "d1", "folder": folder}
    source = {"kind": "openneuro", "data_set": "ds000001"}
    answer = shared.post("api/catalogues", {"source": source, "to": to})
    assert answer.status == 400
    assert "Nothing was done" in answer.json["error"]["message"]


def test_a_folder_that_is_a_link_elsewhere_is_not_followed(shared, tmp_path):
    (shared.home / "link").symlink_to(tmp_path)
    to = {"directory": "d1", "folder": "link"}
    answer = shared.post("api/catalogues", {"source": {"kind": "directory"}, "to": to})
    assert answer.status == 400
    assert "symbolic link" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "openneuro", "data_set": "--help"},
        {"kind": "openneuro", "data_set": "ds000001; touch x"},
        {"kind": "openneuro", "data_set": "ds000001", "version": "1 --data-dir /"},
        {"kind": "bucket", "url": "--data-dir=/tmp/x"},
        {"kind": "bucket", "url": "file:///etc/passwd"},
        {"kind": "bucket", "url": "http://169.254.169.254/latest"},
        {"kind": "bucket", "url": "s3://study/ds", "profile": "--endpoint-url=http://evil"},
        {"kind": "bucket", "url": "s3://study/ds", "region": "-x"},
        {"kind": "bucket", "url": "s3://study/\nds"},
        {"kind": "neurovault", "search": "--update"},
        {"kind": "neurovault", "collections": ["1; rm"]},
        {"kind": "neurovault", "collections": [-1]},
        {"kind": "neurovault", "collections": [True]},
        {"kind": "neurovault"},
        {"kind": "laion", "extras": ["--mirror=http://evil"]},
        {"kind": "laion", "extras": "raw"},
        {"kind": "shell"},
        {},
        None,
        [],
    ],
    ids=repr,
)
def test_a_source_that_is_none_or_would_be_a_flag_is_refused(shared, source):
    to = {"directory": "d1", "folder": "nothing"}
    answer = shared.post("api/catalogues", {"source": source, "to": to})
    assert answer.status == 400
    assert "Nothing was done" in answer.json["error"]["message"]
    assert not (shared.home / "nothing").exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"nonsense", 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 400),
        (b" " * (1 << 20) + b"{} ", 413),
    ],
    ids=["empty", "list", "no JSON", "deep list", "deep object", "long"],
)
def test_a_body_that_is_no_small_object_is_refused(shared, body, status):
    own = {"Content-Type": "application/json", "X-Neurofetch": "1"}
    answer = shared.raw("POST", "/api/plans", body, own)
    assert answer.status == status
    assert shared.get("api/start").status == 200


SMUGGLED = [
    "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "Content-Length: 2\r\nContent-Length: 20\r\n\r\n{}",
    "Content-Length: -1\r\n\r\n{}",
    "Content-Length: +2\r\n\r\n{}",
    "Content-Length: 2\r\nHost: evil.example\r\n\r\n{}",
]


@pytest.mark.parametrize("rest", SMUGGLED, ids=lambda text: text.splitlines()[0])
def test_a_request_whose_end_is_not_clear_is_refused_and_its_connection_closed(shared, rest):
    head = f"POST /api/plans HTTP/1.1\r\nHost: 127.0.0.1:{shared.port}\r\n"
    head += f"Cookie: {shared.headers['Cookie']}\r\nX-Neurofetch: 1\r\n"
    head += "Content-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", shared.port), timeout=30) as line:
        line.sendall((head + rest).encode())
        answer = b""
        while some := line.recv(65536):
            answer += some
    assert re.match(rb"HTTP/1\.1 4\d\d ", answer)
    assert answer.count(b"HTTP/1.1") == 1


def test_it_listens_on_loopback_alone(shared):
    lines = Path("/proc/net/tcp").read_text("utf-8").splitlines()[1:]
    mine = [line.split()[1] for line in lines if line.split()[1].endswith(f":{shared.port:04X}")]
    assert "0100007F" in {one.partition(":")[0] for one in mine}
    assert "00000000" not in {one.partition(":")[0] for one in mine}


def test_an_address_that_others_reach_is_refused_without_a_word_of_consent(shell):
    for host in ("0.0.0.0", "::", socket.gethostname()):
        done = shell(f"neurofetch ui --no-browser --host {host}")
        assert done.code == 2
        assert "SSH" in done.err
        assert not done.out


def test_the_token_is_on_no_command_line_and_in_no_log_and_the_redirect_is_for_its_user(shell):
    """A browser is started by a file that only the user can read, and that is gone afterwards."""
    seen = shell.home / "seen"
    browser = shell.home / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {seen}.tmp\nmv {seen}.tmp {seen}\n', "utf-8")
    browser.chmod(0o755)
    process = shell.start("neurofetch ui", BROWSER=f"{browser} %s")
    try:
        until = time.monotonic() + 30
        while not seen.exists() and time.monotonic() < until:
            time.sleep(0.05)
        named = Path(seen.read_text("utf-8").strip().removeprefix("file://"))
        assert stat.S_IMODE(named.stat().st_mode) == 0o600
        assert stat.S_IMODE(named.parent.stat().st_mode) & 0o077 == 0
        url = re.search(r"url=(http[^\"]+)\"", named.read_text("utf-8"))[1]
        client = Client(url).enter()
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert client.token.encode() not in words
        assert client.token not in seen.read_text("utf-8")
        plan = client.plan(client.catalogue({"kind": "bucket", "url": "s3://study/ds"}, "x"), {})
        run = client.job(client.run(plan))
        assert run["state"] == "done"
    finally:
        process.send_signal(2)
        out, err = process.communicate(timeout=30)
    assert not named.exists()
    assert err.count(client.token) == 1  # where the address is told to its user
    assert client.token not in out
    for path in shell.home.rglob("*"):
        if path.is_file():
            assert client.token.encode() not in path.read_bytes(), path


def test_what_a_command_is_told_by_the_environment_is_not_shown(shell):
    secrets = {"AWS_SECRET_ACCESS_KEY": "a/very+secret+key", "OPENNEURO_API_KEY": "h.s.t"}
    with page(shell, **secrets) as (_, client):
        client.enter()
        made = client.catalogue({"kind": "bucket", "url": "s3://study/ds"}, "x")
        plan = client.plan(made, {"subject": ["01"]})
        for path in ("api/start", "api/jobs", f"api/jobs/{plan['job']}/files"):
            for secret in (*secrets.values(), client.token):
                assert secret.encode() not in client.get(path).body


def test_many_silent_connections_of_another_user_do_not_stop_those_that_speak(shared):
    """Each is let go after some seconds; a pool of threads is not used up by a few."""
    lines = [socket.create_connection(("127.0.0.1", shared.port)) for _ in range(24)]
    try:
        for line in lines:
            line.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert shared.get("api/start").status == 200
    finally:
        for line in lines:
            line.close()


def is_open(line: socket.socket) -> bool:
    try:
        return line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


HELD = {
    "silent": b"",
    "half a line": b"GET / HT",
    "half a head": b"GET / HTTP/1.1\r\nHost:",
    "a body that never comes": b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 99\r\n\r\n",
    "a file that nobody reads": b"GET /static/niivue.mjs HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("said", HELD)
def test_no_number_of_connections_of_another_user_takes_all_threads(shared, said):
    lines = []
    try:
        for _ in range(200):
            line = socket.create_connection(("127.0.0.1", shared.port))
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lines.append(line)
            line.sendall(HELD[said])
        for path in ("api/start", "api/jobs", ""):
            assert shared.get(path).status == 200
        if not said.startswith("a "):  # they were not waited for: they are still there
            assert all(map(is_open, lines))
    finally:
        for line in lines:
            line.close()
    assert shared.get("api/start").status == 200


ODD_ENDS = {
    "carriage returns": "\r\n{}\r\n\r\n",
    "none": "\n{}\n\n",
    "one at the last line": "\n{}\n\r\n",
    "none at the last line": "\r\n{}\r\n\n",
}


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("ends", ODD_ENDS)
@pytest.mark.parametrize("size", [1, 7, 1000], ids=["by letters", "by sevens", "whole"])
def test_a_head_is_known_however_its_lines_end_and_in_whatever_pieces_it_comes(
    shared, ends, version, size
):
    line = socket.create_connection(("127.0.0.1", shared.port), timeout=10)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    said = f"HEAD / {version}{ODD_ENDS[ends].format(f'Host: {shared.host}')}".encode()
    with line:
        for begin in range(0, len(said), size):
            line.sendall(said[begin : begin + size])
        assert line.recv(100).startswith(b"HTTP/1.1 403")


LONG = {
    "many lines": b"x: y\r\n" * 20_000,
    "one line": b"x: " + b"y" * 70_000,
    "two lines, of which one is not ended": b"x: " + b"y" * 60_000 + b"\r\ny: " + b"y" * 10_000,
}


@pytest.mark.parametrize("said", LONG)
def test_who_sends_a_head_that_is_too_long_and_has_no_end_keeps_no_thread(shared, said):
    lines = []
    try:
        for _ in range(120):
            line = socket.create_connection(("127.0.0.1", shared.port))
            line.setblocking(False)
            lines.append(line)
            left = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + LONG[said]
            until = time.monotonic() + 1
            while left and time.monotonic() < until:
                try:
                    left = left[line.send(left) :]
                except BlockingIOError:
                    time.sleep(0.01)
                except ConnectionError:
                    break
        begun = time.monotonic()
        assert shared.get("api/start").status == 200
        assert time.monotonic() - begun < 15  # of the 20 for which a thread would wait
    finally:
        for line in lines:
            line.close()


def test_where_few_files_may_be_open_many_connections_still_let_the_page_answer(shell):
    """On macOS a process may have 256 open files, as long as nobody asks for more."""
    (shell.home / "few.sh").write_text("ulimit -n 128; exec neurofetch ui --no-browser\n", "utf-8")
    process = shell.start("sh few.sh")
    lines = []
    try:
        client = Client(process.stdout.readline().strip()).enter()
        begun = time.monotonic()
        lines += [socket.create_connection(("127.0.0.1", client.port)) for _ in range(200)]
        for path in ("api/start", "static/main.js", "api/jobs"):
            assert client.get(path).status == 200
        assert time.monotonic() - begun < 15  # of the 20 after which silent ones are let go
    finally:
        for line in lines:
            line.close()
        process.terminate()
        process.communicate(timeout=30)


def test_of_too_many_silent_connections_the_first_to_come_are_let_go(shared):
    lines = [socket.create_connection(("127.0.0.1", shared.port)) for _ in range(300)]
    try:
        assert shared.get("api/start").status == 200
        until = time.monotonic() + 30
        while sum(map(is_open, lines)) > 256 and time.monotonic() < until:
            time.sleep(0.05)
        assert sum(map(is_open, lines)) <= 256
    finally:
        for line in lines:
            line.close()


def listening(client: Client) -> socket.socket:
    """A page that listens; it is closed or loaded again without a word."""
    line = socket.create_connection(("127.0.0.1", client.port), timeout=30)
    words = [f"{name}: {value}" for name, value in {"Host": client.host, **client.headers}.items()]
    line.sendall("\r\n".join((f"GET {client.base}api/events HTTP/1.1", *words, "", "")).encode())
    return line


def test_pages_that_were_closed_or_loaded_again_do_not_keep_others_from_listening(shared):
    for _ in range(3):
        lines = [listening(shared) for _ in range(16)]
        assert all(b" 200 " in line.recv(64) for line in lines)
        for number, line in enumerate(lines):
            if number % 2:  # cut off, as by a process that is killed
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            line.close()


def test_who_goes_away_in_the_middle_of_an_answer_harms_nobody(shared):
    for _ in range(60):
        line = socket.create_connection(("127.0.0.1", shared.port), timeout=30)
        words = [
            f"{name}: {value}" for name, value in {"Host": shared.host, **shared.headers}.items()
        ]
        head = (f"GET {shared.base}static/niivue.mjs HTTP/1.1", *words, "", "")
        line.sendall("\r\n".join(head).encode())
        line.recv(1000)
        line.close()
    assert shared.get("api/start").status == 200


def test_requests_that_follow_each_other_on_one_connection_are_answered_in_turn(shared):
    line = socket.create_connection(("127.0.0.1", shared.port), timeout=30)
    words = [f"{name}: {value}" for name, value in {"Host": shared.host, **shared.headers}.items()]
    head = "\r\n".join((f"HEAD {shared.base}api/start HTTP/1.1", *words, "", "")).encode()
    with line, line.makefile("rb") as answers:
        line.sendall(head * 3)
        for _ in range(3):
            assert b" 200 " in answers.readline()
            while answers.readline().strip():
                pass


def test_a_module_in_the_data_directory_is_no_module_of_ours(shell):
    """`python -m` would look for modules in the current directory first."""
    for name in ("json.py", "neurofetch.py", "laion_fmri.py", "tempfile.py"):
        (shell.home / name).write_text("raise SystemExit('taken')", "utf-8")
    with page(shell) as (_, client):
        client.enter()
        plan = client.plan(client.catalogue({"kind": "bucket", "url": "s3://study/ds"}, "x"), {})
        assert plan["state"] == "done", plan["error"]


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user to be")
def test_another_user_can_read_neither_the_redirect_nor_the_environment(shell):
    browser = shell.home / "browser"
    browser.write_text("#!/bin/sh\nexit 0\n", "utf-8")
    browser.chmod(0o755)
    process = shell.start("neurofetch ui", BROWSER=f"{browser} %s")
    try:
        folder = shell.home / ".cache/neurofetch"
        until = time.monotonic() + 30
        while not list(folder.glob("ui-*.html")) and time.monotonic() < until:
            time.sleep(0.05)
        (path,) = folder.glob("ui-*.html")
        script = (
            "import os, sys\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "for path in sys.argv[1:]:\n"
            "    try:\n"
            "        open(path).read()\n"
            "    except PermissionError:\n"
            "        continue\n"
            "    sys.exit(path)\n"
        )
        named = [str(path), f"/proc/{process.pid}/environ"]
        done = subprocess.run([sys.executable, "-c", script, *named], check=False, timeout=60)
        assert done.returncode == 0
    finally:
        process.send_signal(2)
        process.communicate(timeout=30)
