"""Run the benchmarks: all of them, or those that are named; `s3` is the largest.

The options from --quick on are those of `s3`.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from benchmarks import core, s3
from benchmarks._server import WORK


def names() -> list[str]:
    """Return what there is to run: `s3` first, then every other module here."""
    here = Path(__file__).parent
    found = sorted(path.stem for path in here.glob("[a-z]*.py") if path.stem != "s3")
    return ["s3", *found]


def main(argv: list[str] | None = None) -> None:
    """Run what was asked for, or everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}")
    s3.add_options(parser)
    args = parser.parse_args(argv)
    unknown = set(args.names) - set(names())
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there is {', '.join(names())}")
    if args.repeats < 0:
        parser.error(f"--repeats {args.repeats}: there must be at least one")
    WORK.mkdir(exist_ok=True)
    if not Path(args.dest).is_dir():
        parser.error(f"--dest {args.dest} is no folder")
    for name in args.names or names():
        print(f"##### {name}", flush=True)
        if name == "s3":
            s3.main(s3.Chosen.of(args))
        elif name == "core":
            core.main(docs=args.docs)
        else:
            importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
