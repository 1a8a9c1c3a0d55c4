"""A notebook with a real kernel of Jupyter: cells are run, interrupted, and their outputs kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import nbformat
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from jupyter_core.utils import ensure_event_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


class Notebook:
    """A kernel, and the outputs as a front end would hold them.

    Parameters
    ----------
    env
        Of the kernel's process.
    cwd
        Where it runs.
    connection
        The file of a kernel that runs already.
    """

    def __init__(self, env: Mapping[str, str], cwd: Path, connection: Path | None = None) -> None:
        # Sockets with a path: a port that is free when chosen may be another's when it is bound.
        self._sockets = tempfile.TemporaryDirectory(prefix="kernel-")
        self._manager = KernelManager(
            kernel_name="python3", transport="ipc", connection_file=f"{self._sockets.name}/k.json"
        )
        if connection is None:
            self._manager.start_kernel(env=dict(env), cwd=str(cwd))
            self._client = self._manager.client()
        else:  # a server has started it: asked through a manager of ours, it would count as dead
            self._client = BlockingKernelClient()
            self._client.load_connection_file(str(connection))
        self._client.start_channels()
        try:
            self._client.wait_for_ready(timeout=120)
        except BaseException:
            self.close()
            raise
        self.updates = 0
        """How often an output was changed."""
        self.html: list[str] = []
        """Every state that was shown, as HTML."""

    def close(self) -> None:
        self._client.stop_channels()
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=True)
            self._manager.cleanup_resources()
        self._sockets.cleanup()
        _close_loop()

    def interrupt(self) -> None:
        """Interrupt the kernel as its button does; from another thread."""
        self._manager.interrupt_kernel()
        _close_loop()

    def run(self, code: str, meanwhile: Callable[[Notebook], None] | None = None) -> Cell:
        """Run a cell to its end; `meanwhile` is called at each message, until it returns true."""
        cell, asked = Cell(), meanwhile
        sent = self._client.execute(code, allow_stdin=False)
        until = time.monotonic() + 90
        while True:
            message = self._client.get_iopub_msg(timeout=max(0.1, until - time.monotonic()))
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            self._take(cell, kind, content)
            if asked is not None and asked(self):
                asked = None
        self._client.get_shell_msg(timeout=30)
        return cell

    def _take(self, cell: Cell, kind: str, content: Mapping[str, Any]) -> None:
        if kind in ("display_data", "update_display_data", "execute_result"):
            data = content["data"]
            number = content.get("transient", {}).get("display_id")
            self.html.append(data.get("text/html", ""))
            if kind == "update_display_data":
                self.updates += 1
                cell.shown[number] = data
            else:
                cell.shown[number or f"output {len(cell.shown)}"] = data
                if kind == "execute_result":
                    cell.result = data
        elif kind == "stream":
            cell.streams[content["name"]] = cell.streams.get(content["name"], "") + content["text"]
        elif kind == "error":
            cell.error, cell.said = content["ename"], "\n".join(content["traceback"])


def _close_loop() -> None:
    """Close the loop that Jupyter's client made for this thread, and leaves open."""
    ensure_event_loop().close()
    asyncio.set_event_loop(None)


class Cell:
    """What is below a cell when it has ended."""

    def __init__(self) -> None:
        self.shown: dict[str, Mapping[str, str]] = {}
        self.result: Mapping[str, str] = {}
        self.streams: dict[str, str] = {}
        self.error = ""
        self.said = ""

    @property
    def progress(self) -> list[str]:
        """The texts of the outputs that are no result."""
        return [data["text/plain"] for data in self.shown.values() if data is not self.result]


@contextlib.contextmanager
def notebook(
    env: Mapping[str, str], cwd: Path, connection: Path | None = None
) -> Iterator[Notebook]:
    made = Notebook(env, cwd, connection)
    try:
        yield made
    finally:
        made.close()


def executed(cells: list[str], env: Mapping[str, str], cwd: Path, *how: str) -> Any:
    """Return a notebook as `jupyter execute` (or what else is named) leaves it on the disk."""
    path = cwd / "paper.ipynb"
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(made, path)
    line = [sys.executable, "-m", *how, str(path)]
    done = subprocess.run(
        line, env=dict(env), cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return nbformat.read(path, as_version=4)


def own_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a kernel: this process's, but for the user's own."""
    return {**os.environ, **env, "IPYTHONDIR": f"{env['HOME']}/.ipython"}
