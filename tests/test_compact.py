"""Values that take little room are the values, and take little room."""

from __future__ import annotations

import copy
import pickle
import tracemalloc
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch._compact import etag_of, pack, pack_all, unpack
from neurofetch.engine import Dataset, Fetcher, Listing, RunSettings, query
from neurofetch.model import (
    Action,
    Digest,
    Folder,
    Outcome,
    RemoteFile,
    Status,
    Step,
    VerificationLevel,
    Want,
)
from neurofetch.sources.page import Page, _quick_files
from testbed.s3 import S3Server
from tests.sources.test_s3 import listing

MD5 = st.text("0123456789abcdef", min_size=32, max_size=32)
ETAGS = (
    st.none()
    | MD5
    | st.builds("{}-{}".format, MD5, st.integers(-1, 70_000))
    | st.builds("{}{}".format, MD5, st.text("-0123456789 ²a", max_size=5))
    | st.text("0aF- \n", max_size=40)
    | st.text("0123456789ABCDEF ", min_size=32, max_size=37)
)
TIMES = (
    st.none()
    | st.datetimes().map(lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
    | st.datetimes().map(lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z")
    | st.text("0123456789-T:.Za ", max_size=26)
    | st.from_regex(r"[0-9a-fA-F ]{4}-[0-9 aF]{2}-[0-9]{2}T..:..:..\.000Z", fullmatch=True)
)


@given(ETAGS, TIMES)
def test_what_is_packed_comes_back(etag, modified):
    told = pack(etag, modified)
    assert unpack(told) == (etag, modified)
    assert etag_of(told) == etag


@given(st.lists(st.tuples(ETAGS, TIMES), max_size=8))
def test_what_is_packed_together_is_packed_as_one_by_one(told):
    etags, times = [etag for etag, _ in told], [time for _, time in told]
    assert pack_all(etags, times) == [pack(*one) for one in told]


def test_what_s3_writes_takes_little_room():
    for etag in ("0" * 32, "abcdef0123456789" * 2 + "-10000"):
        assert len(pack(etag, "2024-05-01T10:20:30.000Z")) <= 25


KEYS = ("a b/c+%?#é.txt", "ds/sub-01/f", "\udcff", "plain")


def values():
    """One of each kind, made in each way."""
    digest = Digest("md5", "0" * 32)
    full = RemoteFile("k", "http://h/k", 3, "e", "then", digest, False, "why", "l", "GLACIER")
    folder = Folder("ds/", "http://h/b/", storage_class="GLACIER")
    below = RemoteFile.below(folder, "sub-01/f", 3, "0" * 32, "2024-05-01T10:20:30.000Z")
    want = Want(below, "sub-01/f", "why", "refused", True, "problem")
    step = Step(want, Action.KEEP, "here", 4, VerificationLevel.MD5)
    outcome = Outcome("p", "k", Status.FETCHED, "r", 1, 2, 3.0, VerificationLevel.SIZE, 4, "a")
    unmoved = Outcome.unmoved(want, Status.KEPT, "here", 3)
    return [full, below, want, step, outcome, unmoved]


@pytest.mark.parametrize("value", values(), ids=lambda value: type(value).__name__)
def test_a_value_is_what_its_fields_say(value):
    names = [field.name for field in fields(value)]
    given = {name: getattr(value, name) for name in names}
    again = type(value)(**given)
    assert (again, hash(again)) == (value, hash(value))
    assert type(value)(*given.values()) == value
    assert repr(again) == repr(value)
    assert repr(value).startswith(f"{type(value).__name__}({names[0]}=")
    for other in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert (other, hash(other), repr(other)) == (value, hash(value), repr(value))
    assert list(asdict(value)) == names
    changed = replace(value, **{names[-1]: "other"})
    assert getattr(changed, names[-1]) == "other"
    assert changed != value
    assert value != given
    for name in names:
        with pytest.raises(AttributeError):
            setattr(value, name, "other")


def test_a_plan_shares_in_a_pickle_what_it_shared_before():
    folder = Folder("ds/", "http://h/b/")
    files = [RemoteFile.below(folder, f"f{n}", n) for n in range(100)]
    again = pickle.loads(pickle.dumps(files))
    assert len({id(file._in) for file in again}) == 1
    assert len(pickle.dumps(files)) < 100 * 60


@pytest.mark.parametrize("key", KEYS)
def test_a_url_is_made_of_its_key(key):
    file = RemoteFile.below(Folder("x/", "http://h/b/"), key, 1)
    assert file.key == f"x/{key}"
    assert file.url.isascii()
    assert file.name_in("x/") == key
    assert file.name_in("") == f"x/{key}"
    assert file.name_in("y/") is None


# -- pages -----------------------------------------------------------------------------------------

ROW = (
    "<Contents><Key>{key}</Key><LastModified>2024-05-01T10:20:30.000Z</LastModified>"
    "<ETag>&quot;{etag}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
    "<ChecksumType>FULL_OBJECT</ChecksumType><Size>{size}</Size>"
    "<StorageClass>{kept}</StorageClass></Contents>"
)
ROWS = st.builds(
    ROW.format,
    key=st.text("ab/+%20é<&>]'\"=-~ ", max_size=12),
    etag=st.sampled_from(["0" * 32, "a" * 32 + "-7", "A" * 32, "x", "", "0" * 32 + "-0"]),
    size=st.sampled_from(["0", "12", "", "-1", "9" * 19]),
    kept=st.sampled_from(["STANDARD", "GLACIER", "", "odd one"]),
)
PLAIN = st.builds(
    ROW.format,
    key=st.text("ab/+%20=-~", min_size=1, max_size=12),
    etag=st.sampled_from(["0" * 32, "a" * 32 + "-7"]),
    size=st.sampled_from(["0", "12"]),
    kept=st.sampled_from(["STANDARD", "GLACIER"]),
)
BETWEEN = st.sampled_from(
    ["", "", "", "\n", "<!-- ", " -->", "<![CDATA[", "]]>", "<x>", "</x>", "<Contents>", "<?x?>"]
)


@given(st.lists(st.tuples(BETWEEN, ROWS), max_size=5), BETWEEN, st.booleans())
def test_a_page_that_is_read_quickly_says_what_the_parser_says(rows, last, declared):
    page = listing("".join(f"{between}{row}" for between, row in rows) + last or "a", token="t")
    page = page if declared else page.removeprefix(b'<?xml version="1.0"?>')

    def read():
        try:
            return Page.parse(page, "u")
        except Exception as error:  # noqa: BLE001 - what kind it is, is compared
            return type(error)

    assert_as_the_parser(read)


@given(st.lists(PLAIN, min_size=1, max_size=5), st.sampled_from(["&quot;", '"']))
def test_a_page_of_plain_rows_says_what_the_parser_says(rows, quote):
    page = listing("".join(rows).replace("&quot;", quote), token="t")
    assert _quick_files(page) is not None
    assert_as_the_parser(lambda: Page.parse(page, "u"))


def assert_as_the_parser(read):
    quick = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurofetch.sources.page._quick_files", lambda _: None)
        assert read() == quick


def test_a_page_as_s3_writes_it_is_read_quickly(monkeypatch):
    monkeypatch.setattr("neurofetch.sources.page._Document.files", None)
    rows = [ROW.format(key=f"a/{n}%20b", etag="0" * 32, size=n, kept="GLACIER") for n in range(9)]
    page = Page.parse(listing(*rows), "u")
    assert page.files.keys == tuple(f"a/{n} b" for n in range(9))
    assert set(page.files.classes) == {"GLACIER"}


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_takes_less_than_a_kilobyte_from_the_listing_to_the_report(tmp_path, monkeypatch):
    """Whatever is made of it on the way: benchmarks/growth.py tells of more files."""
    count = 4000
    folder = "ds004999/sub-{0:04}/ses-01/func/"
    name = "sub-{0:04}_ses-01_task-naturalimages_run-{1:02}_desc-confounds_timeseries.tsv"
    files = {(folder + name).format(n // 20, n % 20): b"x" * 7 for n in range(count)}
    with S3Server({"b": files}) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
        settings = RunSettings.checked(progress="none")
        with Fetcher(Dataset("ds", "b", "us-west-2", "ds004999/"), tmp_path) as fetcher:
            wanted = query(session="01", task="naturalimages")

            def prepared():
                listed = Listing(("ds004999/",))
                return fetcher.prepare(lambda: fetcher.choose(wanted, listed), settings)

            assert fetcher.run(prepared(), settings).ok
            tracemalloc.start()
            try:
                plan = prepared()
                report = fetcher.run(plan, settings)
                held, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert len(report.skipped) == count
    assert held / count < 700
    assert peak / count < 1400  # with what is the same for a few files as for a million
