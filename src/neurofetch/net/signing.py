"""What the client asks of whoever signs requests: see `neurofetch.credentials` for who does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HiddenBytes", "HiddenText", "RegionalSigner", "RequestSigner", "Signature"]


class HiddenText(str):
    """A text that is not shown where a debugger or a report shows variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class HiddenBytes(bytes):
    """The same for bytes."""

    def __repr__(self) -> str:
        return "b'…'"


class RequestSigner(Protocol):
    """Signs requests to one server. Any number of threads may call it."""

    @property
    def shown(self) -> str:
        """Whose credentials sign, for messages: never a key."""

    def sign(
        self,
        method: str,
        host: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> tuple[dict[str, str], Any]:
        """Return the headers that a request needs beside its own, and what signed it."""

    def learns(self, code: str, region: str, used: Any) -> str:
        """Take from a refusal what makes the next attempt better; say what that is, or ""."""

    def scrubbed(self, text: str, used: Any) -> str:
        """Return what a server says, without the keys should it repeat them."""


class RegionalSigner(RequestSigner, Protocol):
    """One that can also sign for another region."""

    def in_region(self, region: str) -> RegionalSigner:
        """Return one for servers of another region, with the same credentials."""


@dataclass(frozen=True, slots=True)
class Signature:
    """With what a request was signed."""

    signer: RequestSigner
    used: Any

    def learns(self, code: str, region: str) -> str:
        """As `RequestSigner.learns`."""
        return self.signer.learns(code, region, self.used)

    def scrubbed(self, text: str) -> str:
        """As `RequestSigner.scrubbed`."""
        return self.signer.scrubbed(text, self.used)
