"""Upload an object in parts, to any server that speaks S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["cut", "upload_parts"]


def cut(content: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """Cut bytes into pieces of these sizes."""
    at = 0
    for size in sizes:
        yield content[at : at + size]
        at += size


def upload_parts(
    client: Any,
    where: Mapping[str, str],
    pieces: Iterable[bytes],
    *,
    checksum: Mapping[str, str] | None = None,
    **kind: str,
) -> None:
    """Upload the pieces as parts, one after another, and close the client.

    Parameters
    ----------
    client : client of boto3 for S3
    where : mapping of str to str
        ``Bucket`` and ``Key``.
    pieces : iterable of bytes
    checksum : mapping of str to str, optional
        What the upload and each of its parts say of checksums.
    **kind : str
        What only the beginning and the end of the upload say.
    """
    each = dict(checksum or {})
    upload = client.create_multipart_upload(**where, **each, **kind)["UploadId"]
    parts = []
    for number, piece in enumerate(pieces, 1):
        made = client.upload_part(**where, UploadId=upload, PartNumber=number, Body=piece, **each)
        parts.append({"PartNumber": number, "ETag": made["ETag"]})
    client.complete_multipart_upload(
        **where, UploadId=upload, MultipartUpload={"Parts": parts}, **kind
    )
    client.close()
