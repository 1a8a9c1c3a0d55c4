"""What is refused was asked for and is not here: each file is named, with what to do, exit 4."""

import json
from dataclasses import replace

import pytest

import neurofetch
from neurofetch.console import ExitCode
from neurofetch.display.text import plan_text
from neurofetch.engine import Withheld
from neurofetch.model import Action, IncompleteError, Status
from testbed.s3 import HTML_PAGE, S3Object
from tests.engine_world import PART, World, noise, planned, ran
from tests.faces import Shell

SMALL, LARGE = noise(3_000, 1), noise(3 * PART + 7, 2)
SIZES = {"small": SMALL, "large": LARGE}
ADVICE = {
    401: "not public",
    403: "not public",
    407: "https_proxy=http://USER:PASSWORD@HOST:PORT",
    451: "legal reasons",
    511: "login portal",
}
PAGE = {"Content-Type": "text/html; charset=utf-8"}


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path, monkeypatch) as world:
        yield world


@pytest.fixture
def shell(world, tmp_path):
    return Shell(tmp_path, world.s3.url)


@pytest.mark.parametrize("status", ADVICE)
@pytest.mark.parametrize("size", SIZES)
def test_every_refusal_is_a_failure_and_says_what_to_do(world, status, size):
    world.put("sub-01/a.bin", SIZES[size])
    world.put("good.bin", SMALL)
    world.s3.fault(key="sub-01/*", status=status)
    with pytest.raises(IncompleteError) as caught:
        neurofetch.get("s3://b", world.root, progress="none")
    text = str(caught.value)
    assert f"sub-01/a.bin: {world.s3.url}/b/sub-01/a.bin: {status}" in text
    assert ADVICE[status] in text
    assert world.files() == {"good.bin": SMALL}
    assert len(world.s3.requests(key="sub-01/a.bin")) == 1, "another attempt changes nothing"
    world.assert_clean()


@pytest.mark.parametrize("status", [401, 403, 407])
def test_all_refused_is_no_success(world, shell, status):
    for n in range(3):
        world.put(f"sub-01/{n}.bin", SMALL)
    world.s3.fault(key="sub-01/*", status=status, body=HTML_PAGE, headers=PAGE)
    done = shell("neurofetch get s3://b --dest data --json")
    assert done.code == ExitCode.INCOMPLETE
    found = json.loads(done.out)
    assert not found["ok"]
    assert found["counts"] == {"fetched": 0, "kept": 0, "refused": 0, "failed": 3}
    assert all(file["advice"] for file in found["files"])
    assert "3 of 3 files failed.\n" in done.err
    assert all(f"  sub-01/{n}.bin: " in done.err for n in range(3))
    advice = "proxy variable" if status == 407 else "A web page came from a login portal"
    assert done.err.count(advice) == 1


def test_what_the_datasets_own_rules_withhold_is_no_failure_and_the_rest_that_is_refused_is(world):
    world.put("sub-01_ses-09_bold.nii", SMALL)
    world.put("sub-01_ses-01_bold.nii", SMALL)
    rule = Withheld("ses", frozenset({"09"}), "held out")
    with world.fetcher() as fetcher:
        fetcher.dataset = replace(fetcher.dataset, withheld=(rule,))
        assert ran(fetcher, planned(fetcher)).ok
        world.s3.fault(key="*ses-01*", status=403)
        report = ran(fetcher, planned(fetcher, overwrite=True))
    assert {o.key[7:13]: o.status for o in report} == {
        "ses-01": Status.FAILED,
        "ses-09": Status.REFUSED,
    }
    assert world.s3.requests(key="*ses-09*") == []


def test_refused_files_that_are_here_already_are_not_asked_for(world):
    world.put("a.bin", SMALL)
    assert world.fetch().ok
    world.s3.fault(key="a.bin", status=403)
    assert world.fetch().ok


