# SPDX-License-Identifier: Apache-2.0
"""Upload a file to Glance exactly once, atomically.

The id of a new image is computed from its owner and its content. So if two
loads upload the same file at the same time, on any hosts, only one of them can
create the image, and the other waits. Glance never reuses the id of a removed
image; then the next id of a series is used.

A property of an incomplete image names the uploading process. If that process
has ended, the next load completes the image if it has all its bytes, and
removes it otherwise.
"""

import collections.abc
import dataclasses
import datetime
import itertools
import time
import uuid

from trove_tools import console
from trove_tools import errors
from trove_tools.artifact import imagefile
from trove_tools.cloud import failures
from trove_tools.cloud import glance
from trove_tools.cloud import image as _image
from trove_tools.cloud import retry
from trove_tools.cloud import transfer
from trove_tools.cloud.image import Image
from trove_tools.host import digests
from trove_tools.host import liveness

#: The namespace of the ids: an arbitrary constant.
_NAMESPACE = uuid.UUID("5f0f4bd9-5f4e-4f43-9a36-0c4a1cf1a7c5")

#: Seconds after which a load on another host, whose process cannot be checked,
#: counts as abandoned: during the upload, and before and after it.
_SENDING = 24 * 3600
_PREPARING = 900

#: Seconds between two checks of an image that another load uploads.
_PAUSE = 1.0


class _BusyError(errors.CloudError):
    """Another load uploads, or has just uploaded, the same image."""


@dataclasses.dataclass(frozen=True)
class Content:
    """The content of an image.

    :param sha256: its digest, which identifies the image in Glance.
    :param sha512: the digest that Glance computes by default.
    :param url: the URL from which Glance can download it.
    """

    file: imagefile.ImageFile
    sha256: str
    sha512: str
    url: str | None = None

    def find_difference(self, image: Image) -> str | None:
        """Return how an image in Glance differs from the file, if it does.

        Only the digest that Glance computed itself is compared, because every
        user can set properties. The operator chooses the algorithm, nearly
        always sha512; old clouds only have an MD5 sum.
        """
        fields = image.fields
        name = fields.get("os_hash_algo") or "md5"
        theirs = fields.get("os_hash_value") or fields.get("checksum")
        if fields.get("size") != self.file.size:
            return f"{fields.get('size')} bytes, not {self.file.size}"
        ours = {"sha256": self.sha256, "sha512": self.sha512}.get(name)
        if ours is None:
            ours = self._compute_digest(name)
        return None if theirs == ours else f"{name} {theirs}, not {ours}"

    def check_file(self) -> None:
        """Read the file again, and check that it has not changed.

        A file in a registry is compared with its digest whenever it is read.

        :raises ImageError: the file has changed.
        """
        if self.file.remote is not None:
            return
        if self._compute_digest("sha256") != self.sha256:
            raise errors.ImageError(
                f"{self.file.path} has changed while it was being sent",
                hint="load it again when nothing writes to it any more",
            )

    def _compute_digest(self, name: str) -> str:
        return digests.compute_blocks(self.file.read_blocks(), [name])[name]


def is_abandoned(image: Image) -> bool:
    """Return whether an image is incomplete and no process completes it."""
    if image.uploader is None:
        return False
    if image.uploader == liveness.name():
        return True
    dead = liveness.known_dead(image.uploader)
    if dead is not None:
        return dead
    changed = datetime.datetime.fromisoformat(image.fields["updated_at"])
    age = datetime.datetime.now(datetime.UTC) - changed
    busy = image.status in ("saving", "uploading", "importing")
    return age.total_seconds() > (_SENDING if busy else _PREPARING)


