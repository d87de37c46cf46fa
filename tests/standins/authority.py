# SPDX-License-Identifier: Apache-2.0
"""An authority that nobody trusts yet, and servers that it vouches for."""

import datetime
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

_DAY = datetime.timedelta(days=1)


class Authority:
    """Keeps its files in a directory.

    :param name: its own.
    :param days: how long it is valid; less than 0: it no longer is.
    """

    def __init__(
        self, directory: pathlib.Path, name: str = "Test CA", days: int = 2
    ) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self._days = days
        self._certificate = self._sign(
            self._name, self._key, x509.BasicConstraints(True, None)
        )
        #: its certificate
        self.file = directory / "authority.pem"
        self.file.write_bytes(_pem(self._certificate))

    @property
    def body(self) -> str:
        """A line of its certificate that no other has."""
        return self.file.read_text().splitlines()[3]

    def server(self, name: str) -> pathlib.Path:
        """Return a file with key and certificate of a server."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(
            _named(name), key, x509.BasicConstraints(False, None),
            x509.SubjectAlternativeName([x509.DNSName(name)]),
        )  # fmt: skip
        file = self._directory / f"{name}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + _pem(certificate)
        )
        return file

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *extensions: x509.ExtensionType,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * _DAY)
            .not_valid_after(now + self._days * _DAY)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
