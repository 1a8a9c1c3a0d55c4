"""How a data directory is chosen and the licence accepted: at a prompt, once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.acceptance_world import QUIET, world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance_world import World

pytestmark = [QUIET, pytest.mark.slow]

SCRIPT = """
import sys
from laion_fmri.config import dataset_initialize, get_data_dir
dataset_initialize(sys.argv[1])
assert get_data_dir() == sys.argv[1]
from laion_fmri._constants import LICENSE_AGREEMENT_BODY
print(LICENSE_AGREEMENT_BODY)
from laion_fmri.download import {name}
for _ in range(2):
    {name}({arguments})
    print("-- accepted")
from laion_fmri.discovery import describe, get_subjects
print(get_subjects())
describe()
"""


@pytest.fixture
def here(tmp_path) -> Iterator[World]:
    with world(tmp_path, agreed=False) as made:
        yield made


def run(here: World, name: str, arguments: str = "", typed: str = "") -> tuple[int, str, str]:
    script = SCRIPT.format(name=name, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", script, str(here.data)],
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("name", "arguments"), [("accept_license", ""), ("accept_licenses", "include_stimuli=True")]
)
def test_the_licence_is_asked_for_once_and_remembered(here, name, arguments):
    code, out, err = run(here, name, arguments, "I AGREE\n")
    assert code == 0, err
    assert out.count("-- accepted") == 2  # the second call read nothing: there was one line
    assert "CC0" in out
    assert "['sub-01', 'sub-03']" in out
    assert "s3://laion-fmri" in out
    assert (here.data / ".laion_fmri" / "license_accepted").is_file()


@pytest.mark.parametrize("typed", ["", "no\n"])
def test_another_answer_is_an_error_and_leaves_no_mark(here, typed):
    code, _, err = run(here, "accept_license", "", typed)
    assert code == 1
    assert "LicenseNotAcceptedError" in err
    assert not (here.data / ".laion_fmri" / "license_accepted").exists()


def test_the_marker_of_the_public_package_is_good(here):
    from laion_fmri.config import dataset_initialize
    from laion_fmri.download import accept_license

    dataset_initialize(here.data)
    marker = here.data / ".laion_fmri" / "license_accepted"
    marker.parent.mkdir(exist_ok=True)
    marker.touch()  # it makes an empty file
    assert accept_license() is None
    assert marker.read_bytes() == b""


def test_the_texts_of_older_versions_can_be_printed(capsys):
    from laion_fmri import _constants

    names = [
        f"{kind}_{part}"
        for kind in ("LICENSE_AGREEMENT", "STIMULI_LICENSE")
        for part in ("BODY", "PROMPT", "TEXT")
    ]
    for name in (*names, "TERMS_OF_USE_TEXT"):
        print(getattr(_constants, name))
        assert capsys.readouterr().out.strip()
    assert _constants.LICENSE_AGREEMENT_TEXT == (
        _constants.LICENSE_AGREEMENT_BODY + _constants.LICENSE_AGREEMENT_PROMPT
    )


def test_the_configuration_is_what_the_public_package_reads(here):
    from laion_fmri.config import DataDirNotSetError, dataset_initialize, get_data_dir

    with pytest.raises(DataDirNotSetError):
        get_data_dir()
    with pytest.raises(FileNotFoundError):
        dataset_initialize(str(here.data / "missing"))
    with pytest.raises(TypeError):
        dataset_initialize(5)
    assert dataset_initialize(str(here.data)) is None
    dataset_initialize(str(here.data))
    config = here.home / ".config" / "laion_fmri" / "config.json"
    assert config.read_text().strip() == f'{{\n  "data_dir": "{here.data}"\n}}'
    assert (here.data / ".laion_fmri").is_dir()
    assert get_data_dir() + "/participants.tsv" == f"{here.data}/participants.tsv"
