# SPDX-License-Identifier: Apache-2.0
"""Resolves the user's request into everything that a plan needs.

All that a build depends on outside the catalog (the host's mirrors,
diskimage-builder's version, the elements' files, the state of a checkout)
is looked up here, once, so that making the plan is a pure function.
"""

import base64
import binascii
import collections.abc
import dataclasses
import importlib.metadata
import os
import pathlib
import re

from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.config import options
from trove_tools.host import credentials
from trove_tools.host import debian
from trove_tools.host import paths
from trove_tools.inspection import policy
from trove_tools.plan import agent
from trove_tools.plan import elements
from trove_tools.plan import guestca
from trove_tools.plan import mirrors
from trove_tools.plan import selection as _choices
from trove_tools.plan import variables

# 32 bits, as in ext4's inodes without extra room, and in gzip
_EPOCH_MAX = 2**32 - 1
# 32 bits of sectors; and the largest file of ext4 with 4 KiB blocks, GiB
_MBR_MAX, _DISK_MAX = 2047, 16383
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
# a file's name has at most 255 bytes on Linux, and a build adds an ending
# and a mark of its own
_NAME_MAX = 230
#: As OpenSSH names them.
_KEY_KINDS = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256",
          "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
          "sk-ssh-ed25519@openssh.com",
          "sk-ecdsa-sha2-nistp256@openssh.com")  # fmt: skip
_LARGEST_KEY = 16 * 1024


@dataclasses.dataclass(frozen=True)
class Request:
    """One image that somebody wants.

    :param choices: the datastores; at least one.
    :param library: all elements that may take part.
    :param refresh_packages: whether packages of cached layers are upgraded.
    :param local_manifests: whether the guest answers its own engine about
        the containers that are in the image.
    :param guest_ca: the authorities that guests are to trust.
    :param unattended_upgrades: whether guests install security updates by
        themselves.
    :param disk_size: GiB; the catalog's minimum when not given.
    :param snapshot: the date of the packages, as an address has it.
    :param epoch: seconds since 1970 that no file is newer than.
    :param inherited: the ``DIB_*`` variables of our own environment.
    :param core_variables: those that diskimage-builder reads by itself.
    :param key: the secret one of the cache, for digests of secrets.
    :param dev_key: the public key of who develops with the image, if it is
        for that.
    :param allow: findings that may be in the image, as ``KIND:PATH``.
    :param name: the image's name; made from its content when not given.
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
    guest_ca: guestca.GuestCA = guestca.GuestCA()
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
    :raises UsageError: something named does not exist or does not go
        together.
    """
    chosen, guest = _choices.choose(words, settings, catalog)
    if settings.unattended_upgrades and guest.family != "debian":
        raise errors.UsageError(
            f"--unattended-upgrades: guests of {guest.name} have no apt, which"
            " that is made for",
            hint="leave it out and renew images instead, or choose a guest"
            " system of Debian or Ubuntu with --guest",
        )
    table = _partition_table(settings)
    size = _disk_size(settings.disk_size, chosen, table)
    places = elements.path(settings.elements_path)
    further = tuple(_exist(settings.element, places))
    found = mirrors.choose(
        settings.mirror, settings.security_mirror, guest.distribution
    )
    epoch, date = _epoch(settings.source_date_epoch), None
    if settings.snapshot:
        date = _date(settings.snapshot)
        found = mirrors.find_snapshots(found, guest, date)
        epoch = date.epoch if epoch is None else epoch
    return Request(
        choices=chosen,
        guest=guest,
        arch=settings.arch,
        series=catalog.series,
        agent=agent.parse_agent(
            settings.agent, settings.constraints, catalog.series
        ),
        mirrors=found,
        snapshot=date.identity if date else "",
        epoch=epoch,
        elements_path=places,
        library=_library(chosen, guest, further, table, places),
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
        key=variables.read_key(
            getattr(settings, "cache_dir", None) or paths.user_cache()
        ),
        name=_name(getattr(settings, "name", None)),
        guest_ca=guestca.read(settings.guest_ca),
        unattended_upgrades=settings.unattended_upgrades,
        refresh_packages=getattr(settings, "refresh_packages", False),
        local_manifests=settings.local_manifests
        and any(each.container for each in chosen),
    )


