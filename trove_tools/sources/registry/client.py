# SPDX-License-Identifier: Apache-2.0
"""Reads and writes manifests and blobs in a registry.

This is a client of the API of the OCI distribution specification, which all
registries serve.  skopeo copies images only from file to file; this module
also streams a blob to another server.  It uses the proxies, the certificates
and the credentials that skopeo uses.  Data from a registry is limited in size
and compared with its digest.
"""

import collections.abc
import dataclasses
import hashlib
import re
import time
import typing
import urllib.parse

import requests

from trove_tools import errors
from trove_tools.host import blocks
from trove_tools.host import bounds
from trove_tools.host import causes
from trove_tools.host import credentials
from trove_tools.sources import registry
from trove_tools.sources.registry import address
from trove_tools.sources.registry import login
from trove_tools.sources.registry import oci

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
#: The largest manifest, in bytes; registries have the same limit.
LARGEST = 4 * 1024 * 1024

#: Seconds to connect, and seconds without data after which a request fails.
TIMEOUT = (5.0, 30.0)
#: Pauses before a request is repeated, in seconds.
PAUSES = (0.5, 2.0)

_BLOCK = 1024 * 1024
_PASSING = (429, 500, 502, 503, 504)
# the number of tags in one answer, and the largest number of answers
_PAGE, _PAGES = 1000, 100
_LINK = re.compile(r'<([^>]*)>;\s*rel="next"')


class RegistryError(errors.BuildError):
    """A registry cannot be reached, refused a request, or sent bad data.

    :param status: the HTTP status; 0 if there was none.
    """

    def __init__(
        self, message: str, hint: str | None = None, status: int = 0
    ) -> None:
        super().__init__(message, hint)
        self.status = status


class DamagedError(RegistryError):
    """A registry has other data than its digest says."""


