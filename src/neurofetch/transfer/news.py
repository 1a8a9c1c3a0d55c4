"""What is new of the lines to servers, as events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurofetch.events import NetworkAway, NetworkBack

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurofetch.events import Event
    from neurofetch.net.outage import Notice

__all__ = ["telling"]


def telling(listen: Callable[[Event], None]) -> Callable[[Notice], None]:
    """Return what hands notices to a listener, as events."""

    def tell(notice: Notice) -> None:
        if notice.kind == "back":
            listen(NetworkBack(notice.server, notice.seconds))
            return
        first = notice.kind != "still"
        listen(NetworkAway(notice.server, notice.reason, notice.seconds, notice.patience, first))

    return tell
