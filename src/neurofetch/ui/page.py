"""The page while it runs: a server in a thread, and its address."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from neurofetch.errors import DestinationError, UsageError
from neurofetch.ui.app import App
from neurofetch.ui.directories import Directories
from neurofetch.ui.guard import TOKEN_VARIABLE, Guard, new_token
from neurofetch.ui.server import PageServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

__all__ = ["RunningPage", "checked_base_path"]


class RunningPage:
    """A page that is served until it is closed.

    Parameters
    ----------
    directories : sequence of str or path
        The data directories that it may look at and fetch into.
    port : int
        0 for any that is free.
    host : str
        Where it listens.
    hosts : sequence of str
        Further names by which it is called: see `Guard`.
    base_path : str
        Below which a proxy shows it.
    framed : bool
        Whether a page of the same origin may show it in a frame.
    make_guard : callable
        Makes what decides who may ask: a kind of `Guard`.

    Raises
    ------
    DestinationError
        If a directory is none, or the port cannot be had.
    """

    def __init__(
        self,
        directories: Sequence[str | os.PathLike[str]],
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        hosts: Sequence[str] = (),
        base_path: str = "/",
        framed: bool = False,
        make_guard: Callable[..., Guard] = Guard,
    ) -> None:
        opened = Directories(directories)
        self.app = App(opened)
        base = checked_base_path(base_path)
        token = new_token(os.environ.get(TOKEN_VARIABLE, ""))

        def guard(found: int) -> Guard:
            return make_guard(found, tuple(hosts), base, framed, token)

        from neurofetch.ui.look import routes  # noqa: PLC0415 - what reads volumes comes late

        every = [*self.app.routes(), *routes(opened)]
        try:
            self._server = PageServer((host, port), every, self.app.broadcast, guard)
        except OSError as error:
            msg = f"port {port} of {host} cannot be had: {error.strerror}. Nothing was started."
            raise DestinationError(f"{msg} Name another port, or none.") from error
        self._host = host
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="neurofetch-ui", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.guard.port

    @property
    def guard(self) -> Guard:
        """Who may ask."""
        return self._server.guard

    @property
    def url(self) -> str:
        """Its address, with the token: for its user's eyes only."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        # Jupyter, which may stand before it, takes `token` for its own.
        name = "token" if self.guard.base_path == "/" else "ticket"
        return f"http://{host}:{self.port}{self.guard.base_path}?{name}={self.guard.token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def wait(self) -> None:
        """Wait until it is closed."""
        while self._thread.is_alive():
            self._thread.join(1.0)

    def close(self) -> None:
        """End what works for it, and serve it no more. What came is kept."""
        self.app.close()
        with contextlib.suppress(OSError):
            self._server.shutdown()
            self._server.server_close()
        self._thread.join(5.0)


def checked_base_path(given: str) -> str:
    """Return a base path with a slash at both ends.

    Parameters
    ----------
    given : str

    Raises
    ------
    UsageError

    Examples
    --------
    >>> checked_base_path("user/me/proxy/8000")
    '/user/me/proxy/8000/'
    """
    path = f"/{given.strip('/')}/" if given.strip("/") else "/"
    if any(one in path for one in "?#;,\"'\\ \r\n\t") or ".." in path or not path.isascii():
        msg = f"{given!r} is no base path. Nothing was started. Write it as /user/me/proxy/8000/."
        raise UsageError(msg)
    return path
