# SPDX-License-Identifier: Apache-2.0
"""Finds ways to log in to a guest or to become root in it.

Configuration files are interpreted as the guest's programs do. An image of
this project permits only two logins: the guest's user with Nova's key, and the
guest agent with its list of commands. Every other login is a finding. No
program of the image is run; this module determines the settings that
``sshd -T`` and ``sudo -l`` would print.
"""

import collections.abc
import fnmatch
import pathlib
import re
import stat
import typing

import yaml

from trove_tools.host import bounds
from trove_tools.inspection import rootfile

PASSWORD, LOGIN = "password", "login"

#: Kind, path and description of findings.
Logins = collections.abc.Iterator[tuple[str, str, str]]

#: The guest agent's account; sudoers lists its commands one by one.
AGENT = "trove-agent"

#: The beginning of fields in shadow(5) that no password matches.
_LOCKED = re.compile(r"[*!]")
_SSHD = "etc/ssh/sshd_config"
# sudo requires a password of these users, and no account has a password
_SUDO_ASKS = {"root", "%sudo", "%wheel", "%admin"}
_SUDO_LISTS = re.compile(r"(?:Cmnd|Cmd|Host|User|Runas)_Alias\b|Defaults\b")
_HOSTS = {"hosts.equiv", "shosts.equiv", ".rhosts", ".shosts"}


class _Setting(typing.NamedTuple):
    """A setting of sshd that can permit unwanted logins."""

    default: str
    is_safe: collections.abc.Callable[[str], bool]
    what: str


#: The settings of sshd_config(5), by name in lower case.
_SETTINGS = {
    "passwordauthentication": _Setting(
        "yes", lambda value: value == "no", "lets in who has a password"
    ),
    "permitemptypasswords": _Setting(
        "no", lambda value: value == "no", "lets in without a password"
    ),
    "permitrootlogin": _Setting(
        "prohibit-password", lambda value: value != "yes",
        "lets root in with a password",
    ),
    "hostbasedauthentication": _Setting(
        "no", lambda value: value == "no", "lets in whom another host names"
    ),
    "trustedusercakeys": _Setting(
        "none", lambda value: value == "none",
        "lets in whom a certificate authority names",
    ),
    "authorizedkeyscommand": _Setting(
        "none", lambda value: value == "none",
        "lets in whom a program names",
    ),
    "authorizedkeysfile": _Setting(
        ".ssh/authorized_keys",
        lambda value: all(
            word.removeprefix("%h/").startswith(".ssh/")
            for word in value.split()
        ),
        "looks for keys outside of the users' own directories",
    ),
}  # fmt: skip


def of_accounts(root: pathlib.Path) -> Logins:
    """Find accounts with a password, an empty password, or root's uid.

    :param root: the root file system of the image or of a container's layer.
    """
    for account, fields in _records(root, "passwd"):
        field, uid = [*fields, "", ""][:2]
        if field != "x" and not _LOCKED.match(field):
            yield _account(account, "passwd", field)
        if uid == "0" and account != "root":
            yield LOGIN, "/etc/passwd", f"{account} is root by another name"
    directory = root / "etc"
    names = [path.name for path in directory.glob("*shadow*")]
    for name in sorted(names):
        for account, fields in _records(root, name):
            password = fields[0] if fields else ""
            if _LOCKED.match(password):
                continue
            # with an empty password, only members can use a group
            if password or not name.startswith("gshadow"):
                yield _account(account, name, password)


def _account(
    account: str, name: str, password: str
) -> tuple[str, str, str]:
    what = "a password" if password else "an empty password"
    return PASSWORD, f"/etc/{name}", f"{account} has {what}"


def _records(
    root: pathlib.Path, name: str
) -> collections.abc.Iterator[tuple[str, list[str]]]:
    for line in rootfile.read_text(root / "etc" / name).splitlines():
        account, *fields = line.split(":")
        if account and fields:
            yield account, fields


def by_key(root: pathlib.Path, file: rootfile.File, dev: bool) -> Logins:
    """Find a file that permits logins with a key or from a host.

    :param dev: the image is for development: the guest's user, but no other
        account, may have a key.
    """
    name = file.path.name
    if not file.status.st_size:
        return
    if name in _HOSTS:
        yield LOGIN, f"/{file.name}", "lets in whom another host names"
    if name in ("authorized_keys", "authorized_keys2") and not (
        dev and _is_of_guest(root, file)
    ):
        yield LOGIN, f"/{file.name}", "lets in who has a key"


def _is_of_guest(root: pathlib.Path, file: rootfile.File) -> bool:
    guest = guest_user(root)
    return any(
        account == guest
        and len(fields) > 4
        and f"/{file.name}".startswith(f"{fields[4].rstrip('/')}/.ssh/")
        for account, fields in _records(root, "passwd")
    )


def by_set_uid(file: rootfile.File) -> Logins:
    """Find a program that runs as its owner or group for every user.

    :param file: a file that no package contains.
    """
    if (
        file.status.st_mode & (stat.S_ISUID | stat.S_ISGID)
        and file.status.st_mode & 0o111
    ):
        yield (
            LOGIN,
            f"/{file.name}",
            "a set-uid program that no package brings",
        )


def by_sshd(root: pathlib.Path) -> Logins:
    """Find settings of sshd that permit unwanted logins."""
    if not (root / "usr/sbin/sshd").exists():
        return
    values: dict[str, tuple[str, str]] = {}
    in_match: list[tuple[str, str, str]] = []
    _read_sshd(root, _SSHD, values, in_match, set())
    settings = [
        (name, *values.get(name, (setting.default, _SSHD)))
        for name, setting in _SETTINGS.items()
    ]
    for name, value, path in [*settings, *in_match]:
        setting = _SETTINGS[name]
        if not setting.is_safe(value):
            yield LOGIN, f"/{path}", f"sshd {setting.what}"
    for name, value, _ in [*settings, *in_match]:
        if name == "authorizedkeysfile":
            yield from _keys_elsewhere(root, value)


