"""Other places with the same bytes: used where the source fails, and only for the right content."""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread, Timer

import pytest

import neurofetch
from neurofetch.errors import UsageError
from neurofetch.events import Planned, Progress
from neurofetch.integrity.checksums import hasher
from neurofetch.integrity.verification import read_blocks
from neurofetch.model import IncompleteError, Status
from testbed.laion import local_name
from testbed.openneuro import OpenNeuro, small_tree
from testbed.s3 import Generated, S3Object, S3Server
from tests.faces import Shell, make_s3, on_disk
from tests.test_get import BASE, FILES, URL

pytestmark = pytest.mark.filterwarnings("ignore::neurofetch.errors.SelectionWarning")

T1W = "sub-01/anat/sub-01_T1w.nii.gz"
LARGE = "sub-02/func/sub-02_task-rest_bold.nii.gz"
BIG = Generated(24 << 20, seed=5)
OBJECTS = {
    **{BASE + path: content for path, content in FILES.items()},
    BASE + LARGE: S3Object(BIG, checksum=None),  # its ETag is its MD5
}
COPY = {f"copy/{key.removeprefix(BASE)}": item for key, item in OBJECTS.items()}


@pytest.fixture
def s3():
    with S3Server({"openneuro.org": OBJECTS}) as server:
        yield server


@pytest.fixture
def lab():
    """A lab's web server with a copy under its own paths."""
    with S3Server({"lab": COPY}) as server:
        yield server


@pytest.fixture
def mirror(lab):
    return f"{lab.url}/lab/copy"


@pytest.fixture
def dest(tmp_path, s3, monkeypatch):
    for name, text in Shell(tmp_path, s3.url).env.items():
        monkeypatch.setenv(name, text)
    return tmp_path / "data"


@pytest.fixture
def quick_retries(monkeypatch):
    """The rules of the transfer, with waits that no test has to sit out."""
    monkeypatch.setattr(
        "neurofetch.net.retry.delay", lambda _, attempt, *__: 0.01 if attempt < 4 else None
    )


def get(dest, **how):
    return neurofetch.get(URL, dest, progress=False, **how)


def outcome(report, path):
    return next(one for one in report.outcomes if one.path == path)


GONE = {
    "not there": {"status": 404},
    "refused": {"status": 403},
    "always broken": {"status": 500},
    "cut each time": {"cut_after": 3},
    "wrong bytes each time": {"flip": 2},
}


@pytest.mark.parametrize("fault", GONE.values(), ids=GONE)
def test_what_the_source_does_not_give_comes_from_the_mirror(
    dest, s3, mirror, fault, quick_retries
):
    s3.fault(key=f"*{T1W}", method="GET", times=None, **fault)
    report = get(dest, subject="01", mirrors=mirror)
    assert (dest / T1W).read_bytes() == FILES[T1W]
    assert f"from {mirror}" in outcome(report, T1W).reason
    assert outcome(report, T1W).verification == "checksum"
    others = [one for one in report.outcomes if one.path != T1W]
    assert all("from" not in one.reason for one in others)


BUSY = {
    "an error of the server": {"status": 500},
    "too busy": {"status": 503},
    "too many requests": {"status": 429},
    "cut each time": {"cut_after": 1},
}


@pytest.mark.parametrize("fault", BUSY.values(), ids=BUSY)
def test_a_source_that_gives_nothing_but_errors_is_left_within_seconds(dest, s3, mirror, fault):
    s3.fault(method="GET", times=None, **fault)
    began = time.monotonic()
    report = get(dest, subject="01", suffix="T1w", mirrors=mirror)
    assert time.monotonic() - began < 15  # with all attempts it takes half a minute and more
    assert {one.reason for one in report.outcomes} == {f"from {mirror}"}


def test_the_last_place_gets_all_attempts(dest, s3, lab, mirror):
    s3.fault(key=f"*{T1W}", method="GET", times=None, status=503)
    lab.fault(key=f"*{T1W}", method="GET", times=5, status=503)
    report = get(dest, subject="01", suffix="T1w", mirrors=mirror)
    assert outcome(report, T1W).reason == f"from {mirror}"


def test_without_a_mirror_it_is_missing(dest, s3):
    s3.fault(key=f"*{T1W}", method="GET", times=None, status=404)
    with pytest.raises(IncompleteError):
        get(dest, subject="01")


