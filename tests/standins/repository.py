# SPDX-License-Identifier: Apache-2.0
"""A signed apt repository of stand-in packages, served on loopback."""

import email.utils
import functools
import hashlib
import http.server
import lzma
import pathlib
import shutil
import subprocess
import time
import typing

from tests.standins import keys
from tests.standins import loopback


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a directory, and says nothing."""

    def log_message(self, *words: object) -> None:
        pass


class Server(loopback.Server):
    """Serves a directory.

    :param identity: as for any server on loopback.
    """

    def __init__(
        self, directory: pathlib.Path, identity: pathlib.Path | None = None
    ) -> None:
        super().__init__(
            functools.partial(Quiet, directory=str(directory)), identity
        )


def publish(
    directory: pathlib.Path,
    debs: typing.Iterable[pathlib.Path],
    key: keys.Key | None,
    *,
    suite: str,
    component: str = "main",
    arch: str = "amd64",
    origin: str = "Stand-in",
    valid_until: float | None = None,
    detached: bool = False,
) -> None:
    """Make a repository.

    :param key: signs it; nobody does when there is none.
    :param valid_until: seconds since the epoch.
    :param detached: with a signature of its own file, as long ago.
    """
    # suites may have packages of the same name and version
    pool = directory / "pool" / suite
    pool.mkdir(parents=True, exist_ok=True)
    stanzas = []
    for file in debs:
        shutil.copy(file, pool)
        control = subprocess.run(
            ["dpkg-deb", "--field", file],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        content = file.read_bytes()
        stanzas.append(
            f"{control}Filename: {pool.relative_to(directory)}/{file.name}\n"
            f"Size: {len(content)}\n"
            f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
        )
    place = directory / "dists" / suite
    index = place / component / f"binary-{arch}" / "Packages.xz"
    index.parent.mkdir(parents=True)
    plain = "\n".join(stanzas).encode()
    packed = lzma.compress(plain)
    index.write_bytes(packed)
    release = (
        f"Origin: {origin}\nLabel: {origin}\nSuite: {suite}\n"
        f"Codename: {suite}\nArchitectures: {arch}\n"
        f"Components: {component}\nDate: {_date(time.time() - 60)}\n"
    )
    if valid_until is not None:
        release += f"Valid-Until: {_date(valid_until)}\n"
    # apt looks for an index by its plain name, even where there is none
    release += "SHA256:\n"
    for file, content in ((index, packed), (index.with_suffix(""), plain)):
        release += (
            f" {hashlib.sha256(content).hexdigest()} {len(content)}"
            f" {file.relative_to(place)}\n"
        )
    (place / "Release").write_text(release)
    if key is None:
        return
    if detached:
        (place / "Release.gpg").write_bytes(key.sign(release))
    else:
        (place / "InRelease").write_bytes(key.clearsign(release))


def _date(moment: float) -> str:
    return email.utils.formatdate(moment, usegmt=True)
