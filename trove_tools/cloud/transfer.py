# SPDX-License-Identifier: Apache-2.0
"""Uploads the content of a file to an image in Glance.

The upload is one request (PUT), or uses Glance's import: Glance copies a
staged file to one or several stores, or downloads it from a URL. Facts of the
import API: ``/info/import`` lists the methods of a cloud; the request for an
import is answered at once, and the image's tasks report its result.
"""

import collections.abc
import dataclasses
import pathlib
import time
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.artifact import imagefile
from trove_tools.cloud import connection
from trove_tools.cloud import failures

_BLOCK = 1024 * 1024

#: Seconds that Glance may take to store the last byte.
_STORING = 900

#: The timeout of an import, and the interval between two polls, in seconds.
_IMPORTING = 3600
_PAUSE = 1.0

#: HTTP statuses of a cloud that does not support direct uploads.
_NO_UPLOAD = (403, 405, 501)

AUTO = "auto"
UPLOAD = "upload"
DIRECT = "glance-direct"
DOWNLOAD = "web-download"
METHODS = (AUTO, UPLOAD, DIRECT, DOWNLOAD)

ALL_STORES = "all"


class Body:
    """The body of a request: a file in blocks.

    It has a length and can be iterated, but has no ``read``. So requests sends
    the length and our blocks; when keystoneauth repeats the request, because
    the token expired or the server redirected it, the iteration starts again
    at the first byte. A file object would continue at its end.

    :param path: the file.
    :param size: its length when it was checked.
    :param progress: updated with every block.
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
                hint="load it again when no program writes to it any more",
            )


@dataclasses.dataclass(frozen=True)
class Route:
    """How images are uploaded.

    :param method: one of :data:`METHODS`.
    :param stores: Glance's stores; its default store if empty.
    """

    method: str = AUTO
    stores: tuple[str, ...] = ()


def send_file(
    service: connection.Service,
    image_id: str,
    file: imagefile.ImageFile,
    url: str | None,
    route: Route,
    screen: console.Console,
) -> None:
    """Upload a file to an image.

    :param service: Glance.
    :param image_id: an image without data.
    :param url: the URL from which Glance can fetch the same bytes, if any.
    :param screen: shows progress.
    :raises CloudError: the cloud refused, or has no such method.
    """
    method, stores = route.method, route.stores
    several = len(stores) > 1 or ALL_STORES in stores
    if method == AUTO:
        method = DIRECT if several else UPLOAD
    elif method == UPLOAD and several:
        raise errors.UsageError(
            "a direct upload goes to one store",
            hint="name one --store, or use --import-method glance-direct",
        )
    path = f"/images/{image_id}"
    if method == UPLOAD:
        try:
            _put_file(service, f"{path}/file", file, screen, stores)
            return
        except failures.Refused as exc:
            if route.method != AUTO or exc.status not in _NO_UPLOAD:
                raise
            if DIRECT not in _list_methods(service):
                raise
        screen.say("this cloud does not support direct uploads: importing")
        method = DIRECT
    known = _list_methods(service)
    if method not in known:
        raise errors.CloudError(
            f"this cloud's Glance has no import method {method}",
            hint=f"it has: {', '.join(known) or 'none'}; direct upload"
            " to one store always works: --import-method upload",
        )
    body: dict[str, typing.Any] = {"method": {"name": method}}
    if method == DIRECT:
        _put_file(service, f"{path}/stage", file, screen)
    else:
        body["method"]["uri"] = url
    if ALL_STORES in stores:
        body["all_stores"] = True
    elif stores:
        body["stores"] = list(stores)
    service.call("POST", f"{path}/import", "importing the image", json=body)
    if not service.dry:
        _await_import(service, path, file.path.name, screen)


def _list_methods(service: connection.Service) -> list[str]:
    """Return the import methods of the cloud."""
    try:
        answer = service.read("/info/import", "looking for import methods")
    except failures.Refused as exc:
        if exc.status == 404:
            return []
        raise
    return list(answer.get("import-methods", {}).get("value", []))


def _put_file(
    service: connection.Service,
    path: str,
    file: imagefile.ImageFile,
    screen: console.Console,
    stores: collections.abc.Sequence[str] = (),
) -> None:
    """Upload the file in one request."""
    headers = {"Content-Type": "application/octet-stream"}
    if stores:
        headers["X-Image-Meta-Store"] = stores[0]
    title = f"sending {file.path.name}"
    with screen.progress(title, file.size, "bytes") as progress:
        service.call(
            "PUT",
            path,
            "sending the image",
            data=Body(file.path, file.size, progress),
            headers=headers,
            timeout=_STORING,
        )


def _await_import(
    service: connection.Service,
    path: str,
    name: str,
    screen: console.Console,
) -> None:
    """Wait until Glance has imported an image."""
    end = time.monotonic() + _IMPORTING
    with screen.progress(f"importing {name}") as progress:
        while True:
            status = service.read(path, "looking for an image")["status"]
            progress.state(status)
            if status == "active":
                return
            answer = service.read(f"{path}/tasks", "looking for the import")
            for task in answer["tasks"]:
                if task["status"] == "failure":
                    raise errors.CloudError(
                        f"Glance could not import {name}:"
                        f" {' '.join((task.get('message') or '').split())}",
                        hint="the log of Glance says more; a direct upload"
                        " may work: --import-method upload",
                    )
            if time.monotonic() > end:
                raise errors.CloudError(
                    f"Glance did not import {name} within {_IMPORTING} s",
                    hint="the log of Glance says more",
                )
            time.sleep(_PAUSE)
