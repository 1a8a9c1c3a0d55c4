"""``neurofetch lock``: make a lock, hold a directory against one, compare two."""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurofetch import console
from neurofetch._shown import shown
from neurofetch.console import ExitCode
from neurofetch.display.text import count
from neurofetch.errors import SelectionWarning, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence

    from neurofetch.lockfile.compare import Difference
    from neurofetch.lockfile.lock import Lock

__all__ = ["add_lock", "add_locked", "get_by_lock", "what_is_missing"]

_FORMATS = ("lock", "sha256sum", "pooch", "croissant", "datapackage")
_STDOUT = "/dev/stdout"
"""Where a shell sends it may be a file in the directory: the lock that is being made."""
_AT_ONCE = 1000
"""Lines that are written together."""


def add_lock(
    commands: argparse._SubParsersAction[console.Parser],
    filters: Sequence[tuple[str, str]],
    entities: Sequence[tuple[str, str]],
    unlisted: Sequence[str],
) -> None:
    """Add the command.

    Parameters
    ----------
    commands : action
        Where commands are added.
    filters, entities, unlisted : sequence
        The filters of ``get``; see `console.add_filters`.
    """
    parser = commands.add_parser(
        "lock",
        help="write a lock file: which files a data directory has, with hashes",
        usage="neurofetch lock [DIR] [--out FILE | --check FILE | --diff A [B] | --update FILE]",
        description="Write a lock file of a data directory: path, size, hash and address of each "
        "file that was fetched, to be published with a paper. With it, `neurofetch get"
        " --locked FILE` fetches exactly the same bytes elsewhere. The same data "
        "always give the same lock. Without --out, it is printed on stdout.",
        examples=(
            "neurofetch lock ds000001 --out paper.lock",
            "neurofetch lock ds000001 --check paper.lock",
            "neurofetch lock --diff paper.lock newer.lock",
            "neurofetch lock paper.lock --format sha256sum",
        ),
    )
    console.add_data_dir(parser, "the current directory", positional=True)
    _add_acts(parser)
    parser.add_argument(
        "--all",
        action="store_true",
        dest="every",
        help="include every file in the directory, not only those that were fetched",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="use the hashes that are known (SHA-256, git's, MD5), and read only files that have"
        " none; by default, every file is read once for its SHA-256",
    )
    parser.add_argument(
        "--hash", action="store_true", help="with --check or --diff: read every byte"
    )
    parser.add_argument(
        "--state",
        default="",
        metavar="NAME",
        help="the state folder to use (such as .neurofetch), if the directory has more than one",
    )
    console.add_filters(parser, filters)
    console.add_filters(parser, entities, unlisted, console.ENTITIES)
    console.add_progress(parser)
    console.add_output(parser)
    names = [names.split()[0] for names in (*(n for n, _ in (*filters, *entities)), *unlisted)]
    parser.set_defaults(handler=_lock, filter_names=names)


def add_locked(group: argparse._ArgumentGroup) -> None:
    """Add the flags with which ``get`` brings what a lock names."""
    group.add_argument(
        "--locked",
        metavar="FILE",
        help="download exactly the files in this lock file, verified by its hashes: see "
        "neurofetch lock",
    )
    group.add_argument(
        "--from",
        nargs="+",
        action="extend",
        dest="places",
        metavar="PLACE",
        help="with --locked: where to look first, before the addresses in the lock: "
        "s3://BUCKET/PREFIX, a web address or a directory",
    )


def get_by_lock(arguments: argparse.Namespace, filters: Mapping[str, Any]) -> int:
    """Bring what a lock names.

    Parameters
    ----------
    arguments : argparse.Namespace
        Of ``get``.
    filters : mapping
        The filters of ``get``; None for one that was not given.
    """
    from neurofetch.lockfile.lock import Lock  # noqa: PLC0415 - not needed for --help

    _check_alone(arguments)
    found = Lock.read(arguments.locked)
    common: dict[str, Any] = {name: one for name, one in filters.items() if one is not None}
    names = ("overwrite", "shard", "mix", "update", "verify")
    common |= {name: getattr(arguments, name) for name in names} | console.access(arguments)
    dest = arguments.url if arguments.data_dir is None else arguments.data_dir
    common |= {"places": arguments.places or (), "dest": dest}
    common["offline"] = arguments.offline or None  # without the flag, the environment says it
    if arguments.dry_run:
        console.show_plan(found.plan(progress=console.progress(arguments), **common), arguments)
        return ExitCode.OK
    common |= {name: getattr(arguments, name) for name in ("n_jobs", "limit_rate", "patience")}
    return console.narrated(lambda listen: found.get(progress=listen, **common), arguments)