class Repository:
    """A repository in a registry.

    :param reference: its address; the tag is ignored.
    """

    def __init__(self, reference: address.Reference) -> None:
        self.reference = dataclasses.replace(reference, tag="")
        scheme, _, host = reference.base.partition("://")
        self._base = f"{scheme}://{registry.HUB.get(host, host)}"
        self._url = f"{self._base}/v2/{reference.name}"
        self._session = requests.Session()
        # otherwise requests sends the passwords of ~/.netrc
        self._session.auth = _keep_request
        self._authorization: dict[str, str] = {}
        self._login: list[login.Login | None] = []

    def __str__(self) -> str:
        return str(self.reference)

    def read_manifest(self, tag: str) -> tuple[str, dict[str, typing.Any]]:
        """Return the digest and the content of a manifest.

        :param tag: a tag, or a digest.
        :raises RegistryError: there is none (status 404), or it is damaged.
        """
        with self._ask(
            "GET", f"{self._url}/manifests/{tag}", headers={"Accept": MANIFEST}
        ) as response:
            text = self._read(response, LARGEST)
            said = response.headers.get("Docker-Content-Digest", "")
        digest = oci.compute_digest(text)
        for wanted in (tag if address.DIGEST.fullmatch(tag) else "", said):
            if wanted.startswith("sha256:") and wanted != digest:
                raise DamagedError(
                    f"{self}: the manifest {tag} is damaged: its digest is"
                    f" {digest}, not {wanted}"
                )
        try:
            data = bounds.decode_json(text)
        except ValueError as exc:
            raise DamagedError(
                f"{self}: the manifest {tag} cannot be read: {exc}"
            ) from exc
        if not isinstance(data, dict) or data.get("schemaVersion") != 2:
            raise DamagedError(f"{self}: {tag} is no manifest of an image")
        return digest, data

    def read_blob(
        self,
        digest: str,
        size: int,
        *,
        deadline: float | None = None,
    ) -> collections.abc.Iterator[bytes]:
        """Yield a blob in blocks.

        :param digest: its digest, which is checked before the last block is
            yielded, so whoever needs all blocks never gets a damaged blob.
        :param size: its size in bytes; a larger answer is an error.
        :param deadline: the latest end, in seconds of time.monotonic().
        :raises DamagedError: the registry has other data.
        :raises RegistryError: it does not send the data.
        """
        total, received, last = hashlib.sha256(), 0, b""
        with self._ask("GET", f"{self._url}/blobs/{digest}") as response:
            for block in blocks.read_ahead(self._blocks(response)):
                received += len(block)
                if received > size:
                    break
                total.update(block)
                if last:
                    yield last
                last = block
                if deadline is not None and time.monotonic() > deadline:
                    raise RegistryError(
                        f"{self} is too slow: it sent {received} of"
                        f" {size} bytes"
                    )
        found = f"sha256:{total.hexdigest()}"
        if received != size or found != digest:
            raise DamagedError(
                f"{self}: the blob {digest} is damaged or incomplete:"
                f" {received} bytes of {size}, digest {found}"
            )
        if last:
            yield last

    def read_range(self, digest: str, start: int, length: int) -> bytes:
        """Return a part of a blob, whose digest cannot be checked.

        :param start: the offset of its first byte.
        :param length: the number of bytes; fewer at the end of the blob.
        :raises RegistryError: the registry does not send the data.
        """
        with self._ask(
            "GET",
            f"{self._url}/blobs/{digest}",
            headers={"Range": f"bytes={start}-{start + length - 1}"},
        ) as response:
            if response.status_code != 206 and start:
                raise RegistryError(f"{self} does not send parts of a blob")
            data = b""
            for block in self._blocks(response):
                data += block
                if len(data) >= length:
                    break
        return data[:length]

    def has_blob(self, digest: str) -> bool:
        """Return whether the repository has a blob."""
        try:
            self._ask("HEAD", f"{self._url}/blobs/{digest}").close()
        except RegistryError as exc:
            if exc.status == 404:
                return False
            raise
        return True

    def write_blob(
        self, digest: str, content: bytes | blocks.Body
    ) -> None:
        """Write a blob, unless the repository has it.

        :param digest: its digest, which the registry checks.
        :raises RegistryError: the registry did not store it.
        """
        if self.has_blob(digest):
            return
        with self._ask("POST", f"{self._url}/blobs/uploads/") as response:
            where = urllib.parse.urljoin(
                response.url, response.headers.get("Location", "")
            )
        mark = "&" if urllib.parse.urlsplit(where).query else "?"
        self._ask(
            "PUT",
            f"{where}{mark}digest={urllib.parse.quote(digest)}",
            data=content,
            headers={"Content-Type": "application/octet-stream"},
            repeat=False,
        ).close()

    def write_manifest(self, tag: str, content: bytes) -> None:
        """Write a manifest under a tag; replace what the tag named."""
        self._ask(
            "PUT",
            f"{self._url}/manifests/{tag}",
            data=content,
            headers={"Content-Type": MANIFEST},
        ).close()

    def delete_manifest(self, digest: str) -> None:
        """Delete a manifest and its tags.

        :param digest: the manifest's digest.
        :raises RegistryError: the registry does not allow it.
        """
        try:
            self._ask("DELETE", f"{self._url}/manifests/{digest}").close()
        except RegistryError as exc:
            if exc.status == 404:
                return
            if exc.status == 405:
                exc.hint = "allow deletion in the registry's configuration"
            raise

    def list_tags(self) -> list[str]:
        """Return all tags; none if there is no such repository."""
        tags: list[str] = []
        url = f"{self._url}/tags/list?n={_PAGE}"
        for _ in range(_PAGES):
            try:
                with self._ask("GET", url) as response:
                    text = self._read(response, LARGEST)
                    link = _LINK.search(response.headers.get("Link", ""))
                named = bounds.decode_json(text)["tags"] or []
            except RegistryError as exc:
                if exc.status == 404:
                    return tags
                raise
            except (ValueError, LookupError, TypeError) as exc:
                raise DamagedError(
                    f"{self}: the list of tags cannot be read: {exc}"
                ) from exc
            tags += [
                tag
                for tag in named
                if isinstance(tag, str) and address.TAG.fullmatch(tag)
            ]
            if not link:
                break
            url = urllib.parse.urljoin(response.url, link[1])
        return tags

    def _read(self, response: requests.Response, largest: int) -> bytes:
        data = b""
        for block in self._blocks(response):
            data += block
            if len(data) > largest:
                raise DamagedError(
                    f"{self} sent more than {largest} bytes of a manifest"
                )
        return data

    def _blocks(
        self, response: requests.Response
    ) -> collections.abc.Iterator[bytes]:
        """Yield the body of an answer in blocks."""
        try:
            yield from response.iter_content(_BLOCK)
        except (requests.RequestException, OSError) as exc:
            raise RegistryError(
                f"{self} broke off: {_reason(exc)}"
            ) from exc

    def _ask(
        self,
        method: str,
        url: str,
        *,
        headers: collections.abc.Mapping[str, str] | None = None,
        data: bytes | blocks.Body | None = None,
        repeat: bool = True,
    ) -> requests.Response:
        """Send a request, log in if necessary, and return the answer.

        :param repeat: repeat the request after a failure that may pass.
        :raises RegistryError: there is no answer, or it is an error.
        """
        pauses = [*(PAUSES if repeat else ())]
        while True:
            try:
                response = self._send(method, url, headers or {}, data)
            except (requests.RequestException, OSError, ValueError) as exc:
                reason = _reason(exc)
                if pauses and _may_pass(exc):
                    time.sleep(pauses.pop(0))
                    continue
                raise RegistryError(
                    f"{self} cannot be reached: {reason}",
                    hint=causes.find_remedy(reason, mirror=False)
                    or "check the network and the address; for a registry"
                    " without TLS, write http:// before it",
                ) from exc
            if response.status_code < 400:
                return response
            response.close()
            if response.status_code in _PASSING and pauses:
                time.sleep(pauses.pop(0))
                continue
            raise RegistryError(
                f"{self} refused a request:"
                f" {response.status_code} {response.reason}",
                hint="log in with `skopeo login`; REGISTRY_AUTH_FILE names"
                " another file of credentials"
                if response.status_code in (401, 403)
                else None,
                status=response.status_code,
            )

    def _send(
        self,
        method: str,
        url: str,
        headers: collections.abc.Mapping[str, str],
        data: bytes | blocks.Body | None,
    ) -> requests.Response:
        # a token is valid for reading, or for writing, too
        kind = "read" if method in ("GET", "HEAD") else "write"
        for first in (True, False):
            known = self._authorization.get(kind)
            response = self._session.request(
                method,
                url,
                headers={
                    "Accept-Encoding": "identity",
                    **headers,
                    **(
                        {"Authorization": known}
                        if known and url.startswith(f"{self._base}/")
                        else {}
                    ),
                },
                data=typing.cast(typing.Any, data),
                timeout=TIMEOUT,
                stream=True,
            )
            challenge = response.headers.get("WWW-Authenticate", "")
            if response.status_code != 401 or not first or not challenge:
                return response
            found = login.answer(
                challenge,
                self._find_login(),
                self._session,
                TIMEOUT,
                secure=self.reference.base.startswith("https:"),
            )
            if found is None:
                return response
            response.close()
            self._authorization[kind] = found
        return response

    def _find_login(self) -> login.Login | None:
        if not self._login:
            self._login.append(
                login.find(self.reference.host, self.reference.name)
            )
        return self._login[0]


def _keep_request(request: typing.Any) -> typing.Any:
    return request


def _may_pass(exc: Exception) -> bool:
    # a server that is silent, refuses connections or fails with TLS will do
    # so again
    lasting = (requests.Timeout, requests.exceptions.SSLError)
    return (
        isinstance(exc, requests.ConnectionError)
        and not isinstance(exc, lasting)
        and "refused" not in str(exc)
    )


def _reason(exc: Exception) -> str:
    """Return the innermost reason of an error of requests."""
    inner: BaseException = exc
    while True:
        below = getattr(inner, "reason", None)
        if not isinstance(below, BaseException):
            below = next(
                (a for a in inner.args if isinstance(a, BaseException)), None
            )
        if below is None or below is inner:
            break
        inner = below
    text = getattr(inner, "strerror", None) or str(inner)
    return credentials.hide(str(text)) or type(inner).__name__
