"""A server of each source, and a data directory: what the table runs in.

The oracle is the server's own content, never what the package says of it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import warnings
from dataclasses import dataclass, replace

from laion_fmri.access.gated_files import StimuliSource
from neurofetch.engine import (
    Dataset,
    Fetcher,
    Listing,
    Network,
    Options,
    RetryRules,
    RunSettings,
    S3Source,
    bucket_of,
    query,
)
from neurofetch.errors import NeurofetchError
from neurofetch.neurovault import fetch_neurovault_ids
from testbed.access import AccessServer
from testbed.laion import GATED
from testbed.neurovault import NeuroVault
from testbed.s3 import HTML_PAGE, S3Object, S3Server
from tests.engine_world import PART, noise

RULES = RetryRules(attempts=3, base=0.002, cap=0.01, max_wait=0.05)
NETWORK = Network(connect_timeout=1.0, read_timeout=0.2, slow_window=0.35, slow_bytes=2048.0)
OPTIONS = Options(
    n_jobs=2,
    connections=4,
    whole_connections=4,
    bulk_connections=3,
    single_limit=PART,
    part_size=PART,
    rules=RULES,
    beat=0.05,
)
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "AWS_ENDPOINT_URL", "AWS_REGION",
             "NILEARN_DATA", "NILEARN_SHARED_DATA", "AWS_CA_BUNDLE")  # fmt: skip


@dataclass
class Result:
    """What a run said."""

    ok: bool
    message: str
    failed: tuple[str, ...] = ()


class World:
    """What the worlds have in common. A context manager.

    Attributes
    ----------
    struck
        For each place the paths that may be missing when a fault strikes there.
    contents
        Every path that is asked for, and its bytes.
    """

    state = ".neurofetch"

    def __init__(self, tmp_path, monkeypatch, tls=None):
        self.root = tmp_path / "data"
        self.root.mkdir()
        self.tls = tls
        self.network = NETWORK
        self._monkeypatch = monkeypatch
        self._stack = contextlib.ExitStack()
        self.contents = {}
        self.struck = {}
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))

    def __enter__(self):
        portal = S3Server({"portal": {}}, tls=self.tls)
        portal.fault(status=200, body=HTML_PAGE, headers={"Content-Type": "text/html"})
        self.portal = self._stack.enter_context(portal)
        deaf = self._stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))  # bound, and not listening: connections are refused
        self.nowhere = f"{portal.url.partition(':')[0]}://127.0.0.1:{deaf.getsockname()[1]}"
        self._begin()
        return self

    def __exit__(self, *what):
        self._stack.__exit__(*what)

    def trust(self, certificate):
        """Trust this certificate, as a user does who sets the variable."""
        self._monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        self.network = replace(NETWORK, ca_bundle=str(certificate))

    def strike(self, place, how, often):
        """Let a fault strike at a place, once or always."""
        server, where = self.places[place]
        headers = {
            name: text.replace("{elsewhere}", self.portal.url).replace("{nowhere}", self.nowhere)
            for name, text in how.get("headers", {}).items()
        }
        times = {"times": 1} if often == "once" else {}
        server.fault(**where, **how | ({"headers": headers} if headers else {}), **times)

    def heal(self):
        for server in self.servers:
            server.clear_faults()
            server.clear_log()

    def asked(self):
        return sum(len(server.log) for server in self.servers) + len(self.portal.log)

    def files(self):
        """Return path and content of every file that is no state of the package's."""
        found = (p for p in self.root.rglob("*") if p.is_file() and self.state not in p.parts)
        return {p.relative_to(self.root).as_posix(): p.read_bytes() for p in sorted(found)}

    def rest(self):
        """Return the names of temporary files and claims, anywhere below the root."""
        found = []
        for folder, folders, names in os.walk(self.root):
            inside = os.path.basename(folder) in ("claims", "partial")
            found += [n for n in names + folders if inside and not n.endswith((".part", ".log"))]
            found += [n for n in names if ".tmp" in n or n.startswith("probe-")]
        return found

    def partials(self):
        """Return the names of what may be resumed."""
        return [p.name for p in self.root.rglob("partial/*")]

    def run(self, **how):
        """Fetch everything; return what was said."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                failed = self._run(**how)
                result = Result(ok=not failed, message="", failed=failed)
            except NeurofetchError as error:
                result = Result(ok=False, message=str(error))
        for warning in caught:
            assert not issubclass(warning.category, ResourceWarning), warning
            result.message += f"\n{warning.message}"
        return result


class S3World(World):
    """A bucket of five files, listed in three pages; one of the files lies on another server."""

    def _begin(self):
        self.s3 = self._stack.enter_context(S3Server({"b": {}}, page_size=2, tls=self.tls))
        self.other = self._stack.enter_context(S3Server({"b": {}}, tls=self.tls))
        self.servers = (self.s3, self.other)
        self._monkeypatch.setenv("AWS_ENDPOINT_URL_S3", self.s3.url)
        for n, (key, size) in enumerate(
            {
                "a/first.tsv": 700,
                "a/small.bin": 3_000,
                "b/large.bin": 2 * PART + 777,
                "c/moved.bin": 2_500,
                "d/last.txt": 40,
            }.items()
        ):
            item = S3Object(noise(size, n), part_size=PART if size > PART else None)
            self.contents[key] = item.content
            self.s3.put(key, item)
            self.other.put(key, item)
        self._moves()
        everything = tuple(self.contents)
        self.struck = {
            "list": everything,
            "list 2": everything,
            "head": ("b/large.bin",),
            "small": ("a/small.bin",),
            "part": ("b/large.bin",),
            "redirected": ("c/moved.bin",),
        }
        self.places = {
            "list": (self.s3, {"method": "LIST"}),
            "list 2": (self.s3, {"method": "LIST", "skip": 1}),
            "head": (self.s3, {"method": "HEAD"}),
            "small": (self.s3, {"method": "GET", "key": "a/small.bin"}),
            "part": (
                self.s3,
                {"method": "GET", "key": "b/large.bin", "byte_range": "bytes=[1-9]*"},
            ),
            "redirected": (self.other, {"method": "GET", "key": "c/moved.bin"}),
        }

    def _moves(self):
        where = {"Location": f"{self.other.url}/b/c/moved.bin"}
        self.s3.fault(key="c/moved.bin", method="GET", status=307, headers=where)

    def heal(self):
        super().heal()
        self._moves()

    def change(self, key, content, skip):
        """Let an object be another one from its request number ``skip + 1`` on."""

        def swap():
            self.contents[key] = content
            for server in self.servers:
                server.put(key, content)

        server = self.other if key == "c/moved.bin" else self.s3
        server.fault(key=key, method="GET", skip=skip, times=1, before=swap)

    def _run(self, **how):
        with Fetcher(Dataset("test", "b"), self.root, network=self.network, rules=RULES) as fetcher:
            return _carried_out(fetcher, **how)


class VaultWorld(World):
    """A NeuroVault of two collections."""

    def _begin(self):
        vault = NeuroVault(tls=self.tls, public_url=None)
        vault.public_url = vault.url
        self.vault = self._stack.enter_context(vault)
        self.servers = (vault,)
        vault.vault.add_collection(1952, images=(101, 102, 103))
        vault.vault.add_collection(7, images=(5,))
        self._monkeypatch.setenv("NEUROVAULT_API_URL", vault.api_url)
        self._monkeypatch.setenv("NEUROSYNTH_API_URL", vault.neurosynth_url)
        self._monkeypatch.setattr(
            Network,
            "from_environment",
            classmethod(lambda *_: self.network),
        )
        for collection, image in ((7, 5), (1952, 101), (1952, 102), (1952, 103)):
            name = f"/media/images/{collection}/map_{image}.nii.gz"
            self.contents[f"neurovault/collection_{collection}/image_{image}.nii.gz"] = (
                vault.vault.body(name)
            )
        of_1952 = tuple(path for path in self.contents if "1952" in path)
        self.struck = {
            "page": of_1952,
            "record": of_1952,
            "image": ("neurovault/collection_1952/image_102.nii.gz",),
        }
        self.places = {
            "page": (vault, {"key": "/api/collections/1952/images/*"}),
            "record": (vault, {"key": "/api/collections/1952/"}),
            "image": (vault, {"key": "/media/*map_102*"}),
        }

    def files(self):
        return {path: data for path, data in super().files().items() if path.endswith(".nii.gz")}

    def _run(self):
        fetch_neurovault_ids(
            [1952, 7],
            data_dir=self.root,
            verbose=0,
            timeout=NETWORK.read_timeout,
            on_error="raise",
            rules=RULES,
        )
        return ()


class StimuliWorld(World):
    """A bucket that refuses its gated files, and the service that hands them out."""

    def _begin(self):
        names = {key: noise(2_000 + n, n) for n, key in enumerate(GATED)}
        bystander = {"a/first.tsv": noise(700)}
        self.contents = bystander | names
        s3 = S3Server({"b": self.contents}, forbidden=GATED, tls=self.tls)
        self.s3 = self._stack.enter_context(s3)
        service = AccessServer(
            {key.removeprefix("stimuli/"): data for key, data in names.items()}, tls=self.tls
        )
        self.service = self._stack.enter_context(service)
        self.servers = (self.s3, self.service)
        self._monkeypatch.setenv("AWS_ENDPOINT_URL_S3", self.s3.url)
        self._monkeypatch.setenv("LAION_FMRI_ACCESS_URL", self.service.url)
        self._monkeypatch.setenv("LAION_FMRI_REQUEST_ID", self.service.grant())
        self.struck = {"manifest": GATED, "gated": (GATED[0],)}
        self.places = {
            "manifest": (service, {"key": "api/v1/manifest"}),
            "gated": (service, {"key": GATED[0]}),
        }

    def _run(self, **how):
        dataset = Dataset("test", "b")

        def source(client, attempts, directory):
            bucket = S3Source(client, bucket_of(dataset), attempts)
            return StimuliSource(bucket, client, directory, str, rules=RULES)

        with Fetcher(
            dataset, self.root, network=self.network, rules=RULES, make_source=source
        ) as fetcher:
            return _carried_out(fetcher, **how)


def _carried_out(fetcher, options=OPTIONS):
    settings = RunSettings(options=options)
    plan = fetcher.prepare(lambda: fetcher.choose(query(), Listing(walks=("",))), settings)
    report = fetcher.run(plan, settings)
    return tuple(o.path for o in report if not o.ok)


WORLDS = {"s3": S3World, "neurovault": VaultWorld, "stimuli": StimuliWorld}
