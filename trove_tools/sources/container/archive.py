# SPDX-License-Identifier: Apache-2.0
"""Writes a container's image as ``docker load`` reads it, without Docker.

The archive has one layer.  Nothing in it depends on when or where it was
written: the same root gives the same image id.
"""

import collections.abc
import datetime
import hashlib
import io
import json
import pathlib
import tarfile
import typing

from trove_tools.host import digests


def write(
    root: pathlib.Path,
    file: pathlib.Path,
    *,
    names: collections.abc.Sequence[str],
    arch: str,
    config: collections.abc.Mapping[str, typing.Any],
    epoch: int,
) -> str:
    """Write the image of a container whose root is a tar archive.

    :param root: becomes the layer.
    :param file: the archive to write.
    :param names: with tags; the image gets all of them.
    :param config: entrypoint, environment and so on.
    :param epoch: when it was made, as far as anybody is told.
    :returns: the image's id.
    """
    layer = digests.compute(root, ("sha256",))["sha256"]
    created = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    stamp = created.isoformat().replace("+00:00", "Z")
    described = _json(
        {
            "architecture": arch,
            "os": "linux",
            "created": stamp,
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
            "history": [{"created": stamp, "created_by": "trove-tools"}],
        }
    )
    identity = hashlib.sha256(described).hexdigest()
    index = _json(
        [
            {
                "Config": f"{identity}.json",
                "RepoTags": list(names),
                "Layers": [f"{layer}/layer.tar"],
            }
        ]
    )
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in (
            ("manifest.json", index),
            (f"{identity}.json", described),
        ):
            archive.addfile(_member(name, len(content)), io.BytesIO(content))
        with open(root, "rb") as stream:
            member = _member(f"{layer}/layer.tar", root.stat().st_size)
            archive.addfile(member, stream)
    return f"sha256:{identity}"


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def _json(data: typing.Any) -> bytes:
    return json.dumps(data, sort_keys=True, indent=1).encode()
