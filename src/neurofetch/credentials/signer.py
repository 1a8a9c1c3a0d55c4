"""Signatures: Signature Version 4 of AWS, made by its own C library for each attempt of a request.

Host and ``x-amz-*`` are signed, and nothing else: a proxy on the way may touch the rest. Facts:
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html.
"""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import quote, unquote_to_bytes, urlsplit

from neurofetch.credentials.keys import Credentials, Keys, scrubbed
from neurofetch.errors import CredentialsError
from neurofetch.net.settings import REGION

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Signer", "Used", "server_of"]

_log = logging.getLogger("neurofetch")

_DEFAULT_REGION = "us-east-1"
_OVER = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_OTHER_REGION = frozenset({"AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", ""})
"""The last is of an answer to HEAD, which has no body: a header alone names the region."""


class Used(NamedTuple):
    """With what a request was signed.

    Parameters
    ----------
    keys : Keys
    region : str
    """

    keys: Keys
    region: str


class Signer:
    """Signs requests to one server.

    Parameters
    ----------
    credentials : Credentials
    region : str
        "" for ``us-east-1``.
    requester_pays : bool
        Say with each request that whoever asks pays.
    service : str
    """

    def __init__(
        self,
        credentials: Credentials,
        region: str,
        *,
        requester_pays: bool = False,
        service: str = "s3",
    ) -> None:
        from awscrt import auth, exceptions, http  # noqa: PLC0415 - only signed runs load it

        self.credentials: Credentials = credentials
        self.region: str = region or _DEFAULT_REGION
        self.requester_pays: bool = requester_pays
        self.service: str = service
        self._auth: Any = auth
        self._http: Any = http
        self._error: Any = exceptions.AwsCrtError
        self._provider: tuple[Keys, Any] | None = None
        self._corrected = False

    def __repr__(self) -> str:
        return f"Signer({self.credentials!r}, {self.region!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("signers stay in their process: pickle the Access instead")

    @property
    def shown(self) -> str:
        """Whose credentials sign, for messages."""
        return self.credentials.shown

    def in_region(self, region: str) -> Signer:
        """Return one for servers of another region, with the same credentials."""
        return Signer(
            self.credentials, region, requester_pays=self.requester_pays, service=self.service
        )

    def sign(
        self,
        method: str,
        host: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> tuple[dict[str, str], Used]:
        """Return the headers that a request needs beside its own, and what signed it.

        Parameters
        ----------
        method : str
        host : str
            As the ``Host`` header has it.
        target : str
            Path and query, percent-encoded.
        headers : mapping of str to str
            Those of the request.
        body : bytes or None

        Raises
        ------
        CredentialsError, ServerError
            If there are no keys (any more).
        """
        used = Used(self.credentials.keys(), self.region)
        more = {"x-amz-request-payer": "requester"} if self.requester_pays else {}
        amazon = {name: text for name, text in headers.items() if _is_amazons(name)}
        given = {**amazon, **more}
        pairs = [("host", host), *given.items()]
        request = self._http.HttpRequest(method, _canonical(target), self._http.HttpHeaders(pairs))
        try:
            self._auth.aws_sign_request(request, self._config(used, body)).result()
        except (self._error, RuntimeError, ValueError, TypeError) as error:
            msg = f"a request cannot be signed with {self.shown}: {type(error).__name__}"
            raise CredentialsError(f"{msg}. Nothing more was asked. Check its keys.") from None
        signed = {name: text for name, text in request.headers if name.lower() != "host"}
        return {name: text for name, text in signed.items() if name not in amazon}, used

    def _config(self, used: Used, body: bytes | None) -> Any:
        auth, held, keys = self._auth, self._provider, used.keys
        if held is None or held[0] is not keys:
            new = auth.AwsCredentialsProvider.new_static(
                keys.key_id, keys.secret, keys.token or None
            )
            self._provider = held = (keys, new)
        empty = auth.AwsSignedBodyValue.EMPTY_SHA256
        return auth.AwsSigningConfig(
            credentials_provider=held[1],
            region=used.region,
            service=self.service,
            use_double_uri_encode=self.service != "s3",
            should_normalize_uri_path=self.service != "s3",
            signed_body_value=sha256(body).hexdigest() if body else empty,
            signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        )

    def learns(self, code: str, region: str, used: Used) -> str:
        """Take from a refusal what makes the next attempt better; say what that is, or "".

        Parameters
        ----------
        code : str
            The ``<Code>`` of the server.
        region : str
            The region that it names, or "".
        used : Used
            What signed the request.
        """
        if code in _OVER:
            return self.credentials.renewed(used.keys)
        other = region and region != used.region and REGION.fullmatch(region) is not None
        if code not in _OTHER_REGION or not other:
            return ""
        if region != self.region:
            if self._corrected:  # once: a server that always names another is of no use
                return ""
            self._corrected = True
            _log.debug("signing for the region %s, which the server names", region)
            self.region = region
        return f"the bucket is in the region {region}"  # for all that were under way, too

    def scrubbed(self, text: str, used: Used) -> str:
        """Return what a server says, without the keys should it repeat them."""
        return scrubbed(text, used.keys)


def server_of(url: str) -> str:
    """Return scheme, host and port of a URL.

    Examples
    --------
    >>> server_of("https://host:9000/bucket/key?x=1")
    'https://host:9000'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _is_amazons(name: str) -> bool:
    return name.lower().startswith("x-amz-")


def _canonical(target: str) -> str:
    """Return path and query as the server writes them to check a signature.

    Examples
    --------
    >>> _canonical("/b/x//(1)'!*+a%20b.txt?prefix=a%20b")
    '/b/x//%281%29%27%21%2A%2Ba%20b.txt?prefix=a%20b'
    """
    path, mark, query = target.partition("?")
    return quote(unquote_to_bytes(path), safe="/-._~") + mark + query
