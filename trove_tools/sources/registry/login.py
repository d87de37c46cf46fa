# SPDX-License-Identifier: Apache-2.0
"""Logs in to registries with the credentials that skopeo uses.

``skopeo login``, ``podman login`` and ``docker login`` store them in the file
that containers-auth.json(5) describes, or in a credential helper that this
file names.  The challenge of a registry says whether it wants them in each
request (Basic), or a token from another server in exchange for them (Bearer):
https://distribution.github.io/distribution/spec/auth/token/
"""

import base64
import binascii
import collections.abc
import os
import pathlib
import re
import typing
import urllib.parse

import requests

from trove_tools import errors
from trove_tools.host import bounds
from trove_tools.host import process

# the largest answer of a server of tokens, and the largest file, in bytes
_LARGEST = 1024 * 1024
# seconds that a credential helper may take
_LONGEST = 30.0
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_HELPER = re.compile(r"[A-Za-z0-9._-]+")
# a user name that means: the password is a token for renewal
_TOKEN = "<token>"  # noqa: S105


class Login(typing.NamedTuple):
    """The credentials for a repository."""

    user: str
    password: str

    @property
    def basic(self) -> str:
        """The header ``Authorization`` with these credentials."""
        text = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(text).decode()}"


def find(host: str, name: str) -> Login | None:
    """Return the credentials for a repository.

    :param host: the registry's name and port.
    :param name: the repository's path.
    :returns: None if nobody has logged in.
    """
    # the most specific entry applies, see containers-auth.json(5)
    parts = [host, *name.split("/")]
    keys = ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
    for file in _files():
        try:
            data = bounds.read_json(file, _LARGEST)
            found = _in_file(data, keys, host)
        except (OSError, ValueError, AttributeError, TypeError):
            continue
        if found is not None:
            return found
    return None


def _files() -> collections.abc.Iterator[pathlib.Path]:
    """Yield the files with credentials in the order in which they apply."""
    named = os.environ.get("REGISTRY_AUTH_FILE")
    if named:
        yield pathlib.Path(named)
        return
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    yield pathlib.Path(
        runtime or f"/run/containers/{os.getuid()}",
        *(["containers"] if runtime else []),
        "auth.json",
    )
    try:
        home = pathlib.Path.home()
    except RuntimeError:
        return
    config = os.environ.get("XDG_CONFIG_HOME")
    yield pathlib.Path(
        config or home / ".config", "containers", "auth.json"
    )
    docker = os.environ.get("DOCKER_CONFIG")
    yield pathlib.Path(docker or home / ".docker", "config.json")


def _in_file(
    data: dict[str, typing.Any],
    keys: collections.abc.Iterable[str],
    host: str,
) -> Login | None:
    """Return the credentials in a file of credentials.

    :param keys: the names of the entry, the most specific first.
    """
    helper = data.get("credHelpers", {}).get(host)
    if helper:
        return _ask_helper(helper, host)
    known = data.get("auths", {})
    for key in keys:
        entry = known.get(key) or known.get(f"https://{key}")
        if not entry:
            continue
        if entry.get("identitytoken"):
            return Login(_TOKEN, entry["identitytoken"])
        try:
            text = base64.b64decode(entry.get("auth", "")).decode()
        except (binascii.Error, UnicodeError):
            continue
        user, colon, password = text.partition(":")
        if colon:
            return Login(user, password.rstrip("\0"))
    store = data.get("credsStore")
    return _ask_helper(store, host) if store else None


def _ask_helper(name: str, host: str) -> Login | None:
    """Return the credentials that a credential helper has for a host."""
    if not _HELPER.fullmatch(name):
        return None
    try:
        done = process.run(
            [f"docker-credential-{name}", "get"],
            input=host,
            timeout=_LONGEST,
            check=False,
        )
        data = bounds.decode_json(done.stdout) if done.status == 0 else {}
    except (errors.TroveToolsError, ValueError):
        return None
    if not data.get("Username"):
        return None
    return Login(str(data["Username"]), str(data.get("Secret", "")))


def answer(
    challenge: str,
    login: Login | None,
    session: requests.Session,
    timeout: tuple[float, float],
    *,
    secure: bool,
) -> str | None:
    """Return the header ``Authorization`` that answers a challenge.

    :param challenge: the header ``WWW-Authenticate``.
    :param login: the credentials, if there are any.
    :param timeout: seconds to connect, and to wait for an answer.
    :param secure: the registry speaks TLS, so the server of tokens must, too.
    :returns: None if there is no answer without credentials.
    :raises requests.RequestException: the server of tokens does not answer.
    :raises ValueError: its answer cannot be read.
    """
    kind, _, rest = challenge.partition(" ")
    if kind.lower() == "basic":
        return login.basic if login else None
    values = dict(_CHALLENGE.findall(rest))
    realm = values.pop("realm", "")
    scheme = urllib.parse.urlsplit(realm).scheme
    if kind.lower() != "bearer" or scheme not in ("https", "http"):
        return None
    if secure and scheme != "https":
        raise ValueError(f"its server of tokens {realm} does not use TLS")
    wanted = {k: v for k, v in values.items() if k in ("service", "scope")}
    if login is not None and login.user == _TOKEN:
        response = session.post(
            realm,
            data={
                **wanted,
                "grant_type": "refresh_token",
                "refresh_token": login.password,
                "client_id": "trove-tools",
            },
            timeout=timeout,
        )
    else:
        response = session.get(
            realm,
            params=wanted,
            headers={"Authorization": login.basic} if login else {},
            timeout=timeout,
        )
    if response.status_code != 200:
        return None
    data = bounds.decode_json(response.content[:_LARGEST])
    token = isinstance(data, dict) and (
        data.get("token") or data.get("access_token")
    )
    return f"Bearer {token}" if token else None
