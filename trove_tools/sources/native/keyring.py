# SPDX-License-Identifier: Apache-2.0
"""Manages the keys of package repositories: only pinned keys that have not
expired.

gpg runs with a temporary home directory that has only those keys, so that it
neither reads nor changes the user's keyring.
"""

import collections.abc
import contextlib
import datetime
import pathlib
import shutil
import tempfile
import typing

from trove_tools import errors
from trove_tools.host import process

_OPTIONS = (
    "--batch", "--no-tty", "--no-autostart", "--trust-model", "always",
    "--no-auto-check-trustdb", "--no-auto-key-retrieve",
)  # fmt: skip


class _Key(typing.NamedTuple):
    """A key in a keyring; ``expired`` is empty if the key is still valid."""

    fingerprint: str
    expired: str


class Keyring:
    """The keys that may sign one repository.

    :param home: the home directory of gpg.
    :param who: the owner of the repository, for errors.
    """

    def __init__(self, home: pathlib.Path, who: str) -> None:
        self._home = home
        self._who = who
        self.fingerprints: tuple[str, ...] = ()

    def export(self, file: pathlib.Path, *, armor: bool = False) -> None:
        """Write the keys to a file for apt, or, in ASCII armor, for rpm."""
        file.unlink(missing_ok=True)
        self._gpg(
            *(("--armor",) if armor else ()), "--output", file, "--export",
            *self.fingerprints,
        )  # fmt: skip

    def signed_text(self, content: bytes, name: str) -> str:
        """Return the text of a clear-signed file after checking it.

        :param content: the signed file.
        :param name: the file's URL, for errors.
        :raises BuildError: the signature is not valid.
        """
        signed = self._home / "signed"
        text = self._home / "text"
        text.unlink(missing_ok=True)
        signed.write_bytes(content)
        done = self._gpg(
            "--status-fd", "1", "--output", text, "--decrypt", signed,
            check=False,
        )  # fmt: skip
        self._require_valid(done, name)
        return text.read_text(errors="replace")

    def require_signature(
        self, content: bytes, signature: bytes, name: str
    ) -> None:
        """Raise an error unless a detached signature is valid.

        :param name: the signed file's URL, for errors.
        :raises BuildError: the signature is not valid.
        """
        (self._home / "content").write_bytes(content)
        (self._home / "signature").write_bytes(signature)
        done = self._gpg(
            "--status-fd", "1", "--verify", self._home / "signature",
            self._home / "content", check=False,
        )  # fmt: skip
        self._require_valid(done, name)

    def _require_valid(self, done: process.Completed, name: str) -> None:
        said: dict[str, str] = {}
        valid = False
        for line in done.stdout.splitlines():
            _, _, words = line.partition("[GNUPG:] ")
            keyword, _, rest = words.partition(" ")
            said[keyword] = rest
            # the last word of VALIDSIG is the primary key's fingerprint
            if keyword == "VALIDSIG":
                valid = valid or rest.split()[-1] in self.fingerprints
        if valid and "GOODSIG" in said and "BADSIG" not in said:
            return
        key = said.get("NO_PUBKEY")
        if "BADSIG" in said:
            what = "was changed after it had been signed"
        elif key:
            what = (
                f"is signed by another key, {key}, and not by"
                f" {' or '.join(self.fingerprints)}"
            )
        elif "NODATA" in said or not said:
            what = "is not signed"
        else:
            what = "has no signature that holds"
        raise errors.BuildError(
            f"{self._who}'s repository is not to be trusted: {name} {what}",
            hint="nothing was installed; if a mirror signs with a key of its"
            " own, name it with --repository-key and"
            " --repository-fingerprint",
        )

    def list(self) -> list[_Key]:
        """Return the primary keys that were imported."""
        keys: list[_Key] = []
        listed = self._gpg("--with-colons", "--list-keys", check=False).stdout
        expired, primary = "", False
        for line in listed.splitlines():
            fields = line.split(":")
            if fields[0] == "pub":
                primary = True
                expired = _date(fields[6]) if fields[1] == "e" else ""
            elif fields[0] == "fpr" and primary:
                keys.append(_Key(fields[9], expired))
                primary = False
        return keys

    def take(self, content: bytes) -> None:
        """Import a keyring, armored or not."""
        file = self._home / "fetched"
        file.write_bytes(content)
        self._gpg("--import", file, check=False)

    def _gpg(
        self, *words: process.Argument, check: bool = True
    ) -> process.Completed:
        return process.run(
            ["gpg", "--homedir", self._home, *_OPTIONS, *words], check=check
        )


@contextlib.contextmanager
def open_keyring(
    content: bytes,
    pinned: collections.abc.Sequence[str] | None,
    *,
    who: str,
    location: str,
) -> collections.abc.Iterator[Keyring]:
    """Import the pinned keys of a keyring while this context lasts.

    :param content: the keyring, armored or not.
    :param pinned: the fingerprints of the accepted keys; None accepts all,
        for a keyring that came with this host's system.
    :param who: the owner of the repository, for errors.
    :param location: the URL or path of the keyring, for errors.
    :raises BuildError: the keyring has no pinned key, or all have expired.
    """
    home = pathlib.Path(tempfile.mkdtemp(prefix="trove-keys-"))
    try:
        ring = Keyring(home, who)
        ring.take(content)
        found = ring.list()
        if pinned is None:
            pinned = [key.fingerprint for key in found]
        wanted = [key for key in found if key.fingerprint in pinned]
        if not wanted:
            raise errors.BuildError(
                f"{location} is not {who}'s key: it has"
                f" {_some([key.fingerprint for key in found])}, and pinned is"
                f" {_some(pinned)}",
                hint="do not go on before you know why; when the vendor has"
                " changed its key, --repository-fingerprint"
                f" {who}=FINGERPRINT pins the new one",
            )
        valid = [key.fingerprint for key in wanted if not key.expired]
        if not valid:
            raise errors.BuildError(
                f"{who}'s key {wanted[0].fingerprint} from {location} expired"
                f" on {wanted[0].expired}",
                hint="get the vendor's current key, and name it with"
                f" --repository-key {who}=FILE",
            )
        ring.fingerprints = tuple(valid)
        yield ring
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _some(fingerprints: collections.abc.Sequence[str]) -> str:
    shown = ", ".join(fingerprints[:3]) or "no key at all"
    more = len(fingerprints) - 3
    return f"{shown} and {more} others" if more > 0 else shown


def _date(stamp: str) -> str:
    try:
        moment = datetime.datetime.fromtimestamp(int(stamp), datetime.UTC)
    except ValueError:
        return "a day of the past"
    return moment.date().isoformat()
