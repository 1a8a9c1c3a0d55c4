"""A real OpenNeuro on loopback: its GraphQL, its REST, its bucket of versions, and their bad days.

Two servers, as in life: the site (`OpenNeuro`) lists, streams small files and knows who may read
what; the bucket (`VersionedBucket`) hands out versions of objects. What the site says about files,
errors and pages follows the source of server 5.5.1::

    with OpenNeuro() as site:
        site.add("ds000001", {"1.0.0": small_tree(), "1.1.0": small_tree(subjects=3)})
        site.add_recorded("ds000246", "1.0.1")
        site.fault(key="crn/graphql", asks="recursive", times=1, status=502)
        site.bucket.fault(key="*_T1w.nii.gz", method="GET", times=1, flip=100)
        ...  # a client that is told OPENNEURO_URL=site.url
        assert not site.heads()

In the log, a request's key is its path without the first slash, and `asks` of a fault is what
stands in a query.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, quote_plus, unquote_plus, urlencode

from testbed._blobs import Blob, Bytes
from testbed._faults import Reply, Request, phrase
from testbed._graphql import Api
from testbed._objects import S3Object, serve_object, xml_error
from testbed._snapshots import (
    RECORDS,
    Dataset,
    Snapshot,
    Stored,
    annex_key,
    git_blob_id,
    is_annexed,
    recorded_snapshot,
)
from testbed._wire import WireServer
from testbed.s3 import S3Server

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = [
    "BUCKET",
    "EXPIRED",
    "RECORDED",
    "OpenNeuro",
    "VersionedBucket",
    "odd_tree",
    "small_tree",
    "token_of",
]

BUCKET = "openneuro.org"
#: Snapshots that were recorded: accession number and tag.
RECORDED = (("ds000001", "1.0.0"), ("ds000246", "1.0.1"), ("ds004840", "1.0.1"))
YEAR = 31_536_000
EXPIRED = -YEAR


def token_of(user: str = "reader", *, seconds: int = YEAR, **claims: object) -> str:
    """Return an API key such as the site makes: a JSON Web Token that is good for a year."""
    now = int(time.time())
    parts = [
        {"typ": "JWT", "alg": "HS256"},
        {"sub": user, **claims, "iat": now, "exp": now + seconds},
    ]
    told = ".".join(_base64(json.dumps(part).encode()) for part in parts)
    return f"{told}.{_base64(hmac.new(b'testbed', told.encode(), 'sha256').digest())}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def small_tree(*, subjects: int = 2, doi: str = "", seed: int = 0) -> dict[str, bytes]:
    """Return a data set of BIDS, small enough for any test, with content that occurs twice."""
    names = [f"sub-{number:02d}" for number in range(1, subjects + 1)]
    about = {"Name": "A small data set", "BIDSVersion": "1.8.0", "License": "CC0"}
    described = {**about, **({"DatasetDOI": doi} if doi else {})}
    rows = "".join(f"{name}\t30\n" for name in names)
    tree = {
        "dataset_description.json": (json.dumps(described) + "\n").encode(),
        "README": b"Made by a generator.\n",
        "CHANGES": b"1.0.0 2026-01-01\n  - First.\n",
        ".bidsignore": b"extra/\n",
        "participants.tsv": b"participant_id\tage\n" + rows.encode(),
        "task-rest_bold.json": b'{"TaskName": "rest", "RepetitionTime": 2.0}\n',
    }
    same = hashlib.shake_128(f"same {seed}".encode()).digest(700)
    for name in names:
        stem = f"{name}/func/{name}_task-rest"
        for kind in (f"{name}/anat/{name}_T1w", f"{stem}_bold"):
            tree[f"{kind}.nii.gz"] = hashlib.shake_128(f"{kind} {seed}".encode()).digest(3000)
        tree[f"{stem}_physio.tsv.gz"] = same
        tree[f"{stem}_events.tsv"] = f"onset\tduration\n{seed}\t1\n".encode()
    return tree


def odd_tree() -> dict[str, bytes]:
    """Return names that are seldom, and content that is empty or occurs twice in git."""
    return {
        **small_tree(subjects=1),
        "sourcedata/a name with spaces.txt": b"spaces",
        "sourcedata/1+1=2.txt": b"plus",
        "sourcedata/größe_é.txt": b"unicode",
        "sourcedata/100%25 & #1?.nii.gz": b"percent",
        "sourcedata/empty.txt": b"",
        "sourcedata/empty.dat": b"",
        "sourcedata/twice_1.txt": b"twice",
        "sourcedata/twice_2.txt": b"twice",
        "derivatives/fmriprep/dataset_description.json": b'{"Name": "derived"}\n',
    }


class VersionedBucket(S3Server):
    """The bucket: every version of every object, and the latest state to those who list it.

    A ``+`` in the path of an address is a space, as on S3. Objects of data sets that are not
    public are given out at signed addresses only (signature version 2), to GET alone.

    Attributes
    ----------
    private
        Prefixes of keys that nobody may read without a signature.
    clock
        Seconds since 1970: what the bucket takes for the time.
    """

    def __init__(self, *, latency: float = 0.0, clock: Callable[[], float] = time.time) -> None:
        super().__init__({BUCKET: {}}, region="us-east-1", latency=latency)
        self.private: set[str] = set()
        self.clock = clock
        self._versions: dict[tuple[str, str], S3Object] = {}
        self._latest: dict[str, str] = {}

    def decode(self, path: str) -> str:
        return unquote_plus(path)

    def export(self, key: str, blob: Blob, version: str = "") -> str:
        """Put a new version of an object there, and return its id."""
        if not version:
            told = f"{key} {len(self._versions)}".encode()
            digest = hashlib.sha256(told).digest()[:24]
            version = base64.b64encode(digest, altchars=b"._").decode()
        item = S3Object(blob)
        self._versions[key, version] = item
        self._latest[key] = version
        self._buckets[BUCKET][key] = item  # in place: there may be a hundred thousand
        self._sorted.pop(BUCKET, None)
        return version

    def put_version(self, key: str, version: str, blob: Blob, part_size: int | None = None) -> None:
        """Change what a version holds, which S3 never does: for content that is not as listed."""
        item = S3Object(blob, part_size=part_size)
        self._versions[key, version] = item
        if self._latest.get(key) == version:
            self.put(key, item)

    def forget(self, key: str, version: str) -> None:
        """Lose a version, as a new export does: it is a 404 from now on."""
        del self._versions[key, version]

    def latest(self, accession: str) -> list[str]:
        """Return the keys of a data set that a listing shows."""
        return [key for key in self._buckets[BUCKET] if key.startswith(f"{accession}/")]

    def address(self, key: str, version: str, *, lifetime: float | None = None) -> str:
        """Return the address of a version; signed where it has a lifetime."""
        query = {"versionId": version}
        if lifetime is not None:
            expires = str(int(self.clock() + lifetime))
            query |= {"AWSAccessKeyId": "AKIATESTBED", "Expires": expires}
            query["Signature"] = _signature(key, version, expires)
        return f"{self.url}/{BUCKET}/{quote_plus(key, safe='/')}?{urlencode(query)}"

    def _get(self, request: Request) -> Reply:
        problem = self._refusal(request)
        if problem is not None:
            return problem
        version = request.query.get("versionId", self._latest.get(request.key, ""))
        item = self._versions.get((request.key, version))
        if item is None:
            message = "The specified version does not exist."
            return xml_error(404, "NoSuchVersion", message, Key=request.key, VersionId=version)
        reply = serve_object(item, request.headers)
        headers = {**reply.headers, "x-amz-version-id": version}
        return Reply(reply.status, headers, reply.blob, reply.start, reply.stop)

    def _refusal(self, request: Request) -> Reply | None:
        signature = request.query.get("Signature")
        if signature is None:
            hidden = any(request.key.startswith(prefix) for prefix in self.private)
            return xml_error(403, "AccessDenied", "Access Denied") if hidden else None
        expires = request.query.get("Expires", "0")
        true = _signature(request.key, request.query.get("versionId", ""), expires)
        if request.method != "GET" or not hmac.compare_digest(true, signature):
            return xml_error(403, "SignatureDoesNotMatch")
        if self.clock() >= float(expires):
            return xml_error(403, "AccessDenied", "Request has expired")
        return None


def _signature(key: str, version: str, expires: str) -> str:
    told = f"GET\n\n\n{expires}\n/{BUCKET}/{quote(key)}?versionId={version}"
    return base64.b64encode(hmac.new(b"secret", told.encode(), "sha1").digest()).decode()


class OpenNeuro(WireServer):
    """The site, with its bucket.

    Parameters
    ----------
    latency
        Seconds before each answer, of the site and of the bucket.
    lifetime
        Seconds for which a signed address is good.
    clock
        Seconds since 1970, of both.

    Attributes
    ----------
    bucket
        The other server.
    datasets
        What the site has, by accession number: may be changed at any time.
    tokens
        API keys and what each may read: accession numbers, or None for all.
    api
        What answers queries: `version`, `drop` (a field of the schema), `big_int_as_text`.
    wrong_token_status
        What a token that nobody knows, or that has expired, is answered with.
    """

    def __init__(
        self,
        *,
        latency: float = 0.0,
        lifetime: float = 7 * 86400,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(latency=latency)
        self.bucket = VersionedBucket(latency=latency, clock=clock)
        self.datasets: dict[str, Dataset] = {}
        self.tokens: dict[str, Collection[str] | None] = {}
        self.api = Api(self.datasets, self.rows)
        self.lifetime = lifetime
        self.wrong_token_status = 502
        self._places: dict[tuple[str, str], tuple[str, str]] = {}

    @property
    def graphql_url(self) -> str:
        """Where queries go."""
        return f"{self.url}/crn/graphql"

    def __enter__(self) -> Self:
        self.bucket.__enter__()
        return super().__enter__()

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            super().__exit__(kind, *rest)
        finally:
            self.bucket.__exit__(kind, *rest)

    # -- what it holds -----------------------------------------------------------------------

    def add(
        self,
        accession: str,
        versions: Mapping[str, Mapping[str, bytes | Blob]],
        *,
        backend: str = "MD5E",
        public: bool = True,
        export_git: bool = True,
        name: str = "",
    ) -> Dataset:
        """Add a data set, or versions to one.

        Parameters
        ----------
        accession
            Its number, such as ``ds000001``.
        versions
            The files of each tag, in the order in which they were made.
        backend
            What git-annex names content by: ``MD5E`` or ``SHA256E``.
        public
            Whether everybody may read it.
        export_git
            Whether the files of git are in the bucket; else the site streams them.
        name
            What it is called; by default as its description says.
        """
        dataset = self.datasets.setdefault(accession, Dataset(accession, public=public))
        if not public:
            self.bucket.private.add(f"{accession}/")
        for tag, tree in versions.items():
            created = f"2020-01-{len(dataset.snapshots) + 1:02d}T00:00:00.000Z"
            files = self._export(accession, tree, backend, export_git)
            dataset.snapshots[tag] = Snapshot(tag, created, files)
        described = dataset.newest.description() if dataset.newest else None
        dataset.name = name or dataset.name or str((described or {}).get("Name", accession))
        return dataset

    def add_recorded(self, accession: str, tag: str) -> Dataset:
        """Add a recorded snapshot with small content; a made-up one where no record is here."""
        record = RECORDS / f"{accession}_{tag}.snapshot.rebuilt.json"
        if not record.exists():
            return self.add(accession, {tag: odd_tree()}, export_git=accession != "ds000001")
        snapshot = recorded_snapshot(json.loads(record.read_text()))
        named = {file.id: file for file in snapshot.files.values() if file.key}
        for path, file in snapshot.files.items():
            key, own = f"{accession}/{path}", named.get(file.id)
            if own is not None and key != own.key:
                self.bucket.export(key, file.blob)
        for file in named.values():
            self.bucket.export(file.key, file.blob, file.version)
        dataset = Dataset(accession, {tag: snapshot})
        dataset.name = str((snapshot.description() or {}).get("Name", accession))
        self.datasets[accession] = dataset
        return dataset

    def _export(
        self, accession: str, tree: Mapping[str, bytes | Blob], backend: str, export_git: bool
    ) -> dict[str, Stored]:
        named: dict[str, tuple[Blob, str]] = {}
        for path, content in sorted(tree.items()):
            blob = Bytes(content) if isinstance(content, bytes) else content
            annexed = is_annexed(path, blob)
            called = annex_key(blob, path, backend) if annexed else git_blob_id(blob)
            named[path] = blob, called
            key = f"{accession}/{path}"
            known = self._places.get((key, called))
            if known is None and (annexed or export_git):
                version = self.bucket.export(key, blob)
                # What is asked for by content is found at the name that was exported last.
                self._places[key, called] = self._places[accession, called] = key, version
        for key in [
            k for k in self.bucket.latest(accession) if k[len(accession) + 1 :] not in tree
        ]:
            self.bucket.delete(key)
        return {
            path: Stored(blob, called, *self._places.get((accession, called), ("", "")))
            for path, (blob, called) in named.items()
        }

    def delete(self, accession: str, reason: str = "", *, successor: str | None = None) -> None:
        """Withdraw a data set."""
        dataset = self.datasets[accession]
        dataset.deleted, dataset.redirect = reason, successor

    def deprecate(self, accession: str, tag: str, reason: str) -> None:
        """Withdraw a version: it can still be had."""
        self.datasets[accession].snapshots[tag].deprecated = reason

    def lie(self, accession: str, tag: str, path: str, **fields: Any) -> None:
        """Let the listing say other things about a file, by the fields of its row."""
        self.datasets[accession].snapshots[tag].lies[path] = fields

    def list_also(self, accession: str, tag: str, filename: str, **fields: Any) -> None:
        """List one more file: a name twice, one that leaves the folder, one that is a link."""
        row = {
            "filename": filename,
            "id": git_blob_id(Bytes(b"")),
            "size": 0,
            "annexed": False,
            "directory": False,
            "urls": [f"{self.bucket.url}/{BUCKET}/{accession}/none?versionId=none"],
        }
        self.datasets[accession].snapshots[tag].more.append({**row, **fields})

    def list_link(self, accession: str, tag: str, filename: str, target: str) -> None:
        """List a symbolic link as the site does: a file of git without a size."""
        called = git_blob_id(Bytes(target.encode()))
        url = (
            f"{self.url}/crn/datasets/{accession}/objects/{called}?filename={quote_plus(filename)}"
        )
        self.list_also(accession, tag, filename, id=called, urls=[url])

    def unlock(self, accession: str, tag: str, path: str) -> None:
        """List an annexed file as the small pointer that git has where it is unlocked."""
        key = self.datasets[accession].snapshots[tag].files[path].id
        pointer = Bytes(f"/annex/objects/{key}\n".encode())
        told = {"id": git_blob_id(pointer), "size": pointer.size, "annexed": False}
        self.lie(accession, tag, path, **told)

    def replace_content(self, accession: str, tag: str, path: str, content: bytes) -> None:
        """Let the bucket hold something else than what is listed."""
        file = self.datasets[accession].snapshots[tag].files[path]
        self.bucket.put_version(file.key, file.version, Bytes(content))

    def upload_in_parts(self, accession: str, tag: str, path: str, part_size: int) -> None:
        """Let a file have been uploaded in parts, as those above 1 GiB: its ETag is no MD5."""
        file = self.datasets[accession].snapshots[tag].files[path]
        self.bucket.put_version(file.key, file.version, file.blob, part_size)

    def grant(self, *accessions: str, seconds: int = YEAR) -> str:
        """Return a token that may read these data sets (none named: all that are here)."""
        token = token_of(f"reader-{len(self.tokens)}", seconds=seconds)
        self.tokens[token] = accessions or None
        return token

    def reviewer_link(self, accession: str, *, seconds: int = YEAR) -> str:
        """Return the address that reviewers get: its last part is a token for one data set."""
        token = token_of("reviewer", seconds=seconds, reviewer=True, dataset=accession)
        self.tokens[token] = (accession,)
        return f"{self.url}/crn/reviewer/{token}"

    def rows(self, dataset: Dataset, snapshot: Snapshot) -> list[dict[str, Any]]:
        """Return what the listing of a snapshot says, in the order of a walk with a stack."""
        rows = []
        for path in sorted(snapshot.files, reverse=True):
            file = snapshot.files[path]
            true = {
                "filename": path,
                "id": file.id,
                "size": file.blob.size,
                "annexed": file.annexed,
                "directory": False,
                "urls": [self._address(dataset, path, file)],
            }
            rows.append({**true, **snapshot.lies.get(path, {})})
        return [*rows, *snapshot.more]

    def _address(self, dataset: Dataset, path: str, file: Stored) -> str:
        if not file.key:
            name = quote_plus(path.rpartition("/")[2])
            return f"{self.url}/crn/datasets/{dataset.id}/objects/{file.id}?filename={name}"
        lifetime = None if dataset.public else self.lifetime
        return self.bucket.address(file.key, file.version, lifetime=lifetime)

    # -- bad days ----------------------------------------------------------------------------

    def fail_query(
        self,
        message: str,
        *,
        code: str = "",
        status: int = 200,
        asks: str = "",
        times: int | None = 1,
        **more: str,
    ) -> None:
        """Let queries fail as the server says it, with an error of GraphQL."""
        body = json.dumps(self.api.failed(message, code, more=more)).encode()
        kind = {"Content-Type": "application/json; charset=utf-8"}
        self.fault(
            key="crn/graphql", asks=asks, times=times, status=status, body=body, headers=kind
        )

    def heads(self) -> int:
        """Return how many HEAD requests came, here and at the bucket."""
        return len(self.requests("HEAD")) + len(self.bucket.requests("HEAD"))

    # -- answers -----------------------------------------------------------------------------

    def locate(self, method: str, path: str, query: Mapping[str, str]) -> tuple[str, str, str]:
        del query
        return method, "", path.removeprefix("/")

    def failure(self, status: int) -> Reply:
        """Return the front end's page for a status."""
        title = f"{status} {phrase(status)}"
        page = f"<html><head><title>{title}</title></head><body>{title}</body></html>"
        return Reply(status, {"Server": "nginx", "Content-Type": "text/html"}, Bytes(page.encode()))

    def answer(self, request: Request) -> Reply:
        token = _token_in(request)
        if token and (token not in self.tokens or _has_expired(token)):
            return self.failure(self.wrong_token_status)
        parts = request.key.split("/")
        if request.key in ("crn/graphql", "graphql", "api/graphql"):
            return self._query(request, token)
        if parts[:2] == ["crn", "datasets"] and len(parts) >= 5:
            return self._dataset_file(token, parts[2], parts[3:])
        return self.failure(404)

    def _query(self, request: Request, token: str) -> Reply:
        if request.method != "POST":
            return _json(405, {"errors": [{"message": "GraphQL only supports POST here."}]})
        status, said = self.api.answer(request.body, lambda each: self._may_read(each, token))
        return _json(status, said)

    def _may_read(self, dataset: Dataset, token: str) -> bool:
        if dataset.public:
            return True
        allowed = self.tokens.get(token, ()) if token else ()
        return allowed is None or dataset.id in allowed

    def _dataset_file(self, token: str, accession: str, rest: list[str]) -> Reply:
        dataset = self.datasets.get(accession)
        if dataset is None or dataset.deleted is not None:
            return _json(404, {"error": "Dataset not found"})
        if not self._may_read(dataset, token):
            return _json(403, {"error": "You do not have access to this dataset"})
        if rest[0] == "objects" and len(rest) == 2:
            return self._object(dataset, rest[1])
        if rest[0] == "snapshots" and len(rest) == 4 and rest[2] == "files":
            return self._snapshot_file(dataset, rest[1], rest[3].replace(":", "/"))
        return self.failure(404)

    def _object(self, dataset: Dataset, called: str) -> Reply:
        """Stream a file: nobody says how long it is, and a range is not heeded."""
        for snapshot in dataset.snapshots.values():
            for file in snapshot.files.values():
                if file.id == called:
                    return _streamed(file.blob)
        return _json(404, {"error": "an unknown error occurred accessing this file"})

    def _snapshot_file(self, dataset: Dataset, tag: str, path: str) -> Reply:
        snapshot = dataset.snapshots.get(tag)
        file = None if snapshot is None else snapshot.files.get(path)
        if file is None:
            return _json(404, {"error": "file not found"})
        if not file.key:
            return _streamed(file.blob)
        location = self._address(dataset, path, file)
        return Reply(302, {"Server": "nginx", "Location": location})


def _streamed(blob: Blob) -> Reply:
    headers = {"Server": "nginx", "Content-Type": "application/octet-stream"}
    return Reply(200, headers, blob, chunked=True)


def _token_in(request: Request) -> str:
    """Return the token that came, as the official client or as openneuro-py sends it."""
    bearer = request.headers.get("authorization", "")
    if bearer.startswith("Bearer "):
        return bearer.removeprefix("Bearer ").strip()
    for cookie in request.headers.get("cookie", "").split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == "accessToken":
            return value
    return ""


def _has_expired(token: str) -> bool:
    part = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return float(claims["exp"]) <= time.time()


def _json(status: int, said: object) -> Reply:
    headers = {"Server": "nginx", "Content-Type": "application/json; charset=utf-8"}
    return Reply(status, headers, Bytes(json.dumps(said).encode()))
