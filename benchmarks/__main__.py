"""Run the benchmarks: all of them, or those that are named; `s3` is the largest."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from benchmarks import s3
from benchmarks._data import CASES


def names() -> list[str]:
    """Return what there is to run: `s3` first, then every other module here."""
    here = Path(__file__).parent
    found = sorted(path.stem for path in here.glob("[a-z]*.py") if path.stem != "s3")
    return ["s3", *found]


def main(argv: list[str] | None = None) -> None:
    """Run what was asked for, or everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}")
    parser.add_argument("--quick", action="store_true", help="s3: fewer and smaller files")
    parser.add_argument("--repeats", type=int, default=3, help="s3: runs of which to take medians")
    parser.add_argument("--dest", help="s3: where the tools put the files (default: in memory)")
    parser.add_argument(
        "--cases",
        nargs="+",
        default=(),
        choices=[case.name for case in CASES],
        help="s3: only these (default: all)",
    )
    args = parser.parse_args(argv)
    unknown = set(args.names) - set(names())
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there is {', '.join(names())}")
    if args.repeats < 1:
        parser.error(f"--repeats {args.repeats}: there must be at least one")
    if args.dest and not Path(args.dest).is_dir():
        parser.error(f"--dest {args.dest} is no folder")
    for name in args.names or names():
        print(f"##### {name}", flush=True)
        if name == "s3":
            s3.main(args.repeats, quick=args.quick, dest=args.dest, only=tuple(args.cases))
        else:
            importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
