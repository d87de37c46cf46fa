# SPDX-License-Identifier: Apache-2.0
"""The disks of a guest under examination.

The image itself is only ever read: the guest writes to an overlay on top of
it.  QEMU's locks allow any number of readers at a time, and refuse an image
that somebody is still writing to.
"""

import dataclasses
import json
import pathlib
import typing

from trove_tools import errors
from trove_tools import manifest
from trove_tools import paths
from trove_tools import process

TOOL = "qemu-img"

_BOOT_SIGNATURE = b"\x55\xaa"
# what `check` ends with when an image merely has space to reclaim
_LEAKS = 3
_AGAIN = "build the image again, or copy it again"


@dataclasses.dataclass(frozen=True)
class Disk:
    """An image that can be booted from.

    :param format: ``qcow2`` or ``raw``.
    :param size: bytes that the guest sees.
    """

    path: pathlib.Path
    format: str
    size: int


def inspect(
    image: pathlib.Path, known: manifest.Manifest | None = None
) -> Disk:
    """Make sure that a file is a whole image.

    :param known: its manifest, when there is one.
    :raises ImageError: it is not, saying in which way.
    """
    require_file(image, known)
    info = json.loads(_qemu_img(image, "info"))
    found = Disk(image.resolve(), info["format"], info["virtual-size"])
    if found.format not in ("qcow2", "raw"):
        raise errors.ImageError(
            f"{image} is a {found.format} image",
            hint="verify boots qcow2 and raw images:"
            f" convert it with {TOOL} convert -O qcow2",
        )
    if "backing-filename" in info:
        raise errors.ImageError(
            f"{image} is only an overlay over {info['backing-filename']}",
            hint=f"make it whole with {TOOL} convert -O qcow2",
        )
    if found.format == "raw":
        with open(image, "rb") as stream:
            sector = stream.read(512)
        if len(sector) < 512 or sector[510:] != _BOOT_SIGNATURE:
            raise errors.ImageError(
                f"{image} is no disk image:"
                " it has neither a known format nor a boot sector",
                hint="give the image that `trove-image-builder build` made",
            )
    else:
        _qemu_img(image, "check")
    return found


def require_file(image: pathlib.Path, known: manifest.Manifest | None) -> None:
    """Make sure that there is a file of the size its manifest says.

    :raises UsageError: there is no such file, or it cannot be read.
    :raises ImageError: it is empty, or of another size.
    """
    paths.require_file(image, "image", "give the path of an image file")
    size = image.stat().st_size
    if size == 0:
        raise errors.ImageError(f"image {image} is empty", hint=_AGAIN)
    if known and size != known.image["size"]:
        raise errors.ImageError(
            f"image {image} has {size} bytes,"
            f" its manifest says {known.image['size']}",
            hint=f"it is truncated or another image: {_AGAIN}",
        )


def _qemu_img(image: pathlib.Path, command: str) -> str:
    done = process.run(
        # no -f: to find out the format is the point here
        [TOOL, command, "--output=json", image.resolve()],
        check=False,
    )
    if done.status in (0, _LEAKS):
        return done.stdout
    if "Failed to get shared" in done.stderr:
        raise errors.ImageError(
            f"image {image} is being written by another program",
            hint="wait until that has ended",
        )
    if command == "check":
        raise errors.ImageError(
            f"image {image} is truncated or damaged:"
            f" {TOOL} check finds errors in it",
            hint=_AGAIN,
        )
    said = done.stderr.strip().splitlines() or [f"status {done.status}"]
    raise errors.ImageError(
        f"image {image} cannot be opened: {said[-1]}", hint=_AGAIN
    )


def overlay(disk: Disk, file: pathlib.Path) -> pathlib.Path:
    """Make a disk that reads from an image and keeps what is written."""
    return _create(file, "-b", disk.path, "-F", disk.format)


def volume(file: pathlib.Path, gib: int) -> pathlib.Path:
    """Make an empty disk."""
    return _create(file, size=f"{gib}G")


def _create(
    file: pathlib.Path, *options: typing.Any, size: str | None = None
) -> pathlib.Path:
    words = [TOOL, "create", "-q", "-f", "qcow2", *options, file]
    process.run([*words, size] if size else words)
    return file
