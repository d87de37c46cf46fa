# SPDX-License-Identifier: Apache-2.0
"""Signs the files beside an image, and verifies their signatures.

``FILE.sig`` beside ``FILE`` is a detached SSH signature, which ssh-keygen
(``-Y sign``, ``-Y verify``) creates and verifies; OpenSSH's PROTOCOL.sshsig
describes its format. A signature is valid only in one namespace, so the
signature of a record is not valid for a manifest. This module never asks for a
passphrase: ssh-agent provides keys that have one.
"""

import base64
import binascii
import collections.abc
import dataclasses
import hashlib
import os
import pathlib
import stat
import tempfile

from trove_tools import errors
from trove_tools.host import bounds
from trove_tools.host import files
from trove_tools.host import process
from trove_tools.host import trust

TOOL = "ssh-keygen"
#: The namespaces of signatures.
MANIFEST = "trove-image-manifest@openstack.org"
RECORD = "trove-image-record@openstack.org"
LAYER = "trove-image-layer@openstack.org"

_PROBE = "trove-image-probe@openstack.org"
# ssh-keygen needs a name for the signer; the key identifies the signer
_SIGNER = "trove-tools"
_KINDS = {
    "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
}  # fmt: skip
# bytes; an RSA key of 16384 bits has 12 KiB, a signature by it 6 KiB
_LARGEST = 64 * 1024
# seconds; long enough for a user to touch a hardware token
_LONGEST = 60.0
# ssh-keygen must fail instead of asking for a passphrase, even at a terminal
_NO_QUESTIONS = {"SSH_ASKPASS": "false", "SSH_ASKPASS_REQUIRE": "force"}
_BEGIN = "-----BEGIN SSH SIGNATURE-----"
_END = "-----END SSH SIGNATURE-----"


@dataclasses.dataclass(frozen=True)
class PublicKey:
    """A public SSH key.

    :param kind: its type, such as ``ssh-ed25519``.
    :param blob: the key, as SSH encodes it.
    """

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """The fingerprint, as ``ssh-keygen -l`` prints it."""
        digest = hashlib.sha256(self.blob).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"


@dataclasses.dataclass(frozen=True)
class TrustedKeys:
    """The keys whose signatures are accepted."""

    keys: tuple[PublicKey, ...]

    def require(self, file: pathlib.Path, data: bytes, namespace: str) -> None:
        """Check that one of the keys has signed a file.

        :param file: the file; its signature is beside it.
        :param data: the content that was read from the file.
        :param namespace: the namespace of the signature.
        :raises ImageError: the file is not signed, signed by another key or in
            another namespace, or has changed since.
        :raises MissingToolError: ssh-keygen is not on this host.
        """
        signature = path(file)
        try:
            text = bounds.read_bytes(signature, _LARGEST)
        except FileNotFoundError as exc:
            raise self.refusal(
                f"{file} is not signed: there is no {signature}"
            ) from exc
        except (OSError, ValueError) as exc:
            raise self.refusal(
                f"{signature} cannot be read as a signature of SSH: {exc}"
            ) from exc
        self.require_signature(
            str(file), data, text, namespace, where=str(signature)
        )

    def require_signature(
        self,
        file: str,
        data: bytes,
        text: bytes,
        namespace: str,
        *,
        where: str,
    ) -> PublicKey:
        """Check that one of the keys has made a signature of some data.

        :param file: a name of the data, for the error.
        :param text: the signature.
        :param namespace: the namespace of the signature.
        :param where: a name of the signature, for the error.
        :returns: the key.
        :raises ImageError: as for :meth:`require`.
        :raises MissingToolError: ssh-keygen is not on this host.
        """
        signature = where
        try:
            key, made_for = _parse(text)
        except ValueError as exc:
            raise self.refusal(
                f"{signature} cannot be read as a signature of SSH: {exc}"
            ) from exc
        by = f"signed with the key {key.fingerprint}"
        if key not in self.keys:
            raise self.refusal(f"{file} is {by}, which is not trusted here")
        if made_for != namespace:
            raise self.refusal(
                f"{file} is not signed: {signature} is {by} for {made_for!r},"
                f" not for {namespace!r}"
            )
        if not self._is_good(data, text, namespace):
            raise self.refusal(
                f"{file} is not what was {by}: it was changed since, or"
                f" {signature} was"
            )
        return key

    def _is_good(self, data: bytes, signature: bytes, namespace: str) -> bool:
        try:
            text = data.decode()
        except ValueError:
            return False
        with tempfile.TemporaryDirectory(prefix="trove-tools-") as place:
            signers = pathlib.Path(place, "signers")
            signers.write_text(
                "".join(
                    f'{_SIGNER} namespaces="{namespace}" {key}\n'
                    for key in self.keys
                )
            )
            copy = pathlib.Path(place, "signature")
            copy.write_bytes(signature)
            done = process.run(
                [
                    TOOL, "-Y", "verify", "-f", signers, "-I", _SIGNER,
                    "-n", namespace, "-s", copy,
                ],
                input=text,
                timeout=_LONGEST,
                check=False,
            )  # fmt: skip
        return done.status == 0

    def refusal(self, message: str) -> errors.ImageError:
        """Return the error for a file that none of the keys has signed."""
        known = ", ".join(key.fingerprint for key in self.keys)
        return errors.ImageError(
            message,
            hint="copy the image and its .d directory again from where it was"
            " built and signed (--sign-key); or name the public key of"
            f" the signer with --trusted-key; trusted now: {known}",
        )


