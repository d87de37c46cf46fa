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


#: The fields of findings.
Findings = collections.abc.Iterator[tuple[str, str, str]]

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

# the administrator's units take precedence
_PLACES = (
    "etc/systemd/system", "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
)  # fmt: skip
_ENABLED = ("wants", "requires", "upholds")
_SOCKETS = ("ListenStream", "ListenDatagram", "ListenSequentialPacket")
# paths, abstract names, netlink; machines of one host; loopback
_LOCAL = re.compile(r"[/@%]|vsock:|127\.|\[::1\]|localhost:")
_SSH = {"ssh", "sshd"}
# services of the guest systems, of containers and of Trove; the network
# services of systemd have socket units
_KNOWN = re.compile(
    r"(?:auditd|chronyd?|cloud-[\w-]+|containerd|crond?|dbus(?:-broker)?"
    r"|docker(?:-hostnic)?|(?:serial-)?getty@[\w-]*|console-getty|irqbalance"
    r"|NetworkManager|polkit|qemu-guest-agent|rngd|rsyslog|sshd?|systemd-.+"
    r"|trove-guestagent|tuned|unattended-upgrades)\.service"
)
_DATASTORES = "usr/share/trove/datastores"


def find_all(
    root: pathlib.Path, dev: bool = False, changed_since: int = 0
) -> list[Finding]:
    """Return all content that must not be in an image.

    :param root: the directory of the image's root file system.
    :param dev: the image is for development: the guest's user may have a key.
    :param changed_since: seconds since 1970; the content of files that were
        not changed since then is not searched.
    """
    layers = docker.list_layers(root)
    inside = [f"{each.relative_to(root)}/" for each in layers]
    origin = provenance.Provenance([root, *layers])
    found = [
        *identity(root),
        *apt_sources(root),
        *build_network(root),
        *listeners(root),
        *logins.by_sshd(root),
        *logins.by_cloud_init(root),
        *logins.by_sudo(root),
    ]
    for each in (root, *layers):
        where = "" if each == root else f"/{each.relative_to(root)}"
        found += [
            (kind, where + path, what)
            for kind, path, what in logins.of_accounts(each)
        ]
    for file in rootfile.walk(root):
        if file.is_regular and file.status.st_ctime >= changed_since:
            found += _in_file(root, inside, file, origin, dev)
    return [Finding(*fields) for fields in sorted(set(found))]


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
        yield "writable file", path, "any user of the guest can change it"
    if file.status.st_size == 0:
        return
    layer = next((each for each in layers if file.name.startswith(each)), "")
    inner = dataclasses.replace(file, name=file.name.removeprefix(layer))
    if origin.is_published(inner):
        return
    yield from logins.by_set_uid(file)
    yield from logins.by_key(root, file, dev)
    for kind, what in secrets.find_secrets(inner):
        yield kind, path, what


def identity(root: pathlib.Path) -> Findings:
    """Find files that must differ between guests."""
    for name in ("etc/machine-id", "var/lib/dbus/machine-id"):
        # before systemd(1) sets the id, the file may contain this word
        text = rootfile.read_text(root / name).strip()
        if text not in ("", "uninitialized"):
            yield "machine id", f"/{name}", "every guest would have the same"
    for kind, pattern in _IDENTITY:
        for file in sorted(root.glob(pattern)):
            yield kind, _seen(root, file), "every guest would have the same"


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
            yield (
                "unsigned packages",
                _seen(root, file),
                "lets apt install what nobody has signed",
            )
    if (apt / "trusted.gpg").exists():
        yield (
            "unsigned packages",
            "/etc/apt/trusted.gpg",
            "a key of apt-key's, trusted for every repository",
        )


def listeners(root: pathlib.Path) -> Findings:
    """Find enabled units that may be reachable from the network.

    The enabled units are read; nothing is started. A socket unit names the
    addresses on which it listens. A service unit does not: so every service
    that keeps running and has network access must be a service of this
    project's images or of the image's datastores. ``verify`` also lists the
    listeners of a running guest (:mod:`trove_tools.verify.evidence`).

    systemd.unit(5), systemd.socket(5), systemd-sysv-generator(8).

    :param root: the image's root file system.
    """
    expected = {
        f"{name}.service"
        for file in (root / _DATASTORES).glob("*/services")
        for name in rootfile.read_text(file).split()
    }
    for path, name in _enabled(root):
        settings = _settings(root, name)
        if name.endswith(".socket"):
            addresses = [
                address
                for key in _SOCKETS
                for address in settings.get(key, ())
                if not _LOCAL.match(address)
            ]
            if addresses and name.removesuffix(".socket") not in _SSH:
                yield (
                    "listener",
                    path,
                    f"{name} listens to {', '.join(addresses)}",
                )
        elif not (
            name in expected or _KNOWN.fullmatch(name) or _is_apart(settings)
        ):
            yield "listener", path, f"{name} is started, and has the network"
    if _answers_llmnr(root):
        yield (
            "listener",
            "/etc/systemd/resolved.conf",
            "systemd-resolved answers who asks for names (LLMNR)",
        )


