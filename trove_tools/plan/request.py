# SPDX-License-Identifier: Apache-2.0
"""Resolves the user's request into all data that a plan needs.

Everything outside the catalog that a build depends on (the host's mirrors,
diskimage-builder's version, the elements' files, the state of a checkout) is
read here once, so that making the plan is a pure function.
"""

import collections.abc
import dataclasses
import importlib.metadata
import os
import pathlib
import re

from trove_tools import errors
from trove_tools.artifact import signature
from trove_tools.catalog import model
from trove_tools.config import options
from trove_tools.host import credentials
from trove_tools.host import debian
from trove_tools.host import paths
from trove_tools.inspection import policy
from trove_tools.plan import agent
from trove_tools.plan import elements
from trove_tools.plan import mirrors
from trove_tools.plan import selection as _choices
from trove_tools.plan import variables
from trove_tools.sources.network import authorities

# 32 bits, as in gzip and in ext4's inodes without extra space
_EPOCH_MAX = 2**32 - 1
# GiB: 32 bits of sectors; and the largest file of ext4 with 4 KiB blocks
_MBR_MAX, _DISK_MAX = 2047, 16383
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
# bytes: a file name has at most 255 on Linux, and a build adds a prefix and
# a suffix
_NAME_MAX = 230
_LARGEST_KEY = 16 * 1024


@dataclasses.dataclass(frozen=True)
class Request:
    """A request for one image.

    :param choices: the datastores; at least one.
    :param library: all elements that the build may use.
    :param further_elements: elements that the user adds.
    :param refresh_packages: whether packages of cached layers are upgraded.
    :param local_manifests: whether the guest serves the manifests of the
        image's containers to its engine.
    :param guest_ca: the certificate authorities that guests trust.
    :param unattended_upgrades: whether guests install security updates
        automatically.
    :param disk_size: the size of the disk in GiB.
    :param snapshot: the date of the packages, such as 20260131T120000Z;
        empty for the newest packages.
    :param epoch: the latest time of files in the image, in seconds since
        1970.
    :param inherited: the ``DIB_*`` variables of this process.
    :param core_variables: the variables that diskimage-builder reads outside
        of elements.
    :param key: the secret key of the cache, for digests of secrets.
    :param dev_key: the developer's public SSH key, if the image is for
        development.
    :param allow: findings that are allowed in the image, as ``KIND:PATH``.
    :param name: the image's name; derived from its content if None.
    """

    choices: tuple[_choices.Choice, ...]
    guest: model.Guest
    arch: str
    series: model.Series
    agent: agent.Agent
    mirrors: debian.Mirrors
    elements_path: tuple[str, ...]
    library: elements.Library
    further_elements: tuple[str, ...]
    guest_user: str | None
    dev_key: str
    allow: tuple[str, ...]
    image_format: str
    compression: str
    partition_table: str
    disk_size: int
    dib_version: str
    inherited: dict[str, str]
    name: str | None
    refresh_packages: bool = False
    local_manifests: bool = False
    guest_ca: authorities.GuestCA = authorities.GuestCA()
    unattended_upgrades: bool = False
    snapshot: str = ""
    epoch: int | None = None
    core_variables: frozenset[str] = frozenset()
    key: bytes = b""


