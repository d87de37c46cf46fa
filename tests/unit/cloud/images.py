# SPDX-License-Identifier: Apache-2.0
"""Small image files, their manifests and records, made without QEMU."""

import json
import pathlib
import struct
import typing

from trove_tools.artifact import manifest
from trove_tools.artifact import verification
from trove_tools.host import digests

CLUSTER = 65536
GIB = 1024**3


def qcow2(
    *,
    version: int = 3,
    backing: int = 0,
    encryption: int = 0,
    disk: int = 3 * GIB,
    snapshots: int = 0,
    features: int = 0,
    cluster_bits: int = 16,
    entry: int = 5 * CLUSTER,
    second: int = 0,
    data: bytes = b"data" * (CLUSTER // 4),
) -> bytes:
    """Return a qcow2 image of one cluster of data in a disk of 3 GiB.

    Its clusters: header, refcount table, refcount block, the two levels
    of tables, data.

    :param entry: the first entry of the second table.
    :param second: its second entry.
    """
    header = struct.pack(
        ">4sIQIIQIIQQIIQQ",
        b"QFI\xfb", version, backing, 0, cluster_bits, disk, encryption,
        1, 3 * CLUSTER, CLUSTER, 1, snapshots, 0, features,
    )  # fmt: skip
    clusters = (
        header,
        struct.pack(">Q", 2 * CLUSTER),
        b"\0\1" * 6,
        struct.pack(">Q", 4 * CLUSTER | 1 << 63),
        struct.pack(">QQ", entry, second),
    )
    return b"".join(each.ljust(CLUSTER, b"\0") for each in clusters) + data


def raw(sectors: int = 64, end: int = 64, kind: int = 0x83) -> bytes:
    """Return a raw disk with an MBR.

    :param sectors: its size.
    :param end: where its only partition ends.
    :param kind: of the partition.
    """
    entry = struct.pack("<IIII", 0x80, kind, 8, end - 8)
    head = bytes(446) + entry + bytes(48) + b"\x55\xaa"
    return head.ljust(sectors * 512, b"\0")


def describe(image: pathlib.Path, **changes: typing.Any) -> manifest.Manifest:
    """Write the manifest beside an image file, and return it."""
    values: dict[str, typing.Any] = {
        "build_id": "b1",
        "created": "2026-01-01T00:00:00Z",
        "image": manifest.File(
            image.name,
            "qcow2",
            image.stat().st_size,
            3 * GIB,
            **digests.compute(image),
        ),
        "guest": {
            "distribution": "debian",
            "version": "13",
            "release": "trixie",
            "arch": "amd64",
        },
        "series": {"name": "2026.2", "trove": "26"},
        "agent": {"source": "pypi", "version": "26.0.0", "commit": None},
        "datastores": (datastore("mariadb", "11.8"),),
    }
    made = manifest.Manifest(**{**values, **changes})
    path = manifest.path(image)
    path.parent.mkdir(exist_ok=True)
    manifest.write(made, path)
    return made


def write_record(image: pathlib.Path, **changes: typing.Any) -> None:
    """Write the record of a verification that an image has passed."""
    sha256 = digests.compute(image, ["sha256"])["sha256"]
    record = {"sha256": sha256, "level": "agent", "ok": True, **changes}
    verification.path(image).write_text(json.dumps(record))


def datastore(
    name: str, version: str, **changes: typing.Any
) -> manifest.Datastore:
    """Return a datastore for a manifest."""
    values: dict[str, typing.Any] = {
        "manager": name,
        "runtime": "native",
        "packages": (),
        "min_ram": 1024,
        "min_disk": 2,
    }
    return manifest.Datastore(name, version, **{**values, **changes})
