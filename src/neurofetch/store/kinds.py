"""Which kind of file system a folder is on, and whether a host may be told old things there.

A host of a network file system remembers for a while what the server told it: what is in a folder,
how long a file is, and also that there is no such name. Others are at work there, whose files it
does not see yet. File systems of one host, and those of clusters that keep all hosts of one mind,
have no such memory, and nothing is asked twice there.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["is_late", "kind_of", "libc"]

_PROMPT = frozenset(
    {
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # XFS
        0x9123683E,  # btrfs
        0x2FC12FC1,  # ZFS
        0xF2F52010,  # F2FS
        0xCA451A4E,  # bcachefs
        0x01021994,  # tmpfs
        0x858458F6,  # ramfs
        0x794C7630,  # overlayfs: of a container
        0x2011BAB0,  # exFAT
        0x4D44,  # FAT
        0x7366746E,  # NTFS
        0x0BD00BD0,  # Lustre: its locks keep all hosts of one mind
        0x47504653,  # GPFS (Spectrum Scale)
        0x00C36400,  # CephFS
        0x7461636F,  # OCFS2
        0x01161970,  # GFS2
    }
)
"""Kinds (statfs(2), and the makers' headers) where all hosts see at once what one of them does."""


def is_late(folder: int) -> bool:
    """Whether what a host is told in a folder (its descriptor) may be old.

    That is so for NFS, SMB, BeeGFS, FUSE (sshfs, …), and whatever is not known.
    """
    kind = kind_of(folder)
    return kind is not None and kind not in _PROMPT


def kind_of(folder: int) -> int | None:
    """Return the number that Linux has for the kind of a file system; None where it has none."""
    call = libc("fstatfs")
    if call is None:
        return None
    info = bytearray(512)  # more than any system writes; it begins with the kind
    import ctypes  # noqa: PLC0415 - `libc` has it

    if call(folder, (ctypes.c_char * len(info)).from_buffer(info)):
        return None
    return int.from_bytes(info[: ctypes.sizeof(ctypes.c_long)], sys.byteorder)


@cache
def libc(name: str) -> Callable[..., int] | None:
    """Return a function of the C library on Linux; None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes  # noqa: PLC0415 - not on every system, and not needed for --help

        function = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (ImportError, OSError, AttributeError):
        return None
    if name == "sync_file_range":
        function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    found: Callable[..., int] = function
    return found
