# SPDX-License-Identifier: Apache-2.0
"""Masks the values of diskimage-builder's variables that may be secret.

All users can read the plan, the manifest, the report and the cache, and a
variable may hold a token.  The variables in ``recorded_variables.txt`` never
hold secrets, so their values are recorded; other variables are recorded with a
digest.

The digest is computed with a secret key: without a key, a reader of the
manifest could find a short secret by trying likely values.  A layer's name in
the cache is also a digest of these values, so it contains the keyed digest
instead of the secret for the same reason.  Each cache has a key, so layers of
a build with such variables have different names in different caches.
"""

import collections.abc
import contextlib
import hashlib
import hmac
import os
import pathlib
import re
import secrets
import shlex
import tempfile

from trove_tools.host import credentials
from trove_tools.host import trust

#: The prefix of the digest of a value.
KEYED = "keyed-sha256:"

_KEY_SIZE = 32
# a shorter value would also match parts of words
_SHORTEST = 6

_SAFE = frozenset(
    pathlib.Path(__file__).with_name("recorded_variables.txt")
    .read_text()
    .split()
)
# diskimage-builder composes the rest of these names; see the element
# source-repositories
_SAFE_BEGINNINGS = ("DIB_INSTALLTYPE_", "DIB_REPOREF_", "DIB_REPOTYPE_")


def read_key(directory: pathlib.Path) -> bytes:
    """Return the secret key of a cache; create it if there is none.

    :param directory: the directory of the cache.
    :returns: a temporary key, if the cache cannot be written to.
    :raises UsageError: another user can have written the key.
    """
    file = directory / "key"
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            with tempfile.NamedTemporaryFile(dir=directory) as new_file:
                new_file.write(secrets.token_bytes(_KEY_SIZE))
                new_file.flush()
                # another build may have created the key meanwhile
                with contextlib.suppress(FileExistsError):
                    os.link(new_file.name, file)
        with open(trust.open_own(file, os.O_RDONLY, "the key"), "rb") as key:
            secret = key.read(_KEY_SIZE)
        if len(secret) == _KEY_SIZE:
            return secret
    return secrets.token_bytes(_KEY_SIZE)


def mask_values(
    values: collections.abc.Mapping[str, str], key: bytes
) -> dict[str, str]:
    """Return the texts that are recorded in place of secret values.

    :param values: the values by the variables' names.
    :param key: the secret key of the cache.
    :returns: the texts by name; only for variables that may hold a secret.
    """
    masked = {}
    for name, value in values.items():
        shown = credentials.hide(value)
        safe = name in _SAFE or name.startswith(_SAFE_BEGINNINGS)
        if not safe or shown != value:
            text = f"{name}={value}".encode(errors="surrogateescape")
            digest = hmac.new(key, text, hashlib.sha256).hexdigest()
            masked[name] = f"{shown if safe else ''} {KEYED}{digest}".strip()
    return masked


class Filter:
    """Removes values that may be secret from the output of programs.

    :param values: the values of variables that may be secret, by name.
    """

    def __init__(self, values: collections.abc.Mapping[str, str]) -> None:
        texts = {
            text: f"({name})"
            for name, value in values.items()
            for line in value.splitlines()
            for text in (line.strip(), shlex.quote(line.strip()))
            if len(text) >= _SHORTEST
        }
        self._texts = texts
        # the longest value first, as one value may be a part of another
        words = map(re.escape, sorted(texts, key=len, reverse=True))
        self._pattern = re.compile("|".join(words)) if texts else None

    def __call__(self, text: str) -> str:
        """Return a text without secret values and credentials in URLs."""
        if self._pattern is not None:
            text = self._pattern.sub(lambda each: self._texts[each[0]], text)
        return credentials.hide(text)