@dataclasses.dataclass(frozen=True)
class SigningKey:
    """A signing key.

    :param file: the private key, or the public key if ssh-agent has the
        private key.
    :param public: its public part.
    """

    file: pathlib.Path
    public: PublicKey

    @property
    def trusted(self) -> TrustedKeys:
        """The trusted key that accepts the signatures of this key."""
        return TrustedKeys((self.public,))

    def sign(self, text: str, namespace: str) -> str:
        """Return the signature of a text.

        :param namespace: the namespace of the signature.
        :raises UsageError: the key cannot sign.
        :raises MissingToolError: ssh-keygen is not on this host.
        """
        return _sign(self.file, text, namespace)


def path(file: pathlib.Path) -> pathlib.Path:
    """Return the path of a file's signature."""
    return file.with_name(f"{file.name}.sig")


def find_signer(file: pathlib.Path) -> PublicKey | None:
    """Return the key that signed a file, without verifying the signature.

    :returns: None if the file is not signed.
    """
    try:
        return _parse(bounds.read_bytes(path(file), _LARGEST))[0]
    except (OSError, ValueError):
        return None


def write(
    file: pathlib.Path, text: str, namespace: str, key: SigningKey | None
) -> None:
    """Replace a file and its signature; they never contradict each other.

    The old signature is removed first, and the new one is written last.

    :param file: the file; its directory must exist.
    :param key: the signing key; None leaves the file unsigned.
    :raises UsageError: the key cannot sign; nothing was changed.
    """
    signed = key.sign(text, namespace) if key else None
    path(file).unlink(missing_ok=True)
    files.write_file(file, text)
    if signed is not None:
        files.write_file(path(file), signed)


def open_signing_key(file: pathlib.Path | None) -> SigningKey | None:
    """Open a signing key and check it by signing a test message.

    :param file: the value of ``--sign-key``, if given.
    :returns: None if no file is given.
    :raises UsageError: the file cannot be read, is readable by other users, is
        not a key, or its passphrase is not available.
    :raises MissingToolError: ssh-keygen is not on this host.
    """
    if file is None:
        return None
    _require_private(file)
    # given a public key, ssh-keygen also uses the private key beside it
    private = file.with_name(file.name.removesuffix(".pub"))
    if private != file and private.exists():
        _require_private(private)
    key, _ = _parse(_sign(file, "", _PROBE).encode())
    return SigningKey(file, key)


def _require_private(file: pathlib.Path) -> None:
    """Check that a file with a private key is not readable by other users.

    :raises UsageError: it cannot be read, or other users can read it.
    """
    text, mode = _read(file, "--sign-key")
    if b"PRIVATE KEY" in text and mode & 0o077:
        raise errors.UsageError(
            f"--sign-key {file} is not used: other users may read this"
            f" private key (its mode is {mode:o})",
            hint=f"if nobody has read it: chmod 600 {file}; else make a new"
            " one: ssh-keygen -t ed25519 -f FILE",
        )


