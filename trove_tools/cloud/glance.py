# SPDX-License-Identifier: Apache-2.0
"""Images in Glance.

Trove serves the newest active image that carries a version's tags.  So an
image is sent without any, and gets tags and properties in one single
update, after Glance's digest of it was compared with ours: Trove sees it
complete or not at all.
"""

import collections.abc
import dataclasses
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import manifest
from trove_tools.cloud import connection
from trove_tools.cloud import failures
from trove_tools.cloud import imagefile
from trove_tools.cloud import sending

Record = dict[str, typing.Any]

#: What Glance keeps of ours begins with this.
PREFIX = "trove_tools_"
SHA256 = PREFIX + "sha256"
#: Stands at an image until it is complete; its value is the file's sha256.
UPLOADING = PREFIX + "uploading"

_PATCH = "application/openstack-images-v2.1-json-patch"

#: Seconds that Glance may take to put the last byte away.
_STORING = 900

#: How often the removal of an incomplete image is tried, and the seconds
#: before the second time; the pause doubles each time.
_ATTEMPTS = 5
_PAUSE = 0.5


@dataclasses.dataclass(frozen=True)
class Description:
    """What an image in Glance shall be like.

    :param tags: all that it must carry; others are left alone.
    :param fields: fields and properties, with their values.
    """

    tags: tuple[str, ...]
    fields: dict[str, typing.Any]


@dataclasses.dataclass(frozen=True)
class Content:
    """The bytes of an image.

    :param sha256: their digest, by which Glance's images are found again.
    :param sha512: the digest that nearly every Glance computes itself.
    """

    file: imagefile.ImageFile
    sha256: str
    sha512: str

    def wrong(self, record: Record) -> str | None:
        """Say in what an image in Glance has other bytes, if it has.

        Only what Glance found out itself counts here, as properties can be
        set by anybody: a digest of its operator's choosing, nearly always
        sha512, and in old clouds an MD5 sum alone.
        """
        name = record.get("os_hash_algo") or "md5"
        theirs = record.get("os_hash_value") or record.get("checksum")
        if record.get("size") != self.file.size:
            return f"{record.get('size')} bytes, not {self.file.size}"
        ours = self.sha512
        if name != "sha512":
            ours = manifest.digests(self.file.path, [name])[name]
        return None if theirs == ours else f"{name} {theirs}, not {ours}"


def changes(
    record: Record, description: Description
) -> list[dict[str, typing.Any]]:
    """Return the JSON patch that makes an image what it shall be.

    :param record: the image as Glance has it.
    :param description: what it shall be like.
    :returns: nothing where nothing differs.
    """
    patch = []
    missing = [tag for tag in description.tags if tag not in record["tags"]]
    if missing:
        tags = [*record["tags"], *missing]
        patch.append({"op": "replace", "path": "/tags", "value": tags})
    for name, value in description.fields.items():
        if record.get(name) != value:
            op = "replace" if name in record else "add"
            patch.append({"op": op, "path": f"/{name}", "value": value})
    if UPLOADING in record:
        patch.append({"op": "remove", "path": f"/{UPLOADING}"})
    return patch


class Images:
    """The images of a cloud.

    :param cloud: the cloud.
    :param screen: shows progress.
    """

    def __init__(
        self, cloud: connection.Cloud, screen: console.Console
    ) -> None:
        self._service = cloud.images
        self._project_id = cloud.project_id
        self._screen = screen

    def served(self, tags: collections.abc.Sequence[str]) -> Record | None:
        """Return the image that Trove takes for these tags, if any.

        The same question that Trove asks: the newest active one.
        """
        found = self._list(tag=list(tags), limit=1)
        return found[0] if found else None

    def copies(self, content: Content) -> list[Record]:
        """Return our project's complete images of a file, newest first.

        An admin sees the images of all projects, and whoever owns one may
        withdraw it, or lie about it: those are not ours to use.
        """
        found = self._list(
            **{SHA256: content.sha256, "owner": self._project_id}
        )
        return [record for record in found if not content.wrong(record)]

    def get(self, image_id: str) -> Record | None:
        """Return an image, if it is there."""
        try:
            answer = self._service.call(
                "GET", f"/images/{image_id}", "looking for an image"
            )
        except failures.Refused as exc:
            if exc.status == 404:
                return None
            raise
        record: Record = answer.json()
        return record

    def _list(self, **filters: typing.Any) -> list[Record]:
        answer = self._service.call(
            "GET",
            "/images",
            "looking for images",
            params={
                "status": "active",
                "sort": "created_at:desc",
                **filters,
            },
        )
        records: list[Record] = answer.json()["images"]
        return records

    def update(self, record: Record, description: Description) -> bool:
        """Make an image what it shall be, in one update.

        :returns: whether there was anything to change.
        """
        patch = changes(record, description)
        if patch:
            self._service.call(
                "PATCH",
                f"/images/{record['id']}",
                "describing the image",
                json=patch,
                headers={"Content-Type": _PATCH},
            )
        return bool(patch)

    def upload(self, content: Content, description: Description) -> str:
        """Send a file and describe it; leave nothing behind on failure.

        :param content: the file.
        :param description: what the image shall be like in the end.
        :returns: the new image's id.
        :raises CloudError: Glance refused, or stored something else.
        """
        answer = self._service.call(
            "POST",
            "/images",
            "creating an image",
            json={
                "name": description.fields["name"],
                "disk_format": content.file.format,
                "container_format": "bare",
                "visibility": "private",
                UPLOADING: content.sha256,
            },
        )
        image_id: str = answer.json()["id"]
        try:
            record = self._send(image_id, content)
            self.update(record, description)
        except BaseException:
            self._discard(image_id)
            raise
        return image_id

    def _send(self, image_id: str, content: Content) -> Record:
        file = content.file
        title = f"sending {file.path.name}"
        with self._screen.progress(title, file.size, "bytes") as progress:
            self._service.call(
                "PUT",
                f"/images/{image_id}/file",
                "sending the image",
                data=sending.Sending(file.path, file.size, progress),
                headers={"Content-Type": "application/octet-stream"},
                timeout=_STORING,
            )
        record = self.get(image_id)
        if record is None or record["status"] != "active":
            status = record["status"] if record else "gone"
            raise errors.CloudError(
                f"image {image_id} is {status} after it was sent",
                hint="somebody else removed it, or Glance could not store"
                " it: its log says more",
            )
        wrong = content.wrong(record)
        if wrong:
            raise errors.CloudError(
                f"Glance stored something else than {file.path}: {wrong}",
                hint="try again; if it happens again, something between the"
                " file and Glance's store changes it: a disk, a proxy, or"
                " whoever writes to the file",
            )
        return record

    def _discard(self, image_id: str) -> None:
        """Remove an image that did not become complete.

        Glance may just be noticing that the upload broke off and then
        changes the image itself: a removal at that moment can fail.
        """
        import tenacity

        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=tenacity.wait_exponential(_PAUSE),
            reraise=True,
        )
        try:
            attempts(self._delete, image_id)
        except errors.CloudError as exc:
            self._screen.warn(
                f"the incomplete image {image_id} is still in Glance:"
                f" {exc.message}; remove it with:"
                f" openstack image delete {image_id}"
            )

    def _delete(self, image_id: str) -> None:
        try:
            self._service.call(
                "DELETE", f"/images/{image_id}", "removing the image"
            )
        except failures.Refused as exc:
            if exc.status != 404:
                raise


def _may_pass(exc: BaseException) -> bool:
    return isinstance(exc, failures.Refused) and (
        exc.status == 409 or exc.status >= 500
    )
