"""``neurofetch ui``: the local page."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import signal
import socket
import sys
import webbrowser
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from neurofetch import console
from neurofetch.console import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neurofetch.ui.page import RunningPage

    Commands = argparse._SubParsersAction[console.Parser]

__all__ = ["add_ui"]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def add_ui(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "ui",
        help="choose, download and look at data in your browser",
        description="Open a page in the browser: choose a data set, see the plan, fetch, and look "
        "at maps and tables. It is served on this machine, for you alone, until you press Ctrl-C. "
        "It can read only the data directories that you name here.",
        examples=(
            "neurofetch ui",
            "neurofetch ui laion_fmri_data ds000001",
            "neurofetch ui --no-browser --port 8765",
        ),
    )
    parser.add_argument(
        "directories",
        nargs="*",
        default=[],
        metavar="DIR",
        help="data directories (default: the current directory)",
    )
    parser.add_argument(
        "--no-browser",
        action="store_true",
        help="open no browser; print the address with its token on stdout",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        metavar="N",
        help="to listen on (default: any that is free)",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="to listen on (default: 127.0.0.1, this machine alone)",
    )
    parser.add_argument(
        "--i-know",
        action="store_true",
        help="needed with a --host that others can reach: the token crosses the network in clear",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another name by which the page is called, behind a proxy; * for any",
    )
    parser.add_argument(
        "--base-path",
        default="/",
        metavar="PATH",
        help="below which a proxy shows the page, as /user/me/proxy/8765/",
    )
    console.add_output(parser)
    parser.set_defaults(handler=_ui)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number up to 65535")
    return int(text)


def _ui(arguments: argparse.Namespace) -> int:
    from neurofetch.errors import UsageError  # noqa: PLC0415 - not needed for --help
    from neurofetch.ui.page import RunningPage  # noqa: PLC0415

    if arguments.host not in _LOOPBACK and not arguments.i_know:
        msg = f"Everybody who can reach {arguments.host} could open the page, and its token would"
        msg += " cross the network in clear. Nothing was started. Leave --host out and use an SSH"
        raise UsageError(f"{msg} tunnel, or add --i-know.")
    hosts = [*arguments.allow_host, *([] if arguments.host in _LOOPBACK else [arguments.host])]
    page = RunningPage(
        arguments.directories or ["."],
        port=arguments.port,
        host=arguments.host,
        hosts=hosts,
        base_path=arguments.base_path,
    )
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # its terminal is closed: as Ctrl-C
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    with page:
        with contextlib.suppress(KeyboardInterrupt):
            _announce(page, arguments)
            with _opened(page, arguments):
                page.wait()
        console.remark("the page is closed; what came is kept", arguments)
    return ExitCode.OK


def _announce(page: RunningPage, arguments: argparse.Namespace) -> None:
    for one in page.app.directories.all():
        console.remark(f"data directory: {one.root}", arguments)
    if arguments.json:
        console.emit("page", {"url": page.url, "port": page.port})
    elif arguments.no_browser:
        console.output(page.url)
    else:
        console.remark(f"the page: {page.url}", arguments)
    if arguments.no_browser:
        host = "[::1]" if arguments.host == "::1" else "127.0.0.1"
        tunnel = f"ssh -N -L {page.port}:{host}:{page.port} {socket.gethostname()}"
        console.remark(f"from another machine: {tunnel}", arguments)
    console.remark("Ctrl-C ends it; runs end with it, and what came is kept.", arguments)
    sys.stdout.flush()


@contextlib.contextmanager
def _opened(page: RunningPage, arguments: argparse.Namespace) -> Iterator[None]:
    """Open the browser by a file that only this user can read: a command line is seen by all."""
    if arguments.no_browser:
        yield
        return
    try:
        path = _redirect(page.url)
    except (OSError, RuntimeError):  # no home, or none that can be written to
        console.remark("No browser was opened. Open the address above.", arguments)
        yield
        return
    try:
        if not webbrowser.open(path.as_uri()):
            console.remark("No browser was found. Open the address above.", arguments)
        yield
    finally:
        path.unlink(missing_ok=True)


def _redirect(url: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache, "neurofetch").absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"ui-{secrets.token_hex(8)}.html"
    text = f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(url)}">'
    text += f'<p><a href="{escape(url)}">neurofetch</a></p>\n'
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path
