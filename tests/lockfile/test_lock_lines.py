"""A lock as a text: what is written is read back, and what is wrong in one is named by its line."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import neurofetch
from neurofetch.errors import LockFileError, UsageError
from neurofetch.lockfile.lock import Lock
from neurofetch.lockfile.reading import read_lock
from neurofetch.lockfile.values import (
    FORMAT,
    Head,
    LockedFile,
    digest_of,
    file_line,
    file_of,
    path_problem,
    spelled,
)
from neurofetch.planning.local_path import placed

SHA = "sha256:" + "a" * 64
GIT = "git:" + "b" * 40
MD5 = "md5:" + "c" * 32


def a_lock(*files, **head):
    files = files or (
        LockedFile("CHANGES", 5, (GIT, SHA), "https://h/b/CHANGES?versionId=v1"),
        LockedFile("sub-01/anat/sub-01_T1w.nii.gz", 70, (SHA,), "https://h/b/T1w"),
        LockedFile("sub-02/x y é\u2028.txt", 0, (MD5,), "", "ds/other"),
    )
    size = sum(one.size for one in files)
    return Lock(Head("s3://b/ds", "bids", **head, files=len(files), bytes=size), tuple(files))


def written(tmp_path, lock=None):
    return (lock or a_lock()).write(tmp_path / "a.lock")


def test_what_is_written_is_read_back_and_written_alike(tmp_path):
    lock = a_lock(
        name="Näme",
        version="1.0.1",
        commit="f" * 40,
        doi="doi:10.1/x",
        license="CC0",
        query={"subject": ["01", "02"]},
    )
    path = written(tmp_path, lock)
    again = neurofetch.lock(path)
    assert again == lock
    assert b"".join(again.lines()) == path.read_bytes()
    assert path.read_bytes().decode().isprintable() or "\n" in path.read_text("utf-8")
    for line in path.read_bytes().splitlines():
        json.loads(line)
    assert len(path.read_text("utf-8").splitlines()) == 4  # no letter ends a line by itself


_TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)


@given(_TEXT, st.integers(0, (1 << 63) - 1), st.permutations([SHA, GIT, MD5]))
def test_any_name_that_can_be_kept_comes_back(path, size, hashes):
    file = LockedFile(path, size, tuple(hashes))
    if path_problem(path):
        with pytest.raises(LockFileError, match="line 7"):
            file_of(file_line(file), "a.lock", 7)
        return
    assert file_of(file_line(file), "a.lock", 7) == file
    assert file_line(file).count(b"\n") == 1


@given(st.binary(max_size=300))
def test_no_bytes_at_all_make_a_lock_or_another_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("odd") / "a.lock"
    path.write_bytes(data)
    with pytest.raises(LockFileError, match=r"a\.lock"):
        read_lock(path)


@given(st.data())
def test_a_lock_with_any_byte_changed_is_that_lock_or_an_error(tmp_path_factory, data):
    path = written(tmp_path_factory.mktemp("odd"))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        head, files = read_lock(path)
    except LockFileError:
        return
    assert head.files == len(files) == 3
    assert [one.path for one in files] == sorted(one.path for one in files)


# -- what is wrong ---------------------------------------------------------------------------------


def lines():
    return list(a_lock().lines())


def changed(number, **words):
    """The lines with other words in one of them; None takes a word out."""
    found = lines()
    said = json.loads(found[number - 1]) | words
    said = {word: value for word, value in said.items() if value is not None}
    found[number - 1] = json.dumps(said).encode() + b"\n"
    return b"".join(found)


def joined(*some):
    return b"".join(some)


HEAD, FIRST, SECOND, THIRD = lines()
BAD = {
    "empty": (b"", "is empty"),
    "truncated between lines": (joined(HEAD, FIRST), "line 2.*last line.*3 files.*end is missing"),
    "truncated in a line": (joined(*lines())[:-30], "line 4.*middle of this line"),
    "no last line end": (joined(*lines())[:-1], "line 4.*middle of this line"),
    "head alone": (HEAD, "line 1.*end is missing"),
    "no head": (joined(FIRST, SECOND), "line 1: this is no lock file"),
    "another file": (b"hello\n", "line 1: this is no lock file: its first line is 'hello'"),
    "a manifest": (b"aa  a\n", "line 1: this is no lock file"),
    "yaml": (b"outs:\n- md5: 1\n", "line 1: this is no lock file"),
    "binary": (bytes(range(128, 256)) * 9, "line 1.*no text"),
    "gzip": (gzip.compress(joined(*lines())), "line 1.*no text"),
    "gzip whose first line ends in CR LF": (b"\x1f\x8b\x08\x00\r\n\xff", "line 1.*no text"),
    "byte order mark": (b"\xef\xbb\xbf" + joined(*lines()), "line 1.*byte order mark"),
    "utf-16": (joined(*lines()).decode().encode("utf-16"), "line 1.*byte order mark"),
    "windows": (joined(*lines()).replace(b"\n", b"\r\n"), "line 1.*CR LF.*gitattributes"),
    "windows in part": (joined(HEAD, FIRST[:-1], b"\r\n", SECOND), "line 2.*CR LF"),
    "latin-1": (joined(*lines()).replace("é".encode(), b"\xe9"), "line 4.*not UTF-8"),
    "same line twice": (joined(HEAD, FIRST, FIRST, SECOND), "line 3.*again"),
    "same path twice": (
        joined(HEAD, FIRST, FIRST.replace(b": 5,", b": 6,"), THIRD),
        "line 3.*'CHANGES' again",
    ),
    "not sorted": (joined(HEAD, SECOND, FIRST, THIRD), "line 3.*sorted"),
    "conflict": (
        joined(HEAD, b"<<<<<<< HEAD\n", FIRST, b"=======\n", SECOND, b">>>>>>> other\n"),
        "line 2.*merge conflict.*<<<<<<<",
    ),
    "conflict at the top": (b"<<<<<<< ours\n" + joined(*lines()), "line 1.*merge conflict"),
    "conflict later": (joined(HEAD, FIRST, b"=======\n", SECOND), "line 3.*merge conflict"),
    "empty line": (joined(HEAD, FIRST, b"\n", SECOND, THIRD), "line 3: it is empty"),
    "two locks": (joined(*lines(), *lines()), "line 5.*second lock"),
    "more than told": (
        joined(*lines(), file_line(LockedFile("z", 0, (SHA,)))),
        "line 5.*tells of 3 files, and there are 4",
    ),
    "other bytes": (changed(1, bytes=1), "line 1.*tells of 1 bytes"),
    "newer": (changed(1, **{"neurofetch-lock": 2}), "line 1.*format 2.*pip install -U"),
    "format as text": (changed(1, **{"neurofetch-lock": "1"}), "line 1: this is no lock file"),
    "no count": (changed(1, files=None), "line 1.*how many files"),
    "count below 0": (changed(1, files=-1), "line 1.*how many files"),
    "count is true": (changed(1, files=True), "line 1.*how many files"),
    "unknown word": (changed(1, tool="x"), "line 1.*does not know: 'tool'"),
    "name is a number": (changed(1, name=3), "line 1.*'name' is no text"),
    "password in source": (changed(1, source="https://me:pw@h/x"), "line 1.*password"),
    "query is a text": (changed(1, query="all"), "line 1.*query"),
    "json array": (joined(HEAD, b"[1]\n"), "line 2: it is no object"),
    "json number": (joined(HEAD, b"3\n"), "line 2: it is no object"),
    "nan": (joined(HEAD, FIRST.replace(b": 5,", b": NaN,")), "line 2: it is no JSON"),
    "deep": (joined(HEAD, b"[" * 100_000 + b"\n"), "line 2: it is no JSON"),
    "huge number": (joined(HEAD, FIRST.replace(b": 5,", b": " + b"9" * 5000 + b",")), "line 2"),
    "word twice": (joined(HEAD, FIRST.replace(b'"size"', b'"path"')), "line 2.*'path' twice"),
    "too long": (joined(HEAD, b'{"path": "' + b"a" * (2 << 20) + b'"}\n'), "line 2.*too long"),
    "no path": (changed(2, path=None), "line 2: it has no path"),
    "path is a number": (changed(2, path=7), "line 2: it has no path"),
    "absolute": (changed(2, path="/etc/passwd"), "line 2.*absolute"),
    "upwards": (changed(2, path="../../.ssh/authorized_keys"), r"line 2.*'\.\.'"),
    "upwards within": (changed(2, path="A/../../x"), r"line 2.*'\.\.'"),
    "here": (changed(2, path="A/./x"), r"line 2.*'\.'"),
    "double slash": (changed(2, path="A//x"), "line 2.*empty folder"),
    "ends in a slash": (changed(2, path="A/"), "line 2.*slash"),
    "empty path": (changed(2, path=""), "line 2.*empty"),
    "nul": (changed(2, path="A\0"), r"line 2.*U\+0000"),
    "surrogate": (changed(2, path="A\ud800"), "line 2.*UTF-8"),
    "long name": (changed(2, path="A" * 256), "line 2.*256 bytes"),
    "own state": (changed(2, path=".neurofetch/receipts/x.jsonl"), "line 2.*own"),
    "own state in capitals": (changed(2, path=".NeuroFetch/source.json"), "line 2.*own"),
    "own state unseen": (changed(2, path=".neuro\u200bfetch/x"), "line 2.*own"),
    "laion state": (changed(2, path=".laion_fmri/x"), "line 2.*own"),
    "git": (changed(2, path=".git/config"), "line 2.*git's own"),
    "git below": (changed(2, path="A/.Git/hooks/post-checkout"), "line 2.*git's own"),
    "git unseen": (changed(2, path=".g\u200cit/config"), "line 2.*git's own"),
    "git with a dot": (changed(2, path=".git./config"), "line 2.*git's own"),
    "git by its short name": (changed(2, path="A/GIT~1/config"), "line 2.*git's own"),
    "size below 0": (changed(2, size=-5), "line 2.*size is -5"),
    "size is text": (changed(2, size="5"), "line 2.*size is '5'"),
    "size is half": (changed(2, size=5.5), "line 2.*size is 5.5"),
    "size is true": (changed(2, size=True), "line 2.*size is True"),
    "no size": (changed(2, size=None), "line 2.*size is None"),
    "no hash": (changed(2, hash=None), "line 2.*no hash"),
    "empty list": (changed(2, hash=[]), "line 2.*no hash"),
    "hash is a number": (changed(2, hash=[1]), "line 2.*no hash"),
    "weak hash": (changed(2, hash="crc32:00000000"), "line 2.*no hash that a lock has"),
    "unknown hash": (changed(2, hash="sha3:" + "a" * 64), "line 2.*no hash that a lock has"),
    "short hash": (changed(2, hash="sha256:aa"), "line 2.*no hash that a lock has"),
    "capitals": (changed(2, hash=SHA.replace("a" * 64, "A" * 64)), "line 2.*small letters"),
    "two of a kind": (changed(2, hash=[SHA, "sha256:" + "d" * 64]), "line 2.*two hashes of one"),
    "both names of git": (changed(2, hash=[GIT, "gitblob:" + "d" * 40]), "line 2.*two hashes"),
    "file address": (changed(2, url="file:///etc/passwd"), "line 2.*no URL of the web"),
    "ftp": (changed(2, url="ftp://h/x"), "line 2.*no URL of the web"),
    "no host": (changed(2, url="https:///x"), "line 2.*no URL of the web"),
    "header in address": (changed(2, url="https://h/x\r\nHost: y"), "line 2.*no URL of the web"),
    "odd port": (changed(2, url="https://h:port/x"), "line 2.*no URL of the web"),
    "password": (changed(2, url="https://me:pw@h/x"), "line 2.*password"),
    "signature": (changed(2, url="https://h/x?X-Amz-Signature=1"), "line 2.*signature"),
    "key is a number": (changed(2, key=7), "line 2.*key"),
}


@pytest.mark.parametrize(("content", "said"), BAD.values(), ids=BAD)
def test_a_bad_lock_is_told_with_its_line_and_brings_nothing(tmp_path, content, said):
    path, dest = tmp_path / "a.lock", tmp_path / "dest"
    path.write_bytes(content)
    with pytest.raises(LockFileError, match=rf"(?s)a\.lock.*{said}") as caught:
        neurofetch.lock(path).get(dest)
    text = str(caught.value)
    assert "Nothing was done" in text
    assert "pw" not in text
    assert not dest.exists()


def test_a_file_in_the_place_of_a_folder_of_others_is_told(tmp_path):
    files = (LockedFile("a", 1, (SHA,)), LockedFile("a-b", 1, (SHA,)), LockedFile("a/b", 1, (SHA,)))
    with pytest.raises(LockFileError, match=r"line 2: 'a' is a file, and 'a/b' needs a folder"):
        neurofetch.lock(written(tmp_path, a_lock(*files)))


@pytest.mark.parametrize("name", ["gone.lock", "."])
def test_a_lock_that_cannot_be_read_is_told(tmp_path, name):
    with pytest.raises(LockFileError, match="cannot be read"):
        Lock.read(tmp_path / name)


@pytest.mark.parametrize("given", [3, None, 1.5, ["a"]])
def test_what_is_no_path_is_told(given):
    for call in (neurofetch.lock, Lock.read, a_lock().write):
        with pytest.raises(neurofetch.NeurofetchError, match="Nothing was done"):
            call(given)


def test_the_home_folder_has_its_short_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    a_lock().write("~/a.lock")
    assert (tmp_path / "a.lock").is_file()
    assert neurofetch.lock("~/a.lock") == Lock.read("~/a.lock") == a_lock()


def test_a_lock_file_is_read_as_it_is(tmp_path):
    with pytest.raises(UsageError, match="read as it is"):
        neurofetch.lock(written(tmp_path), quick=True)


def test_git_has_two_spellings_and_one_meaning():
    digest = "b" * 40
    assert spelled(f"gitblob:{digest}") == spelled(f"git:{digest}") == GIT
    assert digest_of(GIT).algorithm == "gitblob"
    line = file_line(LockedFile("a", 1, (GIT,))).replace(b"git:", b"gitblob:")
    assert file_of(line, "a.lock", 2).hashes == (GIT,)
    assert FORMAT == 1


@given(_TEXT)
def test_a_lock_names_nothing_that_a_listing_could_not(path):
    if placed(path)[1]:
        assert path_problem(path)


def test_the_strongest_hash_is_what_is_checked():
    file = LockedFile("a", 1, (MD5, GIT, SHA))
    assert file.strongest == SHA
    assert file._replace(hashes=(MD5, GIT)).strongest == GIT
    assert (file.hash("md5"), file.hash("sha1")) == ("c" * 32, "")
