# SPDX-License-Identifier: Apache-2.0
"""OpenPGP keys that sign stand-in repositories."""

import pathlib
import subprocess


class Key:
    """A key that was just made.

    :param home: a directory of the key's own; one that is there is used.
    :param expired: it was valid for a day, years ago.
    """

    def __init__(self, home: pathlib.Path, *, expired: bool = False) -> None:
        home.chmod(0o700)
        self._home = home
        # gpg signs with an expired key only in its own time
        self._time = ["--faked-system-time", "20200101T000000!"]
        if not expired:
            self._time = []
        if not (home / "key.asc").exists():
            self._gpg(
                "--passphrase", "", "--quick-generate-key",
                "Stand-in <standin@vendor.example>", "ed25519", "sign",
                "1d" if expired else "never",
            )  # fmt: skip
        listed = self._gpg("--with-colons", "--list-keys").stdout
        self.fingerprint = next(
            line.split(":")[9]
            for line in listed.decode().splitlines()
            if line.startswith("fpr:")
        )
        self.file = home / "key.asc"
        if not self.file.exists():
            self.file.write_bytes(self._gpg("--armor", "--export").stdout)

    def clearsign(self, text: str) -> bytes:
        """Return a text with a signature around it."""
        return self._gpg("--clearsign", text=text).stdout

    def sign(self, text: str) -> bytes:
        """Return a signature of a text, armored."""
        return self._gpg("--armor", "--detach-sign", text=text).stdout

    def close(self) -> None:
        """End gpg's agent, which outlives gpg."""
        subprocess.run(
            ["gpgconf", "--homedir", self._home, "--kill", "all"], check=False
        )

    def _gpg(
        self, *words: str, text: str = ""
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["gpg", "--homedir", self._home, "--batch", "--quiet",
             "--pinentry-mode", "loopback", *self._time, *words],
            input=text.encode(), check=True, capture_output=True,
        )  # fmt: skip