def test_a_file_in_parts_comes_from_the_mirror(dest, s3, mirror):
    s3.fault(key=f"*{LARGE}", method="GET", times=None, status=403)
    report = get(dest, subject="02", suffix="bold", mirrors=mirror)
    assert (dest / LARGE).read_bytes() == BIG.read(0, BIG.size)
    assert f"from {mirror}" in outcome(report, LARGE).reason


def test_a_file_whose_parts_end_in_the_middle_comes_from_the_mirror(
    dest, s3, mirror, quick_retries
):
    s3.fault(key=f"*{LARGE}", method="GET", skip=1, times=None, status=500)
    get(dest, subject="02", suffix="bold", mirrors=mirror)
    assert (dest / LARGE).read_bytes() == BIG.read(0, BIG.size)


def test_the_next_run_knows_it_as_the_sources_file(dest, s3, mirror):
    s3.fault(key="*", method="GET", times=None, status=403)
    first = get(dest, mirrors=mirror)
    assert {one.status for one in first.outcomes} == {Status.FETCHED}
    s3.clear_faults()
    again = get(dest)
    assert {one.status for one in again.outcomes} == {Status.KEPT}
    assert neurofetch.verify(dest, read_all=True, remote=True).ok


def test_a_lock_does_not_tell_from_which_place_the_bytes_came(dest, s3, lab, mirror, tmp_path):
    path = "sub-01/anat/sub-01_PDw.nii.gz"
    s3.put(BASE + path, S3Object(b"pd" * 50, checksum=None))
    get(dest)
    lab.put(f"copy/{path}", b"pd" * 50)
    s3.fault(method="GET", times=None, status=404)
    get(tmp_path / "served", mirrors=mirror)
    get(tmp_path / "copied", mirrors=dest)
    for place in (tmp_path / "served", tmp_path / "copied"):
        neurofetch.lock(place).write(tmp_path / f"{place.name}.lock")
    neurofetch.lock(dest).write(tmp_path / "a.lock")
    locks = {name: (tmp_path / f"{name}.lock").read_bytes() for name in ("a", "served", "copied")}
    assert len(set(locks.values())) == 1


WRONG = {
    "other bytes of the same size": b"ANATOMY",
    "more bytes": b"anatomyanatomy",
    "fewer bytes": b"ana",
    "nothing": b"",
    "a page": b"<html>Log in here</html>",
}


@pytest.mark.parametrize("bytes_there", WRONG.values(), ids=WRONG)
def test_wrong_bytes_of_a_mirror_never_take_the_name(dest, s3, lab, mirror, bytes_there):
    s3.fault(key=f"*{T1W}", method="GET", times=None, status=404)
    lab.put(f"copy/{T1W}", bytes_there)
    with pytest.raises(IncompleteError) as caught:
        get(dest, subject="01", mirrors=mirror)
    assert not (dest / T1W).exists()
    said = outcome(caught.value.report, T1W).reason
    assert "404" in said
    assert f"and elsewhere: {mirror}" in said


def test_the_order_is_that_of_the_call_and_a_bad_mirror_is_passed_over(dest, s3, lab, mirror):
    s3.fault(key=f"*{T1W}", method="GET", times=None, status=404)
    lab.put(f"bad/{T1W}", b"ANATOMY")
    bad, empty = f"{lab.url}/lab/bad", f"{lab.url}/lab/empty"
    report = get(dest, subject="01", mirrors=[empty, bad, mirror])
    assert f"from {mirror}" in outcome(report, T1W).reason
    keys = [request.key for request in lab.log]
    assert keys[0].startswith("empty/")
    assert keys[-1] == f"copy/{T1W}"
    assert (dest / T1W).read_bytes() == FILES[T1W]


def test_a_bucket_can_be_a_mirror(dest, s3):
    for key, item in COPY.items():
        s3.put(f"elsewhere/{key}", item)
    s3.fault(key=f"public/*{T1W}", method="GET", times=None, status=404)
    report = get(dest, subject="01", mirrors="s3://openneuro.org/elsewhere/copy")
    assert "from s3://openneuro.org/elsewhere/copy" in outcome(report, T1W).reason


