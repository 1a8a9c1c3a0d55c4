"""How a plan is split into parts: nothing is lost, nothing is twice, and none is much heavier."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch.model import Action, Digest, Plan, RemoteFile, Step, Want
from neurofetch.planning.parts import parts_of

MOVING = (Action.FETCH, Action.RESUME, Action.REPLACE)
GIB = 1 << 30
FILE = 2 << 20
"""What a file weighs beside its bytes."""


def step(number, size, action=Action.FETCH, content=None, ranges=True):
    digest = None if content is None else Digest("md5", f"{content:032x}")
    name = f"sub-{number:05}_bold.nii.gz"
    remote = RemoteFile(name, f"https://h/{name}", size, digest=digest, ranges=ranges)
    return Step(Want(remote, name), action, "why")


def plan_of(*steps):
    return Plan(Path("data"), steps)


def names(plan):
    return [step.want.path for step in plan.steps]


@st.composite
def plans(draw):
    sizes = st.one_of(st.integers(0, 3 * GIB), st.integers(0, 5000), st.none())
    rows = draw(
        st.lists(
            st.tuples(sizes, st.sampled_from(Action), st.none() | st.integers(0, 3), st.booleans()),
            max_size=60,
        )
    )
    return plan_of(
        *(
            step(n, 77 if content is not None else size, action, content, ranges)
            for n, (size, action, content, ranges) in enumerate(rows)
        )
    )


@given(plans(), st.integers(1, 300), st.booleans())
def test_each_step_that_moves_is_in_one_part_and_no_other_is_in_any(plan, at_once, kept):
    parts = parts_of(plan, at_once, kept=kept)
    actions = {*MOVING, Action.KEEP} if kept else {*MOVING}
    wanted = [one.want.path for one in plan.steps if one.action in actions]
    assert sorted(name for part in parts for name in names(part.plan)) == sorted(wanted)
    assert all(part.plan.steps for part in parts)


@given(plans(), st.integers(1, 300))
def test_parts_are_in_the_order_of_the_plan_and_the_heaviest_comes_first(plan, at_once):
    parts = parts_of(plan, at_once)
    for part in parts:
        assert names(part.plan) == sorted(names(part.plan))
        assert part.plan.root == plan.root
    assert [part.weight for part in parts] == sorted((p.weight for p in parts), reverse=True)
    assert parts_of(plan, at_once) == parts


@given(plans(), st.integers(1, 300))
def test_files_of_one_content_stay_together(plan, at_once):
    where = {}
    for number, part in enumerate(parts_of(plan, at_once)):
        for one in part.plan.steps:
            digest = one.want.remote.digest
            if digest is not None:
                assert where.setdefault(digest, number) == number


@given(plans(), st.integers(1, 300), st.integers(1, 9))
def test_what_is_asked_for_few_at_a_time_has_parts_of_its_own(plan, at_once, bound):
    def few(remote):
        return None if remote.ranges else bound

    for part in parts_of(plan, at_once, few=few):
        bounds = {few(one.want.remote) for one in part.plan.steps}
        assert bounds == {part.few}


@given(st.lists(st.integers(0, 8 * GIB), min_size=1, max_size=400), st.integers(1, 64))
def test_no_part_is_heavier_than_twice_the_usual_unless_one_file_is(sizes, at_once):
    plan = plan_of(*(step(n, size) for n, size in enumerate(sizes)))
    parts = parts_of(plan, at_once)
    total = sum(sizes) + FILE * len(sizes)
    usual = max(32 << 20, total / max(256, 4 * at_once), min(GIB, total / (4 * at_once)))
    for part in parts:
        assert part.weight < 2 * usual + 1 or len(part.plan) == 1
    assert len(parts) <= max(256, 4 * at_once) + 1


@pytest.mark.parametrize(
    ("files", "size", "at_once", "least", "most"),
    [
        (1, 0, 8, 1, 1),
        (12, 5_000, 8, 1, 1),
        (20_000, 5_000, 8, 32, 64),
        (117_000, 100_000, 8, 64, 256),
        (400, 1 << 30, 8, 200, 400),
        (64, 12 << 30, 8, 64, 64),
        (6_000, 1 << 30, 8, 64, 257),
        (100_000, 1 << 20, 100, 250, 420),
    ],
)
def test_how_many_parts_there_are(files, size, at_once, least, most):
    plan = plan_of(*(step(n, size) for n in range(files)))
    assert least <= len(parts_of(plan, at_once)) <= most


def test_an_archived_or_copied_file_weighs_no_more_than_a_file():
    remote = RemoteFile("a", "https://h/a", GIB, storage_class="DEEP_ARCHIVE")
    archived = Step(Want(remote, "a"), Action.FETCH, "why")
    copied = Step(Want(RemoteFile("b", "https://h/b", GIB), "b"), Action.FETCH, "why", copy_of="c")
    assert parts_of(plan_of(archived, copied))[0].weight == 2 * FILE
