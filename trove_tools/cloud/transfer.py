# SPDX-License-Identifier: Apache-2.0
"""How the bytes of a file get into an image of Glance.

Either in one request (PUT), or through Glance's import: the file is staged
and taken from there into one or several stores, or fetched by Glance from
an URL.  Facts of the import API: ``/info/import`` lists the methods of a
cloud; the request for an import is answered at once, and the image's tasks
tell how it ends.
"""

import collections.abc
import dataclasses
import pathlib
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.artifact import imagefile
from trove_tools.cloud import connection
from trove_tools.cloud import failures
from trove_tools.host import digests

_BLOCK = 1024 * 1024

#: Seconds that Glance may take to put the last byte away.
_STORING = 900

#: Seconds that an import may take, and those between two looks at it.
_IMPORTING = 3600
_PAUSE = 1.0

#: Answers of a cloud that takes no direct upload.
_NO_UPLOAD = (403, 405, 501)

AUTO = "auto"
UPLOAD = "upload"
DIRECT = "glance-direct"
DOWNLOAD = "web-download"
METHODS = (AUTO, UPLOAD, DIRECT, DOWNLOAD)

ALL_STORES = "all"


class Sending:
    """The body of a request: a file, in blocks.

    It has a length and can be iterated, but has no ``read``: so requests
    announces the length and takes our blocks as they are, and when
    keystoneauth repeats the request, because the token expired or the
    server redirected, the iteration begins again at the first byte.  A
    file object would go on from where it stood, at its end.

    :param path: the file.
    :param size: its length when it was looked at.
    :param progress: is told of every block.
    """

    def __init__(
        self,
        path: pathlib.Path,
        size: int,
        progress: console.Progress,
    ) -> None:
        self._path = path
        self._size = size
        self._progress = progress
        self._sent = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> collections.abc.Iterator[bytes]:
        if self._sent:
            self._progress.advance(-self._sent)
        self._sent = 0
        with open(self._path, "rb") as stream:
            while block := stream.read(min(_BLOCK, self._size - self._sent)):
                yield block
                self._sent += len(block)
                self._progress.advance(len(block))
        if self._sent != self._size:
            raise errors.ImageError(
                f"{self._path} became shorter while it was being sent",
                hint="load it again when nothing writes to it any more",
            )


@dataclasses.dataclass(frozen=True)
class Content:
    """The bytes of an image.

    :param sha256: their digest, by which Glance's images are found again.
    :param sha512: the digest that nearly every Glance computes itself.
    :param url: where else they can be had.
    """

    file: imagefile.ImageFile
    sha256: str
    sha512: str
    url: str | None = None

    def wrong(self, record: dict[str, typing.Any]) -> str | None:
        """Say in what an image in Glance has other bytes, if it has.

        Only what Glance found out itself counts here, as properties can be
        set by anybody: a digest of its operator's choosing, nearly always
        sha512, and in old clouds an MD5 sum alone.
        """
        name = record.get("os_hash_algo") or "md5"
        theirs = record.get("os_hash_value") or record.get("checksum")
        if record.get("size") != self.file.size:
            return f"{record.get('size')} bytes, not {self.file.size}"
        ours = {"sha256": self.sha256, "sha512": self.sha512}.get(name)
        if ours is None:
            ours = digests.compute(self.file.path, [name])[name]
        return None if theirs == ours else f"{name} {theirs}, not {ours}"

    def check_file(self) -> None:
        """Read the file again, and make sure that it is the same.

        :raises ImageError: it has changed since.
        """
        found = digests.compute(self.file.path, ["sha256"])["sha256"]
        if found != self.sha256:
            raise errors.ImageError(
                f"{self.file.path} has changed while it was being sent",
                hint="load it again when nothing writes to it any more",
            )