def test_a_file_of_which_nothing_tells_the_content_comes_from_nowhere_else(dest, s3, lab, mirror):
    path = "sub-01/anat/sub-01_T2w.nii.gz"
    odd = S3Object(b"odd" * 100, forced_etag="no-checksum", checksum=None)
    s3.put(BASE + path, odd)
    lab.put(f"copy/{path}", odd)
    s3.fault(key=f"*{path}", method="GET", times=None, status=404)
    with pytest.raises(IncompleteError):
        get(dest, subject="01", mirrors=mirror)
    assert not lab.requests(key=f"*{path}")


def test_a_source_that_goes_away_leaves_the_rest_to_the_mirror(
    dest, s3, mirror, monkeypatch, quick_retries
):
    monkeypatch.setattr("neurofetch.net.outage.HURRY", 0.5)
    s3.fault(method="GET", skip=3, times=None, reset=True)
    began = time.monotonic()
    report = get(dest, mirrors=mirror, patience=600)
    assert time.monotonic() - began < 60
    assert not [one for one in report.outcomes if not one.ok]
    assert on_disk(dest) == {*FILES, LARGE}


def die_when_it_begins(s3):
    """Return a listener, at whose first event of a transfer nothing answers any more."""

    def listen(event):
        if isinstance(event, Planned):
            s3.fault(reset=True, times=None)

    return listen


def in_parts(number):
    """Return an object of which nothing tells the content: an ETag of parts, no checksum."""
    return S3Object(b"%d" % number * 100_000, forced_etag=f"{number}" * 32 + "-2", checksum=None)


def test_a_dead_source_is_left_for_the_mirror_long_before_the_patience_ends(
    dest, s3, mirror, monkeypatch
):
    monkeypatch.setattr("neurofetch.net.outage.HURRY", 0.5)
    began = time.monotonic()
    report = neurofetch.get(
        URL, dest, progress=die_when_it_begins(s3), mirrors=mirror, patience=600
    )
    assert time.monotonic() - began < 60
    assert {one.reason for one in report.outcomes} == {f"from {mirror}"}


@pytest.mark.parametrize("unknown", [1, 2, 5])
def test_a_file_that_only_the_dead_source_has_does_not_keep_the_rest_from_the_mirror(
    dest, s3, mirror, monkeypatch, unknown
):
    only = {f"sub-01/func/sub-01_task-long{number}_bold.nii.gz" for number in range(unknown)}
    for number, path in enumerate(sorted(only)):
        s3.put(BASE + path, in_parts(number))
    with pytest.raises(IncompleteError) as caught:
        neurofetch.get(URL, dest, progress=die_when_it_begins(s3), mirrors=mirror, patience=1)
    report = caught.value.report
    assert {one.path for one in report.outcomes if not one.ok} == only
    assert on_disk(dest) == {*FILES, LARGE}


def test_a_file_that_only_the_source_has_is_waited_for_with_the_whole_patience(
    dest, s3, mirror, monkeypatch
):
    monkeypatch.setattr("neurofetch.net.outage.HURRY", 0.1)
    s3.put(BASE + "sub-01/func/sub-01_task-long_bold.nii.gz", in_parts(1))
    timer = Timer(3, s3.clear_faults)
    timer.start()
    report = neurofetch.get(URL, dest, progress=die_when_it_begins(s3), mirrors=mirror, patience=60)
    timer.join()
    assert not [one for one in report.outcomes if not one.ok]


def test_a_mirror_is_no_reason_to_wait_less_for_the_listing(dest, mirror, monkeypatch):
    monkeypatch.setattr("neurofetch.net.outage.HURRY", 0.1)
    with S3Server({"openneuro.org": OBJECTS}, page_size=4) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        s3.fault(skip=3, times=None, reset=True)
        timer = Timer(3, s3.clear_faults)
        timer.start()
        report = get(dest, mirrors=mirror, patience=60)
        timer.join()
    assert not [one for one in report.outcomes if not one.ok]


# -- folders -------------------------------------------------------------------------------------


@pytest.fixture
def colleague(tmp_path, s3, dest):
    """A data directory of somebody else, fetched by us."""
    folder = tmp_path / "colleague"
    neurofetch.get(URL, folder, progress=False)
    s3.clear_log()
    return folder


