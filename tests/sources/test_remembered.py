"""What is remembered of a source lists as the source did, or says that it does not know."""

import gzip
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch.errors import MissingRemoteError, OfflineError, RefusedError
from neurofetch.model import Digest, RemoteFile
from neurofetch.sources.packed_lists import UnreadableListingError, pack, unpack
from neurofetch.sources.remembered import Heard, Recording, Remembered
from neurofetch.sources.source import Level, ListedSource


class Tree(ListedSource):
    """A source of files that lie in memory; `first_page` has few files, so that pages are cut."""

    def __init__(self, keys, etag="a"):
        super().__init__(RemoteFile(key, "", len(key), f"{etag}{len(key)}") for key in keys)
        self.base = ""

    def level(self, prefix):
        folder = prefix[: prefix.rfind("/") + 1]
        level = super().level(folder)
        return Level(
            [file for file in level.files if file.key.startswith(prefix)],
            sorted(name for name in level.folders if name.startswith(prefix)),
        )

    def first_page(self, prefix):
        files = self.walk(prefix)
        return files[:2], len(files) <= 2


NAMES = st.sampled_from(["a", "b", "ab", "a-b", "sub-01", "sub-02", "x.json"])
KEYS = st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=12, unique=True)
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["walk", "level", "first_page"]),
        st.sampled_from(["", "a/", "a", "sub-01/", "sub-0", "sub-01/a/", "b/", "a-", "x", "ab/a"]),
    ),
    max_size=5,
)


def files_only(keys):
    """Of keys, those that no other has as a folder, as in BIDS data sets."""
    return [key for key in keys if not any(other.startswith(f"{key}/") for other in keys)]


def as_values(found):
    if isinstance(found, tuple) and isinstance(found[1], bool):
        return [*map(as_value, found[0])], found[1]
    if isinstance(found, Level):
        return [*map(as_value, found.files)], list(found.folders)
    return [*map(as_value, found)]


def as_value(file):
    return file.key, file.size, file.etag


def ask(source, calls):
    for name, prefix in calls:
        getattr(source, name)(prefix)


@given(KEYS, CALLS, CALLS)
def test_what_is_answered_is_what_the_source_says(keys, recorded, asked):
    tree = Tree(files_only(keys))
    recording = Recording(tree)
    ask(recording, recorded)
    known = Remembered([unpack(pack(recording.taken()))], "the source")
    for name, prefix in [*recorded, *asked]:
        try:
            found = as_values(getattr(known, name)(prefix))
        except OfflineError:
            assert (name, prefix) not in recorded or name == "first_page"
            continue
        truth = as_values(getattr(tree, name)(prefix))
        if name == "first_page":
            everything = as_values(tree.walk(prefix))
            assert found[1] is (found[0] == everything)
            assert all(file in everything for file in found[0])
            continue
        assert found == truth


@given(KEYS, KEYS, CALLS, CALLS, CALLS)
def test_the_newer_list_counts(before, after, first, second, asked):
    """A source that changed: what was listed again is as now, the rest as before, if known."""
    old, new = Tree(files_only(before)), Tree(files_only(after), etag="b")
    lists = []
    for tree, calls in ((old, first), (new, second)):
        recording = Recording(tree)
        ask(recording, calls)
        lists.append(unpack(pack(recording.taken())))
    known = Remembered(lists, "the source")
    for name, prefix in second:
        if name != "first_page":
            assert as_values(getattr(known, name)(prefix)) == as_values(getattr(new, name)(prefix))
    ever = {as_value(file) for tree in (old, new) for file in tree.walk("")}
    for name, prefix in asked:
        try:
            found = getattr(known, name)(prefix)
        except OfflineError:
            continue
        files = found if isinstance(found, list) else found[0]
        assert {as_value(file) for file in files} <= ever


@given(KEYS, KEYS, CALLS, CALLS, CALLS)
def test_lists_put_together_say_the_same(before, after, first, second, asked):
    lists = []
    for keys, calls in ((before, first), (after, second)):
        recording = Recording(Tree(files_only(keys)))
        ask(recording, calls)
        lists.append(recording.taken())
    several = Remembered(lists, "the source")
    one = Remembered([unpack(pack(several.whole()))], "the source")
    for name, prefix in asked:
        answers = []
        for known in (several, one):
            try:
                answers.append(as_values(getattr(known, name)(prefix)))
            except OfflineError:
                answers.append(None)
        assert answers[0] == answers[1]


def test_levels_make_a_walk_and_a_folder_that_was_not_looked_into_makes_none():
    tree = Tree(["a/1", "a/b/2", "c/3", "d"])
    recording = Recording(tree)
    ask(recording, [("level", ""), ("walk", "a/"), ("level", "c/")])
    assert as_values(Remembered([recording.taken()], "it").walk("")) == as_values(tree.walk(""))
    ask(recording, [("level", ""), ("walk", "a/")])
    known = Remembered([recording.taken()], "it")
    with pytest.raises(OfflineError, match=r"it is not asked, and all of it was not listed"):
        known.walk("")
    assert [file.key for file in known.walk("a/b")] == ["a/b/2"]
    with pytest.raises(OfflineError, match=r"begins with 'c/'"):
        known.level("c/")


