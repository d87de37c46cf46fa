# SPDX-License-Identifier: Apache-2.0
"""Disk images as files: what they are, and turning raw into qcow2."""

import json
import os
import pathlib
import typing

from trove_tools import errors
from trove_tools.host import process


def info(image: pathlib.Path) -> dict[str, typing.Any]:
    """Return what qemu-img says of an image.

    :raises ImageError: it is no image that qemu-img can read.
    """
    try:
        done = process.run(
            ["qemu-img", "info", "--output=json", image],
            timeout=process.scale_timeout(60),
        )
    except errors.CommandError as exc:
        raise errors.ImageError(
            f"{image} is not a disk image: {exc.output.strip()}",
            hint="build it again",
        ) from exc
    found: dict[str, typing.Any] = json.loads(done.stdout)
    return found


def to_qcow2(
    raw: pathlib.Path, image: pathlib.Path, compression: str
) -> None:
    """Write a raw disk as qcow2.

    :param compression: zstd, zlib or none.
    :raises CommandError: qemu-img could not.
    """
    options = ["-W", "-m", str(min(16, max(2, os.cpu_count() or 2)))]
    if compression != "none":
        options += ["-c", "-o", f"compression_type={compression}"]
    process.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options,
         raw, image],
        cwd=image.parent,
    )  # fmt: skip
