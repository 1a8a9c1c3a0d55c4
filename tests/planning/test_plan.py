"""The algebra of plans: nothing is left after a transfer, shards share, parts cover."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurofetch.errors import DiskFullError
from neurofetch.integrity.checksums import part_count, part_sizes
from neurofetch.integrity.verification import ServerChecksum
from neurofetch.model import (
    Action,
    Digest,
    LocalFile,
    Outcome,
    Plan,
    Receipt,
    RemoteFile,
    Report,
    Status,
    Step,
    VerificationLevel,
    Want,
)
from neurofetch.planning.plan import check_space, make_plan, sharing
from neurofetch.store.partials import PartLog
from neurofetch.transfer.part_file import part_size_for

ROOT = Path("/data")
KIB, MIB = 1 << 10, 1 << 20
sizes = st.integers(0, 50 * MIB)
etags = st.sampled_from(["a", "b", None])


def remote(path, size, etag):
    return RemoteFile(path, f"http://h/{path}", size, etag)


@st.composite
def worlds(draw):
    """Return what is wanted and what is here."""
    wants, local, held = [], {}, {}
    for number in range(draw(st.integers(0, 12))):
        path = f"f{number}"
        size = draw(st.one_of(st.none(), sizes))
        refused = draw(st.sampled_from(["", "", "", "held out"]))
        wants.append(Want(remote(path, size, draw(etags)), path, refused=refused))
        if draw(st.booleans()):
            local[path] = draw(files_here(path, size))
        elif size and draw(st.booleans()):
            held[path] = draw(st.integers(0, size))
    return wants, local, held


@st.composite
def files_here(draw, path, size):
    here = draw(st.one_of(st.just(size or 0), sizes))
    receipt = None
    if draw(st.booleans()):
        then = draw(st.one_of(st.just(here), sizes))
        etag = draw(etags) or ""
        receipt = Receipt(
            path, path, etag, then, draw(st.integers(0, 1)), VerificationLevel.MD5, "", 0.0
        )
    return LocalFile(path, here, draw(st.integers(0, 1)), receipt)


def carried_out(plan, local):
    """Return what is here after a plan was carried out."""
    after = dict(local)
    for step in plan.moving:
        file = step.want.remote
        size = file.size if file.size is not None else 7
        receipt = Receipt(
            step.want.path, file.key, file.etag or "", size, 5, VerificationLevel.MD5, "", 1.0
        )
        after[step.want.path] = LocalFile(step.want.path, size, 5, receipt)
    return after


@given(worlds(), st.booleans())
def test_after_a_transfer_nothing_is_left_to_do(world, overwrite):
    wants, local, held = world
    plan = make_plan(ROOT, wants, local, held, overwrite=overwrite)
    assert [step.want for step in plan.steps] == wants
    again = make_plan(ROOT, wants, carried_out(plan, local))
    assert again.moving == ()
    assert again.bytes_to_fetch == 0
    assert len(again.of(Action.REFUSE)) == sum(bool(want.refused) for want in wants)


@given(worlds())
def test_what_moves_and_what_is_here_make_up_the_whole(world):
    wants, local, held = world
    plan = make_plan(ROOT, wants, local, held)
    wanted = sum(step.want.remote.size or 0 for step in plan.steps if not step.want.refused)
    assert plan.bytes_to_fetch + plan.bytes_here == wanted
    for step in plan.steps:
        assert step.reason
        assert 0 <= step.remaining <= (step.want.remote.size or 0)
        if step.action is Action.KEEP:
            assert step.want.path in local
            assert step.want.remote.size in (None, local[step.want.path].size) or step.verification


@given(worlds())
def test_a_plan_is_the_same_for_the_same_input(world):
    wants, local, held = world
    assert make_plan(ROOT, wants, local, held) == make_plan(ROOT, wants, dict(local), dict(held))


@given(worlds(), worlds(), st.integers(1, 6))
def test_jobs_that_start_apart_leave_no_file_out(before, after, count):
    """The share of a job depends on what is wanted, not on what is here when it starts."""
    wants = before[0]
    early, late = make_plan(ROOT, wants, before[1]), make_plan(ROOT, wants, after[1])
    for index in range(count):
        mine = [step.want for step in early.shard(index, count).steps]
        assert mine == [step.want for step in late.shard(index, count).steps]


@given(worlds(), st.integers(1, 6))
def test_shards_are_a_partition_in_the_order_of_the_plan(world, count):
    wants, local, held = world
    plan = make_plan(ROOT, wants, local, held)
    shards = [plan.shard(index, count) for index in range(count)]
    numbers = {step: number for number, step in enumerate(plan.steps)}
    assert sorted(numbers[step] for shard in shards for step in shard.steps) == list(
        range(len(plan))
    )
    for shard in shards:
        assert list(shard.steps) == sorted(shard.steps, key=numbers.__getitem__)
        assert (shard.root, shard.notes) == (plan.root, plan.notes)
    weights = [[(step.want.remote.size or 0) + 1 for step in shard.steps] for shard in shards]
    loads = list(map(sum, weights))
    assert max(loads) - min(loads) <= max(map(max, filter(None, weights)), default=0)
    assert sum(shard.bytes_to_fetch for shard in shards) == plan.bytes_to_fetch


@pytest.mark.parametrize(("index", "count"), [(-1, 2), (2, 2), (0, 0)])
def test_a_shard_that_does_not_exist_is_refused(index, count):
    with pytest.raises(ValueError, match="shard"):
        Plan(ROOT, ()).shard(index, count)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.booleans())
def test_space_is_checked_to_the_byte(size, free, known):
    want = Want(remote("f", size, "e"), "f")
    plan = Plan(ROOT, (Step(want, Action.FETCH, "not here"),), free=free if known else None)
    if known and size > free:
        with pytest.raises(DiskFullError, match=f"{size - free:,} too few"):
            check_space(plan)
    else:
        check_space(plan)


def test_a_file_that_is_kept_or_refused_needs_no_space():
    want = Want(remote("f", 10**9, "e"), "f")
    steps = (Step(want, Action.KEEP, "here"), Step(want, Action.REFUSE, "held out"))
    check_space(Plan(ROOT, steps, free=0))


# -- parts -----------------------------------------------------------------------------------


@st.composite
def promises(draw):
    size = draw(st.one_of(st.integers(1, 40 * MIB), st.integers(1, 10**12)))
    count = draw(st.integers(0, 200))
    etag = "d41d8cd98f00b204e9800998ecf8427e" + (f"-{count}" if count else "")
    return ServerChecksum.of(remote("f", size, etag))


@given(promises(), st.integers(64 * KIB, 64 * MIB))
def test_parts_cover_a_file_exactly(checksum, wanted):
    size = part_size_for(checksum, wanted)
    assert size >= wanted // 2
    total = -(-checksum.size // size)
    assert 1 <= total <= max(10_000, -(-checksum.size // (wanted // 2)))
    lengths = [min(size, checksum.size - n * size) for n in (0, total - 1)]
    assert all(0 < length <= size for length in lengths)
    assert (total - 1) * size + lengths[-1] == checksum.size


@given(promises(), st.integers(64 * KIB, 64 * MIB))
def test_our_parts_are_those_of_the_upload_where_that_is_near(checksum, wanted):
    likely = checksum.likely_part_sizes
    size = part_size_for(checksum, wanted)
    if likely and wanted // 2 <= likely[0] <= 4 * wanted:
        assert size == likely[0]
        assert -(-checksum.size // size) == part_count(checksum.etag)
    else:
        assert size >= wanted


@given(st.integers(1, 10**11), st.integers(1, 2_000))
def test_every_guessed_part_size_gives_the_number_of_parts(size, count):
    for guess in part_sizes(size, count):
        assert -(-size // guess) == count or count == 1


numbers = st.integers(0, 2**64 - 1)


@given(
    st.integers(1, 10**12),
    st.integers(1, 10**9),
    st.dictionaries(st.integers(0, 50), st.tuples(numbers, st.sampled_from(["", "ab" * 16]))),
    st.binary(max_size=40),
)
def test_a_log_is_read_back_whatever_follows_it(size, part_size, parts, tail):
    log = PartLog("e", size, part_size, "crc64nvme")
    if size > 20_000 * part_size:  # no run makes so many parts: this is no log
        assert PartLog.parse(log.header()) is None
        return
    whole = {n: noted for n, noted in parts.items() if n * part_size < size}
    lines = b"".join(PartLog.line(n, *noted) for n, noted in parts.items())
    parsed = PartLog.parse(log.header() + lines + b"!" + tail.replace(b"\n", b""))
    assert parsed == PartLog("e", size, part_size, "crc64nvme", whole)
    assert 0 <= parsed.bytes_held() <= size


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_no_log_is_so_bad_that_it_cannot_be_read(raw):
    log = PartLog.parse(raw)
    assert log is None or log.bytes_held() >= 0


# -- reports ---------------------------------------------------------------------------------

outcomes = st.builds(
    Outcome, st.sampled_from("abcdef"), st.just("k"), st.sampled_from(Status), size=sizes
)
reports = st.lists(outcomes, unique_by=lambda o: o.path).map(lambda o: Report(ROOT, tuple(o)))


@given(reports, reports, reports)
def test_merging_reports_is_associative_and_the_later_one_stands(a, b, c):
    assert a.merge(b).merge(c).outcomes == a.merge(b.merge(c)).outcomes
    merged = {outcome.path: outcome for outcome in a.merge(b)}
    assert merged == {o.path: o for o in a} | {o.path: o for o in b}
    assert a.merge(a).outcomes == a.outcomes


@given(reports)
def test_a_report_is_ok_when_nothing_failed(report):
    failed = [outcome for outcome in report if outcome.status is Status.FAILED]
    assert report.ok == (not failed)
    assert list(report.failures) == failed
    assert len(report.paths) == sum(outcome.ok for outcome in report)


# -- equal content -----------------------------------------------------------------------------

CONTENTS = st.sampled_from([None, "a", "b", "c"])


@st.composite
def shared(draw):
    """Return steps of files, some of which have equal content, and what is here of it."""
    steps = []
    for number in range(draw(st.integers(0, 10))):
        content = draw(CONTENTS)
        digest = None if content is None else Digest("md5", content)
        file = RemoteFile(f"f{number}", "http://h/", 10, digest=digest)
        action = draw(st.sampled_from(list(Action)))
        level = draw(st.sampled_from([VerificationLevel.CHECKSUM, VerificationLevel.SIZE]))
        have = 3 if action is Action.RESUME else 0
        steps.append(Step(Want(file, f"f{number}"), action, "why", have, level))
    here = draw(
        st.dictionaries(st.sampled_from(["md5:a", "md5:b"]), st.just("elsewhere"), max_size=2)
    )
    return steps, here


@given(shared())
def test_each_content_is_fetched_once_and_each_file_is_there_at_the_end(world):
    steps, here = world
    made = sharing(steps, here)
    assert [step.want for step in made] == [step.want for step in steps]
    assert [step.action for step in made] == [step.action for step in steps]
    by_path = {step.want.path: step for step in made}
    fetched = [step for step in made if step.moves and not step.copy_of]
    for step in made:
        if not step.copy_of:
            continue
        assert step.moves
        assert step.remaining == 0
        other = by_path.get(step.copy_of)
        if other is None:
            assert here[str(step.want.remote.digest)] == step.copy_of
            continue
        assert not other.copy_of  # no chain, and no circle
        assert other.want.remote.digest == step.want.remote.digest
        assert other in fetched or other.action is Action.KEEP
    contents = [step.want.remote.digest for step in fetched if step.action is not Action.RESUME]
    known = [content for content in contents if content is not None]
    assert len(known) == len(set(known))


@given(shared(), st.integers(1, 4))
def test_equal_content_is_of_one_shard(world, count):
    steps, here = world
    plan = Plan(ROOT, tuple(sharing(steps, here)))
    shards = [plan.shard(index, count) for index in range(count)]
    assert sorted(s.want.path for shard in shards for s in shard.steps) == sorted(
        step.want.path for step in steps
    )
    for shard in shards:
        paths = {step.want.path for step in shard.steps}
        for step in shard.steps:
            assert not step.copy_of or step.copy_of in paths | {"elsewhere"}


def test_copies_need_room_on_the_disk_and_none_on_the_line():
    digest = Digest("md5", "a")
    wants = [Want(RemoteFile(name, "http://h/", 10, digest=digest), name) for name in "ab"]
    steps = sharing([Step(want, Action.FETCH, "not here") for want in wants], {})
    plan = Plan(ROOT, tuple(steps), free=15)
    assert (plan.bytes_to_fetch, plan.bytes_to_write) == (10, 20)
    with pytest.raises(DiskFullError, match="5 too few"):
        check_space(plan)


# -- shards of what its server gives few of at a time ----------------------------------------


def few_of(file):
    return 3 if "few" in file.key else None


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 64])
def test_no_more_shards_than_a_server_takes_have_files_of_it(count):
    names = [(f"{kind}{n}", (n * 37) % 11) for n in range(40) for kind in ("few", "many")]
    wants = [Want(remote(name, size, None), name) for name, size in names]
    plan = Plan(ROOT, tuple(Step(want, Action.FETCH, "not here") for want in wants))
    shards = [plan.shard(index, count, few=few_of) for index in range(count)]
    paths = [step.want.path for shard in shards for step in shard.steps]
    assert sorted(paths) == sorted(name for name, _ in names)
    having = [n for n, one in enumerate(shards) if any("few" in s.want.path for s in one.steps)]
    assert having == list(range(min(3, count)))
    loads = [sum(step.want.remote.size or 0 for step in one.steps) for one in shards]
    assert count > 4 or max(loads) - min(loads) <= 12