def _inherited() -> dict[str, str]:
    """Return the variables of diskimage-builder that are set already."""
    found = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("DIB_")
    }
    for name, value in found.items():
        # diskimage-builder gives git and curl these on their command lines
        fetched = name.startswith("DIB_REPOLOCATION_")
        credentials.refuse(value, name, "leave it out", query=not fetched)
    return found


def _date(text: str) -> mirrors.Date:
    try:
        return mirrors.parse_date(text)
    except ValueError as exc:
        raise errors.UsageError(
            f"--snapshot {text}: not a date", hint=f"give {exc}"
        ) from exc


def _epoch(seconds: int | None) -> int | None:
    if seconds is not None and seconds > _EPOCH_MAX:
        raise errors.UsageError(
            f"--source-date-epoch {seconds}: not every file system and archive"
            f" has times after {_EPOCH_MAX}",
            hint="give seconds since 1970, such as `date +%s` prints",
        )
    return seconds


def _guest_user(name: str | None) -> str | None:
    """Return the name of the guest's user, as useradd(8) takes it."""
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
    """Return the disk's size, GiB: as wanted, else what is needed."""
    largest_size = _DISK_MAX if partition_table != "mbr" else _MBR_MAX
    if wanted is not None and wanted > largest_size:
        raise errors.UsageError(
            f"--disk-size {wanted}: with this partition table"
            f" ({partition_table}) a disk has at most {largest_size} GiB",
            hint="the root file system grows with the flavor's disk when a"
            " guest starts",
        )
    largest = max(choices, key=lambda each: each.datastore.min_disk)
    needed = largest.datastore.min_disk
    if wanted is not None and wanted < needed:
        raise errors.UsageError(
            f"--disk-size {wanted}: {largest.datastore.name} needs at least"
            f" {needed} GiB"
        )
    return wanted or needed


def _partition_table(settings: options.Settings) -> str:
    """Return how the disk is laid out: as the machine's firmware needs it."""
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
    places: collections.abc.Sequence[str],
) -> elements.Library:
    """Read what takes part, and no other of some hundred elements."""
    named = [
        *guest.elements,
        *guest.package_elements,
        *elements.ALWAYS,
        elements.disk(partition_table),
        elements.boot_loader(partition_table),
        *further,
    ]
    for each in choices:
        named += [*each.runtime.shared_elements, *each.elements]
        if each.container:
            named.append(elements.LOCAL_MANIFESTS)
    return elements.read(named, (*places, elements.shipped_path()))


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


def _exist(names: list[str], places: tuple[str, ...]) -> list[str]:
    everywhere = (*places, elements.shipped_path())
    for name in names:
        if elements.find(name, everywhere) is None:
            known = elements.names(everywhere)
            near = errors.nearest(name, known, "elements")
            raise errors.UsageError(
                f"--element {name}: there is no such element",
                # diskimage-builder alone has over a hundred
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
            f"--name {name!r}: a name has only characters that can be printed,"
            " and one of them that is no blank",
            hint="give another name, or leave --name out",
        )
    if len(os.fsencode(name)) > _NAME_MAX:
        raise errors.UsageError(
            f"--name {name}: a name has at most {_NAME_MAX} bytes",
            hint="give a shorter name",
        )
    return name


def read_public_key(file: pathlib.Path) -> str:
    """Return the kind and the key, as authorized_keys has them.

    The comment is left out: it often names a person and a host.

    :raises UsageError: the file holds anything but one public key.
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
            f"--dev {file}: this is a private key, which has no business in"
            " an image",
            hint=f"name its public part; {file}.pub?",
        )
    words = text.split()
    if len(words) < 2 or "\n" in text or not _is_public_key(*words[:2]):
        raise errors.UsageError(
            f"--dev {file}: this is no public key of SSH",
            hint="it is one line that begins with its kind, such as"
            " ssh-ed25519; ssh-keygen makes one",
        )
    return " ".join(words[:2])


def _is_public_key(kind: str, data: str) -> bool:
    """Tell whether the data is of the kind that stands before it."""
    try:
        blob = base64.b64decode(data, validate=True)
    except binascii.Error:
        return False
    name = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
    return kind in _KEY_KINDS and name == kind.encode()
