# SPDX-License-Identifier: Apache-2.0
"""Creates the disks of a guest, and checks the image file.

The image itself is only read: the guest writes to an overlay on top of it, or
to a copy in a container.  QEMU's locks allow any number of readers at a time,
and QEMU refuses an image that another program is still writing.
"""

import dataclasses
import os
import pathlib

from trove_tools import errors
from trove_tools.artifact import imagefile
from trove_tools.artifact import manifest
from trove_tools.host import digests
from trove_tools.host import loopdevice
from trove_tools.host import paths
from trove_tools.host import process
from trove_tools.verify import outcome

TOOL = "qemu-img"

_MEMORY = pathlib.Path("/dev/shm")  # noqa: S108 (a file without a name)
# bytes of memory that stay free for other programs on this host
_RESERVE = 2 << 30
_GIB = 1 << 30

# exit status of `qemu-img check` if an image only has space to reclaim
_LEAKS = 3
_AGAIN = "build the image again, or copy it again"


@dataclasses.dataclass(frozen=True)
class Disk:
    """A bootable image.

    :param format: ``qcow2`` or ``raw``.
    :param size: size of the disk that the guest sees, bytes.
    """

    path: pathlib.Path
    format: str
    size: int


def check_image(
    report: outcome.Report,
    image: pathlib.Path,
    known: manifest.Manifest | None,
    sha256: str | None,
) -> Disk:
    """Check that the file is a complete image that matches its manifest.

    :param report: the report that records the check.
    :param known: the image's manifest, if it has one.
    :param sha256: the file's SHA-256, if it is known already.
    :raises CheckError: it is not the image that the manifest describes.
    :raises ImageError: the file is not a complete image.
    """
    with report.check("image") as check:
        disk = inspect_image(image, known)
        check.detail = (
            f"intact; {disk.format}, {disk.size / _GIB:.1f} GiB disk"
        )
        if known is not None:
            sha256 = sha256 or digests.sha256(image)
            if sha256 != known.image.sha256:
                raise outcome.CheckError(
                    "not the image that its manifest describes:"
                    f" its sha256 is {sha256}",
                    hint="build the image again, or copy it again",
                )
            check.detail += "; matches its manifest"
    return disk


def inspect_image(
    image: pathlib.Path, known: manifest.Manifest | None = None
) -> Disk:
    """Check that a file is a complete image, and return its properties.

    :param known: the image's manifest, if it has one.
    :raises ImageError: the file is not a complete image; the error says why.
    """
    require_file(image, known)
    file = imagefile.inspect(image)
    disk = Disk(image.resolve(), file.format, file.virtual_size)
    if disk.format == "qcow2":
        _check(disk.path)
    return disk


def require_file(image: pathlib.Path, known: manifest.Manifest | None) -> None:
    """Check that a file exists and has the size that its manifest states.

    :raises UsageError: the file does not exist or cannot be read.
    :raises ImageError: the file is empty, or has another size.
    """
    paths.require_file(image, "image", "give the path of an image file")
    size = image.stat().st_size
    if size == 0:
        raise errors.ImageError(f"image {image} is empty", hint=_AGAIN)
    if known and size != known.image.size:
        raise errors.ImageError(
            f"image {image} has {size} bytes,"
            f" its manifest says {known.image.size}",
            hint=f"it is truncated or another image: {_AGAIN}",
        )


def _check(image: pathlib.Path) -> None:
    """Check the internal tables of a qcow2 image with ``qemu-img check``.

    :raises ImageError: the image has errors, or a program is writing it.
    """
    done = process.run(
        [TOOL, "check", "-f", "qcow2", "--output=json", image], check=False
    )
    if done.status in (0, _LEAKS):
        return
    if "Failed to get shared" in done.stderr:
        raise errors.ImageError(
            f"image {image} is being written by another program",
            hint="wait until that has ended",
        )
    raise errors.ImageError(
        f"image {image} is truncated or damaged:"
        f" {TOOL} check finds errors in it",
        hint=_AGAIN,
    )


def make_overlay(disk: Disk, file: pathlib.Path) -> pathlib.Path:
    """Make an overlay file, which stores a guest's changes to an image."""
    process.run(
        [
            TOOL, "create", "-q", "-f", "qcow2", "-b", disk.path,
            "-F", disk.format, file,
        ]
    )  # fmt: skip
    return file


def make_volume(file: pathlib.Path, gib: int) -> pathlib.Path:
    """Make an empty, sparse raw disk of the given size in GiB."""
    with open(file, "wb") as stream:
        stream.truncate(gib << 30)
    return file


def attach_copy(
    disk: Disk, directory: pathlib.Path, spare: int
) -> tuple[int, str]:
    """Attach a private copy of an image's root partition to a loop device.

    The copy has no file name: it disappears with the device.

    :param directory: directory for the copy if it does not fit into memory.
    :param spare: bytes of memory to leave for the guest's other disk.
    :returns: the descriptor that keeps the device attached, and its path.
    """
    if process.measure_free_memory() > disk.size + spare + _RESERVE:
        directory = _MEMORY
    copy = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        path = pathlib.Path(f"/proc/{os.getpid()}/fd/{copy}")
        process.run(
            [TOOL, "convert", "-f", disk.format, "-O", "raw",
             "-t", "unsafe", "-W", disk.path, path]
        )  # fmt: skip
        offset, size = loopdevice.find_largest_partition(path, disk.path)
        return loopdevice.attach(copy, offset, size)
    finally:
        os.close(copy)

