# SPDX-License-Identifier: Apache-2.0
"""What a cloud's refusals and silences mean, in one place.

Four libraries take part in a call (requests, keystoneauth, openstacksdk
and the service itself), each with exceptions of its own.  Here they become
a :class:`~trove_tools.errors.CloudError` that names the service, says what
happened, and what can be done about it.
"""

import collections.abc
import contextlib
import dataclasses
import socket
import typing

from trove_tools import errors

#: Answers of a service, or of a proxy before it, that the same request may
#: not get a moment later.
_PASSING = (408, 425, 429, 500, 502, 503, 504)


class Refused(errors.CloudError):
    """A service answered with an error.

    :param status: the HTTP status of the answer.
    """

    def __init__(self, message: str, hint: str | None, status: int) -> None:
        super().__init__(message, hint)
        self.status = status


class Silent(errors.CloudError):
    """There was no answer, or half of one.

    :param absent: nobody listens there, or the name is unknown.
    """

    def __init__(
        self, message: str, hint: str | None = None, absent: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.absent = absent


def may_pass(exc: BaseException) -> bool:
    """Tell whether the same call may succeed a moment later."""
    if isinstance(exc, Refused):
        return exc.status in _PASSING
    return isinstance(exc, Silent)


def may_pass_at_login(exc: BaseException) -> bool:
    """Tell the same of the first calls.

    An address that nobody listens at is then more likely a wrong one.
    """
    if isinstance(exc, Silent) and exc.absent:
        return False
    return may_pass(exc)


@dataclasses.dataclass(frozen=True)
class Peer:
    """Who is being talked to, and as whom, for messages.

    :param title: the service's name, such as ``Glance``.
    :param kind: its type in the catalog, such as ``image``.
    :param url: its endpoint, as far as it is known.
    :param who: the user and project that calls are made as.
    """

    title: str
    kind: str
    url: str
    who: str = ""


@contextlib.contextmanager
def explained(peer: Peer) -> collections.abc.Iterator[None]:
    """Turn what the client libraries raise into errors of ours.

    :param peer: the service that is called inside.
    :raises CloudError: it could not be reached, or the login failed.
    """
    from keystoneauth1 import exceptions as ksa
    from openstack import exceptions as sdk
    import requests

    name = f"{peer.title} at {peer.url}"
    try:
        yield
    except ksa.HTTPClientError as exc:
        if exc.http_status in _PASSING:
            raise _failing(name, peer, exc) from exc
        # our own calls return their errors: what raises one is the login
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
    except (ksa.DiscoveryFailure, sdk.ServiceDiscoveryException) as exc:
        raise _silent(name, peer, exc) from exc
    except (ksa.ConnectionError, requests.ConnectionError) as exc:
        raise _silent(name, peer, exc) from exc
    except requests.Timeout as exc:
        raise _silent(name, peer, exc) from exc
    except ksa.HttpError as exc:
        raise _failing(name, peer, exc) from exc
    except (ValueError, KeyError, ksa.InvalidResponse) as exc:
        # half an answer, or one of something else that listens there
        raise Silent(
            f"{name} gave an answer that cannot be read: {_text(exc)}",
            hint=f"is {peer.title} there, whole, and no proxy in between?",
        ) from exc
    except (ksa.CatalogException, sdk.EndpointNotFound) as exc:
        raise no_endpoint(peer) from exc
    except (ksa.ClientException, sdk.SDKException) as exc:
        raise errors.CloudError(f"{name}: {_text(exc)}") from exc


def no_endpoint(peer: Peer) -> errors.CloudError:
    """Return the error for a service that the catalog does not have."""
    return errors.CloudError(
        f"the cloud's catalog has no endpoint of {peer.title}"
        f" (service type {peer.kind!r}) for this region and interface",
        hint="is the service installed? see `openstack catalog list`, and"
        " correct --os-region-name or --os-interface",
    )


def check(response: typing.Any, peer: Peer, doing: str) -> None:
    """Raise what an answer says went wrong, if anything did.

    :param response: the answer, of requests.
    :param peer: who gave it.
    :param doing: what was being done, as ``sending the image``.
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
        raise Refused(
            f"{doing}: {peer.title} answered {status}: {details}",
            _hint(status, peer),
            status,
        ) from exc


def _hint(status: int, peer: Peer) -> str:
    if status in (401, 403):
        # Trove's management API says 401 to a good token without the role
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
    return Refused(
        f"{name} failed: {_text(exc)}",
        f"the log of {peer.title} says more",
        exc.http_status,
    )


def _silent(name: str, peer: Peer, exc: BaseException) -> Silent:
    return Silent(
        f"{name} cannot be reached: {_reason(exc)}",
        hint=f"is {peer.title} running, and is this the right address?",
        absent=any(
            isinstance(cause, ConnectionRefusedError | socket.gaierror)
            for cause in _causes(exc)
        ),
    )


def _text(exc: BaseException) -> str:
    return " ".join(str(exc).split())


def _causes(exc: BaseException) -> collections.abc.Iterator[BaseException]:
    """Yield an exception and those that it wraps, of any library."""
    cause: BaseException | None = exc
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _reason(exc: BaseException) -> str:
    """Return what the operating system said, where it did say something.

    The libraries wrap it four times, and each repeats the whole URL.
    """
    import requests

    for cause in _causes(exc):
        if isinstance(cause, TimeoutError | requests.Timeout):
            return "no answer in time"
        if isinstance(cause, OSError) and cause.strerror:
            return str(cause.strerror)
    return _text(exc)
