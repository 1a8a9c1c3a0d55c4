"""The licence: asked for once a data directory, wherever somebody, or a script, can answer."""

import os
import re
import sys
from datetime import UTC, datetime, timedelta

import pytest

from laion_fmri._license import _NO, _YES, _normal
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


YES = ("I AGREE", "i agree", "I AGREE.", "'I Agree'", "agree", "yes", "Y", "Yes, I agree!", "cc0")
NO = ("no", "N", "", "nope", "I do not agree", "I don't agree.", "quit")


@pytest.mark.slow
@pytest.mark.parametrize("typed", [b"i agree.\n", b"yes\n", b"what?\ny\n", b"why\nCC0\n"])
def test_in_a_terminal_an_answer_is_taken_by_its_meaning(shell, typed):
    code, screen = shell.in_terminal(LINE, typed, **UNSET)
    assert code == 0, screen
    assert ("is neither yes nor no" in screen) == (typed.count(b"\n") == 2)
    accepted_just_now(shell.data, "terminal")


@pytest.mark.parametrize(
    "typed", [b"no\n", b"\n", b"\x04", b"\x03", b"nope\n", b"a\nb\nc\n", b"a\nb\n\x04"]
)
def test_in_a_terminal_a_no_of_any_kind_moves_no_byte(shell, s3, typed):
    code, screen = shell.in_terminal(LINE, typed, **UNSET)
    assert code == ExitCode.LICENSE
    assert "the licence was not accepted" in screen
    assert "Nothing was fetched" in screen
    assert screen.count("neither yes nor no") == (2 if b"b" in typed else 0)
    assert "Traceback" not in screen
    assert not on_disk(shell.data)
    assert not (shell.data / ".laion_fmri" / "license_accepted").exists()


@pytest.mark.slow
def test_it_is_asked_once_the_plan_is_shown(shell):
    """The class: a question about something that is not known yet."""
    for more in ("", " --quiet", " --progress json"):
        _, screen = shell.in_terminal(LINE + more, b"no\n", **UNSET)
        (summed_up,) = re.finditer(r"^to fetch ", screen, re.M)
        assert summed_up.start() < screen.index("Type I AGREE")


def test_answers_by_meaning():
    assert all(_normal(text) in _YES for text in YES)
    assert all(_normal(text) in _NO for text in NO)
    assert not _YES & _NO
    assert not {_normal(text) for text in ("maybe", "yes?", "no way to say", "MIT")} & (_YES | _NO)


KERNEL = """
import sys, types
sys.path[:0] = {path!r}

class StdinNotImplementedError(NotImplementedError):
    "As IPython.core.error has it."

answers = {answers!r}

def asks_the_notebook(prompt=""):
    print("prompt:", prompt)
    if answers is None:
        raise StdinNotImplementedError("raw_input was called, but this frontend does not support")
    answer = answers.pop(0)
    if answer is KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted by user")
    return answer

import builtins
builtins.input = asks_the_notebook  # as ipykernel's kernel does
shell = types.SimpleNamespace(kernel=object())
ipython = types.ModuleType("IPython")
ipython.get_ipython = lambda: shell
sys.modules["IPython"] = ipython
from laion_fmri.download import download
from laion_fmri.errors import LicenseNotAcceptedError
try:
    print(download("03", ses="averages", progress=False).ok)
except LicenseNotAcceptedError as error:
    print("refused:", error)
"""


def in_a_kernel(shell, answers):
    """Run a download where `input` and `get_ipython` behave as in a Jupyter kernel."""
    script = KERNEL.format(path=sys.path, answers=answers).replace(
        "<class 'KeyboardInterrupt'>", "KeyboardInterrupt"
    )
    (shell.home / "cell.py").write_text(script)
    return shell(f"{sys.executable} cell.py", **UNSET)