def test_what_a_colleague_has_is_copied_and_not_fetched(dest, s3, colleague):
    plan = neurofetch.plan(URL, dest, mirrors=colleague)
    assert plan.bytes_to_fetch == 0
    assert any(f"are in {colleague}" in note for note in plan.notes)
    report = get(dest, mirrors=colleague)
    assert not s3.requests("GET")
    assert not s3.requests("HEAD")
    assert on_disk(dest) == on_disk(colleague)
    assert sum(one.moved for one in report.outcomes) == 0
    assert neurofetch.verify(dest, read_all=True).ok


def test_who_waits_for_copies_sees_how_far_they_are(dest, colleague):
    events = []
    neurofetch.get(URL, dest, progress=events.append, mirrors=colleague)
    told = [one for one in events if isinstance(one, Progress)]
    size = sum(map(len, FILES.values())) + BIG.size
    assert {one.bytes_total for one in told} == {size}
    assert told[-1].bytes_done == size


def test_a_copy_that_turns_out_wrong_counts_once(dest, colleague):
    spoil(colleague / T1W, "other bytes")
    events = []
    neurofetch.get(URL, dest, progress=events.append, mirrors=colleague)
    told = [one for one in events if isinstance(one, Progress)]
    assert told[-1].bytes_done == told[-1].bytes_total


def test_the_copy_is_a_file_of_its_own(dest, colleague):
    get(dest, mirrors=colleague)
    (colleague / T1W).write_bytes(b"changed")
    assert (dest / T1W).read_bytes() == FILES[T1W]


def spoil(path, how):
    content = path.read_bytes()
    if how == "other bytes":
        path.write_bytes(content.swapcase())
    elif how == "cut":
        path.write_bytes(content[:-1])
    elif how == "gone":
        path.unlink()
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "a pipe":
        path.unlink()
        os.mkfifo(path)
    elif how == "a broken link":
        path.unlink()
        path.symlink_to("nowhere")
    elif how == "a loop":
        path.unlink()
        path.symlink_to(path.name)


@pytest.mark.parametrize(
    "how", ["other bytes", "cut", "gone", "a folder", "a pipe", "a broken link", "a loop"]
)
def test_what_a_colleague_has_not_as_it_should_be_is_fetched(dest, s3, colleague, how):
    spoil(colleague / T1W, how)
    get(dest, mirrors=colleague)
    assert [request.key for request in s3.requests("GET")] == [BASE + T1W]
    assert (dest / T1W).read_bytes() == FILES[T1W]


def test_a_folder_of_another_program_serves_too(tmp_path, dest, s3):
    folder = tmp_path / "synced"
    for path, content in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    get(dest, subject="01", mirrors=folder)
    assert not s3.requests("GET", key="*.nii.gz")


def test_links_of_git_annex_lead_to_the_content(tmp_path, dest, s3):
    folder = tmp_path / "annex"
    kept = folder / ".git/annex/objects/x"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(FILES[T1W])
    (folder / T1W).parent.mkdir(parents=True)
    (folder / T1W).symlink_to(os.path.relpath(kept, (folder / T1W).parent))
    get(dest, subject="01", mirrors=folder)
    assert not s3.requests("GET", key=f"*{T1W}")
    assert not (dest / T1W).is_symlink()


def test_a_file_under_another_name_is_known_by_its_content(dest, tmp_path, s3, colleague):
    moved = tmp_path / "renamed"
    s3.put("renamed/dataset_description.json", b"{}")
    s3.put("renamed/sub-99/anat/sub-99_T1w.nii.gz", FILES[T1W])
    neurofetch.get("s3://openneuro.org/renamed", moved, progress=False)
    s3.clear_log()
    get(dest, subject="01", mirrors=moved)
    assert not s3.requests("GET", key=f"*{T1W}")
    assert (dest / T1W).read_bytes() == FILES[T1W]


def test_a_multipart_upload_is_copied_after_its_etag_is_computed_again(dest, s3, tmp_path):
    path = "sub-01/func/sub-01_task-long_bold.nii.gz"
    s3.put(BASE + path, S3Object(BIG, part_size=8 << 20, checksum=None))
    folder = tmp_path / "synced"
    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_bytes(BIG.read(0, BIG.size))
    report = get(dest, subject="01", suffix="bold", mirrors=folder)
    assert not s3.requests("GET", key=f"*{path}")
    assert outcome(report, path).verification == "multipart-etag"


# -- OpenNeuro, and NEMAR ------------------------------------------------------------------------


