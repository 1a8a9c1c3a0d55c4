"""File systems of their own that tests mount; only root may."""

import contextlib
import os
import shutil
import subprocess

import pytest


@contextlib.contextmanager
def tmpfs(where, size):
    """Mount a file system in memory at a new folder; the test is skipped where that cannot be."""
    where.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where)]
    if mount is None or os.geteuid() != 0 or subprocess.run(command, check=False).returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


@contextlib.contextmanager
def read_only(folder, where):
    """Mount a folder at another place, where nobody may write, not even root."""
    where.mkdir()
    mount = shutil.which("mount")
    steps = (["--bind", str(folder), str(where)], ["-o", "remount,bind,ro", str(where)])
    if mount is None or os.geteuid() != 0:
        pytest.skip("a file system cannot be mounted here")
    if subprocess.run([mount, *steps[0]], check=False).returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        subprocess.run([mount, *steps[1]], check=True)
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


@contextlib.contextmanager
def being(user, group=None, groups=()):
    """Be another user for a while; only root may."""
    if os.geteuid() != 0:
        pytest.skip("only root may be another user")
    before = os.getgroups()
    os.setgroups(list(groups))
    os.setegid(user if group is None else group)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)
