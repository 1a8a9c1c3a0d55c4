"""`make test` brings what the tests in a browser need, or says in one line what is skipped.

The script is run as `make` runs it, with a PATH that has nothing but what a test puts there: the
programs of other people (`apt-get`, `npm`, `chromium`) are small scripts that note their call.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tools" / "browser.sh"
TOOLS = ("sh", "dirname", "env", "timeout", "grep", "mktemp", "tail", "rm", "id", "cat", "chmod")
BROWSER = '#!/bin/sh\necho "Chromium 1"\n'


class Machine:
    """A machine with few programs on it."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "bin"
        self.web = folder / "web"
        self.calls = folder / "calls"
        self.release = folder / "os-release"
        self.programs.mkdir()
        self.web.mkdir()
        self.calls.touch()
        self.release.write_text('NAME="Debian GNU/Linux"\nID=debian\n')
        for name in TOOLS:
            found = shutil.which(name)
            assert found, name
            (self.programs / name).symlink_to(found)

    def has(self, name: str, script: str = "#!/bin/sh\n") -> None:
        (self.programs / name).unlink(missing_ok=True)
        (self.programs / name).write_text(script)
        (self.programs / name).chmod(0o755)

    def has_package_lists(self, then: str) -> None:
        self.has("apt-get", f'#!/bin/sh\necho "apt-get $*" >> {self.calls}\n{then}\n')

    def has_npm(self, then: str) -> None:
        self.has("npm", f'#!/bin/sh\necho "npm $* in $PWD" >> {self.calls}\n{then}\n')

    def is_of(self, user: int) -> None:
        self.has("id", f"#!/bin/sh\necho {user}\n")

    def run(self) -> list[str]:
        """Return the lines that were printed; it never fails."""
        done = subprocess.run(
            [self.programs / "sh", SCRIPT],
            env={
                "PATH": str(self.programs),
                "NEUROFETCH_WEB": str(self.web),
                "NEUROFETCH_OS_RELEASE": str(self.release),
                "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout.splitlines()

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    made.is_of(0)
    return made


def test_where_all_is_here_nothing_is_said_and_nothing_asked(machine):
    machine.has("chromium", BROWSER)
    machine.has_package_lists("exit 1")
    assert machine.run() == []
    assert machine.called() == []


def test_on_debian_root_gets_chromium(machine):
    machine.has_package_lists(
        f"case \"$*\" in *install*) printf %s '{BROWSER}' > {machine.programs}/chromium;"
        f" chmod +x {machine.programs}/chromium;; esac"
    )
    (said,) = machine.run()
    assert "installed now" in said
    update, install = machine.called()
    assert update.endswith(" update")
    assert install.endswith(" install --yes --no-install-recommends chromium")


def test_who_is_not_root_is_told_how_to_get_it(machine):
    machine.is_of(1000)
    machine.has_package_lists("exit 0")
    (said,) = machine.run()
    assert "only root" in said
    assert "skipped" in said
    assert "apt-get install chromium" in said
    assert machine.called() == []


@pytest.mark.parametrize(
    "release",
    ["ID=ubuntu\nID_LIKE=debian\n", "ID=fedora\n", "", None],
    ids=["a Chromium that is a snap", "another system", "no name", "no file"],
)
def test_on_another_system_nothing_is_installed(machine, release):
    if release is None:
        machine.release.unlink()
    else:
        machine.release.write_text(release)
    machine.has_package_lists("exit 0")
    (said,) = machine.run()
    assert "skipped" in said
    assert machine.called() == []


def test_without_apt_the_tests_are_skipped(machine):
    (said,) = machine.run()
    assert "skipped" in said


@pytest.mark.parametrize(
    "then",
    [
        "echo 'Temporary failure resolving'; exit 100",
        'case "$*" in *update*) ;; *) echo E: Unable to locate package; exit 100;; esac',
        "exit 0",
    ],
    ids=["no network", "no such package", "it installs nothing that runs"],
)
def test_an_install_that_fails_is_said_and_ends_nothing(machine, then):
    machine.has_package_lists(then)
    said = machine.run()
    assert "could not be installed" in said[-1]
    assert "skipped" in said[-1]


def test_a_chromium_that_does_not_run_is_none(machine):
    machine.is_of(1000)
    machine.has("chromium", "#!/bin/sh\necho 'requires the snap' >&2\nexit 1\n")
    machine.has_package_lists("exit 0")
    assert "skipped" in machine.run()[-1]


def test_modules_come_once(machine):
    machine.has("chromium", BROWSER)
    (machine.web / "package-lock.json").write_text("{}")
    os.utime(machine.web / "package-lock.json", (1, 1))
    made = machine.programs.parent / "made"
    made.write_text("{}")
    (machine.programs / "mkdir").symlink_to(shutil.which("mkdir"))
    (machine.programs / "cp").symlink_to(shutil.which("cp"))
    machine.has_npm(f"mkdir node_modules && cp {made} node_modules/.package-lock.json")
    assert machine.run() == []
    (call,) = machine.called()
    assert call.startswith("npm ci ")
    assert "--ignore-scripts" in call  # nobody's program runs because it was installed
    assert call.endswith(f" in {machine.web}")
    assert machine.run() == []
    assert len(machine.called()) == 1


def test_modules_come_again_for_another_lock(machine):
    machine.has("chromium", BROWSER)
    (machine.web / "node_modules").mkdir()
    (machine.web / "node_modules" / ".package-lock.json").write_text("{}")
    os.utime(machine.web / "node_modules" / ".package-lock.json", (1, 1))
    (machine.web / "package-lock.json").write_text("{}")
    machine.has_npm("exit 0")
    assert machine.run() == []
    assert len(machine.called()) == 1


def test_without_npm_a_line_says_what_is_skipped(machine):
    machine.has("chromium", BROWSER)
    (machine.web / "package-lock.json").write_text("{}")
    (said,) = machine.run()
    assert "npm is not here" in said
    assert "skipped" in said


def test_modules_that_cannot_come_leave_no_half(machine):
    machine.has("chromium", BROWSER)
    (machine.web / "package-lock.json").write_text("{}")
    (machine.web / "node_modules" / "half").mkdir(parents=True)
    machine.has_npm("echo 'npm error ENOTFOUND'; exit 1")
    said = machine.run()
    assert said[0] == "npm error ENOTFOUND"
    assert "skipped" in said[-1]
    assert not (machine.web / "node_modules").exists()


def test_both_are_said_where_both_are_absent(machine):
    (machine.web / "package-lock.json").write_text("{}")
    said = machine.run()
    assert len(said) == 2
    assert all("skipped" in line for line in said)


@pytest.mark.parametrize(("goal", "asks"), [("test", True), ("demo", False), ("check", False)])
def test_make_asks_for_a_browser_for_the_tests_alone(goal, asks):
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not here")
    plan = subprocess.run(
        [make, "--dry-run", goal], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert ("tools/browser.sh" in plan) is asks
