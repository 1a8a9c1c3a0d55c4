"""The S3 client of `awscrt` fetches an object: `_awscrt_s3.py URL BUCKET KEY FILE [MIB]`.

It is what a program would get by calling it: the client's own number of connections and part sizes,
and its own bound to its memory unless MIB gives one (256 is the least it takes); its check against
the checksum of the whole object, where the server has one. The file is flushed to the disk at the
end, as ours are.
"""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import urlsplit

from awscrt.http import HttpHeaders, HttpRequest
from awscrt.s3 import S3ChecksumConfig, S3Client, S3RequestTlsMode, S3RequestType


def main(url: str, bucket: str, key: str, file: str, mib: str = "0") -> None:
    """Fetch an object; without credentials, so that nothing is signed."""
    client = S3Client(
        region="us-west-2", tls_mode=S3RequestTlsMode.DISABLED, memory_limit=int(mib) << 20
    )
    ended: dict[str, Any] = {}
    request = client.make_request(
        type=S3RequestType.GET_OBJECT,
        request=HttpRequest(
            "GET", f"/{bucket}/{key}", HttpHeaders([("host", urlsplit(url).netloc)])
        ),
        recv_filepath=file,
        checksum_config=S3ChecksumConfig(validate_response=True),
        on_done=lambda **told: ended.update(told),
    )
    request.finished_future.result()
    with open(file, "rb") as written:
        os.fsync(written.fileno())
    print("validated" if ended["did_validate_checksum"] else "not validated")


if __name__ == "__main__":
    main(*sys.argv[1:])
