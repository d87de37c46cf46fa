# SPDX-License-Identifier: Apache-2.0
"""Stores images in a registry, with all that lies beside them.

An image is an OCI artifact: its configuration is the image's manifest.json,
its first layer is the image file, and its second layer is an archive of
``NAME.d``.  The signature of the manifest is in that archive, and the manifest
has the digest of the image file, so the registry need not be trusted.

An image has two tags: the one that the user chose, and one for the plan that
it was built from, so that a build of the same plan finds it.
"""

import collections.abc
import dataclasses
import gzip
import io
import json
import os
import pathlib
import re
import tarfile
import typing

from trove_tools import errors
from trove_tools.artifact import imagefile
from trove_tools.artifact import manifest as _manifest
from trove_tools.host import blocks
from trove_tools.sources.registry import address
from trove_tools.sources.registry import client
from trove_tools.sources.registry import oci

#: The media types; the first one ends with the format of the image.
IMAGE = "application/vnd.openstack.trove.image.v1."
MANIFEST = "application/vnd.openstack.trove.image.manifest.v1+json"
FILES = "application/vnd.openstack.trove.image.files.v1.tar+gzip"

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,200}\.(qcow2|raw|tar)")
# bytes of the archive of NAME.d, compressed and unpacked, and its files
_LARGEST, _UNPACKED, _MOST = 64 * 1024**2, 512 * 1024**2, 2000
# bytes that are read from a registry at a time to inspect an image
_AHEAD = 1024 * 1024


class Blob(typing.NamedTuple):
    """A blob in a registry."""

    digest: str
    size: int


@dataclasses.dataclass(frozen=True)
class RemoteImage:
    """An image in a registry.

    :param digest: the digest of its OCI manifest.
    :param file: the name of the image file.
    :param image: the image file.
    :param files: the archive of ``NAME.d``.
    """

    repository: client.Repository
    digest: str
    file: str
    image: Blob
    files: Blob

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"

    def read_blocks(self) -> collections.abc.Iterator[bytes]:
        """Yield the image file in blocks.

        The last block is not yielded if the digest is wrong.

        :raises RegistryError: the registry does not have the whole file.
        """
        return self.repository.read_blob(*self.image)

    def fetch_files(self, directory: pathlib.Path) -> pathlib.Path:
        """Write ``NAME.d`` into a directory.

        :returns: the path of the image beside it, where there is no file.
        :raises RegistryError: the registry does not have the files.
        """
        image = directory / self.file
        sidecar = _manifest.sidecar(image)
        sidecar.mkdir()
        packed = b"".join(self.repository.read_blob(*self.files))
        try:
            _unpack(packed, sidecar)
        except (tarfile.TarError, EOFError, gzip.BadGzipFile) as exc:
            raise client.DamagedError(
                f"{self}: the files beside the image cannot be unpacked: {exc}"
            ) from exc
        if not _manifest.path(image).exists():
            raise client.DamagedError(f"{self} has no manifest.json")
        return image

    def require_described(self, made: _manifest.Manifest) -> None:
        """Check that a manifest describes this image, with its digests.

        :raises ImageError: it describes another one, or has no digests.
        """
        sha256 = made.image.sha256
        wanted = Blob(f"sha256:{sha256}", made.image.size)
        if wanted != self.image or not made.image.sha512:
            raise errors.ImageError(
                f"{self} is not the image that its manifest describes: its"
                f" digest is {self.image.digest}, the manifest says"
                f" {wanted.digest}",
                hint="push it again from where it was built",
            )

    def inspect(self, path: pathlib.Path) -> imagefile.ImageFile:
        """Check the image as :func:`imagefile.inspect` checks a file.

        Only the parts of it that are checked are fetched.

        :param path: the path from :meth:`fetch_files`.
        :raises ImageError: it is not an image that can be loaded.
        """
        stream = io.BufferedReader(_Stream(self), _AHEAD)
        return imagefile.inspect_stream(
            typing.cast(typing.BinaryIO, stream), path, self.read_blocks
        )


class _Stream(io.RawIOBase):
    """A blob as a file that can be read from any offset."""

    def __init__(self, image: RemoteImage) -> None:
        self._image = image
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size = self._image.image.size
        start = {
            os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: size
        }[whence]  # fmt: skip
        self._offset = max(0, start + offset)
        return self._offset

    def readinto(self, buffer: typing.Any) -> int:
        image = self._image.image
        length = min(len(buffer), image.size - self._offset)
        if length <= 0:
            return 0
        data = self._image.repository.read_range(
            image.digest, self._offset, length
        )
        buffer[: len(data)] = data
        self._offset += len(data)
        return len(data)


def plan_tag(digest: str) -> str:
    """Return the tag of images that were built from a plan."""
    return f"plan-{digest}"


def is_reference(text: str) -> bool:
    """Return whether a text names an image in a registry."""
    return text.startswith(("oci://", "oci+http://"))


def open_image(text: str) -> RemoteImage:
    """Return the image that a text names.

    :param text: ``oci://HOST[:PORT]/REPOSITORY:TAG``, or with ``@DIGEST``.
    :raises UsageError: it is not such a text.
    :raises RegistryError: there is no such image, or it cannot be read.
    """
    reference = address.parse(text, "image", tagged=True)
    if not reference.tag:
        raise errors.UsageError(
            f"image {text} has neither a tag nor a digest",
            hint="name one: oci://HOST/REPOSITORY:TAG or @DIGEST",
        )
    return find(reference, reference.tag)


