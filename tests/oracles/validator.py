"""What the official BIDS validator says of a folder. It is one program with its schema inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PROGRAM = Path(sys.executable).with_name("bids-validator-deno")

NOWHERE = "http://127.0.0.1:9"
"""A proxy where nobody listens: a validator that asks the internet fails, and is seen to."""


class Issue(NamedTuple):
    """One complaint: in which data set ("" for the outer one), of which kind, where."""

    dataset: str
    code: str
    sub_code: str
    location: str


def complaints(folder: Path, severity: str = "error") -> frozenset[Issue]:
    """Validate a folder and the derivatives in it; return what is wrong."""
    done = subprocess.run(
        [PROGRAM, "--ignoreNiftiHeaders", "--recursive", "--json", folder],
        env={
            **os.environ,
            "HTTPS_PROXY": NOWHERE,
            "HTTP_PROXY": NOWHERE,
            "DENO_NO_UPDATE_CHECK": "1",
        },
        capture_output=True,
        timeout=120,
        check=False,
    )
    try:
        said = json.loads(done.stdout)
    except ValueError as error:
        msg = f"the validator said nothing of {folder}: {done.stderr.decode()[-500:]}"
        raise AssertionError(msg) from error
    results = {"": said, **said.get("derivativesSummary", {})}
    return frozenset(
        Issue(
            dataset.strip("/"), issue["code"], issue.get("subCode", ""), issue.get("location", "")
        )
        for dataset, result in results.items()
        for issue in result["issues"]["issues"]
        if issue["severity"] == severity
    )
