"""The line is doubted for a reason, asked by one, and given up when the patience ends."""

import errno
import math
import socket
import threading
import time
from itertools import pairwise

import pytest

from neurofetch.errors import (
    ConfigError,
    NetworkAwayError,
    TransientError,
    UnreachableError,
    UsageError,
)
from neurofetch.net import outage
from neurofetch.net.connect import Route, is_offline
from neurofetch.net.http1 import Request
from neurofetch.net.outage import LineError, Outages, SleepWatch, Wait, shown_patience
from neurofetch.net.retry import Attempts, RetryRules
from neurofetch.net.settings import Network, parse_patience
from tests.engine_world import until

HERE, THERE = Route("http", "here", 80), Route("http", "there", 80)
RULES = RetryRules(attempts=3, base=0.001, cap=0.002)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    for name, seconds in {"_FIRST": 0.01, "_LONGEST": 0.02, "_SLICE": 0.01, "_TOLD": 0.01}.items():
        monkeypatch.setattr(outage, name, seconds)


class Server:
    """What answers questions: nothing while it is down."""

    def __init__(self, patience=60.0):
        self.up = False
        self.asked = 0
        self.notices = []
        self.outages = Outages(patience, self._asks)
        self.line = self.outages.line(HERE)
        self.line.heard = time.monotonic()
        self.other = self.outages.line(THERE)

    def _asks(self, line, asked, *, pages):  # noqa: ARG002
        self.asked += 1
        if self.up and not pages:
            line.heard = time.monotonic()
        if self.up and pages:
            line.good = (time.monotonic(), Request("http://here/good"))
        return self.up

    def error(self, **how):
        how = {"sure": True, **how}
        return LineError(
            "cannot connect: refused", how.pop("line", self.line), time.monotonic(), **how
        )

    def run(self, action):
        return Attempts(RULES, outages=self.outages).run(action)


@pytest.fixture
def server():
    found = Server()
    with found.outages.told_to(found.notices.append):
        yield found
    found.outages.close()


def kinds(server):
    server.outages.poll()
    return [notice.kind for notice in server.notices]


def failing(server, times=math.inf, **how):
    """An action that fails by the line while the server is down."""
    calls = []

    def act():
        calls.append(time.monotonic())
        if not server.up and len(calls) <= times:
            raise server.error(**how)
        return len(calls)

    return act


def test_an_action_waits_for_the_line_and_uses_no_attempt(server):
    timer = threading.Timer(0.15, lambda: setattr(server, "up", True))
    timer.start()
    assert server.run(failing(server)) == 2
    assert kinds(server)[0] == "away"
    assert kinds(server)[-1] == "back"
    assert server.notices[-1].seconds >= 0.1
    assert server.line.outage is None


def test_one_asks_for_all(server):
    def wait():
        server.run(failing(server))

    threads = [threading.Thread(target=wait) for _ in range(32)]
    for thread in threads:
        thread.start()
    until(lambda: server.asked >= 6)
    asking = [t for t in threading.enumerate() if t.name.startswith("neurofetch-outage")]
    server.up = True
    for thread in threads:
        thread.join(5)
    assert len(asking) == 1
    assert not any(thread.is_alive() for thread in threads)


def test_a_line_that_answers_is_no_outage(server):
    """One connection of many is refused: the question is answered, so the fault is the file's."""
    server.up = True

    def act():
        raise server.error()

    with pytest.raises(UnreachableError, match="gave up after 3 attempts"):
        server.run(act)
    assert kinds(server) == []
    assert server.asked == 3  # one each: nothing else had come since


def test_what_came_from_others_meanwhile_counts_as_an_answer(server):
    server.up = True

    def act():
        error = server.error()
        server.line.heard = time.monotonic()  # another connection's
        raise error

    with pytest.raises(UnreachableError, match="gave up after 3 attempts"):
        server.run(act)
    assert server.asked == 1  # before it gives up: what came may have been on its way for long