class Manifest(BaseHTTPRequestHandler):
    """NEMAR: says the newest version, the files with their checksums, and gives the bytes."""

    def do_GET(self):
        answer = self.server.answers.get(self.path)
        self.server.asked.append(self.path)
        self.send_response(404 if answer is None else 200)
        body = answer or b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def nemar():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Manifest)
    server.answers, server.asked = {}, []
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def digest_of(content, algorithm):
    hashed = hasher(algorithm, len(content))
    hashed.update(content)
    return hashed.hexdigest()


def tell(server, tree):
    """Let NEMAR have files, under names of its own."""
    url = f"http://127.0.0.1:{server.server_port}"
    rows = []
    for number, (_, content) in enumerate(sorted(tree.items())):
        algorithm, name = [("md5", "md5"), ("gitblob", "git"), ("sha256", "sha256")][number % 3]
        row = {"path": f"renamed/{number}", "size": len(content), "checksum_algorithm": name}
        row["checksum"] = digest_of(content, algorithm)
        for algorithm, name in [("md5", "md5"), ("gitblob", "git"), ("sha256", "sha256")]:
            one = {"checksum_algorithm": name, "checksum": digest_of(content, algorithm)}
            rows.append({**row, **one, "bytes_url": f"{url}/objects/{number}", "url": "signed"})
        server.answers[f"/objects/{number}"] = content
    server.answers["/on000001/"] = json.dumps({"latest": "1.2.3"}).encode()
    server.answers["/on000001/1.2.3/manifest.json"] = json.dumps(rows).encode()
    return f"nemar:{url}"


@pytest.fixture
def site(tmp_path, monkeypatch, dest):
    with OpenNeuro() as server:
        server.add("ds000001", {"1.0.0": small_tree()})
        monkeypatch.setenv("OPENNEURO_URL", server.url)
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        monkeypatch.chdir(tmp_path)
        yield server


def test_a_version_whose_bucket_lost_it_comes_from_nemar(site, nemar, tmp_path):
    tree = small_tree()
    place = tell(nemar, tree)
    site.bucket.fault(method="GET", times=None, status=404)
    report = neurofetch.get("ds000001", progress=False, mirrors=place)
    assert not [one for one in report.outcomes if not one.ok]
    for path in on_disk(tmp_path / "ds000001"):
        assert (tmp_path / "ds000001" / path).read_bytes() == tree[path]
    assert nemar.asked.count("/on000001/1.2.3/manifest.json") == 1


BROKEN = {
    "no such data set": ("/on000001/", None),
    "no JSON": ("/on000001/", b"<html>"),
    "no version": ("/on000001/", b"{}"),
    "a version that leads elsewhere": ("/on000001/", b'{"latest": "../../x"}'),
    "no manifest": ("/on000001/1.2.3/manifest.json", None),
    "a manifest that is none": ("/on000001/1.2.3/manifest.json", b"42"),
    "rows that are none": ("/on000001/1.2.3/manifest.json", b"[1, null, {}]"),
}


@pytest.mark.parametrize(("path", "answer"), BROKEN.values(), ids=BROKEN)
def test_a_nemar_that_cannot_be_used_is_named_and_asked_once(site, nemar, path, answer):
    place = tell(nemar, small_tree())
    nemar.answers[path] = answer
    site.bucket.fault(method="GET", times=None, status=404)
    with pytest.raises(IncompleteError, match="404") as caught:
        neurofetch.get("ds000001", progress=False, mirrors=place)
    assert "NEMAR" in caught.value.report.of(Status.FAILED)[0].reason
    assert nemar.asked.count(path) == 1


def test_the_bucket_by_key_is_the_second_place_of_openneuro(site, tmp_path, monkeypatch):
    tree = small_tree()
    objects = {f"ds000001/{path}": content for path, content in tree.items()}
    with S3Server({"openneuro.org": objects}) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        site.bucket.fault(method="GET", times=None, status=404)
        report = neurofetch.get("ds000001", progress=False)
    assert not [one for one in report.outcomes if not one.ok]
    assert "from s3://openneuro.org/ds000001" in report.outcomes[0].reason


