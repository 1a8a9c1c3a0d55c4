"""The licence: asked for once a data directory, wherever somebody, or a script, can answer."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from laion_fmri.download import download
from laion_fmri.errors import LicenseNotAcceptedError
from neurofetch.console import ExitCode
from neurofetch.errors import UsageError
from tests.faces import on_disk

LINE = "laion-fmri download --subject 03 --ses averages"
URL = "https://creativecommons.org/publicdomain/zero/1.0/"
UNSET = {"LAION_FMRI_ACCEPT_LICENSE": None}


@pytest.fixture
def user(user, monkeypatch):
    """One who has not accepted the licence."""
    monkeypatch.delenv("LAION_FMRI_ACCEPT_LICENSE")
    return user


def record(data):
    return (data / ".laion_fmri" / "license_accepted").read_text()


def accepted_just_now(data, how):
    found = re.search(rf"CC0-1\.0 {URL}\naccepted (\S+) by {how}", record(data))
    assert found, record(data)
    when = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - when) < timedelta(minutes=2)


def test_without_a_terminal_and_without_a_word_nothing_is_asked_of_the_server(s3, shell):
    seen = len(s3.requests())
    done = shell(LINE, **UNSET)
    assert done.code == ExitCode.LICENSE
    assert URL in done.err
    assert "--accept-license CC0-1.0" in done.err
    assert "LAION_FMRI_ACCEPT_LICENSE=CC0-1.0" in done.err
    assert "Nothing was fetched" in done.err
    assert len(s3.requests()) == seen
    assert not on_disk(shell.data)


@pytest.mark.slow
def test_the_flag_names_it_and_it_is_written_down_once(shell):
    assert shell(LINE + " --accept-license CC0-1.0", **UNSET).code == 0
    accepted_just_now(shell.data, "argument")
    before = record(shell.data)
    assert shell(LINE, **UNSET).code == 0
    assert record(shell.data) == before


def test_the_variable_names_it(shell):
    assert shell(LINE).code == 0
    accepted_just_now(shell.data, "variable LAION_FMRI_ACCEPT_LICENSE")


@pytest.mark.slow
def test_another_directory_asks_again(shell):
    assert shell(LINE).code == 0
    (shell.home / "other").mkdir()
    done = shell(LINE, LAION_FMRI_DATA_DIR=str(shell.home / "other"), **UNSET)
    assert done.code == ExitCode.LICENSE


@pytest.mark.parametrize("name", ["MIT", "yes", "CC0", "cc-by-4.0", "1"])
def test_another_name_is_not_this_licence(shell, name):
    for done in (
        shell(f"{LINE} --accept-license {name}", **UNSET),
        shell(LINE, LAION_FMRI_ACCEPT_LICENSE=name),
    ):
        assert done.code == ExitCode.USAGE
        assert "the licence of LAION-fMRI is CC0-1.0, but the" in done.err
        assert repr(name) in done.err
    assert not (shell.data / ".laion_fmri" / "license_accepted").exists()


@pytest.mark.slow
def test_in_a_terminal_i_agree_is_enough(shell):
    code, screen = shell.in_terminal(LINE + " --json", b"I AGREE\n", **UNSET)
    talk, _, data = screen.partition("--stdout--")
    assert code == 0
    assert URL in talk
    assert "Type I AGREE to continue." in talk
    assert data.strip().startswith("{")  # the prompt is no data
    accepted_just_now(shell.data, "terminal")
    assert on_disk(shell.data)
    code, screen = shell.in_terminal(LINE, **UNSET)
    assert code == 0
    assert "AGREE" not in screen


@pytest.mark.parametrize("typed", [b"yes\n", b"i agree\n", b"\n", b"\x04"])
def test_in_a_terminal_anything_else_is_a_no(shell, typed):
    code, screen = shell.in_terminal(LINE, typed, **UNSET)
    assert code == ExitCode.LICENSE
    assert "the licence was not accepted" in screen
    assert "Traceback" not in screen
    assert not on_disk(shell.data)


def test_ctrl_c_at_the_question_is_an_interruption(shell):
    code, screen = shell.in_terminal(LINE, b"\x03", **UNSET)
    assert code == ExitCode.INTERRUPTED
    assert "Traceback" not in screen
    assert not on_disk(shell.data)


def test_python_accepts_by_name_or_raises(user):
    with pytest.raises(LicenseNotAcceptedError, match=r"accept_license='CC0-1\.0'"):
        download("03", ses="averages")
    with pytest.raises(UsageError, match="'GPL'"):
        download("03", ses="averages", accept_license="GPL")
    assert download("03", ses="averages", accept_license="cc0-1.0").ok
    accepted_just_now(user, "argument")
    assert download("03", ses="averages").ok


def test_what_the_public_package_wrote_down_counts(user):
    folder = user / ".laion_fmri"
    folder.mkdir()
    (folder / "license_accepted").write_text("accepted\n")
    assert download("03", ses="averages").ok
    assert record(user) == "accepted\n"


@pytest.mark.slow
def test_a_dry_run_info_and_verify_ask_nothing(shell):
    for line in (LINE + " --dry-run", "laion-fmri info", "laion-fmri verify"):
        assert shell(line, **UNSET).code == 0
    assert not on_disk(shell.data)