def upload_image(
    images: glance.Images,
    content: Content,
    description: _image.Description,
    route: transfer.Route,
    screen: console.Console,
    *,
    reuse: bool = True,
) -> tuple[Image, bool]:
    """Upload a file to Glance, and describe it; leave nothing on failure.

    :param content: the file.
    :param description: the wanted state of a new image.
    :param route: how the bytes are sent.
    :param screen: shows progress.
    :param reuse: return an existing image with these bytes; otherwise upload
        them again, as the newest image.
    :returns: the image, and whether it was uploaded. An existing image may
        still lack its description.
    :raises CloudError: Glance refused, or stored other data.
    """
    known = [] if reuse else images.list_ours()
    waiting = False
    while True:
        try:
            for attempt in retry.attempts(images.service.notify):
                with attempt:
                    if reuse:
                        known = images.list_ours()
                        if image := _find_uploaded(images, known, content):
                            return image, False
                    image_id = _create(images, content, description, known)
                    try:
                        transfer.send_file(
                            images.service, image_id, content.file,
                            content.url, route, screen,
                        )  # fmt: skip
                        image = _read_stored(images, image_id, content)
                        # tags come last, because Trove finds the image by them
                        images.share(image_id, description.members)
                        images.update(image, description)
                    except BaseException:
                        _discard(images, image_id, screen)
                        raise
                    return image, True
        except _BusyError:
            # the other load may take as long as it needs
            if not waiting:
                screen.say("another load is uploading it: waiting")
            waiting = True
            time.sleep(_PAUSE)


def _find_uploaded(
    images: glance.Images,
    known: collections.abc.Iterable[Image],
    content: Content,
) -> Image | None:
    """Return the existing image with the bytes of a file, if any.

    Abandoned, incomplete images with this digest are removed.

    :raises _BusyError: another load is uploading the image.
    """
    pending = False
    for image in known:
        if image.fields.get(_image.SHA256) != content.sha256:
            continue
        if image.uploader is not None and not is_abandoned(image):
            pending = True
        elif image.status == "active" and not content.find_difference(image):
            return image
        elif image.uploader is not None and not image.protected:
            images.delete(image.id)
    if pending:
        raise _BusyError("another load is sending the image")
    return None


def _create(
    images: glance.Images,
    content: Content,
    description: _image.Description,
    known: collections.abc.Iterable[Image],
) -> str:
    """Create an image that Trove cannot see, and return its id.

    :param known: images whose ids must not be used.
    :raises _BusyError: another load has just created it.
    """
    # Glance sets the properties of a new image faster than those of an
    # existing one; Trove only looks at the tags
    fields = {
        name: value
        for name, value in description.fields.items()
        # after a failed upload, a protected image could not be removed
        if value is not None and name != "protected"
    }
    shared = description.fields.get("visibility") == "shared"
    fields |= {
        _image.SERVES: ",".join(description.serves),
        "disk_format": content.file.format,
        "container_format": "bare",
        "visibility": "shared" if shared else "private",
        _image.KIND: _image.GUEST,
        _image.SHA256: content.sha256,
        _image.UPLOADING: liveness.name(),
    }
    # without the right to set the owner, the user is the owner anyway
    if images.owner:
        fields["owner"] = images.owner
    useless = {image.id for image in known}
    for number in itertools.count():
        name = f"{images.owner}/{content.sha256}/{number}"
        image_id = str(uuid.uuid5(_NAMESPACE, name))
        try:
            images.create({**fields, "id": image_id})
            break
        except failures.Refused as exc:
            if exc.status != 409:
                raise
            image = images.get(image_id)
            # removed or unusable: use the next id
            if image is None or image_id in useless:
                continue
            if images.is_ours(image) and not image.fields.get("os_hidden"):
                raise _BusyError(exc.message, exc.hint) from exc
    return image_id


def _read_stored(
    images: glance.Images, image_id: str, content: Content
) -> Image:
    """Return an uploaded image after checking that it has a file's bytes.

    :raises CloudError: it has other bytes, or is not active.
    :raises ImageError: the file has changed.
    """
    image = images.get(image_id)
    if image is not None and images.service.dry:
        return image
    if image is None or image.status != "active":
        status = image.status if image else "gone"
        raise errors.CloudError(
            f"image {image_id} is {status} after it was sent",
            hint="another user removed it, or Glance could not store it: see"
            " its log",
        )
    difference = content.find_difference(image)
    if difference:
        content.check_file()
        raise errors.CloudError(
            f"Glance stored other data than {content.file.path}: {difference}",
            hint="try again; if it happens again, something changes the data"
            " between the file and Glance's store: a disk, a proxy, a"
            " conversion by Glance's import, or a program that writes to"
            " the file",
        )
    return image


def _discard(
    images: glance.Images, image_id: str, screen: console.Console
) -> None:
    """Remove an incomplete image."""
    try:
        images.delete(image_id)
    except errors.CloudError as exc:
        screen.warn(
            f"the incomplete image {image_id} is still in Glance:"
            f" {exc.message}; the next load removes it, and so does:"
            f" openstack image delete {image_id}"
        )
