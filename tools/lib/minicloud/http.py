# SPDX-License-Identifier: Apache-2.0
"""The few HTTP calls that bring a cloud up.

They go to loopback and nowhere else, so a proxy of the environment is
ignored.  Clients of the cloud use openstacksdk; here the standard library
does, and starting needs nothing heavier.
"""

import collections.abc
import http.client
import json
import typing
import urllib.error
import urllib.request

from trove_tools import errors
from trove_tools.host import process

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Reply(typing.NamedTuple):
    """An answer of any status; the headers' names in lower case."""

    status: int
    headers: collections.abc.Mapping[str, str]
    body: typing.Any


def call(
    method: str,
    url: str,
    *,
    token: str | None = None,
    body: typing.Any = None,
    timeout: float = 30.0,
) -> Reply:
    """Send a request and return the answer, whatever its status.

    :param body: sent as JSON.
    :raises CloudError: there was no answer.
    """
    headers = {"Accept": "application/json"}
    data = None
    if token is not None:
        headers["X-Auth-Token"] = token
    if body is not None:
        headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode()
    request = urllib.request.Request(
        url, data=data, headers=headers, method=method
    )
    try:
        with _OPENER.open(request, timeout=timeout) as answer:
            return _reply(answer.status, answer)
    except urllib.error.HTTPError as exc:
        with exc:
            return _reply(exc.code, exc)
    except (OSError, http.client.HTTPException) as exc:
        raise errors.CloudError(f"{method} {url}: {exc}") from exc


def need(
    method: str,
    url: str,
    *,
    token: str | None = None,
    body: typing.Any = None,
) -> Reply:
    """Send a request that has to succeed.

    :raises CloudError: it did not.
    """
    reply = call(method, url, token=token, body=body)
    if reply.status >= 400:
        raise errors.CloudError(
            f"{method} {url} was answered with {reply.status}: {reply.body}"
        )
    return reply


def answers(url: str) -> bool:
    """Tell whether the URL can be read."""
    try:
        timeout = process.scale_timeout(5.0)
        return call("GET", url, timeout=timeout).status == 200
    except errors.CloudError:
        return False


def _reply(status: int, answer: typing.Any) -> Reply:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Reply(status, headers, _parse(answer.read()))


def _parse(text: bytes) -> typing.Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")
