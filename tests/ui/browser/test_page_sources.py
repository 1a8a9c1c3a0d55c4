"""The files of the page: what is vendored, what the types say, what a strict policy allows."""

import hashlib
import json
import re
import shutil
import subprocess

import pytest

from tests.ui.browser.browser_world import STATIC, WEB

LOCK = json.loads((WEB / "package-lock.json").read_text())
OURS = sorted(path for path in STATIC.glob("*.js"))


def test_the_viewer_is_the_one_that_was_built():
    digest, _, name = (STATIC / "niivue.sha256").read_text().partition("  ")
    assert hashlib.sha256((STATIC / name.strip()).read_bytes()).hexdigest() == digest


def test_the_licence_of_each_package_in_the_viewer_comes_with_it():
    notice = (STATIC / "NOTICE").read_text()
    mandatory = [
        "@niivue/niivue",
        "fflate",
        "gl-matrix",
        "nifti-reader-js",
        "array-equal",
        "@lukeed/uuid",
    ]
    for name in (*mandatory, "@ungap/structured-clone"):
        version = LOCK["packages"][f"node_modules/{name}"]["version"]
        assert f"{name} {version} (" in notice
    assert notice.count("WITHOUT WARRANT") + notice.count('PROVIDED "AS IS"') >= 7
    assert "Apache License" in notice


def test_the_lock_has_a_digest_and_an_exact_version_of_all_and_names_no_host():
    wanted = json.loads((WEB / "package.json").read_text())
    every = {**wanted["dependencies"], **wanted["devDependencies"]}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in every.values())
    for path, package in LOCK["packages"].items():
        assert path == "" or package["integrity"].startswith("sha512-"), path
        assert "resolved" not in package, path


def test_the_page_names_no_other_site():
    for path in (*OURS, *STATIC.glob("*.css"), STATIC / "index.html"):
        found = re.findall(r"https?://[^\s\"'`)]+", path.read_text())
        assert set(found) <= {"http://www.w3.org/2000/svg"}, path


def test_no_text_becomes_html_and_no_style_or_script_is_inline():
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    dangerous = r"\.innerHTML|\.outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    for path in OURS:
        assert not re.search(dangerous, path.read_text()), path


def test_the_modules_are_small_and_each_says_what_it_is():
    for path in OURS:
        text = path.read_text()
        assert text.startswith("// "), path
        assert len(text.splitlines()) < 520, path


@pytest.mark.slow
def test_tsc_in_its_strictest_form_finds_nothing():
    tsc = WEB / "node_modules/.bin/tsc"
    if shutil.which("node") is None or not tsc.exists():
        pytest.skip("node or tsc is not installed: `npm ci` in tools/web installs tsc")
    done = subprocess.run([tsc, "-p", WEB], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.slow
def test_the_viewer_can_be_built_again_byte_for_byte(tmp_path):
    if shutil.which("node") is None or not (WEB / "node_modules/esbuild").exists():
        pytest.skip("node or esbuild is not installed: `npm ci` in tools/web installs esbuild")
    command = ["node", WEB / "build.mjs", tmp_path]
    subprocess.run(command, capture_output=True, text=True, check=True)
    for name in ("niivue.mjs", "NOTICE", "niivue.sha256"):
        assert (tmp_path / name).read_bytes() == (STATIC / name).read_bytes(), name
