"""On which systems the package runs: Linux and macOS, and Linux inside of Windows (WSL)."""

from __future__ import annotations

import sys

from neurofetch.errors import UnsupportedPlatformError

__all__ = ["check_platform"]


def check_platform(platform: str = sys.platform) -> None:
    """See that the package can keep its promises here.

    What it writes, it writes relative to folders that are held open, so that no link leads out of
    the data directory, and at places in a file that several threads fill. Windows has neither.

    Parameters
    ----------
    platform : str
        As `sys.platform` has it.

    Raises
    ------
    UnsupportedPlatformError
        On Windows.
    """
    if platform.startswith("win"):
        msg = (
            "neurofetch does not run on Windows itself, only on Linux and macOS. Nothing was done. "
            "Use it in WSL, the Linux inside of Windows: run `wsl --install` once, and then in its "
            "shell `pip install neurofetch`"
        )
        raise UnsupportedPlatformError(msg)
