"""`neurofetch`, as a process of the soak: all its life is shorter, and conditions are other ones.

What a user may not turn is turned here, in this process alone: how soon a silent owner counts as
dead, how large a part is, how long an attempt waits, what the clock says.

`launcher.py [--clock S] [--dump FILE] [--file-size N] [--pace S] [--laion] -- ARGUMENTS`
"""

import argparse
import faulthandler
import importlib
import inspect
import os
import pkgutil
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

BEAT_SECONDS, SILENT_SECONDS = 0.2, 1.5
KIB = 1 << 10
_SHORT = {"BEAT_SECONDS": BEAT_SECONDS, "SILENT_SECONDS": SILENT_SECONDS}


def defaults(function, **new):
    """Give parameters of a function other defaults."""
    names = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not inspect.Parameter.empty
        and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    known = dict(zip(names, function.__defaults__, strict=True))
    assert known.keys() >= new.keys(), new.keys() - known.keys()
    function.__defaults__ = tuple((known | new).values())


def shortened(pace=1.0):
    """Let a silent owner count as dead soon, wherever that is said."""
    import neurofetch.store  # noqa: PLC0415 - the clock is moved before

    found = set()
    for module in pkgutil.iter_modules(neurofetch.store.__path__):
        values = vars(importlib.import_module(f"neurofetch.store.{module.name}"))
        for name in values.keys() & _SHORT.keys():
            values[name] = _SHORT[name] * pace
            found.add(name)
    assert found == _SHORT.keys(), "the constants of the heartbeat have other names now"


def quickened():
    """Make files of some kilobytes large ones, and waits short."""
    from neurofetch.net.retry import RetryRules  # noqa: PLC0415
    from neurofetch.net.settings import Network  # noqa: PLC0415
    from neurofetch.transfer.options import Options  # noqa: PLC0415

    defaults(RetryRules.__init__, attempts=6, base=0.02, cap=0.2, max_wait=0.5)
    defaults(Network.__init__, slow_window=1.5)
    small = {"single_limit": 128 * KIB, "part_size": 64 * KIB}
    defaults(Options.__init__, connections=8, whole_connections=4, bulk_connections=4, **small)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clock", type=float, default=0.0)
    parser.add_argument("--dump")
    parser.add_argument("--file-size", type=int)
    parser.add_argument("--pace", type=float, default=1.0, help="how many times as long a life")
    parser.add_argument("--laion", action="store_true", help="run laion-fmri")
    parser.add_argument("arguments", nargs="+")
    given = parser.parse_args()
    os.umask(0)  # the users of one directory are of one group
    if given.dump:
        faulthandler.enable(open(given.dump, "w"))  # noqa: SIM115 - as long as we live
    if given.clock:
        real = time.time
        time.time = lambda: real() + given.clock
    if given.file_size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (given.file_size, given.file_size))
    shortened(given.pace)
    quickened()
    if given.laion:
        from laion_fmri.cli.main import main as laion_fmri  # noqa: PLC0415

        return laion_fmri(given.arguments)
    from neurofetch._cli import main as neurofetch  # noqa: PLC0415

    return neurofetch(given.arguments)


if __name__ == "__main__":
    sys.exit(main())
