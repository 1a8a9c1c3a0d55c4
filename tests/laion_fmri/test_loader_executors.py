"""Stores that executors build: threads, processes, loky, Dask, submitit, and what is like them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import laion_fmri.errors
import neurofetch.errors
from laion_fmri.errors import CorruptFileError, StoreBuildError
from laion_fmri.group import load_subjects
from laion_fmri.loader.store_tasks import _task
from laion_fmri.subject import load_subject
from neurofetch.errors import UsageError, WrongTypeError
from tests.loader_tree import (
    SESSIONS,
    betas_path,
    naive_betas,
    naive_roi,
    same,
    write_tree,
)
from tests.mounts import tmpfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_tree(tmp_path / "data", subjects=("sub-01", "sub-03"))


class InOrder:
    """The least that an executor is: no callbacks, no cancelling, a result when it is asked for."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.received: list[int] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        sent = pickle.dumps((fn, args))
        self.sent.append(len(sent))

        class Later:
            def result(later) -> Any:  # noqa: N805
                task, given = pickle.loads(sent)
                answer = pickle.dumps(task(*given))
                self.received.append(len(answer))
                return pickle.loads(answer)

        return Later()


@contextmanager
def threads(_: Path) -> Iterator[Any]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@contextmanager
def processes(_: Path) -> Iterator[Any]:
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        yield pool


@contextmanager
def loky(_: Path) -> Iterator[Any]:
    external = pytest.importorskip("joblib.externals.loky")
    pool = external.ProcessPoolExecutor(2)
    try:
        yield pool
    finally:
        pool.shutdown()


@contextmanager
def dask(folder: Path) -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            local_directory=str(folder),
        ) as cluster,
        distributed.Client(cluster) as client,
        client.get_executor(pure=False) as pool,
    ):
        yield pool


@contextmanager
def submitit(folder: Path) -> Iterator[Any]:
    library = pytest.importorskip("submitit")
    pool = library.AutoExecutor(folder / "jobs", cluster="local")
    pool.update_parameters(timeout_min=2)
    yield pool


@contextmanager
def in_order(_: Path) -> Iterator[Any]:
    yield InOrder()


KINDS = (threads, processes, loky, dask, submitit, in_order)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_any_executor_builds_all_sessions_and_tells_of_each(tree, tmp_path, kind):
    sub = load_subject("03", data_dir=tree, store_dir=tmp_path / "stores")
    told: list[tuple[str, int, int]] = []
    with kind(tmp_path) as executor:
        place = sub.build_store(executor=executor, progress=lambda *one: told.append(one))
        assert sorted(one.name for one in place.iterdir()) == [*SESSIONS, "zarr.json"]
        assert sorted(name for name, _, _ in told) == [f"sub-03, {one}" for one in SESSIONS]
        assert [(done, of) for _, done, of in told] == [(1, 2), (2, 2)]
        read = load_subject("03", data_dir=tree, store="read", store_dir=tmp_path / "stores")
        for session in SESSIONS:
            assert read.store.session(session).any_store() is not None
            assert same(read.get_betas(session), naive_betas(tree, session))
        before = [path.stat().st_mtime_ns for path in place.rglob("*")]
        assert sub.build_store(executor=executor) == place  # all is there
        assert [path.stat().st_mtime_ns for path in place.rglob("*")] == before
        damage(betas_path(tree))
        with pytest.raises(CorruptFileError, match="ses-01"):
            sub.build_store(executor=executor)
    assert not (tree / ".laion_fmri").exists()


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_what_is_sent_and_comes_back_is_small(tree):
    executor = InOrder()
    load_subject("03", data_dir=tree).build_store(executor=executor)
    assert len(executor.sent) == len(executor.received) == 2
    assert max(executor.sent) < 4000
    assert max(executor.received) < 300


def test_all_sessions_of_a_group_are_tasks_of_one_call(tree, tmp_path):
    group = load_subjects("all", data_dir=tree, store_dir=tmp_path / "stores")
    executor = InOrder()
    places = group.build_store(executor=executor)
    assert len(executor.sent) == 4
    assert places == {name: subject.store.path for name, subject in group}
    assert all(path.is_dir() for path in places.values())
    only = group.build_store(iter(["ses-01"]), mask_source="rsquare", executor=InOrder())
    assert all((path / "ses-01_mask-rsquare").is_dir() for path in only.values())