def _check_alone(arguments: argparse.Namespace) -> None:
    """See that nothing is asked for besides that a lock does not decide.

    Raises
    ------
    UsageError
    """
    url = arguments.url or ""
    if "://" in url or (url and arguments.data_dir is not None):
        msg = (
            f"--locked brings what the lock names, and nothing from {shown(url)}. Nothing was done."
        )
        hint = "Leave it out" if arguments.data_dir else "To look for the files there: --from"
        raise UsageError(f"{msg} {hint}{'' if arguments.data_dir else f' {shown(url)}'}.")
    flags = ("region", "follow", "bare", "permissive", "derivatives")
    if arguments.mirror:
        msg = "--mirror would do nothing with --locked. Nothing was done. Name the places with"
        raise UsageError(f"{msg} --from: each may have any of the files.")
    idle = [f"--{flag}" for flag in flags if getattr(arguments, flag)]
    if idle:
        msg = f"{', '.join(idle)} would do nothing with --locked. Nothing was done. Leave it out."
        raise UsageError(msg)


def what_is_missing(arguments: argparse.Namespace) -> str:
    """Say what ``get`` lacks: it fetches a data set, or what a lock names."""
    if arguments.url is None and arguments.locked is None:
        return "the following arguments are required: DATASET (or --locked FILE)"
    if arguments.places and arguments.locked is None:
        return "argument --from: it says where the files of --locked FILE may be"
    if arguments.workers is not None and arguments.locked is not None:
        return "argument --workers: not with --locked, which asks one place after the other"
    if arguments.scheduler is not None and arguments.locked is not None:
        return "argument --scheduler: not with --locked, which asks one place after the other"
    if arguments.workers is not None and arguments.shard is not None:
        return "argument --workers: not with --shard, which is for jobs that are started one by one"
    return ""


def _add_acts(parser: argparse.ArgumentParser) -> None:
    """Add what may be done with a lock; one of these at a time."""
    acts = parser.add_mutually_exclusive_group()
    acts.add_argument("-o", "--out", metavar="FILE", help="where to write it (default: stdout)")
    acts.add_argument(
        "--check",
        metavar="FILE",
        help="compare the directory with this lock; exit with 4 if a file was added, changed or "
        "removed, and name it",
    )
    acts.add_argument(
        "--diff",
        nargs="+",
        action="extend",
        metavar="FILE",
        help="compare a lock with another one, or with the directory; exit with 4 if they differ",
    )
    acts.add_argument(
        "--update", metavar="FILE", help="write this lock again, and show what has changed"
    )
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        default="lock",
        help="write it for another tool: a manifest for `sha256sum -c`, a pooch registry, "
        "Croissant metadata, a Frictionless data package (default: lock)",
    )


def _lock(arguments: argparse.Namespace) -> int:
    _check_flags(arguments)
    if arguments.check:
        return _check(arguments)
    if arguments.diff:
        return _diff(arguments)
    return _update(arguments) if arguments.update else _make(arguments)


def _check_flags(arguments: argparse.Namespace) -> None:
    """See that no flag is given that would do nothing."""
    makes = not (arguments.check or arguments.diff)
    idle = [
        flag
        for flag, given, counts in (
            ("--hash", arguments.hash, not makes),
            ("--format", arguments.format != "lock", makes and not arguments.update),
            ("--quick", arguments.quick, makes),
            ("--all", arguments.every, makes and not arguments.update),
            ("a filter", _filters(arguments), makes and not arguments.update),
        )
        if given and not counts
    ]
    if idle:
        act = "--check" if arguments.check else "--diff" if arguments.diff else "--update"
        act = "no --check and no --diff" if makes and not arguments.update else act
        msg = f"{' and '.join(idle)} would do nothing with {act}. Nothing was done. Leave it out."
        raise UsageError(msg)


def _filters(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(arguments, name) for name in arguments.filter_names}
    return {name: values for name, values in given.items() if values is not None}


def _where(arguments: argparse.Namespace) -> str:
    return str(getattr(arguments, "data_dir", None) or ".")


def _made(arguments: argparse.Namespace, filters: dict[str, Any], without: Iterable[str]) -> Lock:
    """Make the lock, or read it where a lock file was named; say what was noticed."""
    from neurofetch.lockfile.lock import lock, made_of  # noqa: PLC0415 - not needed for --help

    where, progress = _where(arguments), console.progress(arguments)
    if os.path.isfile(where):
        return lock(where, every=arguments.every, quick=arguments.quick, state=arguments.state)
    made = made_of(
        where,
        every=arguments.every,
        quick=arguments.quick,
        state=arguments.state,
        progress=progress,
        filters=filters,
        without=[Path(path) for path in without],
    )
    for note in made.notes:
        console.remark(note, arguments)
        warnings.warn(note, SelectionWarning, stacklevel=2)  # shown where it is to be quiet
    return made


