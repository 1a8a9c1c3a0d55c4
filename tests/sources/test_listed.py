"""Files whose list is known already, as a source."""

from __future__ import annotations

import contextlib
import hashlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofetch.engine import Attempts, Client, ListedSource
from neurofetch.model import Digest, RemoteFile
from testbed.s3 import S3Server
from tests.sources.contract import NETWORK, QUICK, Served, SourceContract, keys, model_level


class TestListedSource(SourceContract):
    @pytest.fixture
    def serve(self):
        with contextlib.ExitStack() as stack:

            def serve(files, *, page_size=1000, network=NETWORK, rules=QUICK):
                s3 = stack.enter_context(S3Server({"b": files}))
                client = stack.enter_context(Client(network))
                listed = [
                    RemoteFile(
                        key,
                        f"{s3.url}/b/{quote(key)}",
                        len(content),
                        digest=Digest("sha256", hashlib.sha256(content).hexdigest()),
                    )
                    for key, content in files.items()
                ]
                return Served(ListedSource(listed), client, Attempts(rules), {"*": s3})

            yield serve


def remote(key: str, url: str = "https://example.org/f") -> RemoteFile:
    return RemoteFile(key, url, 1)


def test_a_file_that_appears_twice_counts_once():
    source = ListedSource([remote("b"), remote("a"), remote("b")])
    assert keys(source.walk("")) == ["a", "b"]
    assert keys(source.level("").files) == ["a", "b"]


def test_the_files_may_come_from_a_generator():
    source = ListedSource(remote(key) for key in ("b", "a"))
    assert keys(source.walk("")) == keys(source.walk("")) == ["a", "b"]


def test_it_is_called_what_it_was_given_for_a_name():
    assert ListedSource([]).name == "a list of files"
    assert ListedSource([], "a lock file").name == "a lock file"


@given(st.lists(st.text("ab/é", min_size=1, max_size=6)), st.text("ab/", max_size=3))
def test_a_level_is_what_its_definition_says(names, prefix):
    folder = prefix + "/" if prefix else ""
    level = ListedSource(map(remote, names)).level(folder)
    assert (keys(level.files), level.folders) == model_level(set(names), folder)


@given(st.lists(st.text("ab/é", min_size=1, max_size=6)), st.text("ab/é", max_size=3))
def test_a_walk_is_what_its_definition_says(names, prefix):
    found = keys(ListedSource(map(remote, names)).walk(prefix))
    assert found == sorted({name for name in names if name.startswith(prefix)})