def test_a_folder_that_is_gone_and_comes_again_is_unknown():
    trees = [Tree(["a/1", "b/2"]), Tree(["b/2"]), Tree(["a/9", "b/2"])]
    lists = []
    for tree, call in zip(trees, ["walk", "level", "level"], strict=True):
        recording = Recording(tree)
        ask(recording, [(call, "")])
        lists.append(recording.taken())
    assert [file.key for file in Remembered(lists[:2], "it").walk("")] == ["b/2"]
    with pytest.raises(OfflineError):
        Remembered(lists, "it").walk("")


@pytest.mark.parametrize("error", [MissingRemoteError("not there"), RefusedError("not for you")])
def test_what_may_not_be_listed_is_told_in_the_same_way(error):
    class Refusing(Tree):
        def walk(self, prefix):
            if prefix == "up/":
                raise error
            return super().walk(prefix)

    recording = Recording(Refusing(["a"]))
    ask(recording, [("level", "")])
    with pytest.raises(type(error)):
        recording.walk("up/")
    known = Remembered([unpack(pack(recording.taken()))], "it")
    with pytest.raises(type(error), match=str(error)):
        known.walk("up/")


def test_all_that_is_known_of_a_file_is_kept_and_the_same_lists_are_the_same_bytes():
    files = [
        RemoteFile("d/a", "http://x/a", 3, None, digest=Digest("md5", "0" * 32), ranges=False),
        RemoteFile(
            "d/b", "http://x/b", 0, "e", withheld="later", listed="f", storage_class="GLACIER"
        ),
        RemoteFile("d/name with \udce9 and\ttab", "", None),
    ]
    heard = Heard({"d/": files}, {}, {})
    again = unpack(pack(heard))
    assert pack(again) == pack(heard)
    for file, other in zip(files, again.walks["d/"], strict=True):
        names = ("key", "size", "etag", "digest", "ranges", "withheld", "listed", "storage_class")
        assert [getattr(file, name) for name in names] == [getattr(other, name) for name in names]
    assert pickle.loads(pickle.dumps(again.walks["d/"])) == again.walks["d/"]


GOOD = pack(Heard({"d/": [RemoteFile("d/a", "", 3, "e")]}, {"": Level([], ["d/"])}, {}))


@pytest.mark.parametrize("cut", range(0, len(GOOD) - 1, 3))
def test_a_cut_listing_is_unreadable(cut):
    with pytest.raises(UnreadableListingError):
        unpack(GOOD[:cut])


@pytest.mark.parametrize("place", range(len(GOOD) - 8, len(GOOD) - 4))
def test_a_listing_with_a_changed_byte_is_unreadable(place):
    damaged = bytearray(GOOD)
    damaged[place] ^= 1
    with pytest.raises(UnreadableListingError):
        unpack(bytes(damaged))


def test_a_listing_of_a_newer_version_is_unreadable():
    newer = gzip.compress(b'{"neurofetch-listing":2}\n')
    with pytest.raises(UnreadableListingError, match="version 2"):
        unpack(newer)


ROWS = {
    "a name that is a number": "[5, 3, null]",
    "no name": "[null, 3, null]",
    "a name that is a list": '[["a"], 3, null]',
    "a size that is text": '["a", "3", null]',
    "a size below 0": '["a", -3, null]',
    "a size that is a fraction": '["a", 3.5, null]',
    "a size that is no number": '["a", NaN, null]',
    "a size that is a truth": '["a", true, null]',
    "an ETag that is a number": '["a", 3, 5]',
    "an ETag that is a dict": '["a", 3, {}]',
    "a list of more": '["a", 3, null, [1]]',
    "half a digest": '["a", 3, null, {"digest": ["md5"]}]',
    "a digest that is a number": '["a", 3, null, {"digest": ["md5", 5]}]',
    "a reason that is a list": '["a", 3, null, {"withheld": [1]}]',
    "too deep": "[" * 100_000,
    "too few": "[]",
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_that_nobody_packed_is_damage(row):
    text = f'{{"neurofetch-listing":1}}\n{{"walk":"x/","files":1}}\n{row}\n'
    with pytest.raises(UnreadableListingError):
        unpack(gzip.compress(text.encode()))


HEADS = {
    "a prefix that is a number": '{"walk":5,"files":0}',
    "a folder that is a number": '{"level":"x/","files":0,"folders":[1]}',
    "a folder that is in itself": '{"level":"x/","files":0,"folders":[""]}',
    "folders that are text": '{"level":"x/","files":0,"folders":"abc"}',
    "a folder that is a file": '{"level":"x/","files":0,"folders":["a"]}',
    "files that are not there": '{"walk":"x/","files":99}',
    "a problem of a number": '{"problem":5,"kind":"missing","message":""}',
    "a problem that says nothing": '{"problem":"x/","kind":"missing","message":7}',
    "a list": "[1]",
    "text": '"walk"',
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_list_that_nobody_packed_is_damage(head):
    text = f'{{"neurofetch-listing":1}}\n{head}\n'
    with pytest.raises(UnreadableListingError):
        unpack(gzip.compress(text.encode()))