# -- a web page in place of a file -----------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_a_web_page_in_place_of_a_file_is_told_as_what_it_is(world, size):
    world.put("a.bin", SIZES[size])
    world.put("good.bin", SMALL)
    world.s3.fault(key="a.bin", status=200, body=HTML_PAGE, headers=PAGE)
    report = world.fetch()
    (failed,) = report.failures
    assert "a web page came in place of the file (200 text/html" in failed.reason
    assert "log in to the network" in failed.advice
    assert world.files() == {"good.bin": SMALL}


@pytest.mark.parametrize("size", SIZES)
def test_a_page_that_comes_only_for_a_while_costs_nothing(world, size):
    world.put("a.bin", SIZES[size])
    world.s3.fault(key="a.bin", times=2, status=200, body=HTML_PAGE, headers=PAGE)
    assert world.fetch().ok
    assert world.files() == {"a.bin": SIZES[size]}


@pytest.mark.parametrize("key", ["report.html", "sub-01.HTM", "no-suffix"])
def test_a_file_that_is_a_web_page_comes(world, key):
    page = world.put(key, HTML_PAGE * 100)
    world.s3.fault(
        key=key, status=200, body=page, headers={**PAGE, "ETag": world.s3.stored(key).etag}
    )
    assert world.fetch().ok
    assert world.files() == {key: page}


# -- archived files --------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["GLACIER", "DEEP_ARCHIVE"])
@pytest.mark.parametrize("size", SIZES)
def test_an_archived_file_is_told_in_the_plan_and_is_no_success(world, shell, where, size):
    world.put("sub-01/old.bin", SIZES[size], storage_class=where)
    world.put("sub-01/new.bin", SMALL)
    plan = world.plan()
    assert plan.bytes_to_fetch == len(SMALL)
    assert [step.want.path for step in plan.archived] == ["sub-01/old.bin"]
    said = " ".join(plan_text(plan).split())
    assert f"archived: sub-01/old.bin: {where} is an archive; it cannot be fetched" in said
    assert f"asked for; archived ({where})" in plan_text(plan)
    told = plan.to_dict()
    assert (told["files_to_fetch"], told["files_archived"]) == (1, 1)
    assert told["bytes_archived"] == len(SIZES[size])
    done = shell("neurofetch get s3://b --dest data")
    assert done.code == ExitCode.INCOMPLETE
    assert "sub-01/old.bin: " in done.err
    assert "InvalidObjectState" in done.err
    assert "until the owners of the bucket restore them" in done.err
    assert world.files() == {"sub-01/new.bin": SMALL}
    world.assert_clean()


def test_one_that_was_restored_comes_whether_the_listing_says_so_or_not(world):
    told = "2031-01-01T00:00:00.000Z"
    world.put("told.bin", SMALL, storage_class="GLACIER", restored=told)
    world.put("untold.bin", LARGE, storage_class="GLACIER")
    plan = world.plan()
    assert [step.want.path for step in plan.archived] == ["untold.bin"]
    world.put("untold.bin", LARGE, storage_class="GLACIER", restored=told)
    with world.fetcher() as fetcher:
        assert ran(fetcher, plan).ok
    assert world.files() == {"told.bin": SMALL, "untold.bin": LARGE}


@pytest.mark.parametrize("where", ["GLACIER_IR", "STANDARD_IA", "INTELLIGENT_TIERING", "Archive"])
def test_what_can_be_read_at_once_is_no_archive(world, where):
    world.put("a.bin", SMALL, storage_class=where)
    assert not world.plan().archived
    assert world.fetch().ok


def test_an_archived_file_that_is_here_is_kept(world):
    world.put("a.bin", SMALL)
    assert world.fetch().ok
    world.s3.put("a.bin", S3Object(SMALL, storage_class="GLACIER"))
    plan = world.plan()
    assert not plan.archived
    assert [step.action for step in plan.steps] == [Action.KEEP]
    assert world.fetch().ok
