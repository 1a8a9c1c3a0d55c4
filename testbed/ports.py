"""A port for a server that does not choose one by itself."""

from __future__ import annotations

import random
import socket

_CHOICE = range(20_000, 32_000)
"""Below those that Linux gives to whoever asks for any (32,768 and more, `ip_local_port_range`).

So the many servers and clients of tests that run at the same time do not take the port
between the moment when it is chosen and the one when it is bound.
"""


def free_port() -> int:
    """Return a port on which nobody listens now, and which nobody gets who asks for any."""
    for port in random.SystemRandom().sample(_CHOICE, 200):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise RuntimeError("none of 200 ports is free")
