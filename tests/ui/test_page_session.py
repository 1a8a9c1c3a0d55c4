"""Choosing, planning and fetching by the page's requests: it does what the shown command does."""

import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time

import pytest

from neurofetch.ui.streams import Broadcast
from tests.faces import on_disk
from tests.ui_world import SLOW, World, page

pytestmark = pytest.mark.slow


def files_in(root):
    """The files that are not of the program itself, wherever in the directory that keeps them."""
    return {path for path in on_disk(root) if "/.neurofetch/" not in path}


SOURCES = [
    ({"kind": "openneuro", "data_set": "ds000001"}, {"subject": ["01"], "suffix": ["bold"]}),
    ({"kind": "openneuro", "data_set": "ds000001", "version": "1.0.0"}, {}),
    ({"kind": "bucket", "url": "s3://study/ds"}, {"datatype": ["anat"], "subject": ["01", "03"]}),
    ({"kind": "bucket", "url": "s3://study/ds"}, {"include": ["*.json"], "exclude": ["sub-02"]}),
    ({"kind": "laion"}, {"subject": ["03"], "suffix": ["statmap"], "session": ["01"]}),
    ({"kind": "laion", "extras": ["anatomical"]}, {"subject": ["01"], "extension": [".json"]}),
    ({"kind": "neurovault", "collections": [457]}, {}),
    ({"kind": "neurovault", "search": "motor", "update": True}, {"collection": ["457"]}),
]


@pytest.mark.parametrize(("source", "choice"), SOURCES, ids=lambda one: json.dumps(one)[:60])
def test_page_command_and_python_call_bring_the_same_files(shell, source, choice):
    """Three directories: one by the page, one by the command it shows, one by the Python call."""
    shell.env["LAION_FMRI_ACCEPT_LICENSE"] = "CC0-1.0"
    with page(shell) as (_, client):
        client.enter()
        catalogue = client.catalogue(source, "mine")
        assert catalogue["state"] == "ready", catalogue["error"]
        plan = client.plan(catalogue, choice)
        assert plan["state"] == "done", plan["error"]
        said = client.post(f"api/catalogues/{catalogue['catalogue']}/say", {"choice": choice}).json
        assert said == plan["say"]
        run = client.job(client.run(plan))
        assert run["state"] == "done", run["error"]
        assert run["report"]["ok"]
    place = str(shell.home / "mine")
    by_command, by_python = shell.home / "by_command", shell.home / "by_python"
    for other in (by_command, by_python):
        other.mkdir()
    assert place in said["command"]
    assert shell(said["command"].replace(place, str(by_command))).code == 0
    script = said["python"].replace(place, str(by_python))
    subprocess.run([sys.executable, "-c", script], env=shell.env, cwd=shell.home, check=True)
    mine = files_in(shell.home / "mine")
    assert mine
    assert mine == files_in(by_command) == files_in(by_python)
    planned = plan["plan"]["files_to_fetch"]
    assert planned == run["report"]["counts"]["fetched"]


def test_the_counts_of_the_page_are_those_of_the_plan_of_everything(shared):
    made = shared.catalogue({"kind": "bucket", "url": "s3://study/ds"}, "counts")
    rows = shared.get(f"api/catalogues/{made['catalogue']}/rows").json
    plan = shared.plan(made, {})
    assert rows["total"] == made["files"] == plan["plan"]["files_total"]
    assert sum(rows["bytes"]) == made["bytes"] == plan["plan"]["bytes_total"]
    files = shared.get(f"api/jobs/{plan['job']}/files?count=1000").json["files"]
    assert [one["path"] for one in files] == rows["paths"]
    facets = {facet["name"]: facet["values"] for facet in made["facets"]}
    for row, path in enumerate(rows["paths"]):
        for name, codes in rows["codes"].items():
            value = None if codes[row] < 0 else facets[name][codes[row]]
            if name == "subject":
                assert value == (path[4:6] if path.startswith("sub-") else None)
            if name == "datatype":
                parts = path.split("/")
                assert value == (parts[1] if len(parts) == 3 else None)


def test_rows_come_in_pieces(shared):
    made = shared.catalogue({"kind": "bucket", "url": "s3://study/ds"}, "pieces")
    address = f"api/catalogues/{made['catalogue']}/rows"
    whole = shared.get(address).json
    some = [shared.get(f"{address}?from={n}&count=4").json for n in range(0, whole["total"], 4)]
    assert [path for one in some for path in one["paths"]] == whole["paths"]
    assert shared.get(f"{address}?from={10**9}").json["paths"] == []
    for wrong in ("from=-1", "count=x", "from=1.5", "count=%00", "from=" + "9" * 30):
        assert shared.get(f"{address}?{wrong}").status == 400