def test_the_largest_session_is_the_first_task(tree):
    path = betas_path(tree, "ses-02")
    path.write_bytes(path.read_bytes() + bytes(4000))  # bytes after the gzip stream do no harm
    told: list[str] = []
    load_subject("03", data_dir=tree).build_store(
        executor=InOrder(), progress=lambda name, *_: told.append(name)
    )
    assert told == ["sub-03, ses-02", "sub-03, ses-01"]


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [4, "processes", object(), ThreadPoolExecutor, map])
def test_what_is_no_executor_is_told(tree, wrong):
    with pytest.raises(WrongTypeError, match="expected an object with submit"):
        load_subject("03", data_dir=tree).build_store(executor=wrong)
    assert not (tree / ".laion_fmri").exists()


@pytest.mark.parametrize("wrong", [True, False, 3, "bar", [print]])
def test_what_cannot_be_told_of_progress_is_refused_before_anything_is_built(tree, wrong):
    for how in ({}, {"executor": InOrder()}):
        with pytest.raises(WrongTypeError, match=r"progress=.*expected a function"):
            load_subject("03", data_dir=tree).build_store(progress=wrong, **how)
    assert not (tree / ".laion_fmri").exists()


def test_an_executor_and_threads_are_not_both_meant(tree):
    with pytest.raises(UsageError, match="an executor has its own number"):
        load_subject("03", data_dir=tree).build_store(executor=InOrder(), n_jobs=2)


# --- what goes wrong ------------------------------------------------------------------------------


class LostError(Exception):
    """As libraries of executors have errors of their own."""


class Loses:
    """An executor that loses tasks: before they ran, or when they had built their store."""

    def __init__(self, lost: set[int], *, after: bool) -> None:
        self.lost, self.after, self.count = lost, after, 0

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        number, self.count = self.count, self.count + 1
        if number not in self.lost or self.after:
            answer = fn(*args)
        if number in self.lost:
            future.set_exception(LostError("worker gone"))
        else:
            future.set_result(answer)
        return future


def test_a_lost_task_costs_its_session_and_is_told_in_plain_words(tree):
    sub = load_subject("03", data_dir=tree)
    with pytest.raises(StoreBuildError) as caught:
        sub.build_store(executor=Loses({1}, after=False))
    assert str(caught.value).startswith("1 of 2 sessions have no beta store; the others are built.")
    assert "Loses did not run the task to its end (LostError: worker gone)" in str(caught.value)
    assert "Run it again: what is built is kept" in str(caught.value)
    (lost,) = (name[-6:] for name in caught.value.problems)  # tasks come in any order
    (here,) = {"ses-01", "ses-02"} - {lost}
    built = sub.store.path / here / "zarr.json"
    before = built.stat().st_mtime_ns
    sub.build_store(executor=Loses(set(), after=False))
    assert built.stat().st_mtime_ns == before
    assert (sub.store.path / lost).is_dir()


def test_a_task_that_was_lost_after_its_work_is_no_problem(tree):
    sub = load_subject("03", data_dir=tree)
    sub.build_store(executor=Loses({0, 1}, after=True))
    assert same(
        sub.get_betas("01", roi="V1"), naive_betas(tree)[:, naive_roi(tree, "V1", "retinotopy")]
    )


def test_reasons_of_several_sessions_are_one_error_each_reason_once(tree):
    for session in SESSIONS:
        damage(betas_path(tree, session))
    with pytest.raises(StoreBuildError, match="2 of 2 sessions have no beta store") as caught:
        load_subject("03", data_dir=tree).build_store()
    assert set(caught.value.problems) == {f"sub-03, {one}" for one in SESSIONS}
    for problem in caught.value.problems.values():
        assert isinstance(problem, CorruptFileError)
        assert str(problem) in str(caught.value)
    with pytest.raises(StoreBuildError) as caught:
        load_subject("03", data_dir=tree).build_store(executor=Loses({0, 1}, after=False))
    assert str(caught.value).count("did not run the task") == 1
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), list(again.problems)) == (str(caught.value), list(caught.value.problems))


def test_a_full_disk_is_told_by_its_number_too(tree, tmp_path):
    with tmpfs(tmp_path / "small", "64k") as stores:
        sub = load_subject("03", data_dir=tree, store_dir=stores)
        with pytest.raises(StoreBuildError, match="No space left on device") as caught:
            sub.build_store(executor=InOrder())
    assert caught.value.errno == 28