@pytest.mark.parametrize("twins", [2, 3, 7])
def test_files_of_equal_content_are_all_made_of_what_a_colleague_has(site, tmp_path, twins):
    paths = [f"sub-01/anat/sub-01_run-{number}_T1w.nii.gz" for number in range(1, twins + 1)]
    tree = {**small_tree(), **dict.fromkeys(paths, b"the same content" * 99)}
    site.add("ds000002", {"1.0.0": tree})
    neurofetch.get("ds000002", tmp_path / "colleague", progress=False)
    site.bucket.clear_log()
    plan = neurofetch.plan("ds000002", tmp_path / "mine", mirrors=tmp_path / "colleague")
    assert plan.bytes_to_fetch == 0
    neurofetch.get("ds000002", tmp_path / "mine", progress=False, mirrors=tmp_path / "colleague")
    assert not site.bucket.log
    assert all((tmp_path / "mine" / path).read_bytes() == tree[path] for path in paths)


@pytest.mark.parametrize("spoilt", [1, 2, 3])
def test_files_of_equal_content_come_although_what_a_colleague_has_is_another(
    site, tmp_path, spoilt
):
    paths = [f"sub-01/anat/sub-01_run-{number}_T1w.nii.gz" for number in range(1, 4)]
    tree = {**small_tree(), **dict.fromkeys(paths, b"the same content" * 99)}
    site.add("ds000002", {"1.0.0": tree})
    neurofetch.get("ds000002", tmp_path / "colleague", progress=False)
    for path in paths[:spoilt]:
        (tmp_path / "colleague" / path).write_bytes(b"another content!" * 99)
    neurofetch.get("ds000002", tmp_path / "mine", progress=False, mirrors=tmp_path / "colleague")
    assert all((tmp_path / "mine" / path).read_bytes() == tree[path] for path in paths)


# -- bad input -----------------------------------------------------------------------------------