def make(
    words: collections.abc.Sequence[str],
    settings: options.Settings,
    catalog: model.Catalog,
) -> Request:
    """Return the request for an image.

    :param words: ``DATASTORE[:VERSION]``, one or several.
    :param settings: the user's options.
    :raises UsageError: an option names something that does not exist, or
        options cannot be combined.
    """
    chosen, guest = _choices.choose(words, settings, catalog)
    if settings.unattended_upgrades and guest.family != "debian":
        raise errors.UsageError(
            f"--unattended-upgrades: this needs apt, which guests of"
            f" {guest.name} do not have",
            hint="leave it out and renew images instead, or choose a guest"
            " system of Debian or Ubuntu with --guest",
        )
    table = _partition_table(settings)
    size = _disk_size(settings.disk_size, chosen, table)
    directories = elements.path(settings.elements_path)
    further = tuple(_exist(settings.element, directories))
    chosen_mirrors = mirrors.choose(
        settings.mirror, settings.security_mirror, guest.distribution
    )
    epoch, date = _epoch(settings.source_date_epoch), None
    if settings.snapshot:
        date = mirrors.parse_date(settings.snapshot)
        chosen_mirrors = mirrors.find_snapshots(chosen_mirrors, guest, date)
        epoch = int(date.timestamp()) if epoch is None else epoch
    return Request(
        choices=chosen,
        guest=guest,
        arch=settings.arch,
        series=catalog.series,
        agent=agent.parse_agent(
            settings.agent, settings.constraints, catalog.series
        ),
        mirrors=chosen_mirrors,
        snapshot=mirrors.format_date(date) if date else "",
        epoch=epoch,
        elements_path=directories,
        library=_library(chosen, guest, further, table, directories),
        further_elements=further,
        guest_user=_guest_user(settings.guest_user),
        dev_key=read_public_key(settings.dev) if settings.dev else "",
        allow=tuple(_allowed(word) for word in settings.allow),
        image_format=settings.image_format,
        compression=settings.compression,
        partition_table=table,
        disk_size=size,
        dib_version=importlib.metadata.version("diskimage-builder"),
        inherited=_inherited(),
        core_variables=elements.variables_of_core(),
        key=variables.read_key(settings.cache_dir or paths.user_cache()),
        name=_name(settings.name),
        guest_ca=authorities.read_guest_authorities(settings.guest_ca),
        unattended_upgrades=settings.unattended_upgrades,
        refresh_packages=settings.refresh_packages,
        local_manifests=settings.local_manifests
        and any(choice.container for choice in chosen),
    )


def _inherited() -> dict[str, str]:
    """Return the ``DIB_*`` variables of this process."""
    values = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("DIB_")
    }
    for name, value in values.items():
        # diskimage-builder passes these URLs to git and curl on command lines
        fetched = name.startswith("DIB_REPOLOCATION_")
        credentials.refuse(value, name, "leave it out", query=not fetched)
    return values


def _epoch(seconds: int | None) -> int | None:
    if seconds is not None and seconds > _EPOCH_MAX:
        raise errors.UsageError(
            f"--source-date-epoch {seconds}: some file systems and archives"
            f" cannot store times after {_EPOCH_MAX}",
            hint="give seconds since 1970, such as `date +%s` prints",
        )
    return seconds


def _guest_user(name: str | None) -> str | None:
    """Return the name of the guest's user, if useradd(8) accepts it."""
    if name and (name == "root" or not _USER.fullmatch(name)):
        raise errors.UsageError(
            f"--guest-user {name}: not the name of an ordinary user",
            hint="a name has small letters, digits, _ and -, begins with a"
            " letter or _, and has at most 32 characters",
        )
    return name


def _disk_size(
    wanted: int | None,
    choices: collections.abc.Iterable[_choices.Choice],
    partition_table: str,
) -> int:
    """Return the disk's size in GiB: the given one, or the minimum."""
    largest_size = _DISK_MAX if partition_table != "mbr" else _MBR_MAX
    if wanted is not None and wanted > largest_size:
        raise errors.UsageError(
            f"--disk-size {wanted}: with this partition table"
            f" ({partition_table}) a disk has at most {largest_size} GiB",
            hint="the root file system grows with the flavor's disk when a"
            " guest starts",
        )
    largest = max(choices, key=lambda choice: choice.datastore.min_disk)
    needed = largest.datastore.min_disk
    if wanted is not None and wanted < needed:
        raise errors.UsageError(
            f"--disk-size {wanted}: {largest.datastore.name} needs at least"
            f" {needed} GiB"
        )
    return wanted or needed


