"""Each face does its main job once, from end to end: what `make check` runs of all that is long."""

import json

import pytest

import neurofetch
from neurofetch import neurovault
from testbed.neurovault import NeuroVault
from testbed.openneuro import OpenNeuro, small_tree
from tests.faces import Shell, make_s3


@pytest.fixture(scope="module")
def servers():
    with make_s3() as s3, NeuroVault() as vault, OpenNeuro() as site:
        vault.vault.add_collection(457, images=range(40, 43))
        site.add("ds000001", {"1.0.0": small_tree()})
        yield {
            "AWS_ENDPOINT_URL": s3.url,
            "NEUROVAULT_API_URL": vault.api_url,
            "OPENNEURO_URL": site.url,
        }


@pytest.fixture
def shell(tmp_path, servers, monkeypatch):
    made = Shell(tmp_path, servers["AWS_ENDPOINT_URL"])
    made.env |= servers | {"NILEARN_DATA": str(tmp_path / "nilearn")}
    for name, text in made.env.items():
        monkeypatch.setenv(name, text)
    monkeypatch.chdir(tmp_path)
    return made


def answer(shell, line):
    done = shell(f"{line} --json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_laion_fmri_is_fetched_shown_and_verified(shell):
    line = "laion-fmri download --subject sub-03 --ses ses-01 --suffix trials"
    assert answer(shell, f"{line} --dry-run")["document"] == "plan"
    assert answer(shell, line)["ok"]
    assert shell("laion-fmri info").code == 0
    assert shell("laion-fmri verify --hash").out.endswith("s)\n")


def test_a_bucket_is_fetched_locked_and_fetched_again_by_the_lock(shell, tmp_path):
    line = "neurofetch get s3://laion-fmri --subject 03 --session 01 --suffix events --bare"
    assert answer(shell, f"{line} --data-dir one")["ok"]
    assert shell("neurofetch lock one --out data.lock").code == 0
    assert shell("neurofetch get --locked data.lock --data-dir two").code == 0
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*_events.tsv")}
        for name in ("one", "two")
    )
    assert one
    assert one == two
    assert shell("neurofetch verify two --hash").code == 0
    assert shell("neurofetch clean two --dry-run").code == 0


def test_a_data_set_of_openneuro_is_fetched(shell, tmp_path):
    assert answer(shell, "neurofetch get ds000001 --data-dir data")["ok"]
    assert (tmp_path / "data" / "dataset_description.json").exists()
    assert shell("neurofetch openneuro info ds000001").code == 0


def test_maps_of_neurovault_are_fetched(shell):
    assert shell("neurofetch neurovault fetch --collection 457").code == 0
    assert shell("neurofetch neurovault verify").code == 0
    assert len(neurovault.fetch_neurovault_ids([457], mode="offline", verbose=0).images) == 3


def test_python_plans_fetches_verifies_and_opens(shell):
    what = {"subject": "03", "session": "01", "suffix": "events", "bare": True}
    plan = neurofetch.plan("s3://laion-fmri", "data", **what)
    report = neurofetch.get("s3://laion-fmri", "data", progress=False, **what)
    assert report.ok
    assert len(report.paths) == len(plan)
    assert neurofetch.verify("data", read_all=True).ok
    with neurofetch.open("s3://laion-fmri/participants.tsv") as file:
        assert file.read().startswith(b"participant_id")
