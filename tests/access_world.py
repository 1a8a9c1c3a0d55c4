"""A bucket that refuses its gated stimuli, and the access service that hands them out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from laion_fmri.download import download
from neurofetch.model import IncompleteError, Plan, Report
from testbed.access import AccessServer
from testbed.laion import GATED
from tests.faces import LICENSE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from neurofetch.model import Outcome
    from testbed.s3 import Request, S3Server

LARGE, TABLE = GATED
PARTS = 3
DOWN = "http://127.0.0.1:1"
MANIFEST, REFRESH = "api/v1/manifest", "api/v1/refresh"
PART = 8 << 20
SECRETS = ("X-Amz-", "Signature")
FORM = {
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "institution": "Analytical Engines",
    "purpose": "encoding models of visual cortex",
}
WITHOUT = ("LAION_FMRI_REQUEST_ID", "LAION_FMRI_ACCESS_URL", "AWS_ENDPOINT_URL_S3")


@cache
def large(seed: int = 1) -> bytes:
    """Three parts: two of 8 MiB and a short one."""
    return random.Random(seed).randbytes(2 * PART + 321)


def stimuli(seed: int = 1) -> dict[str, bytes]:
    return {LARGE: large(seed), TABLE: f"image_name,seed\na.jpg,{seed}\n".encode() * 40}


def service_of(files: Mapping[str, bytes], **settings: Any) -> AccessServer:
    return AccessServer(
        {key.removeprefix("stimuli/"): data for key, data in files.items()}, **settings
    )


@dataclass
class World:
    s3: S3Server
    service: AccessServer
    data: Path
    files: dict[str, bytes]

    def download(self, **changes: Any) -> Report:
        """Fetch a few files of one subject, and the stimuli; return the report, whole or not."""
        keywords: dict[str, Any] = {"progress": "none", "accept_license": "CC0-1.0", **changes}
        try:
            result = download(
                "sub-03", "averages", include_stimuli=True, data_dir=self.data, **keywords
            )
        except IncompleteError as error:
            return error.report
        assert isinstance(result, Report)
        return result

    def plan(self, **changes: Any) -> Plan:
        plan = download(
            "sub-03", "averages", include_stimuli=True, data_dir=self.data, dry_run=True, **changes
        )
        assert isinstance(plan, Plan)
        return plan

    def asked(self, key: str = "*", **which: Any) -> list[Request]:
        return self.service.requests(key=key, **which)

    def ranges(self) -> list[str]:
        """Which parts of the large file came whole, beside the first byte that tells its ETag."""
        found = [r.range for r in self.asked(LARGE) if r.status == 206 and r.ended]
        return sorted(one for one in found if one != "bytes=0-0")

    def forget(self) -> None:
        self.s3.clear_log()
        self.service.clear_log()

    def secrets(self, request_id: str) -> tuple[str, ...]:
        return (*SECRETS, request_id)


def outcome(report: Report, key: str) -> Outcome:
    return next(one for one in report if one.key == key)


def others(report: Report) -> list[Outcome]:
    return [one for one in report if one.key not in GATED]


def written(root: Path) -> str:
    """Whatever the package wrote down: its own folder, names included."""
    files = [p for p in (root / ".laion_fmri").rglob("*") if p.is_file() and p.suffix != ".part"]
    return "\n".join(f"{p}\n{p.read_bytes().decode('latin-1')}" for p in files)


def environment(s3: S3Server, service: AccessServer, home: Path) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": s3.url,
        "LAION_FMRI_ACCESS_URL": service.url,
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
    } | LICENSE
