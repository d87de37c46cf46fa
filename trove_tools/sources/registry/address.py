# SPDX-License-Identifier: Apache-2.0
"""Reads the addresses of repositories in registries."""

import dataclasses
import ipaddress
import re

from trove_tools import errors
from trove_tools.host import credentials

TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

_NAME = re.compile(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*")


@dataclasses.dataclass(frozen=True)
class Reference:
    """The address of a repository, or of an image in it.

    :param base: the registry's URL, without a path.
    :param name: the repository's path.
    :param tag: a tag or a digest; empty if there is none.
    """

    base: str
    name: str
    tag: str = ""

    @property
    def host(self) -> str:
        """The registry's name and port."""
        return self.base.partition("://")[2]

    def __str__(self) -> str:
        mark = "@" if DIGEST.fullmatch(self.tag) else ":"
        return f"{self.host}/{self.name}" + (self.tag and mark + self.tag)


def parse(text: str, what: str, *, tagged: bool = False) -> Reference:
    """Return the reference in a text.

    :param text: ``[oci://]HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]``; a registry
        without TLS has ``http://`` or ``oci+http://`` before it.  Without
        either, a registry on loopback is reached without TLS, as by Docker.
    :param what: the option that has the text, for the message.
    :param tagged: whether a tag or a digest is allowed.
    :raises UsageError: it is not a reference.
    """
    scheme, _, rest = text.rpartition("://")
    credentials.refuse(
        f"https://{rest}", what,
        "leave them out, and log in with `skopeo login`",
    )  # fmt: skip
    host, _, path = rest.partition("/")
    path, at, digest = path.partition("@")
    name, colon, tag = path.partition(":")
    kind = scheme.removeprefix("oci").removeprefix("+")
    if not kind:
        kind = "http" if _is_loopback(host) else "https"
    good = (
        kind in ("http", "https")
        and re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", host)
        and _NAME.fullmatch(name)
        and (not colon or TAG.fullmatch(tag))
        and (not at or (DIGEST.fullmatch(digest) and not colon))
    )
    if not good or ((colon or at) and not tagged):
        form = "HOST[:PORT]/REPOSITORY" + ("[:TAG|@DIGEST]" * tagged)
        raise errors.UsageError(
            f"{what} {text}: this is no repository in a registry",
            hint=f"write {form}, in lower case; with http:// before it for"
            " a registry without TLS",
        )
    return Reference(f"{kind}://{host}", name, tag or digest)


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] or host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
