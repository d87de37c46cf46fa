# SPDX-License-Identifier: Apache-2.0
"""Reads certificates of authorities from files in PEM format."""

import collections.abc
import dataclasses
import datetime
import hashlib
import os
import pathlib
import re
import ssl
import sys
import typing

from trove_tools import errors
from trove_tools.host import process

#: The variables with certificate files for programs without own settings.
VARIABLES = (
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "GIT_SSL_CAINFO",
    "PIP_CERT",
)  # fmt: skip
#: The files with the system's trusted certificates, of Debian and Fedora.
SYSTEM = (
    pathlib.Path("/etc/ssl/certs/ca-certificates.crt"),
    pathlib.Path("/etc/pki/tls/certs/ca-bundle.crt"),
)

_CERTIFICATE = re.compile(
    r"-----BEGIN (?:TRUSTED )?CERTIFICATE-----\s.*?"
    r"-----END (?:TRUSTED )?CERTIFICATE-----",
    re.DOTALL,
)
_LARGEST = 4 * 1024 * 1024


class Authority(typing.NamedTuple):
    """One certificate authority.

    :param subject: its name, in the format of ``openssl x509``.
    :param sha256: the fingerprint of its certificate.
    :param expires: the date of expiry, in ISO 8601.
    :param pem: the certificate, in PEM.
    """

    subject: str
    sha256: str
    expires: str
    pem: str


def read(file: pathlib.Path, flag: str) -> tuple[Authority, ...]:
    """Return the authorities whose certificates are in a file.

    :param flag: the option that names the file, for errors.
    :raises UsageError: the file has no certificate of an authority, a
        certificate has expired, or the file has a private key.
    """
    try:
        with open(file, "rb") as stream:
            text = stream.read(_LARGEST).decode(errors="replace")
    except OSError as exc:
        raise errors.UsageError(
            f"{flag} {file}: the file cannot be read: {exc.strerror}",
            hint="name a file with the certificate of the authority, in PEM",
        ) from exc
    if "PRIVATE KEY-----" in text:
        raise errors.UsageError(
            f"{flag} {file}: the file contains a private key",
            hint="name a file with nothing but certificates",
        )
    authorities = tuple(
        _authority(pem, file, flag) for pem in _CERTIFICATE.findall(text)
    )
    if not authorities:
        raise errors.UsageError(
            f"{flag} {file}: the file contains no certificate in PEM",
            hint="it is text that begins with -----BEGIN CERTIFICATE-----;"
            " `openssl x509 -inform DER -in FILE` converts a binary one",
        )
    return authorities


def _authority(pem: str, file: pathlib.Path, flag: str) -> Authority:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem)
        der = ssl.PEM_cert_to_DER_cert(pem)
    except (ssl.SSLError, ValueError) as exc:
        raise errors.UsageError(
            f"{flag} {file}: a certificate in it cannot be read: {exc}",
            hint="get the file again",
        ) from exc
    listed = context.get_ca_certs()
    if not listed:
        raise errors.UsageError(
            f"{flag} {file}: a certificate in it is a server's, not that of"
            " an authority",
            hint="name the certificate that signed the server's; `openssl"
            " s_client -showcerts -connect HOST:443` prints the chain",
        )
    certificate = listed[0]
    subject = ", ".join(
        f"{_SHORT.get(name, name)} = {value}"
        for part in typing.cast(typing.Any, certificate["subject"])
        for name, value in part
    )
    expires = datetime.datetime.fromtimestamp(
        ssl.cert_time_to_seconds(str(certificate["notAfter"])), datetime.UTC
    )
    if expires < datetime.datetime.now(datetime.UTC):
        raise errors.UsageError(
            f"{flag} {file}: the certificate of {subject} expired on"
            f" {expires:%Y-%m-%d}",
            hint="get the authority's new certificate, or set this host's"
            " clock",
        )
    return Authority(
        subject, hashlib.sha256(der).hexdigest(), expires.isoformat(), pem
    )


_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "localityName": "L",
}


def bundle(
    files: collections.abc.Iterable[str | os.PathLike[str]],
) -> str:
    """Return all certificates in files, without duplicates, in PEM.

    Files that cannot be read are ignored.
    """
    certificates: dict[str, None] = {}
    for file in files:
        try:
            text = pathlib.Path(file).read_text(errors="replace")
        except OSError:
            continue
        certificates.update(dict.fromkeys(_CERTIFICATE.findall(text)))
    return "".join(f"{pem}\n" for pem in certificates)


def of_system() -> list[str]:
    """Return the files with the certificates that this host trusts."""
    named = (os.environ.get(name, "") for name in VARIABLES)
    return [*map(str, SYSTEM), *filter(None, named)]


def of_apt(apt: collections.abc.Mapping[str, str]) -> list[str]:
    """Return the certificate files in the settings of this host's apt.

    :param apt: apt's options, for all servers or for one, by name.
    """
    return [value for name, value in apt.items() if name.endswith("::cainfo")]


def of_programs() -> list[str]:
    """Return the certificate files in the settings of git and pip.

    The variables of git and pip in :data:`VARIABLES` override these settings.
    """
    return [
        *_said("git", "config", "--get", "http.sslCAInfo"),
        *_said(sys.executable, "-m", "pip", "config", "get", "global.cert"),
    ]


def _said(*argv: str) -> list[str]:
    """Return a path that a program prints, as a list; empty if it fails."""
    if process.find(argv[0]) is None:
        return []
    done = process.run(argv, check=False)
    line = done.stdout.strip()
    return [os.path.expanduser(line)] if done.status == 0 and line else []


#: The element's variable with the files of certificates, separated by colons.
VARIABLE = "DIB_TROVE_GUEST_CA"


@dataclasses.dataclass(frozen=True)
class GuestCA:
    """Certificate authorities, and the files with their certificates."""

    files: tuple[str, ...] = ()
    trusted: tuple[Authority, ...] = ()

    def environment(self) -> dict[str, str]:
        """Return the environment of the element trove-guest-ca."""
        return {VARIABLE: ":".join(self.files)} if self.files else {}

    def places(self) -> dict[str, str]:
        """Return the fingerprints, which replace the paths in a digest."""
        if not self.files:
            return {}
        return {VARIABLE: join_fingerprints(self)}

    def as_dicts(self) -> tuple[dict[str, str], ...]:
        """Return the authorities for a plan and a manifest."""
        return tuple(
            {
                "subject": authority.subject,
                "sha256": authority.sha256,
                "expires": authority.expires,
            }
            for authority in self.trusted
        )


def join_fingerprints(known: GuestCA) -> str:
    """Return the fingerprints of authorities, separated by colons."""
    return ":".join(authority.sha256 for authority in known.trusted)


def read_guest_authorities(
    files: collections.abc.Iterable[pathlib.Path],
) -> GuestCA:
    """Return the certificate authorities in some files.

    :raises UsageError: a file contains no certificate of an authority.
    """
    authorities: list[Authority] = []
    paths = []
    for file in files:
        path = str(file.resolve())
        if ":" in path:
            raise errors.UsageError(
                f"--guest-ca {file}: there is a colon in the path {path}",
                hint="give a copy of the file whose path has none",
            )
        authorities += read(file, "--guest-ca")
        paths.append(path)
    return GuestCA(tuple(paths), tuple(authorities))
