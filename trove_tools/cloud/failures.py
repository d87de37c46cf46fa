# SPDX-License-Identifier: Apache-2.0
"""Converts errors of the client libraries and services into messages.

Three libraries and a service take part in a call (requests, keystoneauth,
openstacksdk), each with its own exceptions. This module converts them to a
:class:`~trove_tools.errors.CloudError` that names the service, says what
happened, and what to do.
"""

import collections.abc
import contextlib
import dataclasses
import os
import socket
import typing
import urllib.parse

from trove_tools import errors
from trove_tools.host import credentials

#: Temporary HTTP errors of a service or of a proxy.
_PASSING = (408, 425, 429, 500, 502, 503, 504)

#: The answer of a proxy that requires a user and a password.
_PROXY_LOGIN = 407


class Refused(errors.CloudError):
    """A service answered with an error.

    :param status: the HTTP status of the answer.
    """

    def __init__(self, message: str, hint: str | None, status: int) -> None:
        super().__init__(message, hint)
        self.status = status


class Silent(errors.CloudError):
    """There was no answer, or an incomplete one.

    :param absent: no server listens there, or the host name is unknown.
    """

    def __init__(
        self, message: str, hint: str | None = None, absent: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.absent = absent


def may_pass(exc: BaseException) -> bool:
    """Return whether the same call may succeed a moment later."""
    if isinstance(exc, Refused):
        return exc.status in _PASSING
    return isinstance(exc, Silent)


def may_pass_at_login(exc: BaseException) -> bool:
    """Return whether one of the first calls may succeed a moment later.

    It may not if no server listens at the address, which is probably wrong.
    """
    if isinstance(exc, Silent) and exc.absent:
        return False
    return may_pass(exc)


@dataclasses.dataclass(frozen=True)
class Peer:
    """The service and the credentials of a call, for messages.

    :param title: the service's name, such as ``Glance``.
    :param kind: its type in the catalog, such as ``image``.
    :param url: its endpoint, if known.
    :param who: the user and project of the calls.
    """

    title: str
    kind: str
    url: str
    who: str = ""


@dataclasses.dataclass(frozen=True)
class Proxy:
    """A proxy for requests, and the setting that selects it.

    :param address: its URL without credentials.
    :param variable: the environment variable that names it.
    """

    address: str
    variable: str

    def __str__(self) -> str:
        return f"the proxy {self.address} (from {self.variable})"


def find_proxy(url: str) -> Proxy | None:
    """Return the proxy for requests to an address.

    requests takes proxies from the environment variables ``http_proxy``,
    ``https_proxy`` and ``all_proxy``, except for the addresses in
    ``no_proxy``; the names may be in lower or upper case.

    :param url: the address.
    :returns: None if requests go directly to the address.
    """
    import requests

    try:
        scheme = urllib.parse.urlsplit(url).scheme
        if not scheme:
            return None
        proxies = requests.utils.get_environ_proxies(url)
        address = requests.utils.select_proxy(url, proxies)
    except ValueError:
        # not a URL: requests reports this itself
        return None
    if not address:
        return None
    shown = address if "://" in address else f"http://{address}"
    for variable, value in os.environ.items():
        wanted = (f"{scheme}_proxy", "all_proxy")
        if variable.lower() in wanted and value == address:
            return Proxy(credentials.hide(shown), variable)
    return Proxy(credentials.hide(shown), "this host's configuration")


@contextlib.contextmanager
def explained(peer: Peer) -> collections.abc.Iterator[None]:
    """Convert exceptions of the client libraries to a CloudError.

    :param peer: the service that is called in this context.
    :raises CloudError: it could not be reached, or the login failed.
    """
    from keystoneauth1 import exceptions as ksa
    from openstack import exceptions as sdk
    import requests

    name = f"{peer.title} at {credentials.hide(peer.url)}"
    try:
        yield
    except ksa.HTTPClientError as exc:
        if exc.http_status in _PASSING:
            raise _failing(name, peer, exc) from exc
        proxy = _answering(peer, exc.response)
        if proxy is not None:
            raise errors.CloudError(
                f"{name} cannot be reached: {proxy} answered {_text(exc)}",
                hint=_through(proxy, peer),
            ) from exc
        # our own calls return HTTP errors, so the login raised this exception
        raise errors.CloudError(
            f"keystone refused the login: {_text(exc)}",
            hint="correct the user, password, project and domains in"
            " clouds.yaml, in the OS_* variables or in the --os-* options",
        ) from exc
    except ksa.SSLError as exc:
        raise errors.CloudError(
            f"{name}: its certificate is not trusted: {_reason(exc)}",
            hint="give the certificate of the authority that signed it:"
            " --os-cacert FILE",
        ) from exc
    except (
        ksa.DiscoveryFailure,
        sdk.ServiceDiscoveryException,
        ksa.ConnectionError,
        requests.ConnectionError,
        requests.Timeout,
    ) as exc:
        raise _unreachable(name, peer, exc) from exc
    except ksa.HttpError as exc:
        raise _failing(name, peer, exc) from exc
    except (ValueError, KeyError, ksa.InvalidResponse) as exc:
        # an incomplete answer, or the answer of another server
        raise Silent(
            f"{name} gave an answer that cannot be read: {_text(exc)}",
            hint=(
                f"check that {peer.title} is running there and that no proxy"
                " interferes"
            ),
        ) from exc
    except (ksa.CatalogException, sdk.EndpointNotFound) as exc:
        raise no_endpoint(peer) from exc
    except (ksa.ClientException, sdk.SDKException) as exc:
        raise errors.CloudError(f"{name}: {_text(exc)}") from exc


def no_endpoint(peer: Peer) -> errors.CloudError:
    """Return the error for a service that is not in the catalog."""
    return errors.CloudError(
        f"the cloud's catalog has no endpoint of {peer.title}"
        f" (service type {peer.kind!r}) for this region and interface",
        hint="is the service installed? see `openstack catalog list`, and"
        " correct --os-region-name or --os-interface",
    )


def check(response: typing.Any, peer: Peer, doing: str) -> None:
    """Raise an error if an answer reports one.

    :param response: the response object of requests.
    :param peer: the service that answered.
    :param doing: the purpose of the call, such as ``sending the image``.
    :raises Refused: the answer is an error.
    """
    from openstack import exceptions as sdk

    if response.status_code < 400:
        return
    try:
        sdk.raise_from_response(response)
    except sdk.SDKException as exc:
        status = response.status_code
        details = " ".join(str(getattr(exc, "details", "")).split())
        proxy = _answering(peer, response)
        who = peer.title if proxy is None else f"{peer.title}, or {proxy},"
        raise Refused(
            f"{doing}: {who} answered {status}: {details}",
            _hint(status, peer) if proxy is None else _through(proxy, peer),
            status,
        ) from exc


def _hint(status: int, peer: Peer) -> str:
    if status in (401, 403):
        # Trove's management API answers 401 to a valid token without the role
        return (
            f"{peer.who} is not allowed this; it needs the admin role:"
            " use another cloud, user or project"
        )
    if status == 413:
        return (
            "the image is larger than Glance allows, or the project's quota"
            " is used up: raise image_size_cap in glance-api.conf or the"
            " limit image_size_total, or remove images"
        )
    if status == 415:
        return (
            "Glance looked into the file and takes it for unsafe or for"
            " another format: its log says which; qemu-img info shows it"
        )
    if status == 404:
        return (
            f"is {peer.url} really the endpoint of {peer.title}?"
            " see `openstack catalog list`"
        )
    if status == 503:
        return f"{peer.title} is overloaded or stopping: try again later"
    if status >= 500:
        return f"the log of {peer.title} says more; then try again"
    return f"the log of {peer.title} says more"


def _failing(name: str, peer: Peer, exc: typing.Any) -> Refused:
    proxy = _answering(peer, exc.response)
    through = "" if proxy is None else f", through {proxy}"
    return Refused(
        f"{name} failed{through}: {_text(exc)}",
        _through(proxy, peer)
        if proxy is not None
        else f"the log of {peer.title} says more",
        exc.http_status,
    )


def _unreachable(
    name: str, peer: Peer, exc: BaseException
) -> errors.TroveToolsError:
    causes = list(_causes(exc))
    proxy = find_proxy(peer.url)
    if proxy is None:
        through = ""
        hint = f"is {peer.title} running, and is this the right address?"
    elif any("SOCKS support" in str(cause) for cause in causes):
        return errors.MissingToolError(
            f"{name} cannot be reached through {proxy}: a SOCKS proxy needs"
            " the Python package PySocks",
            hint="install it: pip install PySocks, or the package"
            f" python3-socks; or unset {proxy.variable}",
        )
    else:
        through = f" through {proxy}"
        hint = _through(proxy, peer)
    return Silent(
        f"{name} cannot be reached{through}: {_reason(exc)}",
        hint=hint,
        absent=any(isinstance(cause, _lasting()) for cause in causes),
    )


def _lasting() -> tuple[type[BaseException], ...]:
    """Return the exceptions that suggest a wrong address."""
    from requests import exceptions

    return (
        ConnectionRefusedError,
        socket.gaierror,
        exceptions.InvalidSchema,
        exceptions.InvalidURL,
    )


def _answering(peer: Peer, response: typing.Any) -> Proxy | None:
    """Return the proxy that may have sent an error.

    :param response: the response object of requests; None if unknown.
    """
    kind = getattr(response, "headers", {}).get("Content-Type", "")
    status = getattr(response, "status_code", None)
    # OpenStack services answer in JSON, proxies in HTML; and only a proxy
    # requires its own login
    if "json" in kind and status != _PROXY_LOGIN:
        return None
    return find_proxy(peer.url)


def _through(proxy: Proxy, peer: Peer) -> str:
    host = urllib.parse.urlsplit(peer.url).hostname
    return (
        f"is {proxy.address} the right proxy, and does it let this host in?"
        f" Correct {proxy.variable}; to reach {peer.title} without it, add"
        f" {host} to no_proxy"
    )


def _text(exc: BaseException) -> str:
    return credentials.hide(" ".join(str(exc).split()))


def _causes(exc: BaseException) -> collections.abc.Iterator[BaseException]:
    """Yield an exception and the exceptions that it wraps."""
    cause: BaseException | None = exc
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _reason(exc: BaseException) -> str:
    """Return the operating system's message in an exception, if any.

    The libraries wrap this message four times, and repeat the URL each time.
    """
    import requests

    malformed = (
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidURL,
    )
    for cause in _causes(exc):
        if isinstance(cause, malformed):
            return _text(cause)
        if isinstance(cause, TimeoutError | requests.Timeout):
            return "no answer in time"
        if isinstance(cause, OSError) and cause.strerror:
            return str(cause.strerror)
        # http.client raises this for a proxy that refuses a tunnel
        if type(cause) is OSError:
            return _text(cause)
    return _text(exc)