def test_what_was_on_its_way_when_the_network_went_is_no_answer(server):
    """A reader that is slow takes bytes out of the system's buffers after the line has gone."""
    calls = []

    def act():
        calls.append(1)
        if server.up:
            return "here"
        error = server.error(sure=False)
        server.line.heard = time.monotonic()
        raise error

    timer = threading.Timer(0.1, lambda: setattr(server, "up", True))
    timer.start()
    assert server.run(act) == "here"
    assert len(calls) == RULES.attempts + 1


def test_what_comes_to_others_during_the_doubt_ends_it(server):
    def come():
        until(lambda: server.asked)
        server.line.heard = time.monotonic()

    other = threading.Thread(target=come)
    other.start()
    assert not server.outages.rode_out(server.error())
    other.join()
    assert kinds(server) == []


def test_a_connection_that_breaks_once_is_not_even_asked_about(server):
    assert server.run(failing(server, times=1, sure=False)) == 2
    assert server.asked == 0


def test_a_connection_that_breaks_twice_in_a_row_is(server):
    timer = threading.Timer(0.1, lambda: setattr(server, "up", True))
    timer.start()
    assert server.run(failing(server, sure=False)) >= 3
    assert kinds(server)[-1] == "back"


def test_other_failures_are_never_the_lines(server):
    def act():
        raise TransientError("503")

    with pytest.raises(UnreachableError, match="503; gave up after 3"):
        server.run(act)
    assert server.asked == 0


@pytest.mark.parametrize("patience", [0.0, 0.1])
def test_the_patience_ends(patience):
    server = Server(patience)
    with pytest.raises(NetworkAwayError, match="the network was away: nothing came from here"):
        server.run(failing(server))
    before = server.asked
    with pytest.raises(NetworkAwayError):  # and whoever comes later fails at once
        server.run(failing(server))
    assert server.asked == before
    with pytest.raises(LineError):
        server.line.check()
    server.outages.begin_anew()
    server.line.check()


def test_a_line_that_was_given_up_counts_again_when_something_comes(server):
    server.outages.patience = 0.0
    with pytest.raises(NetworkAwayError):
        server.run(failing(server))
    server.line.heard = time.monotonic()
    server.up = True
    assert server.outages.rode_out(server.error(held=True))


def test_nobody_asks_on_a_line_that_is_known_to_be_away(server):
    thread = threading.Thread(target=lambda: server.run(failing(server)))
    thread.start()
    until(lambda: server.line.outage is not None and server.line.outage.known)
    with pytest.raises(LineError) as caught:
        server.line.check()
    assert caught.value.held
    server.other.check()  # another server is another line
    server.up = True
    thread.join(5)
    server.line.check()


def test_a_line_from_which_nothing_ever_came_gets_the_usual_attempts(server):
    act = failing(server, line=server.other)
    with pytest.raises(UnreachableError, match="gave up after 3 attempts"):
        server.run(act)
    assert kinds(server) == ["unheard"]
    assert server.asked == 0


def test_a_machine_without_a_network_waits_from_the_start(server):
    timer = threading.Timer(0.1, lambda: setattr(server, "up", True))
    timer.start()
    assert server.run(failing(server, line=server.other, offline=True)) == 2
    assert kinds(server)[0] == "away"


def test_what_a_page_stands_for_is_raised_where_it_is_the_files_own(server):
    server.up = True
    server.line.good = (time.monotonic(), Request("http://here/good"))
    final = PermissionError("403")

    def act():
        raise server.error(pages=True, final=final)

    with pytest.raises(PermissionError, match="403"):
        server.run(act)


def test_closing_ends_all_waits(server):
    ended = threading.Event()

    def wait():
        server.outages.rode_out(server.error())
        ended.set()

    threading.Thread(target=wait).start()
    until(lambda: server.line.outage is not None)
    server.outages.close()
    assert ended.wait(1.0)


def test_without_threads_the_caller_asks(server, monkeypatch):
    monkeypatch.setattr(outage, "started", lambda *_, **__: None)
    timer = threading.Timer(0.1, lambda: setattr(server, "up", True))
    timer.start()
    assert server.run(failing(server)) == 2
    assert kinds(server)[-1] == "back"


