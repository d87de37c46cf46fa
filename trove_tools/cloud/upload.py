# SPDX-License-Identifier: Apache-2.0
"""Upload a file to Glance exactly once, atomically.

The id of a new image is computed from its owner and its content.  So of
two loads of the same file at the same time only one can create the image,
wherever they run, and the other waits for it.  Glance never gives the id
of a removed image out again; then the next one of a series is taken.

An image that is not complete carries a property that names the process
which sends it.  If that has ended, what it left is finished where all its
bytes are there, and removed where they are not.
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

        Only the digest that Glance computed itself is compared, because
        anybody can set properties. The operator chooses the algorithm, nearly
        always sha512; old clouds only have an MD5 sum.
        """
        fields = image.fields
        name = fields.get("os_hash_algo") or "md5"
        theirs = fields.get("os_hash_value") or fields.get("checksum")
        if fields.get("size") != self.file.size:
            return f"{fields.get('size')} bytes, not {self.file.size}"
        ours = {"sha256": self.sha256, "sha512": self.sha512}.get(name)
        if ours is None:
            ours = digests.compute(self.file.path, [name])[name]
        return None if theirs == ours else f"{name} {theirs}, not {ours}"

    def check_file(self) -> None:
        """Read the file again, and check that it has not changed.

        :raises ImageError: the file has changed.
        """
        sha256 = digests.compute(self.file.path, ["sha256"])["sha256"]
        if sha256 != self.sha256:
            raise errors.ImageError(
                f"{self.file.path} has changed while it was being sent",
                hint="load it again when nothing writes to it any more",
            )


def is_abandoned(image: Image) -> bool:
    """Tell whether an image is incomplete and nobody completes it."""
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
    """Upload a file to Glance, completely described, or leave nothing.

    :param content: the file.
    :param description: what a new image shall be like in the end.
    :param route: how the bytes are sent.
    :param screen: shows progress.
    :param reuse: whether an image with these bytes is taken as it is; else
        they are sent once more, to be the newest.
    :returns: the image, and whether it was sent.  One that was there may
        still lack its description.
    :raises CloudError: Glance refused, or stored something else.
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
                        # the tags come last: with them, Trove finds it
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
    """Return the image that has the bytes of a file.

    What another load left of them incomplete is removed.

    :raises _BusyError: another load is sending them.
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

    :param known: images that are not to be used.
    :raises _BusyError: another load has just created it.
    """
    # Glance sets the properties of a new image faster than those of an
    # existing one; Trove only looks at the tags
    fields = {
        name: value
        for name, value in description.fields.items()
        # an incomplete image is removed again
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
    # a user who may not set the owner is the owner anyway
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
    """Return an image after making sure that it has the bytes of a file.

    :raises CloudError: it has others, or is not active.
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
