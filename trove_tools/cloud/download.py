# SPDX-License-Identifier: Apache-2.0
"""Downloads a ready-made image from a URL and checks its digest.

The image stays in the user's cache under its digest, so that it is not
downloaded again.
"""

import collections.abc
import hashlib
import pathlib
import re
import typing
import urllib.parse

from trove_tools import console
from trove_tools import errors
from trove_tools.cloud import failures
from trove_tools.cloud import retry
from trove_tools.host import bounds
from trove_tools.host import digests
from trove_tools.host import files
from trove_tools.host import paths
from trove_tools.host import trust

_BLOCK = 1024 * 1024

#: Seconds without data after which a download fails.
_TIMEOUT = 60

_SHA256 = re.compile(r"[0-9a-f]{64}")


def directory() -> pathlib.Path:
    """Return the directory of downloaded images."""
    return paths.user_cache() / "images"


def fetch(
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
            f"{url} could be anything: its digest is not said"
            if not wanted
            else f"{sha256!r} is no sha256: that has 64 hexadecimal digits",
            hint="pass the publisher's digest: --sha256 DIGEST",
        )
    name = pathlib.PurePosixPath(urllib.parse.urlsplit(url).path).name
    file = directory() / wanted / (name or "image.qcow2")
    file.parent.mkdir(parents=True, exist_ok=True)
    for owned in (file.parent, directory().resolve()):
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