def test_a_plan_has_groups_and_what_is_withheld_and_why(shared):
    made = shared.catalogue({"kind": "laion"}, "withheld")
    plan = shared.plan(made, {"subject": ["03"]})
    groups = plan["groups"]
    assert sum(one["files_total"] for one in groups) == plan["plan"]["files_total"]
    assert sum(one["bytes_to_fetch"] for one in groups) == plan["plan"]["bytes_to_fetch"]
    withheld = [one for one in groups if one["why"].startswith("withheld: ")]
    assert sum(one["files_total"] for one in withheld) == plan["plan"]["files_withheld"] > 0
    assert plan["free"] > 0


def test_the_licence_is_shown_before_anything_moves_and_then_accepted(shell):
    with page(shell) as (_, client):
        client.enter()
        plan = client.plan(client.catalogue({"kind": "laion"}, "d"), {"subject": ["03"]})
        run = client.job(client.run(plan))
        assert run["state"] == "failed"
        assert run["error"]["code"] == "license_not_accepted"
        assert "CC0" in run["error"]["text"]
        assert "terminal" not in run["error"]["text"]
        assert "--accept" not in run["error"]["text"]
        assert not on_disk(shell.home / "d")
        assert client.post(f"api/jobs/{run['job']}/accept").status == 200
        assert client.job(run)["state"] == "done"
        assert on_disk(shell.home / "d")


# -- pause, resume, stop, several ------------------------------------------------------------------


def slow_world(rate):
    world = World()
    world.s3.fault(key="*_bold.nii.gz", method="GET", rate=rate, times=None)
    return world


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


def slow_run(client):
    """Start to fetch what comes slowly into the folder ``d``; return the run once bytes move."""
    plan = client.plan(client.catalogue({"kind": "bucket", "url": "s3://slow"}, "d"), {})
    run = client.run(plan)
    until(lambda: client.get(f"api/jobs/{run['job']}").json["progress"])
    return run


def pid_of_run(home):
    """Return the process that fetches into the folder ``d`` of a home."""
    command = ["pgrep", "-f", f"neurofetch get.*{home}/d"]
    return int(subprocess.run(command, capture_output=True, check=True).stdout.split()[0])


def test_a_run_is_paused_and_goes_on_and_what_came_is_not_fetched_again(tmp_path):
    with slow_world(1_000_000).open() as world, page(world.shell(tmp_path)) as (_, client):
        client.enter()
        plan = client.plan(client.catalogue({"kind": "bucket", "url": "s3://slow"}, "d"), {})
        run = client.run(plan)
        address = f"api/jobs/{run['job']}"
        until(lambda: (client.get(address).json["progress"] or {}).get("bytes_done", 0) > 300_000)
        assert client.post(f"{address}/pause").json["state"] in ("pausing", "paused")
        paused = client.job(run)
        assert paused["state"] == "paused"
        assert not on_disk(tmp_path / "d")
        partial = [one for one in (tmp_path / "d").rglob("*") if one.is_file()]
        assert max(one.stat().st_size for one in partial) > 200_000
        world.s3.clear_faults()
        world.s3.fault(key="*_bold.nii.gz", method="GET", rate=4_000_000, times=None)
        assert client.post(f"{address}/resume").status == 200
        came = paused["progress"]["bytes_done"]
        told = []
        until(lambda: told.append(client.get(address).json) or told[-1]["state"] == "done")
        assert all(one["progress"]["bytes_done"] >= came - 300_000 for one in told)
        assert all(one["progress"]["bytes_total"] == 4_194_304 for one in told)
        done = told[-1]
        assert done["attempts"] == 2
        assert done["report"]["bytes_moved"] < 4_000_000
    (path, content), *_ = SLOW.items()
    assert (tmp_path / "d" / path).read_bytes() == content


