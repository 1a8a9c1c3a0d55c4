"""The page of messages: an entry for each code, and what it quotes is what the program says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import laion_fmri
import neurofetch
from laion_fmri.download import download, download_embeddings
from laion_fmri.errors import StoreBuildError
from laion_fmri.subject import load_subject
from neurofetch import errors
from neurofetch.console import INTERRUPTED
from neurofetch.display.words import code_of
from neurofetch.extras import need
from neurofetch.lockfile.lock import Lock
from neurofetch.opening.filesystem import NeurofetchFileSystem
from neurofetch.planning.local_path import local_name
from neurofetch.ui.look.problems import damaged
from testbed.s3 import HTML_PAGE, S3Server
from tests.faces import LICENSE, REFUSED, SMALL, bucket

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parent.parent / "docs"
ABSTRACT = {"data_not_found", "server"}
"""Classes above others: nobody sees them alone, so that there is nothing to quote."""


def codes() -> list[str]:
    """The codes in the table of docs/json.md."""
    text = (DOCS / "json.md").read_text(encoding="utf-8")
    table = text.partition("| `exit` | `code` |")[2].partition("\n\n")[0]
    return re.findall(r"`([a-z_]+)`", table)


def entries() -> dict[str, str]:
    """What the page says of each code."""
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    parts = re.split(r"^(?:## .*|### (.*))$", text, flags=re.MULTILINE)
    found = zip(parts[1::2], parts[2::2], strict=True)
    return {head.strip("`"): body for head, body in found if head and head.startswith("`")}


def quotes(body: str) -> list[str]:
    return re.findall(r"^```text\n(.*?)\n```$", body, re.DOTALL | re.MULTILINE)


def test_each_code_has_its_entry_and_no_entry_is_of_another():
    assert sorted(entries()) == sorted(codes())
    assert len(codes()) > 50


@pytest.mark.parametrize("code", codes())
def test_an_entry_quotes_a_message_and_says_more(code):
    body = entries()[code]
    assert bool(quotes(body)) != (code in ABSTRACT)
    said = re.sub(r"```.*?```", "", body, flags=re.DOTALL).strip()
    assert len(said) > 30, said


# -- what the program really says ------------------------------------------------------------------

EVENTS: dict[str, Any] = {"subject": "03", "session": "01", "suffix": "events", "bare": True}
BETAS = "derivatives/glmsingle-tedana/sub-03/ses-01/func/*Singletrial*"


class World:
    """A server, and a directory with what most people have of a subject."""

    def __init__(self, s3: S3Server, root: Path) -> None:
        self.s3 = s3
        self.root = root

    def get(self, url: str = "s3://laion-fmri", dest: Any = "new", **more: Any) -> Any:
        return neurofetch.get(url, dest, progress="none", **{**EVENTS, **more})

    def fetched(self) -> Any:
        wanted = ["01", "averages"]
        download("sub-03", ses=wanted, include_anatomical=True, progress="none")
        return load_subject("sub-03")

    def spoil(self, pattern: str, change: Callable[[bytes], bytes]) -> None:
        (path,) = self.root.glob(BETAS + pattern)
        path.write_bytes(change(path.read_bytes()))


@pytest.fixture
def world(tmp_path, monkeypatch):
    home = {"HOME": "", "XDG_CONFIG_HOME": ".config", "XDG_CACHE_HOME": ".cache"}
    for name, folder in home.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    for name in ("LAION_FMRI_DATA_DIR", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, text in LICENSE.items():
        monkeypatch.setenv(name, text)
    monkeypatch.chdir(tmp_path)
    with S3Server({"laion-fmri": bucket(SMALL)}, forbidden=REFUSED) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        yield World(s3, tmp_path)


def unset(world):
    download("sub-03", progress="none")


def set_up(act: Callable[[World], object]) -> Callable[[World], object]:
    def after(world: World) -> object:
        laion_fmri.set_data_dir(str(world.root))
        return act(world)

    return after


def no_license(world):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LAION_FMRI_ACCEPT_LICENSE")
        download("sub-03", progress="none")


def wrong_variable(world):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROFETCH_READ_TIMEOUT", "soon")
        world.get()


def no_lock(world):
    Path("bad.lock.json").write_text("{}\n")
    Lock.read("bad.lock.json")


def other_dataset(world):
    world.get(dest="e", bare=False)
    world.get("s3://other/ds", dest="e")


def listing(**fault: Any) -> Callable[[World], object]:
    def act(world: World) -> object:
        world.s3.fault(**fault)
        return world.get()

    return act


def file_gone(world):
    world.s3.fault(key="*run-01_events.tsv", method="GET", status=404)
    world.get()


def changed(world):
    file = neurofetch.open("s3://laion-fmri/README")
    world.s3.put("README", b"another one " * 3000)
    file.read()


def no_folder(world):
    Path("f").touch()
    world.get(dest="f")


def no_embeddings(world):
    world.s3.delete("stimuli/task-images_desc-CLIP_embeddings.h5")
    download_embeddings("CLIP")


def mixed(world):
    subject = world.fetched()
    one, other = (subject.get_betas("ses-01", mask_source=m) for m in ("anatomical", "rsquare"))
    return one[0, :200] - other[0, :200]


def short(world):
    subject = world.fetched()
    world.spoil("statmap.nii.gz", lambda whole: whole[: len(whole) // 2])
    subject.get_betas("ses-01")


def fewer_trials(world):
    subject = world.fetched()
    world.spoil("trials.tsv", lambda whole: whole.rstrip().rpartition(b"\n")[0] + b"\n")
    subject.get_betas("ses-01")


def other_column(world):
    subject = world.fetched()
    world.spoil("trials.tsv", lambda whole: whole.replace(b"label", b"lab"))
    subject.get_betas("ses-01")


def raised(error: BaseException) -> object:
    raise error


SCENES: dict[str, Callable[[World], object]] = {
    "usage": set_up(lambda _: download("sub-03", accept_license="MIT", progress="none")),
    "unknown_argument": lambda _: download(subject="sub-03", sess="01"),
    "wrong_type": lambda w: w.get(dest=3),
    "unknown_value": lambda w: w.get(suffix="zzz", bare=False),
    "subject_not_found": set_up(lambda _: download("sub-99", progress="none")),
    "unknown_filter": set_up(lambda _: download("sub-03", ses="99", progress="none")),
    "nothing_matched": lambda _: neurofetch.get("s3://laion-fmri/nothing", "new", progress="none"),
    "no_matching_data": set_up(
        lambda _: download("sub-03", ses="01", suffix="statmap", extension="tsv", progress="none")
    ),
    "unknown_roi": set_up(lambda w: w.fetched().get_roi_mask("FFA9")),
    "data_not_downloaded": set_up(lambda w: w.fetched().get_betas("ses-09")),
    "stimuli_not_downloaded": set_up(lambda w: w.fetched().get_n_stimuli()),
    "not_in_bucket": set_up(no_embeddings),
    "unsafe_name": lambda _: local_name("ds/a/../b.txt"),
    "other_dataset": other_dataset,
    "folder_given": lambda _: neurofetch.open("s3://laion-fmri/sub-03/"),
    "read_only": lambda _: NeurofetchFileSystem().open("s3://laion-fmri/README", "wb"),
    "mixed_masks": set_up(mixed),
    "lock_file": no_lock,
    "data_dir_not_set": unset,
    "config": wrong_variable,
    "credentials": lambda w: w.get(profile="lab"),
    "missing_extra": lambda _: need("this example", "loader", "no_such_library"),
    "license_not_accepted": set_up(no_license),
    "unreachable": lambda w: w.get(endpoint="http://127.0.0.1:9", patience=0),
    "offline": lambda w: w.get(dest="e2", offline=True),
    "refused": listing(status=403),
    "missing_bucket": lambda w: w.get("s3://nobucket/x"),
    "missing_remote": lambda _: neurofetch.open("s3://laion-fmri/READNOT"),
    "remote_changed": changed,
    "protocol": listing(status=200, body=HTML_PAGE),
    "destination": no_folder,
    "incomplete": file_gone,
    "corrupt_file": set_up(short),
    "bad_data": set_up(other_column),
    "trial_mismatch": set_up(fewer_trials),
    "not_finite": set_up(lambda w: w.fetched().get_betas("ses-01", nan="raise")),
    "store_build": lambda _: raised(
        StoreBuildError.of([("sub-03, ses-01", OSError("a")), ("sub-03, ses-02", OSError("b"))], 3)
    ),
    "unreadable_file": lambda _: raised(damaged("sub-03_T1w.nii.gz", "is empty")),
}


def plain(message: str) -> str:
    """A message without what differs between computers, data sets and days."""
    text = re.sub(r"https?://\S+?(?=[\s);,]|: |$)", "URL", message)
    text = re.sub(r"(?<![\w:/])/\S+/(?=\w)", "", text)  # folders
    text = re.sub(r", at 127\.0\.0\.1:\d+|this example needs \w+", "", text)
    return re.sub(r"\d+", "N", " ".join(text.split()))


@pytest.mark.parametrize("code", SCENES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_quoted_is_how_the_program_begins(code, world):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its code is what is asked
        SCENES[code](world)
    assert code_of(type(caught.value)) == code
    said = plain(str(caught.value).replace(str(world.root), "/home/ada/data"))
    quoted = plain(quotes(entries()[code])[0])
    length = min(len(quoted), 60)
    assert said[:length] == quoted[:length]


def test_most_codes_are_made_by_running_the_program():
    assert len(SCENES) > 0.6 * len(codes())
    assert set(SCENES) <= set(codes())


def test_the_end_by_ctrl_c_is_quoted():
    assert quotes(entries()["interrupted"])[0] == INTERRUPTED
    assert code_of(errors.InterruptedTransferError) == "interrupted_transfer"
