# SPDX-License-Identifier: Apache-2.0
"""Have a file in Glance: once, whole, and nothing else of it.

The id of a new image is computed from its owner and its content.  So of
two loads of the same file at the same time only one can create the image,
wherever they run, and the other waits for it.  Glance never gives the id
of a removed image out again; then the next one of a series is taken.

An image that is not complete carries a property that names the process
which sends it.  If that has ended, what it left is finished where all its
bytes are there, and removed where they are not.
"""

import collections.abc
import datetime
import itertools
import typing
import uuid

from trove_tools import console
from trove_tools import errors
from trove_tools.cloud import failures
from trove_tools.cloud import glance
from trove_tools.cloud import retry
from trove_tools.cloud import transfer
from trove_tools.host import liveness

#: Of the ids: any constant, as long as it stays the same.
_NAMESPACE = uuid.UUID("5f0f4bd9-5f4e-4f43-9a36-0c4a1cf1a7c5")

#: Seconds after which a load on another host, which cannot be looked at,
#: counts as given up: while it sends, and before and after that.
_SENDING = 24 * 3600
_PREPARING = 900

#: Seconds between two looks at an image that another load is sending.
_PAUSE = 1.0


T = typing.TypeVar("T")


class _Taken(errors.CloudError):
    """Another load is about to send, or has just sent, the same image."""


def abandoned(record: glance.Record) -> bool:
    """Tell whether nobody completes an incomplete image any more."""
    sender = str(record[glance.UPLOADING])
    if sender == liveness.name():
        return True
    dead = liveness.known_dead(sender)
    if dead is not None:
        return dead
    changed = datetime.datetime.fromisoformat(record["updated_at"])
    age = datetime.datetime.now(datetime.UTC) - changed
    busy = record["status"] in ("saving", "uploading", "importing")
    return age.total_seconds() > (_SENDING if busy else _PREPARING)


def incomplete(
    records: collections.abc.Iterable[glance.Record],
) -> list[glance.Record]:
    """Return the images of ours that nobody completes any more."""
    return [
        record
        for record in records
        if glance.UPLOADING in record and abandoned(record)
    ]