def _make(arguments: argparse.Namespace) -> int:
    made = _made(arguments, _filters(arguments), [arguments.out or _STDOUT])
    if arguments.out:
        made.write(arguments.out, arguments.format)
        total = f"{len(made):,} files, {console.size(made.head.bytes)}"
        console.remark(f"{arguments.out}: {total}", arguments)
        if arguments.json:
            console.emit("lock", _said(made, arguments.out, rows=False))
    elif arguments.json:
        console.emit("lock", _said(made, None))
    elif arguments.format == "lock":
        _print(made.lines())
    else:
        _print([made.export(arguments.format)])
    return ExitCode.OK


def _print(lines: Iterable[bytes]) -> None:
    """Print what is a file, byte for byte."""
    some: list[str] = []
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    for line in lines:
        some.append(line.decode())
        if len(some) >= _AT_ONCE:
            console.output("".join(some), end="")
            some.clear()
    console.output("".join(some), end="")


def _check(arguments: argparse.Namespace) -> int:
    from neurofetch.lockfile.lock import Lock  # noqa: PLC0415 - not needed for --help

    _check_directory(arguments, f"To compare two locks: --diff {shown(arguments.check)} FILE")
    found = Lock.read(arguments.check).check(
        _where(arguments),
        read_all=arguments.hash,
        state=arguments.state,
        progress=console.progress(arguments),
    )
    return _show(found, arguments, arguments.check)


def _diff(arguments: argparse.Namespace) -> int:
    from neurofetch.lockfile.lock import Lock  # noqa: PLC0415 - not needed for --help

    before, *more = arguments.diff
    if len(more) > 1:
        msg = "--diff takes one lock, to compare the directory with it, or two. Nothing was done."
        raise UsageError(f"{msg} Leave the rest out.")
    if more and getattr(arguments, "data_dir", None):
        msg = "--diff with two locks looks at no directory, but one was given. Nothing was done."
        raise UsageError(f"{msg} Leave it out.")
    if not more:
        arguments.check = before
        return _check(arguments)
    return _show(Lock.read(before).diff(Lock.read(more[0])), arguments, before)


def _update(arguments: argparse.Namespace) -> int:
    """Make a lock anew, as it was made; no line of it is lost."""
    from neurofetch.lockfile.compare import State  # noqa: PLC0415 - not needed for --help
    from neurofetch.lockfile.lock import Lock  # noqa: PLC0415

    _check_directory(arguments, "Name the directory that the lock is of")
    before = Lock.read(arguments.update)
    arguments.every = before.head.every
    made = _made(arguments, dict(before.head.query), [arguments.update])
    found = before.diff(made)
    gone = len(found.of(State.GONE))
    if gone:  # here may be a part of the data: what is in a lock alone is not to be lost
        note = (
            f"{shown(arguments.update)} was not changed: {count(gone)} of it are not here. Fetch "
            "what is missing with get --locked; or, to make a lock without it, use --out."
        )
        return _show(replace(found, head=(*found.head, note)), arguments, arguments.update)
    made.write(arguments.update)
    _show(found, arguments, arguments.update)
    return ExitCode.OK


def _check_directory(arguments: argparse.Namespace, advice: str) -> None:
    """See that a directory is meant where a lock is held against one."""
    where = _where(arguments)
    if os.path.isfile(where):
        msg = f"{shown(where)} is a file, and no data directory. Nothing was done. {advice}."
        raise UsageError(msg)


def _show(found: Difference, arguments: argparse.Namespace, path: str) -> int:
    if arguments.json:
        rows = [{"path": p, "state": state.value, "reason": why} for p, state, why in found]
        said = {"lock": path, "ok": found.ok, "counts": found.counts, "summary": found.summary}
        console.emit("difference", {**said, "notes": list(found.head), "files": rows})
    elif not arguments.quiet or not found.ok:
        console.show_text(str(found))
    return ExitCode.OK if found.ok else ExitCode.INCOMPLETE


def _said(made: Lock, path: str | None, *, rows: bool = True) -> dict[str, Any]:
    """Return a lock as a document."""
    head = made.head
    words = ("source", "kind", "name", "version", "commit", "doi", "license")
    files = [
        {"path": one.path, "size": one.size, "hashes": list(one.hashes), "url": one.url or None}
        for one in (made.files if rows else ())
    ]
    return {
        "lock": path,
        **{word: getattr(head, word) for word in words},
        "query": dict(head.query),
        "files_total": head.files,
        "bytes_total": head.bytes,
        "notes": list(map(shown, made.notes)),
        "files": files,
    }
