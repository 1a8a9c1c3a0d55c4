"""The smallest whole source: an index of JSON pages. CONTRIBUTING.md leads here.

It also sees to it that the contract is about sources, and not about S3.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from urllib.parse import quote, urlencode

import pytest

from neurofetch.engine import Attempts, Client, Level, ListedSource, Request, failure
from neurofetch.errors import ProtocolError
from neurofetch.model import Digest, RemoteFile
from testbed._blobs import Bytes
from testbed._faults import Reply
from testbed._objects import S3Object, serve_object
from testbed._wire import WireServer
from tests.sources.contract import NETWORK, QUICK, ListingContract, Served


class IndexSource:
    """Files that ``URL/index`` lists, a page at a time."""

    notes: tuple[str, ...] = ()

    def __init__(self, client: Client, url: str, attempts: Attempts) -> None:
        self._client = client
        self._attempts = attempts
        self.name = url

    def walk(self, prefix: str) -> list[RemoteFile]:
        files: dict[str, RemoteFile] = {}
        pages = [""]
        for page in pages:
            query = urlencode({"prefix": prefix, "page": page})
            request = Request(f"{self.name}/index?{query}")
            found, following = self._attempts.run(lambda request=request: self._page(request))
            files.update((file.key, file) for file in found)
            if following in pages:
                raise ProtocolError(f"{self.name}: the index leads in a circle")
            if following:
                pages.append(following)
        return [files[key] for key in sorted(files)]

    def level(self, prefix: str) -> Level:
        return ListedSource(self.walk(prefix)).level(prefix)

    def address(self, remote: RemoteFile, *, fresh: bool = False) -> str:  # noqa: ARG002
        return remote.url

    def signed(self, remote: RemoteFile) -> bool:  # noqa: ARG002
        return False

    def _page(self, request: Request) -> tuple[list[RemoteFile], str | None]:
        with self._client.send(request) as response:
            if response.status != 200:
                raise failure(response)
            body = response.read(1 << 20)
        try:
            said = json.loads(body)
            files = [self._file(**row) for row in said["files"]]
            following = said["next"]
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise ProtocolError(f"{self.name}: expected a page of the index") from error
        return files, following

    def _file(self, *, key: str, size: int, sha256: str) -> RemoteFile:
        if not (isinstance(key, str) and isinstance(size, int) and isinstance(sha256, str)):
            raise TypeError(key, size, sha256)
        return RemoteFile(
            key, f"{self.name}/files/{quote(key)}", size, digest=Digest("sha256", sha256)
        )


# -- its server, and the contract ------------------------------------------------------------------


class IndexServer(WireServer):
    def __init__(self, files, page_size):
        super().__init__()
        self._files = {key: S3Object(content) for key, content in files.items()}
        self._page_size = page_size

    def locate(self, method, path, query):  # noqa: ARG002
        return ("INDEX" if path == "/index" else method), "", path.removeprefix("/files/")

    def answer(self, request):
        if request.method != "INDEX":
            return serve_object(self._files[request.key], request.headers)
        found = sorted(key for key in self._files if key.startswith(request.query["prefix"]))
        start = int(request.query["page"] or 0)
        stop = start + self._page_size
        rows = [row(key, self._files[key].blob.read(0, 1 << 20)) for key in found[start:stop]]
        return Reply(blob=Bytes(page(rows, str(stop) if stop < len(found) else None)))


def row(key, content):
    return {"key": key, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def page(rows, following=None):
    return json.dumps({"files": rows, "next": following}).encode()


class TestIndexSource(ListingContract):
    base = "ds1/"

    @pytest.fixture
    def serve(self):
        with contextlib.ExitStack() as stack:

            def serve(files, *, page_size=1000, network=NETWORK, rules=QUICK):
                server = stack.enter_context(IndexServer(files, page_size))
                client, attempts = stack.enter_context(Client(network)), Attempts(rules)
                source = IndexSource(client, server.url, attempts)
                return Served(source, client, attempts, {"*": server}, server, {"method": "INDEX"})

            yield serve

    def nonsense(self):
        wrong = {"key": 1, "size": "1", "sha256": None}
        return [
            b'{"files": []}',
            b'{"files": [1], "next": null}',
            b'{"files": 1, "next": null}',
            *(page([{**row("ds1/a", b"a"), name: value}]) for name, value in wrong.items()),
        ]

    def endless(self):
        return [[page([], "")], [page([], "2"), page([], "3")]]

    def overlapping(self, files):
        rows = [row(key, files[key]) for key in sorted(files, reverse=True)]
        return [page(rows[:3], "2"), page(rows[2:], "3"), page(rows[:1] * 2)]
