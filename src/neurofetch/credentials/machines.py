"""Keys that the machine itself has: a container's, or those of an instance of EC2.

They are only asked for where a variable or the profile says so: anywhere else nobody answers at
these addresses, or somebody who should not.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from neurofetch.credentials.keys import Keys, checked_keys, moment
from neurofetch.errors import CredentialsError, NeurofetchError, UnreachableError
from neurofetch.net.client import Client
from neurofetch.net.http1 import Request
from neurofetch.net.retry import Attempts, RetryRules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neurofetch.net.settings import Network

__all__ = ["container", "instance"]

_CONTAINER = "http://169.254.170.2"
_CONTAINERS = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23")
"""Addresses at which ECS and EKS give keys out; of others only this machine's, or with TLS."""
_INSTANCE = "http://169.254.169.254"
_LIMIT = 64 * 1024
_RULES = RetryRules(attempts=3, base=0.2, cap=1.0, max_wait=5.0)
_SECONDS = 5.0
_TOKEN_SECONDS = "21600"


def container(shown: str, network: Network) -> Keys:
    """Return the keys of the container that this runs in.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html

    Parameters
    ----------
    shown : str
        Whose they are, for messages.
    network : Network

    Raises
    ------
    CredentialsError
        If no container gives keys out.
    """
    env = os.environ
    relative = env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "").strip()
    full = env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "").strip()
    if not relative and not full:
        msg = (
            f"{shown}: this is no container of AWS (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and "
            "AWS_CONTAINER_CREDENTIALS_FULL_URI are not set). Nothing was fetched."
        )
        raise CredentialsError(msg)
    url = f"{_CONTAINER}{relative}" if relative else full
    if not _is_safe(url):
        msg = (
            f"{shown}: AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or an address of this "
            "machine or of AWS's containers. Nothing was fetched."
        )
        raise CredentialsError(msg)
    headers = {}
    token = _container_token(shown)
    if token:
        headers["Authorization"] = token
    with _client(network) as client:
        return _keys(_asked(client, Request(url, headers, redirects=0), shown), shown)


def _container_token(shown: str) -> str:
    path = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "")
    if not path:
        return os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "").strip()
    try:
        with open(path, encoding="ascii") as file:
            return file.read(_LIMIT).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
    msg = f"{shown}: AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE={path!r} cannot be read: {why}."
    raise CredentialsError(f"{msg} Nothing was fetched.")


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    if parts.scheme != "http":
        return False
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return True
    return host in _CONTAINERS or host == "localhost"


def instance(shown: str, network: Network) -> Keys:
    """Return the keys of the instance of EC2 that this runs on.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html

    Parameters
    ----------
    shown, network
        As of `container`.

    Raises
    ------
    CredentialsError
        If it has none, or this is no such machine.
    """
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").strip().lower() == "true":
        msg = f"{shown}: AWS_EC2_METADATA_DISABLED forbids to ask for them. Nothing was fetched."
        raise CredentialsError(msg)
    base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "").strip().rstrip("/")
    base = base or _INSTANCE
    with _client(network) as client:
        lasts = {"X-aws-ec2-metadata-token-ttl-seconds": _TOKEN_SECONDS}
        ask = Request(f"{base}/latest/api/token", lasts, "PUT", b"", redirects=0)
        token = {"X-aws-ec2-metadata-token": _asked(client, ask, shown).decode("latin-1")}
        roles = f"{base}/latest/meta-data/iam/security-credentials/"
        name = _asked(client, Request(roles, token, redirects=0), shown).decode("latin-1").strip()
        return _keys(_asked(client, Request(f"{roles}{name}", token, redirects=0), shown), shown)


def _client(network: Network) -> Client:
    """Return a client for what is near: no proxy, and no long wait for who is not there."""
    return Client(
        replace(
            network,
            proxies={},
            connect_timeout=min(_SECONDS, network.connect_timeout),
            read_timeout=min(_SECONDS, network.read_timeout),
            limit_rate=None,
        )
    )


def _asked(client: Client, request: Request, shown: str) -> bytes:
    """Return what the machine answers.

    Raises
    ------
    CredentialsError
    """

    def attempt() -> tuple[int, bytes]:
        with client.send(request) as response:
            return response.status, response.read(_LIMIT)

    try:
        status, body = Attempts(_RULES).run(attempt)
        problem = "" if status == 200 else f"{request.shown_url} answers {status}"
    except NeurofetchError as error:
        problem = str(error)
        if isinstance(error, UnreachableError):
            problem = f"nobody answers at {request.shown_url}"
    if problem:
        msg = (
            f"{shown}: the machine gives out no keys: {problem}. Nothing was fetched. See whether "
            "a role belongs to this machine, or name other credentials."
        )
        raise CredentialsError(msg)
    return body


def _keys(body: bytes, shown: str) -> Keys:
    """Return the keys that a machine names."""
    problem, expires = "", float("inf")
    said: Mapping[str, Any] = {}
    try:
        read = json.loads(body)
        if isinstance(read, dict):
            said = read
        expires = moment(str(said["Expiration"])) if said.get("Expiration") else expires
    except (ValueError, RecursionError):
        problem = "what came is no JSON, or has no time in ISO 8601"
    names = ("AccessKeyId", "SecretAccessKey")
    if not problem and not all(said.get(name) for name in names):
        problem = "what came holds no keys"
    if problem:
        raise CredentialsError(f"{shown}: {problem}. Nothing was fetched.")
    keys = (said.get(name) for name in (*names, "Token"))
    return checked_keys(shown, *keys, expires=expires)
