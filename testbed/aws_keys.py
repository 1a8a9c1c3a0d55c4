"""Where AWS gives keys out, on loopback: containers, instances, single sign-on, and roles.

One server answers for all of them: ECS's ``/container``, the metadata of an instance, the portal
of SSO, and the form of the Security Token Service.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from testbed._blobs import Bytes
from testbed._faults import Reply, Request
from testbed._objects import xml_error
from testbed._wire import WireServer

__all__ = ["KeyServer"]

_ROLE = "the-role"


class KeyServer(WireServer):
    """Gives out one key.

    Parameters
    ----------
    key_id, secret, token
        What is given out.
    lasts
        Seconds for which it holds.
    metadata_token
        What an instance must say before it is told anything.
    """

    def __init__(
        self,
        key_id: str,
        secret: str,
        token: str,
        *,
        lasts: float = 3600.0,
        metadata_token: str = "metadata-token",
    ) -> None:
        super().__init__()
        self.key_id, self.secret, self.token = key_id, secret, token
        self.lasts = lasts
        self.metadata_token = metadata_token

    def locate(self, method: str, path: str, query: Mapping[str, str]) -> tuple[str, str, str]:
        del query
        return method, "", path

    def answer(self, request: Request) -> Reply:
        key, end = request.key, datetime.now(UTC) + timedelta(seconds=self.lasts)
        if key == "/container":
            return self._plain(end)
        if key.startswith("/latest/"):
            return self._instance(request, end)
        if key == "/federation/credentials":
            return self._portal(request, end)
        if key == "/" and request.method == "POST":
            return self._role(request, end)
        return Reply(404)

    def _plain(self, end: datetime) -> Reply:
        said = {
            "AccessKeyId": self.key_id,
            "SecretAccessKey": self.secret,
            "Token": self.token,
            "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return _json(said)

    def _instance(self, request: Request, end: datetime) -> Reply:
        path = request.key.removeprefix("/latest/")
        if path == "api/token":
            wanted = "x-aws-ec2-metadata-token-ttl-seconds" in request.headers
            good = request.method == "PUT" and wanted
            return Reply(200, {}, Bytes(self.metadata_token.encode())) if good else Reply(400)
        if request.headers.get("x-aws-ec2-metadata-token") != self.metadata_token:
            return Reply(401)
        if path == "meta-data/iam/security-credentials/":
            return Reply(200, {}, Bytes(_ROLE.encode()))
        named = path == f"meta-data/iam/security-credentials/{_ROLE}"
        return self._plain(end) if named else Reply(404)

    def _portal(self, request: Request, end: datetime) -> Reply:
        if request.headers.get("x-amz-sso_bearer_token") != "login-token":
            return _json({"message": "Session token not found or invalid"}, 401)
        said = {
            "accessKeyId": self.key_id,
            "secretAccessKey": self.secret,
            "sessionToken": self.token,
            "expiration": int(end.timestamp() * 1000),
        }
        return _json({"roleCredentials": said})

    def _role(self, request: Request, end: datetime) -> Reply:
        form = parse_qs(request.body.decode())
        action = form["Action"][0]
        if "denied" in form["RoleArn"][0]:
            words = f"not authorized to perform: sts:{action}"
            return xml_error(403, "AccessDenied", words)
        inner = (
            f"<AccessKeyId>{self.key_id}</AccessKeyId>"
            f"<SecretAccessKey>{self.secret}</SecretAccessKey>"
            f"<SessionToken>{self.token}</SessionToken>"
            f"<Expiration>{end.strftime('%Y-%m-%dT%H:%M:%SZ')}</Expiration>"
        )
        body = f"<{action}Response><Credentials>{inner}</Credentials></{action}Response>"
        return Reply(200, {"Content-Type": "text/xml"}, Bytes(body.encode()))


def _json(said: object, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, Bytes(json.dumps(said).encode()))
