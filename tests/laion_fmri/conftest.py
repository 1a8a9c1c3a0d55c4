"""Servers and users that the tests of the commands share.

A file whose tests need another scope, or another server, has a fixture of the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.access_world import service_of, stimuli
from tests.faces import Shell, make_s3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbed.access import AccessServer
    from testbed.s3 import S3Server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """A server with two subjects and few trials, for the tests of one file."""
    with make_s3() as server:
        yield server


@pytest.fixture
def service() -> Iterator[AccessServer]:
    """An access service that hands out the stimuli."""
    with service_of(stimuli()) as server:
        yield server


@pytest.fixture
def shell(tmp_path, s3) -> Shell:
    """A user who has never used the package."""
    return Shell(tmp_path, s3.url)


@pytest.fixture
def user(shell, monkeypatch) -> Path:
    """The same user in Python; returns the data directory."""
    for name, text in shell.env.items():
        monkeypatch.setenv(name, text)
    return shell.data