def find(reference: address.Reference, tag: str) -> RemoteImage:
    """Return an image in a registry.

    :param reference: its repository.
    :param tag: its tag or digest.
    :raises RegistryError: there is none (status 404), or it cannot be read.
    """
    repository = client.Repository(reference)
    digest, data = repository.read_manifest(tag)
    try:
        image, files = data["layers"]
        if (
            data["config"]["mediaType"] != MANIFEST
            or not image["mediaType"].startswith(IMAGE)
            or files["mediaType"] != FILES
        ):
            raise ValueError("it has other media types")
        file = image["annotations"][oci.TITLE]
        if not _FILE.fullmatch(file):
            raise ValueError(f"{file!r} is not the name of an image file")
        return RemoteImage(
            repository, digest, file, _read_blob(image),
            _read_blob(files, _LARGEST),
        )  # fmt: skip
    except oci.UNEXPECTED as exc:
        raise client.DamagedError(
            f"{repository}: {tag} is not an image of trove-image-builder:"
            f" {exc}",
            hint="push one: trove-image-builder push IMAGE REPOSITORY:TAG",
        ) from exc


def _read_blob(
    data: dict[str, typing.Any], largest: int | None = None
) -> Blob:
    blob = Blob(data["digest"], data["size"])
    if not address.DIGEST.fullmatch(blob.digest) or type(blob.size) is not int:
        raise ValueError("a digest or a size is not valid")
    if blob.size < 0 or (largest and blob.size > largest):
        raise ValueError(f"{blob.size} bytes are too many")
    return blob


def push(
    image: pathlib.Path,
    made: _manifest.Manifest,
    repository: client.Repository,
    tags: collections.abc.Iterable[str],
    advance: collections.abc.Callable[[int], object],
) -> str:
    """Write an image and ``NAME.d`` to a registry.

    What the registry already has is not sent.

    :param made: its manifest, whose digest the file has.
    :param advance: called with the number of bytes of each block sent.
    :returns: the digest of the OCI manifest.
    :raises UsageError: the file has an unusual name.
    :raises RegistryError: the registry did not store it.
    """
    if not _FILE.fullmatch(image.name):
        raise errors.UsageError(
            f"{image.name} cannot be pushed: this is not a plain name that"
            " ends with the image's format",
            hint="rename the image and its .d directory: letters, digits, dots"
            " and dashes, and .qcow2, .raw or .tar",
        )
    config = _manifest.path(image).read_bytes()
    files = _pack(_manifest.sidecar(image))
    sha256 = f"sha256:{made.image.sha256}"
    described = {
        "schemaVersion": 2,
        "mediaType": client.MANIFEST,
        "config": oci.describe(MANIFEST, config),
        "layers": [
            {
                "mediaType": IMAGE + made.image.format,
                "digest": sha256,
                "size": made.image.size,
                "annotations": {oci.TITLE: image.name},
            },
            {
                **oci.describe(FILES, files),
                "annotations": {oci.TITLE: _manifest.sidecar(image).name},
            },
        ],
        "annotations": {oci.CREATED: made.created, oci.TITLE: image.name},
    }
    repository.write_blob(sha256, blocks.Body(image, made.image.size, advance))
    for content in (config, files):
        repository.write_blob(oci.compute_digest(content), content)
    text = json.dumps(described).encode()
    # last, so that an image with a tag is complete
    for tag in tags:
        repository.write_manifest(tag, text)
    return oci.compute_digest(text)


def _pack(directory: pathlib.Path) -> bytes:
    """Return an archive of a directory's files; equal files, equal bytes."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for file in sorted(directory.rglob("*")):
            if file.is_symlink() or not file.is_file():
                continue
            member = tarfile.TarInfo(str(file.relative_to(directory)))
            member.size = file.stat().st_size
            with open(file, "rb") as content:
                archive.addfile(member, content)
    return packed.getvalue()


def _unpack(packed: bytes, directory: pathlib.Path) -> None:
    """Write the files of an archive from an untrusted source.

    Only regular files below the directory are written.

    :raises tarfile.TarError: the archive is damaged, or has anything else.
    """
    total = 0
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r|gz") as archive:
        for number, member in enumerate(archive):
            name = pathlib.PurePosixPath(member.name)
            total += member.size
            if (
                not member.isfile()
                or name.is_absolute()
                or ".." in name.parts
                or not name.parts
                or not member.name.isprintable()
            ):
                raise tarfile.ExtractError(f"{member.name!r} is not a file")
            if total > _UNPACKED or number >= _MOST:
                raise tarfile.ExtractError("it has too many files")
            stream = archive.extractfile(member)
            assert stream is not None
            file = directory / name
            file.parent.mkdir(parents=True, exist_ok=True)
            # an existing file, or one in the place of a directory, is an error
            try:
                with open(file, "xb") as target:
                    target.write(stream.read())
            except FileExistsError as exc:
                raise tarfile.ExtractError(
                    f"{member.name!r} is there twice"
                ) from exc
