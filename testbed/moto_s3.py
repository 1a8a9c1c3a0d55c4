"""A bucket of moto, the public S3 imitation, on loopback: the second opinion beside `S3Server`.

The server runs in a thread of this process. Whole objects are put straight into moto's storage,
which takes a hundredth of the time of as many signed requests (1,100 objects: 0.05 s instead of
5 s); objects in parts are uploaded over HTTP with boto3, so that their ETags and checksums are
moto's own. What anonymous readers may not have gets no public ACL, and moto answers 403 for it
while its listing shows it, as the real bucket does.

moto closes the connection after each answer, serves some 230 MB/s, knows CRC-32C only where another
package is installed, and takes no part below 5 MiB but the last.
"""

import logging
import ssl
import threading
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Self

import boto3
from botocore.config import Config
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.models import get_canned_acl, s3_backends
from werkzeug.serving import make_server

from testbed._blobs import pieces
from testbed._objects import Content, S3Object
from testbed._uploads import upload_parts

__all__ = ["MotoS3"]

_ALLOW_ALL = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
)
_TRUST_ALL = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, '
    '"Action": "sts:AssumeRole"}]}'
)


class MotoS3:
    """A bucket of moto, filled, anonymous and read-only for those who do not sign.

    Parameters
    ----------
    objects
        By key: bytes, a path, or an `S3Object` with its part size and checksum. Whole objects get
        the checksum that `S3Object` names; objects in parts get moto's.
    bucket
        Its name; one process can serve a name only once at a time.
    region
        Where the bucket says it is.
    forbidden
        Globs of keys that are listed and answered with 403.
    tls
        A server-side context: speak HTTPS. No object may be in parts then: they are uploaded.
    """

    def __init__(
        self,
        objects: Mapping[str, Content | S3Object],
        bucket: str = "laion-fmri",
        *,
        region: str = "us-west-2",
        forbidden: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.bucket = bucket
        self.tls = tls
        self.region = region
        self.forbidden = tuple(forbidden)
        self._objects = objects
        self._storage: Any = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self._server.port}"

    def client(self) -> Any:
        """Return a boto3 client that may write."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=self.region,
            aws_access_key_id="testbed",
            aws_secret_access_key="testbed",
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )

    def user(self, name: str) -> tuple[str, str]:
        """Make a user who may do everything; return the access key id and the secret."""
        iam = self._service("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=_ALLOW_ALL)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return made["AccessKeyId"], made["SecretAccessKey"]

    def role(self, name: str) -> str:
        """Make a role that any user of the account may assume, and that may do everything."""
        iam = self._service("iam")
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_TRUST_ALL)
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=_ALLOW_ALL)
        return str(made["Role"]["Arn"])

    def _service(self, name: str) -> Any:
        return boto3.client(
            name,
            endpoint_url=self.url,
            region_name=self.region,
            aws_access_key_id="testbed",
            aws_secret_access_key="testbed",
            config=Config(proxies={}),
        )

    def put(self, key: str, content: Content | S3Object) -> None:
        """Add or replace an object."""
        item = content if isinstance(content, S3Object) else S3Object(content)
        if item.part_size is None:
            self._put_whole(key, item)
        else:
            self._put_parts(key, item, item.part_size)
        self.publish(key)

    def publish(self, key: str) -> None:
        """Let anonymous readers have an object, unless it is forbidden."""
        refused = any(fnmatchcase(key, pattern) for pattern in self.forbidden)
        acl = get_canned_acl("private" if refused else "public-read")
        self._storage.put_object_acl(self.bucket, key, acl)

    def delete(self, key: str) -> None:
        """Take an object away."""
        self._storage.delete_object(self.bucket, key)

    def _put_whole(self, key: str, item: S3Object) -> None:
        content = b"".join(pieces(item.blob))
        self._forget(key)
        stored = self._storage.put_object(self.bucket, key, content)
        for name, value in item.checksum_headers.items():
            if name == "x-amz-checksum-type":
                stored.checksum_type = value
            else:
                stored.checksum_algorithm = name.removeprefix("x-amz-checksum-").upper()
                stored.checksum_value = value

    def _put_parts(self, key: str, item: S3Object, part_size: int) -> None:
        client, where = self.client(), {"Bucket": self.bucket, "Key": key}
        checksum = {} if item.checksum is None else {"ChecksumAlgorithm": item.checksum.upper()}
        kind = {} if item.checksum is None else {"ChecksumType": item.checksum_type}
        starts = range(0, item.size, part_size)
        parts = (item.blob.read(at, min(at + part_size, item.size)) for at in starts)
        upload_parts(client, where, parts, checksum=checksum, **kind)

    def _forget(self, key: str) -> None:
        """Close the temporary file of an object that is about to be replaced."""
        for old in self._storage.buckets[self.bucket].keys.getlist(key, []):
            old.dispose()

    def __enter__(self) -> Self:
        self._logger = logging.getLogger("werkzeug")
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)  # no line on stderr for every request
        application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1",
            0,
            application,
            threaded=True,
            request_handler=MotoRequestHandler,
            ssl_context=self.tls,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        try:
            self._storage.create_bucket(self.bucket, self.region)
            for key, content in self._objects.items():
                self.put(key, content)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._logger.setLevel(self._level)
        bucket = self._storage.buckets.pop(self.bucket, None)
        s3_backends.bucket_accounts.pop(self.bucket, None)
        iam_backends.reset()
        if bucket is not None:
            for stored in bucket.keys.values():
                stored.dispose()
            for upload in bucket.multiparts.values():
                upload.dispose()
