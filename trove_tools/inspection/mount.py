# SPDX-License-Identifier: Apache-2.0
"""Opens the root file system of an image, to be read and nothing else.

Needs root.  Nothing of the image is run, and neither its set-uid bits nor
its devices count while it is open.
"""

import collections.abc
import contextlib
import pathlib
import tempfile

from trove_tools import errors
from trove_tools.artifact import imagefile
from trove_tools.host import partitions
from trove_tools.host import process

_OPTIONS = "ro,nosuid,nodev,noexec"


@contextlib.contextmanager
def root_of(image: pathlib.Path) -> collections.abc.Iterator[pathlib.Path]:
    """Open an image's root file system for reading.

    :param image: a qcow2 or raw disk, or a tar archive of the root.
    :returns: the directory where it is, while the context lasts.
    :raises ImageError: the file is no image, or has no root.
    """
    with tempfile.TemporaryDirectory(prefix="trove-inspect-") as name:
        place = pathlib.Path(name)
        root = place / "root"
        root.mkdir()
        if image.name.endswith(".tar"):
            _read(image, ["tar", "-xf", image, "-C", root])
            yield root
            return
        raw = _as_raw(image, place / "raw")
        _mount(raw, root)
        try:
            yield root
        finally:
            # a process that looks around on this host may be in it
            process.run(["umount", "--lazy", root])


def _as_raw(image: pathlib.Path, copy: pathlib.Path) -> pathlib.Path:
    """Return the image as a raw disk: itself, or a sparse copy."""
    if imagefile.inspect(image).format == "raw":
        return image
    # its format is never guessed twice, and its path is no protocol's address
    _read(
        image,
        ["qemu-img", "convert", "-f", "qcow2", "-O", "raw",
         image.resolve(), copy],
    )  # fmt: skip
    return copy


def _mount(raw: pathlib.Path, root: pathlib.Path) -> None:
    offset, size = partitions.largest(raw)
    where = f"loop,offset={offset},sizelimit={size}"
    # the file systems have two words for "as it is, replay no journal"
    for word in ("noload", "norecovery"):
        done = process.run(
            ["mount", "-o", f"{_OPTIONS},{where},{word}", raw, root],
            check=False,
        )
        if done.status == 0:
            return
    raise errors.ImageError(
        f"the root of {raw.name} cannot be mounted: {done.stderr.strip()}",
        hint="build the image again",
    )


def _read(
    image: pathlib.Path, argv: list[process.Argument]
) -> str:
    try:
        return process.run(argv).stdout
    except errors.CommandError as exc:
        raise errors.ImageError(
            f"{image} cannot be read: {exc.output.strip()}",
            hint="is it a whole image? build it again, or copy it again",
        ) from exc