def test_those_who_waited_go_on_one_after_another(server):
    ends = []

    def wait():
        server.run(failing(server))
        ends.append(time.monotonic())

    threads = [threading.Thread(target=wait) for _ in range(20)]
    for thread in threads:
        thread.start()
    until(lambda: server.line.outage is not None and server.line.outage.waiting == 20)
    until(lambda: server.line.outage.known)
    server.up = True
    for thread in threads:
        thread.join(5)
    assert len(ends) == 20
    assert max(ends) - min(ends) > 0.01


# -- the clock -------------------------------------------------------------------------------------


def test_a_question_follows_soon_at_first_and_later_rarely(monkeypatch):
    monkeypatch.undo()
    wait, now, asked = Wait(0.0, 900.0), 0.0, []
    while not wait.over(now):
        now += wait.pause(now)
        asked.append(now)
    assert asked[0] == 0.5
    assert all(later - before <= 10.0 for before, later in pairwise(asked))
    assert len([moment for moment in asked if moment < 75]) < 25
    assert asked[-1] == 900.0


@pytest.mark.parametrize("ends", [1.0, 10.0, 75.0, 600.0])
def test_the_end_of_an_outage_is_noticed_soon(monkeypatch, ends):
    monkeypatch.undo()
    wait, now = Wait(0.0, math.inf), 0.0
    while now < ends:
        now += wait.pause(now)
    assert now - ends <= max(0.5, min(10.0, ends / 3))


def test_the_time_asleep_is_no_time_of_an_outage():
    moments = [0.0, 0.25, 300.25, 300.5]
    sleep = SleepWatch((lambda: moments.pop(0),))
    assert [sleep.slept(0.25)[0] for _ in range(3)] == [0.0, pytest.approx(299.75), 0.0]


def test_a_machine_that_is_busy_did_not_sleep():
    moments = [0.0, 3.0]
    assert SleepWatch((lambda: moments.pop(0),)).slept(0.25) == (0.0,)


def test_a_stop_of_the_process_does_not_use_up_the_patience(monkeypatch):
    """The clock jumps by an hour while all wait, as after SIGSTOP, or with the lid closed."""
    jump = [0.0]
    server = Server(patience=60.0)
    server.outages._clock = lambda: time.monotonic() + jump[0]
    thread = threading.Thread(target=lambda: server.run(failing(server)), daemon=True)
    thread.start()
    until(lambda: server.line.outage is not None and server.line.outage.known)
    jump[0] = 3600.0
    before = server.asked
    until(lambda: server.asked > before + 3)
    assert server.line.outage.verdict == ""
    server.up = True
    thread.join(5)
    assert not thread.is_alive()


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("15m", 900.0),
        ("15 min", 900.0),
        ("2h", 7200.0),
        ("1.5H", 5400.0),
        ("0", 0.0),
        ("inf", math.inf),
        (" 7 ", 7.0),
        (".5", 0.5),
    ],
)
def test_patience_as_people_write_it(text, seconds):
    assert parse_patience(text) == seconds
    assert Network.from_environment({"NEUROFETCH_PATIENCE": text}).patience == seconds


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "1d", "m", "1e3", "٣", "15mm", "1 2", "."])
def test_nonsense_is_no_patience(text):
    with pytest.raises(UsageError, match="is not a time"):
        parse_patience(text)
    with pytest.raises(ConfigError, match="NEUROFETCH_PATIENCE="):
        Network.from_environment({"NEUROFETCH_PATIENCE": text})


@pytest.mark.parametrize("given", [-1, math.nan, "15m", None, True])
def test_patience_is_checked(given):
    with pytest.raises(UsageError, match="patience must be"):
        Network(patience=given)


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0 s"), (61, "61 s"), (120, "2 min")])
def test_patience_as_people_read_it(seconds, text):
    assert shown_patience(seconds) == text


def test_a_name_that_does_not_exist_is_no_matter_of_this_machine():
    assert is_offline(socket.gaierror(socket.EAI_AGAIN, ""))
    assert is_offline(OSError(errno.ENETUNREACH, ""))
    for error in (
        socket.gaierror(socket.EAI_NONAME, ""),
        OSError(errno.ECONNREFUSED, ""),
        OSError(errno.EHOSTUNREACH, ""),
        TimeoutError(),
        None,
    ):
        assert not is_offline(error)
