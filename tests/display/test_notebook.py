"""As in a notebook: inside a running event loop, with a callable of one's own.

What a real kernel shows is in tests/notebooks/.
"""

import asyncio
import dataclasses
import pickle
import threading

import pytest

from laion_fmri.download import download
from neurofetch import verify
from neurofetch.display.live import Live
from neurofetch.events import Checking, Event, FileDone, Finished, Listing, Planned, Progress
from testbed.s3 import S3Server
from tests.faces import REFUSED, SMALL, Shell, bucket


@pytest.fixture(scope="module")
def s3():
    with S3Server({"laion-fmri": bucket(SMALL)}, forbidden=REFUSED) as server:
        yield server


@pytest.fixture(autouse=True)
def user(tmp_path, s3, monkeypatch):
    shell = Shell(tmp_path, s3.url)
    for name, text in shell.env.items():
        monkeypatch.setenv(name, text)
    return shell


def test_download_works_inside_a_running_event_loop():
    async def cell():
        assert asyncio.get_running_loop().is_running()
        return download("03", ses="averages", progress="none")

    report = asyncio.run(cell())
    assert report.ok
    assert all(path.is_file() for path in report.paths)


def test_a_callable_gets_every_event_in_its_own_thread(s3):
    seen: list[Event] = []
    threads = set()

    def listen(event: Event) -> None:
        seen.append(event)
        threads.add(threading.get_ident())

    report = download("03", ses="averages", progress=listen)
    assert threads == {threading.get_ident()}
    assert isinstance(seen[0], Planned)
    assert isinstance(seen[-1], Finished)
    assert seen[-1].report is report
    done = [event.outcome for event in seen if isinstance(event, FileDone)]
    assert sorted(o.path for o in done) == sorted(o.path for o in report)
    last = [event for event in seen if isinstance(event, Progress)][-1]
    assert (last.files_done, last.bytes_done) == (len(report), report.bytes_moved)
    for event in seen:
        assert pickle.loads(pickle.dumps(event)) == event
        name = dataclasses.fields(event)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(event, name, None)


def test_what_a_callable_raises_ends_the_transfer_and_is_raised(user):
    def listen(event: Event) -> None:
        if isinstance(event, Progress):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        download("03", ses="averages", progress=listen)
    assert not [t for t in threading.enumerate() if t.name.startswith("neurofetch")]
    assert download("03", ses="averages", progress="none").ok


def test_a_report_is_shown_in_few_lines_and_stays_picklable():
    report = download("03", ses="averages", progress="none")
    assert pickle.loads(pickle.dumps(report)) == report
    number, moved = len(report), report.bytes_moved
    assert repr(report).startswith(f"<Report of {number} files in {report.root}: {number} fetched,")
    assert f"; {moved:,} bytes moved in " in repr(report)
    plan = download("03", ses="averages", dry_run=True)
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert repr(plan) == (
        f"<Plan of {number} files for {plan.root}: 0 to fetch (0 bytes), {number} already here, "
        "0 withheld>"
    )
    found = verify(report.root, state=".laion_fmri")
    assert repr(found).startswith(f"<Audit of {number} files in {report.root}: {number} unchanged ")


class Cell:
    """Where a run shows itself; it ends when it is told to."""

    def __init__(self):
        self.texts, self.end, self.free = [], None, False

    def show(self, _, text):
        self.texts.append(text)

    def at_end(self, tell):
        self.end = tell

    def close(self, *, free):
        self.end, self.free = None, free


READING = Checking(1, 3, 10, 30, 1.0, 10.0, 0)
LISTING = Listing(1200, 1, 3, 2.0)
FETCHING = Progress(1, 3, 10, 30, 1.0, 10.0, 0)
KEPT = "What came is kept: run the cell again to go on"


@pytest.mark.parametrize(
    ("events", "error", "said"),
    [
        ([READING], "KeyboardInterrupt", "stopped while files were read"),
        ([READING], "DestinationError", "ended by DestinationError while files were read"),
        ([LISTING], "KeyboardInterrupt", "stopped while files were listed"),
        ([LISTING, Listing(1200, 1, 3, 2.0, True)], "ServerError", "ended by ServerError while"),
        ([LISTING, Listing(1200, 1, 3, 2.0, True)], "", "listed 1,200 files in 2.0 s"),
        ([LISTING, Listing(3000, 3, 3, 2.5, True)], "", "listed 3,000 files in 2.5 s"),
        ([LISTING, FETCHING], "KeyboardInterrupt", f"stopped. {KEPT}"),
        ([FETCHING], "", f"ended. {KEPT}"),
    ],
)
def test_what_is_said_where_a_cell_ends_before_its_run(events, error, said):
    cell = Cell()
    live = Live(cell, lambda event: pytest.fail(f"not shown: {event}"))
    for event in events:
        live(event)
    cell.end(error)
    assert cell.texts[-1].startswith(said)