class Uploads:
    """Sends files to Glance.

    :param images: the images there.
    :param way: how they are sent.
    :param screen: shows progress.
    """

    def __init__(
        self,
        images: glance.Images,
        way: transfer.Way,
        screen: console.Console,
    ) -> None:
        self._images = images
        self._way = way
        self._screen = screen

    def provide(
        self, content: transfer.Content, description: glance.Description
    ) -> tuple[glance.Record, bool]:
        """Have a file in Glance, sent only if it is not there.

        :param content: the file.
        :param description: what a new image shall be like in the end.
        :returns: the image, and whether it was sent.  One that was there
            is returned as it is; it may still lack its description.
        :raises CloudError: Glance refused, or stored something else.
        """
        return self._persistently(lambda: self._provide(content, description))

    def send(
        self, content: transfer.Content, description: glance.Description
    ) -> glance.Record:
        """Send a file, also if it is there already: to be the newest.

        :returns: the new image.
        """
        seen = {record["id"] for record in self._images.ours()}
        return self._persistently(
            lambda: self._send(content, description, seen)
        )

    def _persistently(self, work: collections.abc.Callable[[], T]) -> T:
        import tenacity

        told = False

        def tell(state: tenacity.RetryCallState) -> None:
            nonlocal told
            if not told:
                self._screen.say("another load is sending it: waiting")
            told = True

        # first the waiting for others, which has no end of its own
        waiting = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Taken),
            wait=tenacity.wait_fixed(_PAUSE),
            before_sleep=tell,
            reraise=True,
        )
        return waiting(
            lambda: retry.persistently(work, self._images.service.notify)
        )

    def _provide(
        self, content: transfer.Content, description: glance.Description
    ) -> tuple[glance.Record, bool]:
        pending = False
        records = self._images.ours()
        for record in records:
            if record.get(glance.SHA256) != content.sha256:
                continue
            if glance.UPLOADING in record and not abandoned(record):
                pending = True
            elif record["status"] == "active" and not content.wrong(record):
                return record, False
            elif glance.UPLOADING in record and not record.get("protected"):
                self._images.delete(record["id"])
        if pending:
            raise _Taken("another load is sending the image")
        seen = {record["id"] for record in records}
        return self._send(content, description, seen), True

    def _send(
        self,
        content: transfer.Content,
        description: glance.Description,
        seen: collections.abc.Container[str],
    ) -> glance.Record:
        """Send a file and describe it; leave nothing behind on failure."""
        image_id = self._create(content, description, seen)
        try:
            record = self._fill(image_id, content)
            # the tags come last: with them, Trove finds the image
            self._images.share(image_id, description.members)
            self._images.update(record, description)
        except BaseException:
            self._discard(image_id)
            raise
        return record

    def _create(
        self,
        content: transfer.Content,
        description: glance.Description,
        seen: collections.abc.Container[str],
    ) -> str:
        """Create an image that Trove cannot see, and return its id.

        :param seen: the images that are known not to be of use.
        """
        images = self._images
        for number in itertools.count():
            name = f"{images.owner}/{content.sha256}/{number}"
            image_id = str(uuid.uuid5(_NAMESPACE, name))
            try:
                images.create(self._new(image_id, content, description))
                break
            except failures.Refused as exc:
                if exc.status != 409:
                    raise
                found = images.get(image_id)
                # removed, or of no use: the next id
                if found is None or image_id in seen:
                    continue
                if images.is_ours(found) and not found.get("os_hidden"):
                    raise _Taken(exc.message, exc.hint) from exc
        return image_id

    def _new(
        self,
        image_id: str,
        content: transfer.Content,
        description: glance.Description,
    ) -> glance.Record:
        # Glance takes longer over the properties of an image that is there
        # than over those of a new one; it is the tags that Trove looks at
        fields = {
            name: value
            for name, value in description.fields.items()
            # one that does not become complete is removed again
            if value is not None and name != "protected"
        }
        shared = description.fields.get("visibility") == "shared"
        record = {
            **fields,
            glance.SERVES: ",".join(description.serves),
            "id": image_id,
            "disk_format": content.file.format,
            "container_format": "bare",
            "visibility": "shared" if shared else "private",
            glance.KIND: glance.GUEST,
            glance.SHA256: content.sha256,
            glance.UPLOADING: liveness.name(),
        }
        # who may name no owner owns it anyway
        if self._images.owner:
            record["owner"] = self._images.owner
        return record

    def _fill(
        self, image_id: str, content: transfer.Content
    ) -> glance.Record:
        file, images = content.file, self._images
        self._way.send(
            images.service, image_id, file.path, file.size, content.url,
            self._screen,
        )  # fmt: skip
        record = images.get(image_id)
        if record is not None and images.service.dry:
            return record
        if record is None or record["status"] != "active":
            status = record["status"] if record else "gone"
            raise errors.CloudError(
                f"image {image_id} is {status} after it was sent",
                hint="somebody else removed it, or Glance could not store"
                " it: its log says more",
            )
        wrong = content.wrong(record)
        if wrong:
            content.check_file()
            raise errors.CloudError(
                f"Glance stored something else than {file.path}: {wrong}",
                hint="try again; if it happens again, something between the"
                " file and Glance's store changes it: a disk, a proxy, a"
                " conversion by Glance's import, or whoever writes to the"
                " file",
            )
        return record

    def _discard(self, image_id: str) -> None:
        """Remove an image that did not become complete."""
        try:
            self._images.delete(image_id)
        except errors.CloudError as exc:
            self._screen.warn(
                f"the incomplete image {image_id} is still in Glance:"
                f" {exc.message}; the next load removes it, and so does:"
                f" openstack image delete {image_id}"
            )
