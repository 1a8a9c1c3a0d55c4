"""What the demo prints can be read and followed: whole messages, commands that run as shown."""

import shlex
import sys
from pathlib import Path

import pytest

from demo import page
from demo.__main__ import ACTS
from demo._stage import Stage

ROOT = Path(__file__).parent.parent
ADVICE = "Run the same command again to continue where it stopped."


@pytest.fixture
def stage(tmp_path, monkeypatch) -> Stage:
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")  # it sets them, and here they are set back
    monkeypatch.setattr(Stage, "_argv", staticmethod(shlex.split))
    return Stage(tmp_path / "work")


@pytest.mark.parametrize(
    "message",
    [
        f"laion-fmri: stopped. {'Finished files are complete. ' * 9}{ADVICE}",
        f"differs: {'a-long-folder/' * 20}map.nii.gz: its bytes changed. {ADVICE}",
        f"neurofetch: \N{LEFT DOUBLE QUOTATION MARK}{'日本 ' * 80} {ADVICE}",
    ],
    ids=["sentences", "path", "wide"],
)
def test_a_long_message_is_shown_to_its_end(message, stage, tmp_path, capfd):
    script = tmp_path / "say.py"
    script.write_text(f"print({message!r})", encoding="utf-8")
    stage.run(f"{sys.executable} {script}")
    shown = capfd.readouterr().out
    assert message.split() == shown.split("\n", 2)[2].rpartition("   (")[0].split()
    assert "..." not in shown


def test_long_json_is_cut(stage, tmp_path, capfd):
    script = tmp_path / "say.py"
    script.write_text("import json; print(' ', json.dumps({'path': 'x' * 400}))")
    stage.run(f"{sys.executable} {script}")
    assert "xxx...\n" in capfd.readouterr().out


def test_the_demo_ends_with_how_to_open_the_page_and_its_screenshot(capsys):
    assert ACTS[-1] == "page"
    page.ending()
    said = capsys.readouterr().out.splitlines()
    program = shlex.split(said[0].partition(": ")[2])[0]
    assert (ROOT / program).exists(), "the command cannot be run as it stands"
    assert said[0].endswith("neurofetch ui demo/work/page")
    assert ("demo/page.png" in said[-1]) == page.PICTURE.exists()