@pytest.mark.slow
def test_a_notebook_is_asked_although_its_stdin_is_no_terminal(shell):
    done = in_a_kernel(shell, ["hm", "i agree"])
    assert done.out.split("\n")[:3] == ["prompt: I AGREE? ", "prompt: I AGREE? ", "True"], done.err
    assert done.err.index("to fetch ") < done.err.index("Type I AGREE")
    assert "'hm' is neither yes nor no" in done.err
    accepted_just_now(shell.data, "notebook")
    assert in_a_kernel(shell, None).out == "True\n"  # it is remembered: nobody is asked


@pytest.mark.parametrize("answers", [["no"], [""], [KeyboardInterrupt], ["a", "b", "c"]])
def test_a_no_in_a_notebook_moves_no_byte(shell, answers):
    done = in_a_kernel(shell, answers)
    assert "refused: the licence was not accepted" in done.out
    assert not on_disk(shell.data)


def test_a_notebook_that_nobody_reads_is_told_what_to_set(shell):
    """As under nbconvert and papermill."""
    done = in_a_kernel(shell, None)
    assert "refused:" in done.out
    assert "accept_license='CC0-1.0'" in done.out
    assert "LAION_FMRI_ACCEPT_LICENSE=CC0-1.0" in done.out
    assert not on_disk(shell.data)


def cells(tmp_path, s3, script, *, allow_stdin, answer=""):
    """Run code in a real kernel, as nbclient or JupyterLab do; return what it printed."""
    manager = pytest.importorskip("jupyter_client").KernelManager(kernel_name="python3")
    pytest.importorskip("ipykernel")
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    env = {**os.environ, "AWS_ENDPOINT_URL": s3.url, "LAION_FMRI_DATA_DIR": str(data)}
    env |= {"IPYTHONDIR": str(tmp_path / ".ipython"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    env.pop("LAION_FMRI_ACCEPT_LICENSE", None)
    manager.start_kernel(env=env, cwd=str(tmp_path))
    client = manager.blocking_client()
    said = []

    def output(message):
        content = message["content"]
        said.append(content.get("text") or "\n".join(content.get("traceback", ())))

    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        client.execute_interactive(
            script,
            allow_stdin=allow_stdin,
            output_hook=output,
            stdin_hook=lambda _: client.input(answer),
            timeout=60,
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
    return "".join(said)


CELL = """
from laion_fmri.download import download
print(download("03", ses="averages", progress=False).ok)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_real_kernel_asks_and_one_without_stdin_says_what_to_set(tmp_path, s3):
    said = cells(tmp_path, s3, CELL, allow_stdin=False)
    assert "LicenseNotAcceptedError" in said
    assert "LAION_FMRI_ACCEPT_LICENSE" in said
    assert not on_disk(tmp_path / "data")
    said = cells(tmp_path, s3, CELL, allow_stdin=True, answer="nope")
    assert "the licence was not accepted" in said
    assert not on_disk(tmp_path / "data")
    said = cells(tmp_path, s3, CELL, allow_stdin=True, answer="i agree")
    assert said.index("to fetch ") < said.index("Type I AGREE") < said.index("True")
    accepted_just_now(tmp_path / "data", "notebook")


@pytest.mark.slow
def test_processes_that_ask_at_the_same_time_all_go_on(shell):
    (shell.home / "go.sh").write_text(
        "\n".join(f"{LINE} --accept-license CC0-1.0 &" for _ in range(4)) + "\nwait\n"
    )
    assert shell("sh go.sh", **UNSET).code == 0
    accepted_just_now(shell.data, "argument")
    assert len(on_disk(shell.data)) > 0


def test_python_accepts_by_name_or_raises(user):
    with pytest.raises(LicenseNotAcceptedError, match=r"accept_license='CC0-1\.0'"):
        download("03", ses="averages")
    with pytest.raises(UsageError, match="'GPL'"):
        download("03", ses="averages", accept_license="GPL")
    with pytest.raises(UsageError, match="True"):
        download("03", ses="averages", accept_license=True)
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
    for line in (LINE + " --dry-run", "laion-fmri info"):
        assert shell(line, **UNSET).code == 0
    assert shell("laion-fmri verify", **UNSET).code == 3  # there is nothing to verify
    assert not on_disk(shell.data)
