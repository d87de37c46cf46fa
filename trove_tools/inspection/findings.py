# SPDX-License-Identifier: Apache-2.0
"""What must never be in an image, looked for in its root file system.

Each function looks for one kind of thing and yields what it finds.  They
only read, follow no link out of the root, and report places and never
content: a report may be pasted anywhere.
"""

import collections.abc
import os
import pathlib
import re
import typing

from trove_tools.inspection import packaged
from trove_tools.inspection import reading


class Finding(typing.NamedTuple):
    """Something that must not be in an image.

    :param kind: what kind of thing, in words a user may search for.
    :param path: where, as the guest sees it.
    :param what: what it is.
    """

    kind: str
    path: str
    what: str


Findings = collections.abc.Iterator[Finding]

# the marker alone stands in every library that can read such a key
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\s+"
    rb"(?:Proc-Type|[A-Za-z0-9+/=]{40})[^-]*"
)
_URL_PASSWORD = re.compile(r"\w://[^/\s:@]+:[^/\s@]+@")
_CLOUD_FILES = {
    "clouds.yaml",
    "secure.yaml",
    "openrc",
    "admin-openrc.sh",
    ".netrc",
    ".pgpass",
    "guest_info.conf",
    "trove-guestagent.conf",
}
_CLOUD_PASSWORD = re.compile(
    rb"^\s*(?:export\s+)?OS_(?:PASSWORD|TOKEN|APPLICATION_CREDENTIAL_SECRET)"
    rb"\s*=\s*\S",
    re.MULTILINE,
)
# where programs that fetch something read of a proxy, below /etc
_PROXY_FILES = (
    "apt/apt.conf", "apt/apt.conf.d/*", "environment", "profile",
    "profile.d/*", "wgetrc", "gitconfig", "pip.conf", "yum.conf",
    "dnf/dnf.conf", "docker/daemon.json", "systemd/system.conf.d/*",
)  # fmt: skip
_LOOPBACK_PROXY = re.compile(
    r"^\s*[^#/\s].*proxy.*//([^/@\s]*@)?(127\.|localhost|\[::1\])",
    re.IGNORECASE | re.MULTILINE,
)
#: Fields of shadow(5) that no password can match.
_LOCKED = re.compile(r"[*!]")


def look(root: pathlib.Path, dev: bool = False) -> list[Finding]:
    """Return all that must not be in an image.

    :param root: the directory where its root file system is.
    :param dev: it was built for development, and may let in who has a key.
    """
    found = [
        *passwords(root),
        *identity(root),
        *apt_sources(root),
        *build_network(root),
        *files(root),
    ]
    if not dev:
        found += authorized_keys(root)
    return sorted(set(found))


def passwords(root: pathlib.Path) -> Findings:
    """Find accounts that a password lets in, or nothing at all."""
    for name in ("shadow", "shadow-"):
        for line in _lines(root, f"etc/{name}"):
            account, _, rest = line.partition(":")
            password = rest.partition(":")[0]
            if password and _LOCKED.match(password):
                continue
            what = "a password" if password else "an empty password"
            yield Finding(
                "password", f"/etc/{name}", f"{account} has {what}"
            )


def identity(root: pathlib.Path) -> Findings:
    """Find what must be different in every guest."""
    for name in ("etc/machine-id", "var/lib/dbus/machine-id"):
        if "".join(_lines(root, name)).strip():
            yield Finding(
                "machine id", f"/{name}", "every guest would have the same"
            )
    for key in sorted((root / "etc/ssh").glob("ssh_host_*")):
        yield Finding(
            "host key", _seen(root, key), "every guest would have the same"
        )
    seed = root / "var/lib/systemd/random-seed"
    if seed.exists():
        yield Finding(
            "random seed", _seen(root, seed), "every guest would have it"
        )


def authorized_keys(root: pathlib.Path) -> Findings:
    """Find accounts that somebody's key lets in."""
    for home in (root / "root", *sorted((root / "home").glob("*"))):
        for name in ("authorized_keys", "authorized_keys2"):
            file = home / ".ssh" / name
            if "".join(_lines(root, file.relative_to(root))).strip():
                yield Finding(
                    "login", _seen(root, file), "lets in who has a key"
                )


