# SPDX-License-Identifier: Apache-2.0
"""Searches a root file system for content that must never be published.

Each function searches for one kind of content and yields findings. The
functions only read files, and report paths but no content: a report may be
pasted anywhere.
"""

import collections.abc
import dataclasses
import pathlib
import re
import stat
import typing

from trove_tools.host import debian
from trove_tools.inspection import docker
from trove_tools.inspection import listeners
from trove_tools.inspection import logins
from trove_tools.inspection import provenance
from trove_tools.inspection import rootfile
from trove_tools.inspection import secrets


class Finding(typing.NamedTuple):
    """Content that must not be in an image.

    :param kind: the kind of content, in words that a user may search for.
    :param path: the path in the guest.
    :param what: a description.
    """

    kind: str
    path: str
    what: str


Findings = collections.abc.Iterator[Finding]

#: The kinds of findings.
KINDS = (
    "address",
    "certificates of the build",
    "credentials",
    "host key",
    "listener",
    "login",
    "machine id",
    "network card",
    "password",
    "private key",
    "proxy of the build",
    "random seed",
    "unsigned packages",
    "writable file",
)

#: Files that must differ between guests: their kinds, and patterns of paths.
_IDENTITY = (
    ("host key", "etc/ssh/ssh_host_*"),
    ("random seed", "var/lib/systemd/random-seed"),
    ("random seed", "var/lib/urandom/random-seed"),
    ("machine id", "var/lib/systemd/credential.secret"),
    ("address", "var/lib/dhcp/*.lease*"),
    ("address", "var/lib/dhcpcd/*.lease"),
    ("address", "var/lib/NetworkManager/*.lease"),
    ("address", "var/lib/systemd/network/*lease*"),
    ("machine id", "etc/iscsi/initiatorname.iscsi"),
    ("machine id", "etc/nvme/hostid"),
    ("network card", "etc/udev/rules.d/*-persistent-net.rules"),
)
# files below /etc in which programs may find the address of a proxy
_PROXY_FILES = (
    "apt/apt.conf", "apt/apt.conf.d/*", "environment", "profile",
    "profile.d/*", "wgetrc", "gitconfig", "pip.conf", "yum.conf",
    "dnf/dnf.conf", "docker/daemon.json", "systemd/system.conf.d/*",
)  # fmt: skip
_ON_LOOPBACK = re.compile(
    r"//([^/@\s]*@)?(127\.|localhost|\[::1\])", re.IGNORECASE
)


def find_all(root: pathlib.Path, dev: bool = False) -> list[Finding]:
    """Return all content that must not be in an image.

    :param root: the directory of the image's root file system.
    :param dev: the image is for development: the guest's user may have a key.
    """
    layers = docker.list_layers(root)
    inside = [f"{each.relative_to(root)}/" for each in layers]
    origin = provenance.Provenance([root, *layers])
    found = [
        *identity(root),
        *apt_sources(root),
        *build_network(root),
        *map(Finding._make, listeners.find(root)),
        *map(Finding._make, logins.by_sshd(root)),
        *map(Finding._make, logins.by_cloud_init(root)),
        *map(Finding._make, logins.by_sudo(root)),
    ]
    for each in (root, *layers):
        where = "" if each == root else f"/{each.relative_to(root)}"
        found += [
            Finding(kind, where + path, what)
            for kind, path, what in logins.of_accounts(each)
        ]
    for file in rootfile.walk(root):
        if file.is_regular:
            found += _in_file(root, inside, file, origin, dev)
    return sorted(set(found))


def _in_file(
    root: pathlib.Path,
    layers: collections.abc.Collection[str],
    file: rootfile.File,
    origin: provenance.Provenance,
    dev: bool,
) -> Findings:
    """Find unwanted permissions of a file, and secrets in its content.

    :param layers: the roots of containers' layers, as prefixes of file names.
    """
    path = f"/{file.name}"
    if file.status.st_mode & stat.S_IWOTH:
        yield Finding(
            "writable file", path, "any user of the guest can change it"
        )
    if file.status.st_size == 0:
        return
    layer = next((each for each in layers if file.name.startswith(each)), "")
    inner = dataclasses.replace(file, name=file.name.removeprefix(layer))
    if origin.is_published(inner):
        return
    yield from map(Finding._make, logins.by_set_uid(file))
    yield from map(Finding._make, logins.by_key(root, file, dev))
    for kind, what in secrets.find_secrets(inner):
        yield Finding(kind, path, what)


def identity(root: pathlib.Path) -> Findings:
    """Find files that must differ between guests."""
    for name in ("etc/machine-id", "var/lib/dbus/machine-id"):
        # before systemd(1) sets the id, the file may contain this word
        if rootfile.read_text(root / name).strip() not in (
            "",
            "uninitialized",
        ):
            yield Finding(
                "machine id", f"/{name}", "every guest would have the same"
            )
    for kind, pattern in _IDENTITY:
        for file in sorted(root.glob(pattern)):
            yield Finding(
                kind, _seen(root, file), "every guest would have the same"
            )


def apt_sources(root: pathlib.Path) -> Findings:
    """Find repositories that need no signature, or accept any trusted key."""
    apt = root / "etc/apt"
    for file in (apt / "sources.list", *apt.glob("sources.list.d/*.list")):
        for line in _lines(file):
            entry = line.partition("#")[0].strip().lower()
            if entry.startswith("deb") and (
                "signed-by=" not in entry or "trusted=yes" in entry
            ):
                yield _unsigned(root, file)
    for file in apt.glob("sources.list.d/*.sources"):
        for fields in debian.parse_paragraphs(rootfile.read_text(file)):
            trusted = fields.get("trusted", "").lower().startswith("yes")
            if "types" in fields and ("signed-by" not in fields or trusted):
                yield _unsigned(root, file)
    for file in (apt / "apt.conf", *apt.glob("apt.conf.d/*")):
        text = rootfile.read_text(file)
        if re.search(
            r"(?im)^[^#/\n]*(AllowUnauthenticated|AllowInsecureRepositories)"
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
    """Find proxies and certificates that only the build host has.

    A build gives its programs a proxy on loopback. If a program writes the
    address into the image, guests use a proxy that does not exist.
    """
    for pattern in _PROXY_FILES:
        for file in sorted((root / "etc").glob(pattern)):
            if any(map(_names_loopback_proxy, _lines(file))):
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


def _names_loopback_proxy(line: str) -> bool:
    line = line.strip()
    name = line.lower().find("proxy")
    return (
        name != -1
        and not line.startswith(("#", "/"))
        and _ON_LOOPBACK.search(line, name) is not None
    )


def _unsigned(root: pathlib.Path, file: pathlib.Path) -> Finding:
    return Finding(
        "unsigned packages",
        _seen(root, file),
        "a repository without Signed-By",
    )


def _lines(path: pathlib.Path) -> list[str]:
    return rootfile.read_text(path).splitlines()


def _seen(root: pathlib.Path, file: pathlib.Path) -> str:
    return "/" + str(file.relative_to(root))