WRITTEN = {
    "a blank": "{}/my folder",
    "a blank, encoded": "{}/my%20folder",
    "blanks around it": " {}/my folder ",
    "a slash at the end": "{}/my folder/",
    "another case": "{}/my folder",
    "letters of the world": "{}/größe",
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_an_address_is_asked_as_it_is_meant(dest, s3, lab, written):
    for folder in ("my folder", "größe"):
        lab.put(f"{folder}/{T1W}", FILES[T1W])
    s3.fault(key=f"*{T1W}", method="GET", times=None, status=404)
    url = lab.url.replace("http", "HTTP") if written == WRITTEN["another case"] else lab.url
    get(dest, subject="01", mirrors=written.format(f"{url}/lab"))
    assert (dest / T1W).read_bytes() == FILES[T1W]


def test_the_scheme_of_a_bucket_may_have_any_case(dest, s3):
    s3.put(f"copy/{T1W}", FILES[T1W])
    s3.fault(key=f"public/*{T1W}", method="GET", times=None, status=404)
    get(dest, subject="01", mirrors="S3://openneuro.org/copy/")
    assert (dest / T1W).read_bytes() == FILES[T1W]


SECRET = [
    "https://me:secret@host/x",
    "https://me:sec@secret@host/x",
    "https://me:sec/secret@host/x",
    "https:/me:secret@host/x",
    "ftp://me:secret@host/x",
    "https://host/x?token=secret",
    "nemar:https://me:secret@host",
]


@pytest.mark.parametrize("place", SECRET)
def test_no_message_about_a_mirror_has_a_secret(dest, place):
    with pytest.raises(UsageError, match="cannot be a mirror") as caught:
        get(dest, mirrors=place)
    assert "secret" not in str(caught.value)


BAD = {
    "no such folder": ("no/such/folder", "no such folder"),
    "a file": ("/dev/null", "no folder"),
    "an empty text": ("", "not ''"),
    "a number": (3, "not 3"),
    "a number among them": ([3], "not 3"),
    "another scheme": ("ftp://host/x", "https://"),
    "a password": ("https://me:secret@host/x", "without a password"),
    "a signature": ("https://host/x?sig=1", "question mark"),
    "no host": ("https:///x", "plain address"),
    "a line break": ("https://host/a\r\nX: y", "plain address"),
    "a question mark alone": ("https://host/x?", "plain address"),
    "a fragment alone": ("https://host/x#", "plain address"),
    "a port that is none": ("https://host:99999/x", "plain address"),
    "a host that is none": ("https://a..b/x", "plain address"),
    "one slash": ("https:/host/x", "plain address"),
    "a bad bucket": ("s3://", "s3://"),
    "nemar for a bucket": ("nemar", "OpenNeuro"),
}


@pytest.mark.parametrize(("place", "words"), BAD.values(), ids=BAD)
def test_what_can_be_no_mirror_is_told_before_anything_is_asked(dest, s3, place, words):
    with pytest.raises(UsageError, match="Nothing was done") as caught:
        get(dest, mirrors=place)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not s3.log
    assert not list(dest.iterdir())


def test_the_data_directory_is_no_mirror_of_itself(dest, s3, tmp_path):
    get(dest, subject="01")
    (dest / T1W).unlink()
    (tmp_path / "link").symlink_to(dest)
    s3.clear_log()
    for itself in (dest, tmp_path / "link", dest / "sub-01" / ".."):
        with pytest.raises(UsageError, match="the data directory itself"):
            get(dest, subject="01", mirrors=itself)
    assert not s3.log


def test_a_bucket_of_a_mirror_is_at_the_endpoint_of_the_call(dest, s3, monkeypatch):
    s3.put(f"copy/{T1W}", FILES[T1W])
    s3.fault(key=f"public/*{T1W}", method="GET", times=None, status=404)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    get(dest, subject="01", mirrors="s3://openneuro.org/copy", endpoint=s3.url)
    assert (dest / T1W).read_bytes() == FILES[T1W]


def test_the_command_takes_several(tmp_path, s3, mirror):
    shell = Shell(tmp_path, s3.url)
    s3.fault(key=f"*{T1W}", method="GET", times=None, status=404)
    (tmp_path / "empty").mkdir()
    done = shell(
        f"neurofetch get {URL} --data-dir data --subject 01 --mirror empty {mirror} --json"
    )
    assert done.code == 0, done.err
    files = {file["path"]: file for file in json.loads(done.out)["files"]}
    assert f"from {mirror}" in files[T1W]["reason"]


def test_laion_fmri_from_a_colleague(tmp_path):
    with make_s3() as bucket:
        shell = Shell(tmp_path, bucket.url)
        words = "laion-fmri download --subject sub-03 --ses ses-01"
        (tmp_path / "colleague").mkdir()
        assert shell(f"{words} --data-dir colleague").code == 0
        bucket.clear_log()
        done = shell(f"{words} --data-dir data --mirror colleague")
        assert done.code == 0, done.err
        assert not bucket.requests("GET")
        assert on_disk(shell.data) == on_disk(tmp_path / "colleague")


def test_a_synced_copy_of_laion_fmri_has_the_names_of_the_bucket(tmp_path):
    with make_s3() as bucket:
        shell = Shell(tmp_path, bucket.url)
        words = "laion-fmri download --subject sub-03 --ses ses-01 --data-dir data"
        (tmp_path / "synced").mkdir()
        assert shell(words).code == 0
        fetched = [request.key for request in bucket.requests("GET")]
        for key in fetched:
            (tmp_path / "synced" / key).parent.mkdir(parents=True, exist_ok=True)
            (shell.data / local_name(key)).rename(tmp_path / "synced" / key)
        assert any(local_name(key) != key for key in fetched)
        bucket.clear_log()
        done = shell(f"{words} --mirror synced")
        assert done.code == 0, done.err
        assert not bucket.requests("GET")
        assert on_disk(shell.data) == {local_name(key) for key in fetched}


def test_who_is_stopped_while_a_file_is_copied_leaves_nothing_of_it(
    dest, s3, tmp_path, monkeypatch
):
    """The rest of an endless copy would go on in the background of a notebook."""
    path = "sub-01/func/sub-01_task-long_bold.nii.gz"
    s3.put(BASE + path, S3Object(BIG, checksum=None))
    (tmp_path / "synced" / path).parent.mkdir(parents=True)
    (tmp_path / "synced" / path).write_bytes(BIG.read(0, BIG.size))
    begun = []

    def slowly(name):
        for block in read_blocks(name):
            begun.append(len(block))
            yield block
            time.sleep(0.2)

    def listen(_):
        if begun:
            raise KeyboardInterrupt

    monkeypatch.setattr("neurofetch.transfer.whole_file.read_blocks", slowly)
    with pytest.raises(KeyboardInterrupt):
        neurofetch.get(URL, dest, progress=listen, suffix="bold", mirrors=tmp_path / "synced")
    blocks = len(begun)
    assert sum(begun) < BIG.size
    assert not list(dest.rglob("*.tmp"))
    time.sleep(0.5)
    assert len(begun) == blocks
