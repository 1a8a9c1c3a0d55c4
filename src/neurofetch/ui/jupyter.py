"""The page in Jupyter's launcher, where jupyter-server-proxy is installed.

Jupyter has checked who asks, and tells the page so by the token, which it alone has.
"""

from __future__ import annotations

import secrets
import sys
from typing import Any

from neurofetch.ui.guard import TOKEN_VARIABLE

__all__ = ["launcher"]


def launcher() -> dict[str, Any]:
    """Return how jupyter-server-proxy starts the page, and what it says to it.

    Returns
    -------
    dict
        As jupyter-server-proxy wants it for the entry point group
        ``jupyter_serverproxy_servers``: the page opens at ``neurofetch/`` below Jupyter's own
        address, with the folder that Jupyter was started in.
    """
    token = secrets.token_urlsafe(32)
    words = ["neurofetch", "ui", "--no-browser", "--quiet", "--port", "{port}"]
    return {
        "command": [sys.executable, "-P", "-m", *words, "--allow-host", "*"],
        "environment": {TOKEN_VARIABLE: token},
        "request_headers_override": {"Authorization": f"token {token}"},
        "timeout": 30,
        "launcher_entry": {"title": "neurofetch", "enabled": True},
    }
