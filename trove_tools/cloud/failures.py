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
import typing

from trove_tools import errors


class Refused(errors.CloudError):
    """A service answered with an error.

    :param status: the HTTP status of the answer.
    """

    def __init__(self, message: str, hint: str | None, status: int) -> None:
        super().__init__(message, hint)
        self.status = status


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
        raise _silent(name, peer, _reason(exc)) from exc
    except (ksa.ConnectionError, requests.ConnectionError) as exc:
        raise _silent(name, peer, _reason(exc)) from exc
    except requests.Timeout as exc:
        raise _silent(name, peer, "no answer in time") from exc
    except ksa.HttpError as exc:
        raise errors.CloudError(
            f"{name} failed: {_text(exc)}",
            hint=f"the log of {peer.title} says more",
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


def _silent(name: str, peer: Peer, reason: str) -> errors.CloudError:
    return errors.CloudError(
        f"{name} cannot be reached: {reason}",
        hint=f"is {peer.title} running, and is this the right address?",
    )


def _text(exc: BaseException) -> str:
    return " ".join(str(exc).split())


def _reason(exc: BaseException) -> str:
    """Return what the operating system said, where it did say something.

    The libraries wrap it four times, and each repeats the whole URL.
    """
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, TimeoutError):
            return "no answer in time"
        if isinstance(cause, OSError) and cause.strerror:
            return str(cause.strerror)
        cause = cause.__cause__ or cause.__context__
    return _text(exc)