@dataclasses.dataclass(frozen=True)
class Way:
    """How images are sent.

    :param method: one of :data:`METHODS`.
    :param stores: where Glance puts them; its default when empty.
    """

    method: str = AUTO
    stores: tuple[str, ...] = ()

    def send(
        self,
        service: connection.Service,
        image_id: str,
        path: pathlib.Path,
        size: int,
        url: str | None,
        screen: console.Console,
    ) -> None:
        """Fill an image with a file's bytes.

        :param service: Glance.
        :param image_id: an image without bytes.
        :param path: the file.
        :param size: its length, in bytes.
        :param url: where Glance can fetch the same bytes.
        :param screen: shows progress.
        :raises CloudError: the cloud refused, or has no such way.
        """
        sender = _Sender(service, image_id, path, size, screen)
        method = self.method
        several = len(self.stores) > 1 or ALL_STORES in self.stores
        if method == AUTO:
            method = DIRECT if several else UPLOAD
        elif method == UPLOAD and several:
            raise errors.UsageError(
                "a direct upload goes to one store",
                hint="name one --store, or use --import-method glance-direct",
            )
        if method == UPLOAD:
            try:
                sender.put("file", self.stores)
                return
            except failures.Refused as exc:
                if self.method != AUTO or exc.status not in _NO_UPLOAD:
                    raise
                if DIRECT not in sender.methods():
                    raise
            screen.say("this cloud takes no direct upload: importing")
            method = DIRECT
        known = sender.methods()
        if method not in known:
            raise errors.CloudError(
                f"this cloud's Glance has no import method {method}",
                hint=f"it has: {', '.join(known) or 'none'}; direct upload"
                " to one store always works: --import-method upload",
            )
        how: dict[str, typing.Any] = {"name": method}
        if method == DIRECT:
            sender.put("stage", ())
        else:
            how["uri"] = url
        sender.take(how, self.stores)


@dataclasses.dataclass(frozen=True)
class _Sender:
    service: connection.Service
    image_id: str
    path: pathlib.Path
    size: int
    screen: console.Console

    def methods(self) -> list[str]:
        """Return the import methods of the cloud."""
        try:
            found = self.service.read(
                "/info/import", "looking for import methods"
            )
        except failures.Refused as exc:
            if exc.status == 404:
                return []
            raise
        return list(found.get("import-methods", {}).get("value", []))

    def put(self, where: str, stores: collections.abc.Sequence[str]) -> None:
        """Send the file, in one request."""
        headers = {"Content-Type": "application/octet-stream"}
        if stores:
            headers["X-Image-Meta-Store"] = stores[0]
        title = f"sending {self.path.name}"
        with self.screen.progress(title, self.size, "bytes") as progress:
            self.service.change(
                "PUT",
                f"/images/{self.image_id}/{where}",
                "sending the image",
                again=False,
                data=Sending(self.path, self.size, progress),
                headers=headers,
                timeout=_STORING,
            )

    def take(
        self,
        how: dict[str, typing.Any],
        stores: collections.abc.Sequence[str],
    ) -> None:
        """Have Glance import the image, and wait for the end of it."""
        body: dict[str, typing.Any] = {"method": how}
        if ALL_STORES in stores:
            body["all_stores"] = True
        elif stores:
            body["stores"] = list(stores)
        self.service.change(
            "POST",
            f"/images/{self.image_id}/import",
            "importing the image",
            again=False,
            json=body,
        )
        if not self.service.dry:
            with self.screen.progress(
                f"importing {self.path.name}"
            ) as progress:
                self._wait(progress)

    def _wait(self, progress: console.Progress) -> None:
        import tenacity

        waiting = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda done: not done),
            stop=tenacity.stop_after_delay(_IMPORTING),
            wait=tenacity.wait_fixed(_PAUSE),
        )
        try:
            waiting(self._imported, progress)
        except tenacity.RetryError as exc:
            raise errors.CloudError(
                f"Glance did not import {self.path.name} within"
                f" {_IMPORTING} s",
                hint="the log of Glance says more",
            ) from exc

    def _imported(self, progress: console.Progress) -> bool:
        path = f"/images/{self.image_id}"
        record = self.service.read(path, "looking for an image")
        progress.state(record["status"])
        if record["status"] == "active":
            return True
        tasks = self.service.read(f"{path}/tasks", "looking for the import")
        for task in tasks["tasks"]:
            if task["status"] == "failure":
                raise errors.CloudError(
                    f"Glance could not import {self.path.name}:"
                    f" {' '.join((task.get('message') or '').split())}",
                    hint="the log of Glance says more; a direct upload may"
                    " work: --import-method upload",
                )
        return False