def test_an_executor_that_was_closed_is_told(tree):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(StoreBuildError, match="cannot schedule new futures after shutdown"):
        load_subject("03", data_dir=tree).build_store(executor=pool)


def _die(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly(ProcessPoolExecutor):
    """Its first task kills the process that runs it."""

    count = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:  # type: ignore[override]
        self.count += 1
        return super().submit(_die if self.count == 1 else fn, *args)


@pytest.mark.slow
def test_a_pool_that_breaks_is_told_and_another_goes_on(tree):
    sub = load_subject("03", data_dir=tree)
    with Deadly(1, mp_context=SPAWN) as pool, pytest.raises(StoreBuildError) as caught:
        sub.build_store(executor=pool)
    assert "BrokenProcessPool" in str(caught.value)
    assert "its worker was killed" in str(caught.value)
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        sub.build_store(executor=pool)
    assert sorted(one.name for one in sub.store.path.iterdir()) == [*SESSIONS, "zarr.json"]


def test_a_store_that_another_process_finished_meanwhile_is_taken(tree):
    sub, other = load_subject("03", data_dir=tree), load_subject("03", data_dir=tree)

    class Slow(InOrder):
        def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
            other.build_store()
            return super().submit(fn, *args)

    sub.build_store(executor=Slow())
    before = (sub.store.path / "ses-01" / "zarr.json").stat().st_ino
    sub.build_store(executor=Slow())
    assert (sub.store.path / "ses-01" / "zarr.json").stat().st_ino == before


# --- Ctrl-C ---------------------------------------------------------------------------------------


def test_what_has_not_begun_is_cancelled_where_the_caller_is_interrupted(tree):
    begun = threading.Event()

    class Stuck(ThreadPoolExecutor):
        futures: list[Future[Any]] = []  # noqa: RUF012

        def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:  # type: ignore[override]
            self.futures.append(super().submit(fn, *args))
            return self.futures[-1]

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with Stuck(1) as pool:
        pool.submit(begun.wait)  # the one thread is busy until the interrupt
        first = load_subject("03", data_dir=tree).store.sessions()
        done: Future[Any] = Future()
        done.set_result(_task(first[0]))

        class FirstIsDone:
            def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
                return (
                    done if len(pool.futures) == 1 and not self.late() else pool.submit(fn, *args)
                )

            def late(self, _seen: list[int] = []) -> bool:  # noqa: B006
                _seen.append(1)
                return len(_seen) > 1

        with pytest.raises(KeyboardInterrupt):
            load_subject("03", data_dir=tree).build_store(
                executor=FirstIsDone(), progress=interrupted
            )
        assert [future.cancelled() for future in pool.futures] == [False, True]
        begun.set()


@pytest.mark.slow
def test_ctrl_c_ends_builds_in_threads_soon_and_leaves_nothing(tree):
    code = f"""
    import time
    from laion_fmri.beta_store import build
    from laion_fmri.subject import load_subject
    spread = build._spread
    def slowly(*args):
        spread(*args)
        print("batch", flush=True)
        time.sleep(0.2)
    build._spread, build._BATCH = slowly, 1
    try:
        load_subject("03", data_dir={str(tree)!r}).build_store(n_jobs=1)
    except KeyboardInterrupt:
        print("interrupted")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "batch\n"
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        rest = process.stdout.read().split()
        assert process.wait(30) == 0
    assert rest[-1] == "interrupted"
    assert len(rest) < 6  # of 24 batches a session, and two sessions
    assert time.monotonic() - begin < 20
    assert list((tree / ".laion_fmri" / "store").rglob("*")) == [tree / ".laion_fmri/store/.tmp"]


# --- errors from other processes ------------------------------------------------------------------


@pytest.mark.parametrize(
    "module", [laion_fmri.errors, neurofetch.errors], ids=lambda one: one.__name__
)
def test_errors_survive_what_dask_does_to_pickle(module):
    pytest.importorskip("distributed")  # with it, tblib pickles all exceptions
    for name in module.__all__:
        kind = getattr(module, name)
        if not issubclass(kind, neurofetch.errors.NeurofetchError):
            continue
        if issubclass(kind, laion_fmri.errors.BadDataError):
            made = kind("a.nii", "is odd")
        elif kind is laion_fmri.errors.IncompleteError:
            continue
        else:
            made = kind("what happened")
        again = pickle.loads(pickle.dumps(made))
        assert type(again) is kind
        assert str(again) == str(made)