SOURCES = {
    "a bucket": {"kind": "bucket", "url": "s3://slow"},
    "NeuroVault": {"kind": "neurovault", "collections": [1952]},
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_folder_that_became_a_link_since_it_was_looked_at_is_not_fetched_into(tmp_path, source):
    """Somebody of the group puts it there when the page has looked, and before the command runs."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    with World().open() as world, page(world.shell(home)) as (_, client):
        client.enter()
        plan = client.plan(client.catalogue(SOURCES[source], "d"), {})
        if (home / "d").exists():
            (home / "d").rename(home / "before")
        (home / "d").symlink_to(elsewhere)
        run = client.job(client.run(plan))
        assert run["state"] == "failed"
        assert "symbolic link" in run["error"]["message"]
        assert list(elsewhere.iterdir()) == []
        (home / "d").unlink()
        client.post(f"api/jobs/{run['job']}/resume")
        assert client.job(run)["state"] == "done"


def test_a_run_is_stopped_and_another_goes_on(tmp_path):
    with slow_world(400_000).open() as world, page(world.shell(tmp_path)) as (_, client):
        client.enter()
        plan = client.plan(client.catalogue({"kind": "bucket", "url": "s3://slow"}, "d"), {})
        other = client.plan(client.catalogue({"kind": "bucket", "url": "s3://study/ds"}, "e"), {})
        first, second = client.run(plan), client.run(other)
        client.post(f"api/jobs/{first['job']}/stop")
        assert client.job(first)["state"] == "stopped"
        assert client.job(second)["state"] in ("done", "running")
        world.s3.clear_faults()
        assert client.job(second)["state"] == "done"
        assert client.post(f"api/jobs/{first['job']}/pause").status == 400
        assert client.post(f"api/jobs/{first['job']}/dance").status == 400
        assert client.post(f"api/jobs/{plan['job']}/resume").status == 400
        assert client.post("api/jobs/j999/stop").status == 404


def test_when_the_page_ends_its_runs_end_and_what_came_is_kept(tmp_path):
    with slow_world(400_000).open() as world:
        shell = world.shell(tmp_path)
        with page(shell) as (process, client):
            client.enter()
            plan = client.plan(client.catalogue({"kind": "bucket", "url": "s3://slow"}, "d"), {})
            run = client.run(plan)
            address = f"api/jobs/{run['job']}"
            until(lambda: (client.get(address).json["progress"] or {}).get("bytes_done", 0))
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        time.sleep(0.2)
        running = subprocess.run(
            ["pgrep", "-f", str(tmp_path / "d")], capture_output=True, text=True, check=False
        )
        assert not running.stdout
        world.s3.clear_faults()
        assert shell(plan["say"]["command"]).code == 0
    (path, content), *_ = SLOW.items()
    assert (tmp_path / "d" / path).read_bytes() == content


def test_a_command_that_is_killed_is_told_and_can_be_started_again(tmp_path):
    with slow_world(400_000).open() as world, page(world.shell(tmp_path)) as (_, client):
        client.enter()
        run = slow_run(client)
        os.kill(pid_of_run(tmp_path), signal.SIGKILL)
        failed = client.job(run)
        assert failed["state"] == "failed"
        assert "signal 9" in failed["error"]["message"]
        world.s3.clear_faults()
        client.post(f"api/jobs/{run['job']}/resume")
        assert client.job(run)["state"] == "done"


def test_a_command_that_was_suspended_ends_when_it_is_stopped(tmp_path):
    with slow_world(400_000).open() as world, page(world.shell(tmp_path)) as (_, client):
        client.enter()
        run = slow_run(client)
        os.kill(pid_of_run(tmp_path), signal.SIGSTOP)
        client.post(f"api/jobs/{run['job']}/stop")
        assert client.job(run)["state"] == "stopped"


def test_errors_of_files_are_named_with_their_remedy(tmp_path):
    world = World()
    world.s3.fault(key="*sub-02*bold.nii.gz", method="GET", status=403, times=None)
    with world.open(), page(world.shell(tmp_path)) as (_, client):
        client.enter()
        made = client.catalogue({"kind": "bucket", "url": "s3://study/ds"}, "d")
        run = client.job(client.run(client.plan(made, {})))
        assert run["state"] == "failed"
        assert run["error"]["exit_code"] == 4
        assert run["report"]["counts"]["failed"] == len(run["failures"]) == 1
        assert "sub-02" in run["failures"][0]["path"]
        assert run["failures"][0]["reason"]
        world.s3.clear_faults()
        client.post(f"api/jobs/{run['job']}/resume")
        assert client.job(run)["state"] == "done"


def test_a_source_that_cannot_be_listed_says_why_and_what_to_do(shared):
    made = shared.catalogue({"kind": "bucket", "url": "s3://study/nothing"}, "n")
    assert made["state"] == "failed"
    assert made["error"]["code"] == "nothing_matched"
    made = shared.catalogue({"kind": "openneuro", "data_set": "ds999999"}, "n")
    assert made["state"] == "failed"
    assert made["error"]["message"]


def test_values_that_a_source_is_not_asked_for_are_refused(shared):
    made = shared.catalogue({"kind": "laion"}, "refused")
    address = f"api/catalogues/{made['catalogue']}/say"
    for choice in (
        {"datatype": ["anat"]},
        {"--data-dir": ["/"]},
        {"subject": "01"},
        {"subject": ["01\n"]},
        {"subject": [7]},
        {"subject": ["x" * 30_000]},
        ["subject"],
        "subject",
    ):
        answer = shared.post(address, {"choice": choice})
        assert answer.status == 400, choice
        assert "Nothing was done" in answer.json["error"]["message"]


def test_a_value_that_looks_like_a_flag_stays_a_value(shared):
    made = shared.catalogue({"kind": "bucket", "url": "s3://study/ds"}, "flags")
    say = shared.post(
        f"api/catalogues/{made['catalogue']}/say",
        {"choice": {"subject": ["--data-dir=/"], "include": ["-x; $(touch y) 'q'"]}},
    ).json
    words = shlex.split(say["command"])
    assert "--subject=--data-dir=/" in words
    assert "--include=-x; $(touch y) 'q'" in words
    plan = shared.plan(made, {"subject": ["--data-dir=/"]})
    assert plan["state"] == "failed"
    assert plan["error"]["code"] in ("unknown_value", "nothing_matched", "usage")


def test_what_is_here_is_a_catalogue_too(shared):
    folder = shared.home / "here"
    (folder / "sub-01/anat").mkdir(parents=True)
    (folder / "sub-01/anat/sub-01_T1w.nii.gz").write_bytes(b"x" * 10)
    (folder / ".neurofetch").mkdir()
    (folder / ".neurofetch/secret").write_bytes(b"y")
    (folder / "away").symlink_to("/etc")
    made = shared.catalogue({"kind": "directory"}, "here")
    assert (made["files"], made["bytes"], made["files_here"]) == (1, 10, 1)
    answer = shared.post("api/plans", {"catalogue": made["catalogue"], "to": made["to"]})
    assert answer.status == 400
    assert "here" in shared.get("api/start").json["directories"][0]["folders"]


# -- events ----------------------------------------------------------------------------------------


def events_of(client, since=""):
    """Messages of the stream, until it is closed."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=30)
    connection.request("GET", f"/api/events{since}", headers=client.headers)
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream"
    message = {}
    while line := response.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            message[name] = value
        elif "data" in message:
            yield {**message, "data": json.loads(message["data"])}
            message = {}


def test_a_page_hears_of_each_job_and_one_that_comes_later_gets_the_newest_state(shared):
    heard = events_of(shared)
    made = shared.catalogue({"kind": "bucket", "url": "s3://study/ds"}, "events")
    run = shared.job(shared.run(shared.plan(made, {})))
    for message in heard:
        if message["event"] == "job" and message["data"]["job"] == run["job"]:
            last = message
            if message["data"]["state"] == "done":
                break
    assert last["data"]["report"] == run["report"]
    heard.close()
    late = next(
        one
        for one in events_of(shared)
        if one["event"] == "job" and one["data"]["job"] == run["job"]
    )
    assert late["data"] == last["data"]
    after = events_of(shared, f"?from={last['id']}")
    other = shared.catalogue({"kind": "directory"}, "")
    assert next(after)["data"]["catalogue"] == other["catalogue"]


def test_a_broadcast_tells_what_is_newest_once_and_lets_all_go_at_its_end():
    broadcast = Broadcast()
    for number in range(1000):
        broadcast.tell("job", "j1", lambda number=number: {"n": number})
    messages = broadcast.listen(0, beat=0.01)
    assert next(messages).startswith(b"retry")
    assert next(messages).endswith(b'data: {"n":999}\n\n')
    assert next(messages) == b"event: beat\ndata: 1\n\n"
    threading.Timer(0.2, broadcast.close).start()
    assert set(messages) == {b"event: beat\ndata: 1\n\n"}


def test_a_listener_from_another_time_misses_nothing():
    """A page that stayed open while the server was started again, with a clock that went back."""
    broadcast = Broadcast()
    broadcast.tell("job", "j1", dict)
    messages = broadcast.listen(10**18, beat=0.01)
    assert [next(messages), next(messages)][1].startswith(b"id: ")


def test_runs_go_on_when_the_page_is_killed(tmp_path):
    """Nobody reads what they say then; they end well."""
    with slow_world(1_500_000).open() as world:
        with page(world.shell(tmp_path)) as (process, client):
            client.enter()
            plan = client.plan(client.catalogue({"kind": "bucket", "url": "s3://slow"}, "d"), {})
            run = client.run(plan)
            until(lambda: client.get(f"api/jobs/{run['job']}").json["progress"])
            process.kill()
            process.wait(timeout=30)
        (path, content), *_ = SLOW.items()
        until(lambda: path in on_disk(tmp_path / "d"))
        assert (tmp_path / "d" / path).read_bytes() == content
        until(lambda: subprocess.run(["pgrep", "-f", f"{tmp_path}/d"], check=False).returncode)