def _enabled(
    root: pathlib.Path,
) -> collections.abc.Iterator[tuple[str, str]]:
    """Yield the path that enables a socket or service, and its unit name."""
    seen = set()
    for place in _PLACES:
        for how in _ENABLED:
            for link in sorted((root / place).glob(f"*.{how}/*")):
                name = link.name
                if name in seen or not name.endswith((".service", ".socket")):
                    continue
                seen.add(name)
                if not _is_masked(root, name):
                    yield f"/{link.relative_to(root)}", name
    for link in sorted((root / "etc").glob("rc[2-5].d/S[0-9][0-9]*")):
        name = f"{link.name[3:]}.service"
        # a unit replaces the script of its name, even if it is not enabled
        if name not in seen and _fragment(root, name) is None:
            seen.add(name)
            yield f"/{link.relative_to(root)}", name


def _is_masked(root: pathlib.Path, name: str) -> bool:
    unit = root / _PLACES[0] / name
    return unit.is_symlink() and str(unit.readlink()) == "/dev/null"


def _fragment(root: pathlib.Path, name: str) -> pathlib.Path | None:
    """Return the file of a unit, or of the template of an instance."""
    for each in (name, re.sub(r"@.*(?=\.)", "@", name)):
        for place in _PLACES:
            file = root / place / each
            if file.is_symlink() or file.exists():
                return file
    return None


def _settings(root: pathlib.Path, name: str) -> dict[str, list[str]]:
    """Return the settings of a unit, including those in drop-ins."""
    return _read(_fragment(root, name), [root / place for place in _PLACES],
                 f"{name}.d")  # fmt: skip


def _read(
    file: pathlib.Path | None,
    places: collections.abc.Sequence[pathlib.Path],
    drop_ins: str,
) -> dict[str, list[str]]:
    """Return the settings in a file of systemd's format and its drop-ins.

    An empty value resets a setting.

    :param places: the directories with drop-ins, by decreasing precedence.
    :param drop_ins: the name of the directory of drop-ins in each of them.
    """
    drops = {
        drop.name: drop
        for place in reversed(places)
        for drop in (place / drop_ins).glob("*.conf")
    }
    settings: dict[str, list[str]] = {}
    for path in (file, *(drops[name] for name in sorted(drops))):
        text = rootfile.read_text(path) if path else ""
        for line in text.replace("\\\n", " ").splitlines():
            name, equals, value = line.strip().partition("=")
            if not equals or name.startswith(("#", ";", "[")):
                continue
            if value.strip():
                settings.setdefault(name.strip(), []).append(value.strip())
            else:
                settings.pop(name.strip(), None)
    return settings


def _is_apart(settings: dict[str, list[str]]) -> bool:
    """Return whether a service ends by itself, or has no network access."""
    last = {name: values[-1] for name, values in settings.items()}
    families = " ".join(settings.get("RestrictAddressFamilies", []))
    return (
        last.get("Type") == "oneshot"
        or last.get("PrivateNetwork", "").lower() in ("yes", "true", "on", "1")
        or (
            bool(families)
            and not families.startswith("~")
            and "AF_INET" not in families
        )
    )


def _answers_llmnr(root: pathlib.Path) -> bool:
    """Return whether systemd-resolved answers LLMNR queries.

    It does so by default.
    """
    if not any(
        name == "systemd-resolved.service" for _, name in _enabled(root)
    ):
        return False
    settings = _read(
        root / "etc/systemd/resolved.conf",
        [root / place for place in ("etc", "usr/local/lib", "usr/lib")],
        "systemd/resolved.conf.d",
    )
    return settings.get("LLMNR", ["yes"])[-1].lower() not in (
        "no", "false", "off", "0", "resolve",
    )  # fmt: skip



def build_network(root: pathlib.Path) -> Findings:
    """Find proxies and certificates that only the build host has.

    A build gives its programs a proxy on loopback. If a program writes the
    address into the image, guests use a proxy that does not exist.
    """
    for pattern in _PROXY_FILES:
        for file in sorted((root / "etc").glob(pattern)):
            if any(map(_names_loopback_proxy, _lines(file))):
                yield (
                    "proxy of the build",
                    _seen(root, file),
                    "a proxy on loopback, which guests do not have",
                )
    for place in sorted((root / "tmp").glob("trove-build-network-*")):
        yield (
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


def _unsigned(root: pathlib.Path, file: pathlib.Path) -> tuple[str, str, str]:
    return (
        "unsigned packages",
        _seen(root, file),
        "a repository without Signed-By",
    )


def _lines(path: pathlib.Path) -> list[str]:
    return rootfile.read_text(path).splitlines()


def _seen(root: pathlib.Path, file: pathlib.Path) -> str:
    return "/" + str(file.relative_to(root))
