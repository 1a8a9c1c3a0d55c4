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

__all__ = ["Certified", "certify", "certify_itself"]

_DAY = datetime.timedelta(days=1)
_AUTHORITY = x509.BasicConstraints(ca=True, path_length=0)
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


def certify(folder: Path, *more: str) -> Certified:
    """Make an authority, and a certificate of it for 127.0.0.1 and localhost.

    Parameters
    ----------
    folder
        Gets ``authority.pem``, ``public.crt`` and ``private.key``.
    more
        Further names of the server.
    """
    names = x509.SubjectAlternativeName([*_NAMES, *map(x509.DNSName, more)])
    root, server = _key(), _key()
    made = Certified(folder / "authority.pem", folder / "public.crt", folder / "private.key")
    authority = _builder("authority", root).add_extension(_AUTHORITY, critical=True)
    certificate = _builder("server", server).add_extension(names, critical=False)
    made.authority.write_bytes(_signed(authority, root))
    made.certificate.write_bytes(_signed(certificate, root))
    made.key.write_bytes(_kept(server))
    return made


def certify_itself(folder: Path) -> Certified:
    """Make a certificate for 127.0.0.1 and localhost that is its own authority.

    Parameters
    ----------
    folder
        Gets ``cert.pem`` and ``key.pem``.
    """
    key = _key()
    made = Certified(folder / "cert.pem", folder / "cert.pem", folder / "key.pem")
    builder = _builder("authority", key).add_extension(_AUTHORITY, critical=True)
    made.certificate.write_bytes(_signed(builder.add_extension(_NAMES, critical=False), key))
    made.key.write_bytes(_kept(key))
    return made


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _kept(key: ec.EllipticCurvePrivateKey) -> bytes:
    kind = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())


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


def _signed(builder: x509.CertificateBuilder, root: ec.EllipticCurvePrivateKey) -> bytes:
    return builder.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"testbed {text}")])
