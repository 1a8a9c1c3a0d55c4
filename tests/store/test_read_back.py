"""Every file of ours that is read back, with anything in it: an error of ours, or passed over.

A flipped bit, a disk that was full, an editor, somebody else of the group. No traceback, no hang.
"""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from laion_fmri.access import request_id
from laion_fmri.beta_store.read import _attributes
from laion_fmri.config import config_path, get_data_dir
from neurofetch.errors import NeurofetchError
from neurofetch.model import Receipt, VerificationLevel
from neurofetch.neurovault.cache.collection_lists import CollectionLists
from neurofetch.neurovault.cache.index import INDEX_NAME, read_index
from neurofetch.neurovault.cache.layout import TornRecordError, read_json
from neurofetch.store.homes import Homes
from neurofetch.store.owner import Owner
from neurofetch.store.partials import Partials, PartLog, name_of
from neurofetch.store.receipts import Journal, read_receipts
from tests.engine_world import PART, World, noise

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=20),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
TEXTS = st.one_of(
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b"1" * 5_000,
            b"1e999",
            b"NaN",
            b'"\\ud800"',
            b"\xff\xfe",
            b"",
            b"\0" * 50,
        ]
    ),
)
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def mutations(valid):
    """Give a valid file with one of its values replaced, or some bytes changed."""
    changed = st.sampled_from(sorted(valid)).flatmap(
        lambda key: VALUES.map(lambda value: json.dumps({**valid, key: value}).encode())
    )
    raw = json.dumps(valid).encode()
    cut = st.integers(0, len(raw)).map(lambda end: raw[:end])
    flipped = st.tuples(st.integers(0, len(raw) - 1), st.integers(1, 255)).map(
        lambda where: bytes(b ^ where[1] if n == where[0] else b for n, b in enumerate(raw))
    )
    return st.one_of(changed, cut, flipped, TEXTS)


RECEIPT = {
    "path": "a/b",
    "key": "a/b",
    "etag": "e",
    "size": 5,
    "mtime_ns": 7,
    "rung": "checksum",
    "digest": "crc32:00000000",
    "when": 1.5,
    "listed": "l",
    "seq": 3,
}


@QUICK
@given(lines=st.lists(mutations(RECEIPT), max_size=4))
@example(lines=[json.dumps({**RECEIPT, "path": ["x"]}).encode()])
@example(lines=[json.dumps({**RECEIPT, "when": "yesterday"}).encode()])
@example(lines=[json.dumps({**RECEIPT, "seq": 10**400}).encode()])
@example(lines=[json.dumps({**RECEIPT, "listed": None}).encode()])
def test_receipts(tmp_path_factory, lines):
    state = tmp_path_factory.mktemp("state")
    journal = Journal(state)
    good = Receipt("good", "k", "e", 1, 1, VerificationLevel.SIZE, "", 1.0)
    journal.append(good)
    journal.close()
    (state / "receipts" / "merged-0.jsonl").write_bytes(b"\n".join(lines))
    receipts = read_receipts(state)
    assert receipts["good"] == good
    for receipt in receipts.all():
        assert isinstance(receipt.path, str)
        assert isinstance(receipt.size + receipt.mtime_ns + receipt.seq, int)
        receipts.of(receipt.path, 1, 1)
    again = Journal(state)
    again.append(good)
    again.close()
    assert read_receipts(state)["good"] == good


LOG = {
    "etag": "x",
    "size": 9 * PART,
    "part_size": PART,
    "algorithm": "crc32",
    "digest": "",
    "listed": "",
}


@QUICK
@given(head=mutations(LOG), lines=st.lists(TEXTS, max_size=4))
@example(head=json.dumps({**LOG, "algorithm": []}).encode(), lines=[])
@example(
    head=json.dumps(LOG).encode(), lines=[b'[0, 1e999, ""]', b'[1e999, 1, ""]', b"[true, 1, 1]"]
)
@example(head=json.dumps({**LOG, "part_size": 1, "size": 10**15}).encode(), lines=[])
def test_part_logs(head, lines):
    log = PartLog.parse(b"\n".join([head, *lines]))
    if log is not None:
        assert 0 <= log.bytes_held() <= log.size
        assert -(-log.size // log.part_size) <= 20_000  # so many tasks can be made of it
        assert log.may_be_of("x", log.size, None) in (True, False)
        log.header()


@QUICK
@given(raw=st.one_of(st.binary(max_size=300), st.just(b"a/" * 3_000)))
def test_notes_of_homes(tmp_path_factory, raw):
    state = tmp_path_factory.mktemp("data") / ".neurofetch"
    (state / "homes").mkdir(parents=True)
    (state / "homes" / "0").write_bytes(raw)
    homes = Homes(state)
    homes.make()
    assert all(Path(one.path).is_relative_to(state.parent) for one in homes.existing())
    homes.close()


@QUICK
@given(
    text=st.text(max_size=100),
    name=st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60),
)
def test_names_in_the_state_folder(tmp_path_factory, text, name):
    state = tmp_path_factory.mktemp("state")
    for folder in ("partial", "claims", "receipts"):
        (state / folder).mkdir()
        if name not in (".", ".."):
            (state / folder / name).write_text(text, encoding="utf-8", errors="surrogatepass")
    owner = Owner(state / "receipts")
    partials = Partials(state, owner)
    assert owner.is_dead(name) in (True, False)
    partials.survey()
    partials.sweep(set())
    if name not in (".", ".."):
        assert (state / "partial" / name).exists()  # it is not ours