def _partition_table(settings: options.Settings) -> str:
    """Return the partition table that the architecture's firmware needs."""
    wanted: str | None = settings.partition_table
    if settings.arch == "amd64":
        return wanted or "mbr"
    if wanted not in (None, "efi"):
        raise errors.UsageError(
            f"--partition-table {wanted}: machines of {settings.arch} start"
            " with UEFI only",
            hint="leave it out, or give --partition-table efi",
        )
    return "efi"


def _library(
    choices: collections.abc.Iterable[_choices.Choice],
    guest: model.Guest,
    further: collections.abc.Iterable[str],
    partition_table: str,
    directories: collections.abc.Sequence[str],
) -> elements.Library:
    """Read only the elements that the build may use, of over a hundred."""
    named = [
        *guest.elements,
        *guest.package_elements,
        *elements.ALWAYS,
        elements.disk(partition_table),
        elements.boot_loader(partition_table),
        *further,
    ]
    for choice in choices:
        named += [*choice.runtime.shared_elements, *choice.elements]
        if choice.container:
            named.append(elements.LOCAL_MANIFESTS)
    return elements.read(named, (*directories, elements.shipped_path()))


def _allowed(word: str) -> str:
    kind, _, path = word.partition(":")
    if kind not in policy.KINDS:
        raise errors.UsageError(
            f"--allow {word}: there is no such kind of finding",
            hint=errors.nearest(kind, policy.KINDS, "kinds"),
        )
    if not path.startswith("/"):
        raise errors.UsageError(
            f"--allow {word}: the path must begin with a slash",
            hint=f"give the kind and the path that the build reported:"
            f" --allow '{kind}:/etc/FILE'",
        )
    return word


def _exist(names: list[str], directories: tuple[str, ...]) -> list[str]:
    everywhere = (*directories, elements.shipped_path())
    for name in names:
        if elements.find(name, everywhere) is None:
            known = elements.names(everywhere)
            near = errors.nearest(name, known, "elements")
            raise errors.UsageError(
                f"--element {name}: there is no such element",
                # a list of all elements would have over a hundred names
                hint=near.partition("known ")[0]
                or f"looked in: {', '.join(everywhere)}",
            )
    return names


def _name(name: str | None) -> str | None:
    if name is None:
        return None
    if "/" in name or name.startswith("."):
        raise errors.UsageError(
            f"--name {name}: a name, not a path",
            hint="the directory is given with --output-dir",
        )
    if not name.isprintable() or not name.strip():
        raise errors.UsageError(
            f"--name {name!r}: a name must consist of printable characters,"
            " and not only of blanks",
            hint="give another name, or leave --name out",
        )
    if len(os.fsencode(name)) > _NAME_MAX:
        raise errors.UsageError(
            f"--name {name}: a name has at most {_NAME_MAX} bytes",
            hint="give a shorter name",
        )
    return name


def read_public_key(file: pathlib.Path) -> str:
    """Return the type and the key in a public key file of SSH.

    :raises UsageError: the file does not contain exactly one public key.
    """
    paths.require_file(
        file,
        "--dev",
        "name the file of your public key, such as ~/.ssh/id_ed25519.pub",
    )
    with open(file, "rb") as stream:
        text = stream.read(_LARGEST_KEY).decode(errors="replace").strip()
    if "PRIVATE KEY" in text:
        raise errors.UsageError(
            f"--dev {file}: this is a private key, which must not be in an"
            " image",
            hint=f"name the file of the public key; {file}.pub?",
        )
    key = None if "\n" in text else signature.parse_public_key(text)
    if key is None:
        raise errors.UsageError(
            f"--dev {file}: this is not a public key of SSH",
            hint="a public key is one line that begins with its type, such as"
            " ssh-ed25519; ssh-keygen makes one",
        )
    return str(key)
