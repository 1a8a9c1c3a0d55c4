"""ListObjectsV2: one page of a bucket's listing, as XML."""

import base64
import binascii
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

from testbed._blobs import Bytes
from testbed._faults import Reply
from testbed._objects import S3Object, xml_error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
LAST = "\U0010ffff"  # sorts after everything that begins with a common prefix


@dataclass
class Page:
    """Keys and common prefixes of one page, and where the next one begins."""

    keys: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next_after: str | None = None


def walk(keys: Sequence[str], prefix: str, delimiter: str, after: str, limit: int) -> Page:
    """Return up to ``limit`` keys and common prefixes that follow ``after``; ``keys`` is sorted.

    Examples
    --------
    >>> page = walk(["a/1", "a/2", "b"], "", "/", "", 1)
    >>> page.prefixes, page.next_after == "a/" + LAST
    (['a/'], True)
    >>> walk(["a/1", "a/2", "b"], "", "/", page.next_after, 1)
    Page(keys=['b'], prefixes=[], next_after=None)
    """
    page, last = Page(), after
    at = max(bisect_left(keys, prefix), bisect_right(keys, after))
    while at < len(keys) and keys[at].startswith(prefix):
        if len(page.keys) + len(page.prefixes) == limit:
            page.next_after = last if limit else None
            break
        group = _group(keys[at], prefix, delimiter)
        (page.prefixes if group else page.keys).append(group or keys[at])
        last = group + LAST if group else keys[at]
        at = bisect_right(keys, last, lo=at)
    return page


def _group(key: str, prefix: str, delimiter: str) -> str:
    end = key.find(delimiter, len(prefix)) if delimiter else -1
    return "" if end < 0 else key[: end + len(delimiter)]


def list_page(
    bucket: str,
    keys: Sequence[str],
    objects: Mapping[str, S3Object],
    query: Mapping[str, str],
    page_size: int,
) -> Reply:
    """Answer ``GET /bucket?list-type=2``."""
    asked = query.get("max-keys", "1000")
    token = query.get("continuation-token")
    after = query.get("start-after", "") if token is None else _decode(token)
    if not asked.isdigit() or after is None:
        return xml_error(400, "InvalidArgument", "max-keys or continuation-token is not valid")
    limit = min(int(asked), page_size)
    page = walk(keys, query.get("prefix", ""), query.get("delimiter", ""), after, limit)
    parts = [_head(bucket, query, page, min(int(asked), 1000))]
    coded = query.get("encoding-type") == "url"
    parts += [_contents(key, objects[key], coded) for key in page.keys]
    parts += [
        f"<CommonPrefixes><Prefix>{_text(prefix, coded)}</Prefix></CommonPrefixes>"
        for prefix in page.prefixes
    ]
    body = f'<ListBucketResult xmlns="{NAMESPACE}">{"".join(parts)}</ListBucketResult>'
    xml = '<?xml version="1.0" encoding="UTF-8"?>\n' + body
    return Reply(200, {"Content-Type": "application/xml"}, Bytes(xml.encode()))


def _head(bucket: str, query: Mapping[str, str], page: Page, max_keys: int) -> str:
    coded = query.get("encoding-type") == "url"
    fields = {"Name": bucket, "Prefix": _text(query.get("prefix", ""), coded)}
    for name, key in (("Delimiter", "delimiter"), ("StartAfter", "start-after")):
        if query.get(key):
            fields[name] = _text(query[key], coded)
    if "continuation-token" in query:
        fields["ContinuationToken"] = escape(query["continuation-token"])
    if page.next_after is not None:
        fields["NextContinuationToken"] = _encode(page.next_after)
    fields["KeyCount"] = str(len(page.keys) + len(page.prefixes))
    fields["MaxKeys"] = str(max_keys)
    if coded:
        fields["EncodingType"] = "url"
    fields["IsTruncated"] = "false" if page.next_after is None else "true"
    return "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())


def _contents(key: str, item: S3Object, coded: bool) -> str:
    modified = item.modified.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    etag = item.etag.replace('"', "&quot;")
    checksum = ""
    if item.checksum is not None:
        checksum = f"<ChecksumAlgorithm>{item.checksum.upper()}</ChecksumAlgorithm>"
        checksum += f"<ChecksumType>{item.checksum_type}</ChecksumType>"
    restored = ""
    if item.restored:
        restored = "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>"
        restored += f"<RestoreExpiryDate>{item.restored}</RestoreExpiryDate></RestoreStatus>"
    return (
        f"<Contents><Key>{_text(key, coded)}</Key><LastModified>{modified}</LastModified>"
        f"<ETag>{etag}</ETag>{checksum}"
        f"<Size>{item.size}</Size><StorageClass>{item.storage_class}</StorageClass>{restored}</Contents>"
    )


def _text(value: str, coded: bool) -> str:
    if coded:
        return quote_plus(value, safe="/")
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: f"&#x{ord(found[0]):x};", escape(value))


def _encode(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode()).decode()


def _decode(token: str) -> str | None:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
