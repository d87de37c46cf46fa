# SPDX-License-Identifier: Apache-2.0
"""Uploads image files to Glance, and downloads them from URLs.

The upload is one request (PUT), or uses Glance's import: Glance copies a
staged file to one or several stores, or downloads it from a URL. Facts of the
import API: ``/info/import`` lists the methods of a cloud; the request for an
import is answered at once, and the image's tasks report its result.

An image that is downloaded stays in the user's cache under its digest, so that
it is not downloaded again.
"""

import collections.abc
import dataclasses
import hashlib
import pathlib
import re
import time
import typing
import urllib.parse

from trove_tools import console
from trove_tools import errors
from trove_tools.artifact import imagefile
from trove_tools.cloud import connection
from trove_tools.cloud import failures
from trove_tools.cloud import retry
from trove_tools.host import blocks
from trove_tools.host import bounds
from trove_tools.host import digests
from trove_tools.host import files
from trove_tools.host import paths
from trove_tools.host import trust

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
            data=blocks.Body(
                file.path, file.size, progress.advance, file.read_blocks
            ),
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


#: Seconds without data after which a download fails.
_TIMEOUT = 60

_SHA256 = re.compile(r"[0-9a-f]{64}")


def download_directory() -> pathlib.Path:
    """Return the directory of downloaded images."""
    return paths.user_cache() / "images"


def download_image(
    url: str, sha256: str | None, screen: console.Console
) -> pathlib.Path:
    """Download an image, unless it is in the cache.

    :param url: an http or https URL.
    :param sha256: the digest that it must have.
    :param screen: shows progress.
    :returns: the path of the file.
    :raises UsageError: there is no digest.
    :raises ImageError: the file has another digest.
    :raises CloudError: it could not be downloaded.
    """
    wanted = (sha256 or "").lower()
    if not _SHA256.fullmatch(wanted):
        raise errors.UsageError(
            f"{url} cannot be verified: no digest was given"
            if not wanted
            else f"{sha256!r} is not a sha256 of 64 hexadecimal digits",
            hint="pass the publisher's digest: --sha256 DIGEST",
        )
    name = pathlib.PurePosixPath(urllib.parse.urlsplit(url).path).name
    file = download_directory() / wanted / (name or "image.qcow2")
    file.parent.mkdir(parents=True, exist_ok=True)
    for owned in (file.parent, download_directory().resolve()):
        trust.require_own_place(owned, "the cache of images")
    # concurrent loads download it once
    with files.hold_lock(file.parent / ".lock"):
        # the cached file of that name may have changed
        if not (trust.is_own(file) and digests.is_same(file, wanted)):
            with files.replace_file(file) as stream:
                attempts = retry.attempts(
                    screen.say, failures.may_pass_at_login
                )
                attempts(_fetch, url, wanted, stream, file.name, screen)
    return file


def _fetch(
    url: str,
    sha256: str,
    stream: typing.BinaryIO,
    name: str,
    screen: console.Console,
) -> None:
    import requests

    peer = failures.Peer("the server", "web", url)
    total = hashlib.sha256()
    with (
        failures.explained(peer),
        requests.get(url, stream=True, timeout=_TIMEOUT) as answer,
    ):
        if answer.status_code >= 400:
            raise failures.Refused(
                f"{url} cannot be fetched: {answer.status_code}"
                f" {answer.reason}",
                "correct the URL",
                answer.status_code,
            )
        length = answer.headers.get("Content-Length", "")
        size = bounds.parse_number(length) or None
        # the incomplete file of an earlier attempt
        stream.seek(0)
        stream.truncate()
        with screen.progress(f"fetching {name}", size, "bytes") as progress:
            for block in _blocks(answer):
                total.update(block)
                stream.write(block)
                progress.advance(len(block))
    digests.require(
        url,
        total.hexdigest(),
        sha256,
        "is it another release, or a damaged copy? ask the publisher for its"
        " digest",
        said="--sha256",
        kind=errors.ImageError,
    )


def _blocks(answer: typing.Any) -> collections.abc.Iterator[bytes]:
    import requests

    try:
        yield from answer.iter_content(_BLOCK)
    except requests.RequestException as exc:
        raise failures.Silent(
            f"{answer.url} broke off: {exc}", hint="try again later"
        ) from exc