def _read_sshd(
    root: pathlib.Path,
    name: str,
    settings: dict[str, tuple[str, str]],
    in_match: list[tuple[str, str, str]],
    read: set[str],
) -> None:
    """Read settings of sshd; the first value of each setting is effective.

    The condition of a Match block is not evaluated: any block may be in
    effect.

    :param read: the files that were read; they are not read again.
    """
    if name in read:
        return
    read.add(name)
    matching = False
    for line in rootfile.read_text(root / name).splitlines():
        keyword, value = _sshd_words(line)
        if keyword == "include":
            for word in value.split():
                pattern = word if word.startswith("/") else f"/etc/ssh/{word}"
                for path in _matching(root, pattern):
                    _read_sshd(root, path, settings, in_match, read)
        elif keyword == "match":
            matching = value.lower() != "all"
        elif keyword in _SETTINGS:
            if matching:
                in_match.append((keyword, value, name))
            else:
                settings.setdefault(keyword, (value, name))


def _sshd_words(line: str) -> tuple[str, str]:
    line = line.strip()
    if line.startswith("#"):
        return "", ""
    keyword, _, value = re.sub(r"^(\w+)\s*=\s*", r"\1 ", line).partition(" ")
    value = value.partition("#")[0].replace('"', "").strip()
    return keyword.lower(), value


def _matching(root: pathlib.Path, pattern: str) -> list[str]:
    """Return the files that match a pattern, in the order of glob(7)."""
    directory, _, name = pattern.strip("/").rpartition("/")
    try:
        names = sorted(path.name for path in (root / directory).iterdir())
    except (OSError, ValueError):
        # such as a missing directory, or a path with a null character
        return []
    return [f"{directory}/{each}" for each in fnmatch.filter(names, name)]


def _keys_elsewhere(root: pathlib.Path, value: str) -> Logins:
    for word in value.split():
        if not word.startswith("/"):
            continue
        pattern = re.sub(r"%[a-zA-Z]", "*", word.replace("%%", "%"))
        for path in _matching(root, pattern):
            if rootfile.read_text(root / path).strip():
                yield LOGIN, f"/{path}", "lets in who has a key"


def by_cloud_init(root: pathlib.Path) -> Logins:
    """Find a setting of cloud-init that makes sshd accept passwords."""
    said = [
        (settings["ssh_pwauth"], path)
        for path, settings in _cloud_settings(root)
        if "ssh_pwauth" in settings
    ]
    # the last file with this setting takes precedence
    for value, path in said[-1:]:
        if str(value).lower() in ("true", "yes", "on", "1"):
            yield LOGIN, f"/{path}", "cloud-init makes sshd take passwords"


def guest_user(root: pathlib.Path) -> str:
    """Return cloud-init's default user, which gets the cloud's key."""
    name = ""
    for _, settings in _cloud_settings(root):
        for key in ("system_info", "default_user", "name"):
            settings = (
                settings.get(key, "") if isinstance(settings, dict) else ""
            )
        name = str(settings) or name
    return name


def _cloud_settings(
    root: pathlib.Path,
) -> collections.abc.Iterator[tuple[str, typing.Any]]:
    directory = "etc/cloud"
    for path in (
        f"{directory}/cloud.cfg",
        *_matching(root, f"/{directory}/cloud.cfg.d/*.cfg"),
    ):
        try:
            settings = bounds.parse_yaml(rootfile.read_text(root / path))
        except (yaml.YAMLError, ValueError, RecursionError):
            continue
        if isinstance(settings, dict):
            yield path, settings


def by_sudo(root: pathlib.Path) -> Logins:
    """Find settings of sudo that let unexpected users run commands."""
    guest = guest_user(root)
    for name in _sudoers(root, "etc/sudoers", set()):
        text = rootfile.read_text(root / name).replace("\\\n", " ")
        for line in text.splitlines():
            line = re.sub(r"(?:^|\s)#(?!\d).*", "", line).strip()
            if re.match(r"Defaults\b.*!\s*authenticate", line):
                yield LOGIN, f"/{name}", "sudo asks nobody for a password"
            if "=" not in line or _SUDO_LISTS.match(line):
                continue
            who, _, what = line.partition("=")
            # the last word is the host
            users = who.rsplit(maxsplit=1)[:1]
            for user in ",".join(users).split(","):
                user = user.strip()
                if user in _SUDO_ASKS and "NOPASSWD" not in what:
                    continue
                if user in (guest, "root"):
                    continue
                if user == AGENT and not re.search(r"[:,]\s*ALL\b", what):
                    continue
                yield LOGIN, f"/{name}", f"sudo lets {user} run commands"


def _sudoers(
    root: pathlib.Path, name: str, read: set[str]
) -> collections.abc.Iterator[str]:
    """Yield the files that sudo reads, each file once; see sudoers(5).

    :param read: the files that were read before.
    """
    if name in read:
        return
    read.add(name)
    yield name
    for line in rootfile.read_text(root / name).splitlines():
        match = re.match(r"\s*[@#](include(?:dir)?)\s+\"?([^\s\"]+)", line)
        if not match:
            continue
        if match[1] == "include":
            path = match[2]
            if not path.startswith("/"):
                path = f"/etc/{path}"
            yield from _sudoers(root, path.strip("/"), read)
            continue
        for path in _matching(root, f"{match[2].rstrip('/')}/*"):
            base = path.rpartition("/")[2]
            if "." not in base and not base.endswith("~"):
                yield from _sudoers(root, path, read)
