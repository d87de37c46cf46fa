# SPDX-License-Identifier: Apache-2.0
"""Finds services of a guest that its network could reach.

The enabled units of an image are read; nothing is started. A socket unit names
the addresses on which it listens. A service unit does not: so every service
that keeps running and has network access must be a service of this project's
images or of the image's datastores. ``verify`` also lists the listeners of a
running guest (``listeners`` of :mod:`trove_tools.verify.evidence`).

systemd.unit(5), systemd.socket(5), systemd-sysv-generator(8).
"""

import collections.abc
import pathlib
import re

from trove_tools.inspection import rootfile

#: Kind, path and description of findings.
Listeners = collections.abc.Iterator[tuple[str, str, str]]

KIND = "listener"

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


def find(root: pathlib.Path) -> Listeners:
    """Find enabled units that may be reachable from the network.

    :param root: the image's root file system.
    """
    asked = {
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
                yield KIND, path, f"{name} listens to {', '.join(addresses)}"
        elif not (
            name in asked or _KNOWN.fullmatch(name) or _is_apart(settings)
        ):
            yield KIND, path, f"{name} is started, and has the network"
    if _answers_llmnr(root):
        yield (
            KIND,
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
    fragment = _fragment(root, name)
    files = [fragment] if fragment else []
    drops = {
        file.name: file
        for place in reversed(_PLACES)
        for file in (root / place / f"{name}.d").glob("*.conf")
    }
    files += [drops[each] for each in sorted(drops)]
    return _read(files)


def _read(
    files: collections.abc.Iterable[pathlib.Path],
) -> dict[str, list[str]]:
    """Return the settings in unit files; an empty value resets a setting."""
    settings: dict[str, list[str]] = {}
    for file in files:
        for line in rootfile.read_text(file).replace("\\\n", " ").splitlines():
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
    places = ("etc", "usr/local/lib", "usr/lib")
    drops = {
        file.name: file
        for place in reversed(places)
        for file in (root / place / "systemd/resolved.conf.d").glob("*.conf")
    }
    settings = _read(
        [
            root / "etc/systemd/resolved.conf",
            *(drops[each] for each in sorted(drops)),
        ]
    )
    return settings.get("LLMNR", ["yes"])[-1].lower() not in (
        "no", "false", "off", "0", "resolve",
    )  # fmt: skip
