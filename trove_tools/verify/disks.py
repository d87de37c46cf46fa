# SPDX-License-Identifier: Apache-2.0
"""Creates the disks of a guest, and checks the image file.

The image itself is only ever read: the guest writes to an overlay on top of
it.  QEMU's locks allow any number of readers at a time, and refuse an image
that somebody is still writing to.
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
# bytes that this host needs for everything else
_RESERVE = 2 << 30
_GIB = 1 << 30

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


def check_image(
    found: outcome.Report,
    image: pathlib.Path,
    known: manifest.Manifest | None,
    sha256: str | None,
) -> Disk:
    """Check that the file is a complete image that matches its manifest.

    :param found: takes the check.
    :param known: its manifest, when there is one.
    :param sha256: the file's, where that is known already.
    :raises CheckError: it is not the one of its manifest.
    :raises ImageError: it is no image, or not a whole one.
    """
    with found.check("image") as check:
        disk = inspect_image(image, known)
        check.detail = (
            f"intact; {disk.format}, {disk.size / _GIB:.1f} GiB disk"
        )
        if known is not None:
            sha256 = sha256 or digests.sha256(image)
            if sha256 != known.image["sha256"]:
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
    """Check that a file is a complete image.

    :param known: its manifest, when there is one.
    :raises ImageError: it is not, saying in which way.
    """
    require_file(image, known)
    file = imagefile.inspect(image)
    found = Disk(image.resolve(), file.format, file.virtual_size)
    if found.format == "qcow2":
        _check(found.path)
    return found


def require_file(image: pathlib.Path, known: manifest.Manifest | None) -> None:
    """Make sure that there is a file of the size its manifest says.

    :raises UsageError: the file does not exist or cannot be read.
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


def _check(image: pathlib.Path) -> None:
    """Let QEMU compare an image with its own tables.

    :raises ImageError: it finds errors, or the image is in use.
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
    """Make a disk that reads from an image and keeps what is written."""
    process.run(
        [
            TOOL, "create", "-q", "-f", "qcow2", "-b", disk.path,
            "-F", disk.format, file,
        ]
    )  # fmt: skip
    return file


def make_volume(file: pathlib.Path, gib: int) -> pathlib.Path:
    """Make an empty raw disk, which takes no space yet."""
    with open(file, "wb") as stream:
        stream.truncate(gib << 30)
    return file


def attach_copy(
    disk: Disk, place: pathlib.Path, spare: int
) -> tuple[int, str]:
    """Attach a private copy of an image's root to a loop device.

    The copy has no name: it goes away with the device.

    :param place: a directory for the copy if it does not fit into memory.
    :param spare: bytes of memory that the guest's other disk may take.
    :returns: the descriptor that keeps the device, and its path.
    """
    if _free_memory() > disk.size + spare:
        place = _MEMORY
    copy = os.open(place, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        path = pathlib.Path(f"/proc/{os.getpid()}/fd/{copy}")
        process.run(
            [TOOL, "convert", "-f", disk.format, "-O", "raw",
             "-t", "unsafe", "-W", disk.path, path]
        )  # fmt: skip
        offset, size = loopdevice.find_largest_partition(path)
        return loopdevice.attach(copy, offset, size)
    finally:
        os.close(copy)


def _free_memory() -> int:
    """Return the bytes that may be used, and of which none is needed."""
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 - _RESERVE
    return 0
