"""Who may come in: signatures as S3 checks them, sessions that end, regions, and who pays.

What a signature must be is computed by botocore, from the path and the headers as they came.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from testbed._faults import Reply, Request
from testbed._objects import xml_error

__all__ = ["Guard"]

_SKEW_SECONDS = 900.0


@dataclass
class Guard:
    """Lets in who signs with a key that it knows.

    Parameters
    ----------
    keys
        The secret of each access key id.
    sessions
        The session token of each access key id that needs one.
    region
        For which requests must be signed.
    expired
        Access key ids whose sessions are over.
    payer
        Whether each request must say that whoever asks pays.
    unlisted
        Access key ids that may do nothing.
    """

    keys: Mapping[str, str]
    sessions: Mapping[str, str] = field(default_factory=dict)
    region: str = "us-east-1"
    expired: set[str] = field(default_factory=set)
    payer: bool = False
    unlisted: set[str] = field(default_factory=set)

    def refusal(self, request: Request) -> Reply | None:
        """Return what S3 says to a request that may not come in; None for one that may."""
        said = _parsed(request.headers.get("authorization", ""))
        if said is None:
            return xml_error(403, "AccessDenied", "Access Denied")
        key_id, date, region, service = (*said["Credential"].split("/"), "", "", "", "")[:4]
        return (
            self._problem_of_key(key_id, request.headers)
            or self._problem_of_place(region, service, date, request)
            or self._problem_of_signature(request, key_id, said)
        )

    def _problem_of_place(
        self, region: str, service: str, date: str, request: Request
    ) -> Reply | None:
        if (region, service) != (self.region, "s3"):
            message = f"the region '{region}' is wrong; expecting '{self.region}'"
            return xml_error(400, "AuthorizationHeaderMalformed", message, Region=self.region)
        if _too_old(request.headers.get("x-amz-date", ""), date):
            return xml_error(403, "RequestTimeTooSkewed", "The difference is too large.")
        return None

    def _problem_of_signature(
        self, request: Request, key_id: str, said: Mapping[str, str]
    ) -> Reply | None:
        if said["Signature"] != self._signature(request, key_id, said["SignedHeaders"]):
            message = f"The signature does not match. Your key: {key_id}"  # for nobody's log
            return xml_error(403, "SignatureDoesNotMatch", message, AWSAccessKeyId=key_id)
        paid = request.headers.get("x-amz-request-payer") == "requester"
        if key_id in self.unlisted or (self.payer and not paid):
            return xml_error(403, "AccessDenied", "Access Denied")
        return None

    def _problem_of_key(self, key_id: str, headers: Mapping[str, str]) -> Reply | None:
        if key_id not in self.keys:
            message = f"The AWS Access Key Id you provided does not exist: {key_id}"
            return xml_error(403, "InvalidAccessKeyId", message, AWSAccessKeyId=key_id)
        if headers.get("x-amz-security-token", "") != self.sessions.get(key_id, ""):
            return xml_error(400, "InvalidToken", "The provided token is malformed.")
        if key_id in self.expired:
            return xml_error(400, "ExpiredToken", "The provided token has expired.")
        return None

    def _signature(self, request: Request, key_id: str, names: str) -> str:
        """Return what S3 would compute: it decodes a path, and encodes it in its own way."""
        signed = names.split(";")
        if signed != sorted(signed) or "host" not in signed or not _signs_all(request, signed):
            return ""
        target = urlsplit(request.target)
        path = quote(unquote_to_bytes(target.path), safe="/-._~")
        made = AWSRequest(
            method=request.verb,
            url=f"http://{request.headers['host']}{path}",
            headers={name: request.headers.get(name, "") for name in signed},
            params=dict(parse_qsl(target.query, keep_blank_values=True)),
            data=request.body,
        )
        made.context["timestamp"] = request.headers["x-amz-date"]
        judge = S3SigV4Auth(Credentials(key_id, self.keys[key_id]), "s3", self.region)
        text = judge.string_to_sign(made, judge.canonical_request(made))
        return str(judge.signature(text, made))


def _too_old(stamp: str, date: str) -> bool:
    try:
        when = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return True
    away = abs((datetime.now(UTC) - when).total_seconds())
    return away > _SKEW_SECONDS or not stamp.startswith(date)


def _signs_all(request: Request, signed: list[str]) -> bool:
    """Whether all headers of Amazon that came are signed, as S3 demands."""
    return {name for name in request.headers if name.startswith("x-amz-")} <= set(signed)


def _parsed(header: str) -> dict[str, str] | None:
    scheme, _, rest = header.partition(" ")
    parts = (part.partition("=") for part in rest.split(","))
    said = {name.strip(): text.strip() for name, _, text in parts}
    whole = {"Credential", "SignedHeaders", "Signature"} <= said.keys()
    return said if scheme == "AWS4-HMAC-SHA256" and whole else None
