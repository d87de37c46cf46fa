# SPDX-License-Identifier: Apache-2.0
"""Writes the manifests of archived containers, by the path of a request.

Arguments: the file to write, then archives of ``docker save``. The engine
identifies an image by the digest of its configuration, which is in the
manifest. So the manifest tells the engine that it already has the image.
"""

import collections.abc
import hashlib
import json
import sys
import tarfile

_KIND = "application/vnd.docker"


def manifests(archive: str) -> collections.abc.Iterator[tuple[str, str]]:
    """Yield the names (with tags) and the manifests of an archive's images.

    :param archive: the path of a file.
    """
    with tarfile.open(archive) as stored:

        def read(name: str) -> bytes:
            stream = stored.extractfile(name)
            assert stream is not None
            return stream.read()

        def size(name: str) -> int:
            # an archive may contain a link instead of a repeated layer
            stream = stored.extractfile(name)
            assert stream is not None
            return stream.seek(0, 2)

        for image in json.loads(read("manifest.json")):
            config = read(image["Config"])
            manifest = {
                "schemaVersion": 2,
                "mediaType": f"{_KIND}.distribution.manifest.v2+json",
                "config": {
                    "mediaType": f"{_KIND}.container.image.v1+json",
                    "size": len(config),
                    "digest": f"sha256:{hashlib.sha256(config).hexdigest()}",
                },
                "layers": [
                    {
                        "mediaType": f"{_KIND}.image.rootfs.diff.tar",
                        "size": size(name),
                        "digest": digest,
                    }
                    for name, digest in zip(
                        image["Layers"],
                        json.loads(config)["rootfs"]["diff_ids"],
                        strict=True,
                    )
                ],
            }
            for name in image["RepoTags"] or ():
                yield name, json.dumps(manifest, indent=2)


def answers(
    named: collections.abc.Iterable[tuple[str, str]],
) -> dict[str, str]:
    """Return manifests by their paths in a registry.

    :param named: names with tags, and manifests.
    """
    found = {}
    for reference, manifest in named:
        name, _, tag = reference.rpartition(":")
        short = name.removeprefix("docker.io/").removeprefix("library/")
        paths = [short]
        if "/" not in short:
            # the name that the engine uses for a mirror of Docker Hub
            paths.append(f"library/{short}")
        digest = hashlib.sha256(manifest.encode()).hexdigest()
        for path in paths:
            for version in (tag, f"sha256:{digest}"):
                found[f"/v2/{path}/manifests/{version}"] = manifest
    return dict(sorted(found.items()))


def main(target: str, *archives: str) -> None:
    named: list[tuple[str, str]] = []
    for archive in archives:
        named += manifests(archive)
    with open(target, "w") as stream:
        json.dump(answers(named), stream, indent=1)
        stream.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
