"""`neurofetch` with another parser of HTTP responses: `… -m benchmarks._parsers NAME get s3://…`.

`httptools` is what the package has; the others take its place before the command line starts. The
pool, the ranges, the time limits and the buffers are the same.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

__all__ = ["PARSERS"]

PARSERS = ("httptools", "by hand", "http.client")


def main(name: str, argv: list[str]) -> int:
    """Put a parser in its place, and do what `neurofetch` does."""
    if name != PARSERS[0]:
        _leave_out_httptools()
        module = "benchmarks._parser_" + name.replace(" ", "_").replace(".", "_")
        importlib.import_module(module).install()
    status: int = importlib.import_module("neurofetch._cli").main(argv)
    return status


def _leave_out_httptools() -> None:
    """Spare those that do not use it the time to import it."""
    stand_in = ModuleType("httptools")
    for name in ("HttpParserError", "HttpParserUpgrade", "HttpResponseParser"):
        setattr(stand_in, name, type(name, (Exception,), {}))
    sys.modules["httptools"] = stand_in


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
