"""A page that runs, local servers for it to ask, and a client that is no browser."""

from __future__ import annotations

import http.client
import json
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from testbed.neurovault import NeuroVault
from testbed.openneuro import OpenNeuro, small_tree
from testbed.s3 import S3Server
from tests.faces import REFUSED, SMALL, Shell, bucket

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SLOW = {"sub-01/func/sub-01_task-rest_bold.nii.gz": bytes(range(256)) * 16_384}
"""A file of 4 MB, which takes seconds where the server sends slowly."""
ACCEPTED = {"LAION_FMRI_ACCEPT_LICENSE": None}


class World:
    """Local servers in the place of those on the internet."""

    def __init__(self) -> None:
        study = {f"ds/{path}": content for path, content in small_tree(subjects=3).items()}
        self.s3 = S3Server(
            {"laion-fmri": bucket(SMALL), "study": study, "slow": SLOW}, forbidden=REFUSED
        )
        self.neurovault, self.openneuro = NeuroVault(), OpenNeuro()
        self.openneuro.add("ds000001", {"1.0.0": small_tree(), "1.1.0": small_tree(seed=1)})
        self.neurovault.vault.add_collection(457, images=range(40, 50))
        self.neurovault.vault.add_collection(1952, images=range(10, 40))

    @contextmanager
    def open(self) -> Iterator[World]:
        with self.s3, self.neurovault, self.openneuro:
            yield self

    @property
    def variables(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.s3.url,
            "NEUROVAULT_API_URL": self.neurovault.api_url,
            "NEUROSYNTH_API_URL": self.neurovault.neurosynth_url,
            "OPENNEURO_URL": self.openneuro.url,
        }

    def shell(self, home: Path) -> Shell:
        """A user in this world, who has accepted nothing."""
        made = Shell(home, self.s3.url)
        made.env |= self.variables
        for name in ("LAION_FMRI_ACCEPT_LICENSE", "LAION_FMRI_DATA_DIR"):
            made.env.pop(name, None)
        return made


class Answer:
    """What the page's server answered."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks a page as its own browser page does, or as somebody else.

    Parameters
    ----------
    url
        With the token.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.port is not None
        self.port, self.base, self.url = parts.port, parts.path, url
        self.host = f"127.0.0.1:{parts.port}"
        self.token = parts.query.removeprefix("token=")
        self.headers: dict[str, str] = {}

    def enter(self) -> Client:
        """Exchange the token for the cookie."""
        answer = self.raw("GET", f"{self.base}?token={self.token}")
        assert answer.status == 200
        self.headers["Cookie"] = answer.headers["set-cookie"].partition(";")[0]
        key = re.search(rb'name="neurofetch-key" content="([^"]+)"', answer.body)
        assert key is not None
        self.headers["X-Neurofetch-Key"] = key[1].decode()
        return self

    def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Ask; a header that is None is left out."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        every = {"Host": self.host, **self.headers, **(headers or {})}
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in every.items():
                if value is not None:
                    connection.putheader(name, value)
            if body is not None and "Content-Length" not in every:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.raw("GET", f"{self.base}{path}")

    def post(self, path: str, body: object = None, **headers: str | None) -> Answer:
        own = {"Content-Type": "application/json", "X-Neurofetch": "1", **headers}
        text = json.dumps({} if body is None else body).encode()
        return self.raw("POST", f"{self.base}{path}", text, own)

    def done(self, path: str, *, while_: tuple[str, ...], seconds: float = 60) -> Any:
        """Ask until a thing is not in one of these states any more."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = self.get(path).json
            if found["state"] not in while_:
                return found
            time.sleep(0.05)
        raise AssertionError(f"still {found['state']}: {found}")

    def catalogue(self, source: Mapping[str, object], folder: str = "") -> Any:
        to = {"directory": "d1", "folder": folder}
        made = self.post("api/catalogues", {"source": source, "to": to})
        assert made.status == 200, made.body
        return self.done(f"api/catalogues/{made.json['catalogue']}", while_=("listing",))

    def plan(self, catalogue: Mapping[str, Any], choice: Mapping[str, object]) -> Any:
        body = {"catalogue": catalogue["catalogue"], "choice": choice, "to": catalogue["to"]}
        made = self.post("api/plans", body)
        assert made.status == 200, made.body
        return self.job(made.json)

    def job(self, job: Mapping[str, Any]) -> Any:
        return self.done(f"api/jobs/{job['job']}", while_=("running", "pausing"))

    def run(self, plan: Mapping[str, Any]) -> Any:
        made = self.post(f"api/jobs/{plan['job']}/start")
        assert made.status == 200, made.body
        return made.json


@contextmanager
def page(
    shell: Shell, *words: str, **env: str | None
) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """A page that runs in a process of its own."""
    process = shell.start(" ".join(("neurofetch ui --no-browser", *words)), **env)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert url, process.communicate()
        yield process, Client(url)
    finally:
        process.terminate()
        process.communicate(timeout=30)
