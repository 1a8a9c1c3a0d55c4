"""Certificates for the servers of this machine, of an authority of our own. No tool is needed."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Certified", "certify"]

_DAY = datetime.timedelta(days=1)
_NAMES = x509.SubjectAlternativeName(
    [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
)


@dataclass(frozen=True)
class Certified:
    """The files of a server's certificate.

    Parameters
    ----------
    authority
        What a client trusts.
    certificate, key
        What the server shows and what it keeps, both as PEM.
    """

    authority: Path
    certificate: Path
    key: Path


def certify(folder: Path) -> Certified:
    """Make an authority, and a certificate of it for 127.0.0.1 and localhost.

    Parameters
    ----------
    folder
        Gets ``authority.pem``, ``public.crt`` and ``private.key``.
    """
    root, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    made = Certified(folder / "authority.pem", folder / "public.crt", folder / "private.key")
    whose = x509.BasicConstraints(ca=True, path_length=0)
    made.authority.write_bytes(_pem(_builder("authority", root).add_extension(whose, True), root))
    made.certificate.write_bytes(
        _pem(_builder("server", server).add_extension(_NAMES, False), root)
    )
    made.key.write_bytes(
        server.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return made


def _builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 2 * _DAY)
    )


def _pem(builder: x509.CertificateBuilder, root: ec.EllipticCurvePrivateKey) -> bytes:
    return builder.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"testbed {text}")])