CONFIG = {"data_dir": "/data"}


@QUICK
@given(raw=mutations(CONFIG))
@example(raw=b"[" * 100_000)
def test_the_configuration(tmp_path_factory, raw):
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(home))
        patch.delenv("LAION_FMRI_DATA_DIR", raising=False)
        path = config_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        try:
            assert get_data_dir().is_absolute()
        except NeurofetchError as error:
            assert str(error)  # noqa: PT017


@QUICK
@given(raw=mutations({"request_id": "secret-id", "url": "https://x"}))
def test_the_request_id(tmp_path_factory, raw):
    home = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home))
        patch.delenv(request_id.VARIABLE, raising=False)
        path = request_id.auth_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        try:
            known = request_id.known_id()
        except NeurofetchError as error:
            assert "secret-id" not in str(error)  # noqa: PT017
        else:
            assert known is None or known.value


@QUICK
@given(raw=mutations({"images": [1, 2], "listed": 1.0}))
@example(raw=b'{"images": [1e999]}')
@example(raw=b'{"images": ["\xd9\xa3"]}')
def test_lists_of_collections_and_records(tmp_path_factory, raw):
    root = tmp_path_factory.mktemp("neurovault")
    path = root / ".neurofetch" / "collections" / "7.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(raw)
    found = CollectionLists(root).read(7)
    assert found is None or all(isinstance(number, int) for number in found)
    try:
        record = read_json(path)
    except TornRecordError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert isinstance(record, dict)


@QUICK
@given(numbers=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=12), tail=st.binary(max_size=9))
@example(numbers=[-1, 2, 0, 0], tail=b"")
def test_the_index_of_a_cache(tmp_path_factory, numbers, tail):
    from array import array  # noqa: PLC0415

    from neurofetch.neurovault.cache import index  # noqa: PLC0415

    root = tmp_path_factory.mktemp("neurovault")
    (root / INDEX_NAME).write_bytes(index._MAGIC + array("q", numbers).tobytes() + tail)
    found = read_index(root)
    assert len(found.image_ids) == len(found.collection_ids)


@QUICK
@given(raw=mutations({"attributes": {"trials": 3, "voxels": 5}}))
@example(raw=b'{"attributes": {"trials": 1e999, "voxels": 1}}')
@example(raw=b"[" * 100_000)
def test_the_group_of_a_beta_store(raw):
    found = _attributes(raw)
    assert not found or isinstance(found["trials"] + found["voxels"], int)


@pytest.mark.parametrize("thing", ["pipe", "folder", "link in a circle"])
def test_what_is_no_file_does_not_keep_a_reader_waiting(tmp_path, thing):
    path = tmp_path / "neurovault" / INDEX_NAME
    path.parent.mkdir()
    {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "link in a circle": lambda: path.symlink_to(path),
    }[thing]()
    assert len(read_index(path.parent).image_ids) == 0
    try:
        assert read_json(path) is None
    except OSError as error:
        assert thing == "link in a circle", error  # noqa: PT017


def test_a_run_goes_on_over_all_of_it_at_once(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        large = world.put("f.bin", noise(9 * PART, 1))
        folders = {name: world.state / name for name in ("receipts", "partial", "claims", "homes")}
        for folder in folders.values():
            folder.mkdir(parents=True)
        token, short = "elsewhere-1-1-abcdef01", name_of("f.bin")
        for number, raw in enumerate(
            [b"[" * 100_000, b"1" * 5_000, b'{"size": 1e999}', b"\xff", b""]
        ):
            (folders["receipts"] / f"merged-{number}.jsonl").write_bytes(raw)
            (folders["homes"] / str(number)).write_bytes(raw)
            base = folders["partial"] / f"{short}.{token}.{number:016x}"
            base.with_name(base.name + ".log").write_bytes(raw)
            base.with_name(base.name + ".part").write_bytes(raw)
        (folders["claims"] / short).symlink_to("\N{SNOWMAN}" * 20)
        report = world.fetch()
        assert report.ok, report.failures
        assert world.files() == {"f.bin": large}
        world.assert_clean()