def apt_sources(root: pathlib.Path) -> Findings:
    """Find repositories that any key, or none at all, vouches for."""
    apt = root / "etc/apt"
    for file in (apt / "sources.list", *apt.glob("sources.list.d/*.list")):
        for line in _lines(root, file.relative_to(root)):
            entry = line.partition("#")[0].strip().lower()
            if entry.startswith("deb") and (
                "signed-by=" not in entry or "trusted=yes" in entry
            ):
                yield _unsigned(root, file)
    for file in apt.glob("sources.list.d/*.sources"):
        text = "\n".join(_lines(root, file.relative_to(root))).lower()
        text = re.sub(r"(?m)^#.*\n?", "", text)
        for stanza in re.split(r"\n\s*\n", text):
            if "types:" in stanza and (
                "signed-by:" not in stanza
                or re.search(r"(?m)^trusted:\s*yes", stanza)
            ):
                yield _unsigned(root, file)
    for file in (apt / "apt.conf", *apt.glob("apt.conf.d/*")):
        text = "\n".join(_lines(root, file.relative_to(root)))
        if re.search(
            r"(?im)^[^#/]*(AllowUnauthenticated|AllowInsecureRepositories)"
            r"\W+(true|yes|1)\b",
            text,
        ):
            yield Finding(
                "unsigned packages",
                _seen(root, file),
                "lets apt install what nobody has signed",
            )
    if (apt / "trusted.gpg").exists():
        yield Finding(
            "unsigned packages",
            "/etc/apt/trusted.gpg",
            "a key of apt-key's, trusted for every repository",
        )


def build_network(root: pathlib.Path) -> Findings:
    """Find the proxies and certificates that only the build host has.

    A build hands its programs a proxy on loopback; whatever writes that into
    the image leaves guests a proxy that is not there.
    """
    for pattern in _PROXY_FILES:
        for file in sorted((root / "etc").glob(pattern)):
            text = reading.text(root, file.relative_to(root))
            if _LOOPBACK_PROXY.search(text):
                yield Finding(
                    "proxy of the build",
                    _seen(root, file),
                    "a proxy on loopback, which guests do not have",
                )
    for place in sorted((root / "tmp").glob("trove-build-network-*")):
        yield Finding(
            "certificates of the build",
            _seen(root, place),
            "what the build trusted, which guests need not",
        )


def _unsigned(root: pathlib.Path, file: pathlib.Path) -> Finding:
    return Finding(
        "unsigned packages",
        _seen(root, file),
        "a repository without Signed-By",
    )


def files(root: pathlib.Path) -> Findings:
    """Find private keys and credentials, by reading every small file."""
    for file in _walk(root):
        content = reading.content(file)
        if content is None:
            continue
        keys = _PRIVATE_KEY.findall(content)
        # Debian 12's cloud-init shows one where it explains its module
        if keys and not packaged.shows(root, file, keys):
            yield Finding("private key", _seen(root, file), "a private key")
        if file.name in _CLOUD_FILES and content.strip():
            yield Finding(
                "credentials", _seen(root, file), "made for one cloud"
            )
        elif not _is_library(file) and _CLOUD_PASSWORD.search(content):
            yield Finding(
                "credentials", _seen(root, file), "a cloud's password"
            )
        if _is_configuration(root, file) and _URL_PASSWORD.search(
            content.decode(errors="replace")
        ):
            yield Finding(
                "credentials", _seen(root, file), "a password in a URL"
            )


def _is_library(file: pathlib.Path) -> bool:
    """Tell whether a file is a Python package's: they document with such."""
    return bool(packaged.LIBRARIES & set(file.parts))


def _is_configuration(root: pathlib.Path, file: pathlib.Path) -> bool:
    """Tell whether package managers read a file: URLs elsewhere are text."""
    seen = _seen(root, file)
    return seen.startswith(_CONFIGURATION) or (
        file.name in ("pip.conf", ".pypirc", "uv.toml")
    )


_CONFIGURATION = (
    "/etc/apt/", "/etc/pip", "/etc/yum", "/etc/dnf/", "/etc/environment",
    "/etc/profile", "/etc/wgetrc", "/etc/gitconfig", "/etc/docker/",
    "/etc/systemd/",
)  # fmt: skip


def _walk(root: pathlib.Path) -> collections.abc.Iterator[pathlib.Path]:
    for directory, _, names in os.walk(root):
        for name in names:
            yield pathlib.Path(directory, name)


def _lines(root: pathlib.Path, name: str | pathlib.Path) -> list[str]:
    return reading.text(root, name).splitlines()


def _seen(root: pathlib.Path, file: pathlib.Path) -> str:
    return "/" + str(file.relative_to(root))