def read_trusted_keys(
    files: collections.abc.Iterable[pathlib.Path],
) -> TrustedKeys | None:
    """Read the trusted keys.

    :param files: the values of ``--trusted-key``; every file contains one or
        more public keys, one per line.
    :returns: None if no file is given.
    :raises UsageError: a file cannot be read, is writable by other users, or
        contains anything except public keys.
    """
    keys: list[PublicKey] = []
    files = list(files)
    for file in files:
        text, _ = _read(file, "--trusted-key")
        lines = text.decode(errors="replace").splitlines()
        found = [
            parse_public_key(line)
            for line in map(str.strip, lines)
            if line and not line.startswith("#")
        ]
        if not found or None in found:
            raise errors.UsageError(
                f"--trusted-key {file} contains something other than SSH"
                " public keys",
                hint="name the public key of the signer, such as KEY.pub"
                " created by ssh-keygen -t ed25519 -f KEY",
            )
        keys += filter(None, found)
    return TrustedKeys(tuple(dict.fromkeys(keys))) if files else None


def _read(file: pathlib.Path, flag: str) -> tuple[bytes, int]:
    """Return the content and the mode of a key file.

    :raises UsageError: it cannot be read, or other users may have written it.
    """
    try:
        descriptor = trust.open_own(file, os.O_RDONLY, flag)
    except OSError as exc:
        raise errors.UsageError(
            f"{flag} {file} cannot be read: {exc.strerror}",
            hint="name a key file that this user can read",
        ) from exc
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size <= _LARGEST:
        with open(descriptor, "rb") as stream:
            return stream.read(_LARGEST), stat.S_IMODE(status.st_mode)
    os.close(descriptor)
    raise errors.UsageError(
        f"{flag} {file} is not a key file",
        hint="make a pair of keys with: ssh-keygen -t ed25519 -f FILE",
    )


def parse_public_key(line: str) -> PublicKey | None:
    """Return the key in a line of a public key file; None if it has none.

    The comment is omitted, because it often names a person and a host.
    """
    kind, encoded, *_ = [*line.split(maxsplit=2), "", ""]
    try:
        blob = base64.b64decode(encoded, validate=True)
        inner, _ = _take(blob)
    except ValueError:
        return None
    if kind not in _KINDS or inner != kind.encode():
        return None
    return PublicKey(kind, blob)


def _sign(file: pathlib.Path, text: str, namespace: str) -> str:
    try:
        return process.run(
            [TOOL, "-Y", "sign", "-f", file, "-n", namespace],
            env=_NO_QUESTIONS,
            input=text,
            timeout=_LONGEST,
        ).stdout
    except errors.CommandError as exc:
        said = exc.output.strip()
        raise errors.UsageError(
            f"--sign-key {file} cannot sign: {_explain(said, file)}",
            hint="for a key with a passphrase or in a hardware token, use"
            " ssh-agent: add the key with ssh-add, name its public key,"
            " and pass SSH_AUTH_SOCK to this command (sudo drops it)",
        ) from exc


def _explain(said: str, file: pathlib.Path) -> str:
    """Return the reason why ssh-keygen failed to sign.

    :param said: the output of ssh-keygen.
    """
    if "incorrect passphrase" in said:
        return "it has a passphrase, and no ssh-agent has this key"
    if "No private key found" in said:
        return "this is a public key, and no ssh-agent has its private part"
    if "load public key" in said or "invalid format" in said:
        return "it is no key of SSH"
    return said.splitlines()[-1] if said else f"{TOOL} does not say why"


def _parse(text: bytes) -> tuple[PublicKey, str]:
    """Return the key and the namespace in a signature.

    This does not verify the signature; ssh-keygen does.

    :raises ValueError: it is not an SSH signature.
    """
    lines = text.decode("ascii").strip().splitlines()
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise ValueError("it is not an armored signature")
    rest = base64.b64decode("".join(lines[1:-1]), validate=True)
    if rest[:10] != b"SSHSIG\0\0\0\1":
        raise ValueError("its version is not 1")
    blob, rest = _take(rest[10:])
    namespace, _ = _take(rest)
    kind, _ = _take(blob)
    return PublicKey(kind.decode(), blob), namespace.decode()


def _take(data: bytes) -> tuple[bytes, bytes]:
    """Split off the string that SSH-encoded data begins with.

    :raises ValueError: the data does not begin with a string.
    """
    end = 4 + int.from_bytes(data[:4])
    if len(data) < max(end, 4):
        raise binascii.Error("it is truncated")
    return data[4:end], data[end:]
