"""How a bucket is asked: by nobody in particular, or by whom the user named, and at which server.

An `Access` holds names alone: it can be pickled, shown and written down. Keys are looked up from it
where requests are made, by each process for itself.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from neurofetch.errors import UnreachableError, UsageError, WrongTypeError
from neurofetch.net.settings import checked_endpoint, s3_endpoint, s3_region

if TYPE_CHECKING:
    from neurofetch.credentials.signer import Signer
    from neurofetch.net.settings import Network

__all__ = ["Access", "Location"]


class Location(NamedTuple):
    """Where buckets are.

    Parameters
    ----------
    endpoint : str or None
        An S3 server other than AWS.
    region : str or None
    named : bool
        Whether the endpoint was named for this data set, by a flag or by the profile, and not by
        a variable for all of them.
    """

    endpoint: str | None
    region: str | None
    named: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """How a bucket is asked; by default without credentials, whatever the environment holds.

    Parameters
    ----------
    profile : str
        The profile of AWS whose credentials sign the requests; "" for none.
    signed : bool
        The keys in the environment sign them.
    requester_pays : bool
        Whoever asks pays for what comes.
    endpoint : str
        An S3 server other than AWS; "" for what the environment or the profile says, else AWS.

    Examples
    --------
    >>> Access.checked(profile="lab", endpoint="https://s3.example.edu/")
    Access(profile='lab', signed=False, requester_pays=False, endpoint='https://s3.example.edu')
    """

    profile: str = ""
    signed: bool = False
    requester_pays: bool = False
    endpoint: str = ""

    @classmethod
    def checked(
        cls,
        *,
        profile: object = None,
        signed: object = False,
        requester_pays: object = False,
        endpoint: object = None,
    ) -> Access:
        """Check what a user gave, before any server is asked.

        Parameters
        ----------
        profile : str, optional
        signed, requester_pays : bool
        endpoint : str, optional

        Raises
        ------
        UsageError
            If one of them cannot be used, or not with the others.
        """
        for name, text in (("profile", profile), ("endpoint", endpoint)):
            if text is not None and not isinstance(text, str):
                msg = f"{name} must be a text, not {type(text).__name__}. Nothing was fetched."
                raise WrongTypeError(msg)
        for name, switch in (("signed", signed), ("requester_pays", requester_pays)):
            if not isinstance(switch, bool):
                msg = f"{name} must be True or False, not {type(switch).__name__}."
                raise WrongTypeError(f"{msg} Nothing was fetched.")
        if isinstance(profile, str) and not profile.strip():
            msg = "the name of the profile is empty. Nothing was fetched. Name one: --profile NAME"
            raise UsageError(f"{msg} (profile=).")
        if profile is not None and signed:
            msg = (
                "a profile was named, and also the keys in the environment (signed): only one of "
                "them can sign. Nothing was fetched. Leave out --signed (signed=), or --profile "
                "(profile=)."
            )
            raise UsageError(msg)
        if requester_pays and profile is None and not signed:
            msg = (
                "requester pays, and nobody is named who does. Nothing was fetched. Name your "
                "credentials: --profile NAME, or --signed for the keys in the environment "
                "(profile=, signed=True)."
            )
            raise UsageError(msg)
        server = ""
        if endpoint is not None:
            text = str(endpoint).strip()
            server = checked_endpoint(text, "endpoint") if text else _no_endpoint()
        return cls(str(profile or "").strip(), bool(signed), bool(requester_pays), server)

    @property
    def signs(self) -> bool:
        """Whether credentials were named."""
        return bool(self.profile) or self.signed

    @property
    def flags(self) -> str:
        """The flags that ask in the same way, to be shown."""
        import shlex  # noqa: PLC0415 - for a message

        found = [f"--profile {shlex.quote(self.profile)}" if self.profile else ""]
        found += ["--signed" if self.signed else ""]
        found += ["--requester-pays" if self.requester_pays else ""]
        found += [f"--endpoint {shlex.quote(self.endpoint)}" if self.endpoint else ""]
        return " ".join(filter(None, found))

    def location(self, region: str | None = None) -> Location:
        """Return where buckets are: what was named, else the environment, else the profile.

        Parameters
        ----------
        region : str, optional
            Of the bucket, where that is known.

        Raises
        ------
        ConfigError
            If a variable or the profile is wrong, or there is no such profile.
        """
        endpoint, named = self.endpoint or s3_endpoint(), bool(self.endpoint)
        region = region or s3_region()
        if self.profile:
            from neurofetch.credentials.profiles import read_profile  # noqa: PLC0415 - few runs

            profile = read_profile(self.profile)
            region = region or profile.region
            if endpoint is None:
                endpoint = profile.endpoint("s3")
                named = endpoint is not None
        return Location(endpoint, region, named)

    def signer(self, network: Network, region: str | None) -> Signer | None:
        """Return what signs requests, its keys at hand; None where nobody was named.

        Nobody signs where the network is not to be used. Where who gives keys out cannot be
        reached, the first request says so: what is remembered of the bucket may do without any.

        Parameters
        ----------
        network : Network
            How to reach the servers that give keys out.
        region : str or None
            Of the bucket; by default ``us-east-1``.

        Raises
        ------
        CredentialsError
            If the credentials cannot be had.
        """
        if not self.signs or network.offline:
            return None
        from neurofetch.credentials.signer import Signer  # noqa: PLC0415
        from neurofetch.credentials.sources import credentials_of  # noqa: PLC0415 - see above

        credentials = credentials_of(self.profile, network)
        with contextlib.suppress(UnreachableError):
            credentials.keys()
        return Signer(credentials, region or "", requester_pays=self.requester_pays)


def _no_endpoint() -> str:
    msg = "the endpoint is empty. Nothing was fetched. Name a server: --endpoint https://host:9000"
    raise UsageError(f"{msg} (endpoint=), or leave it out.")
