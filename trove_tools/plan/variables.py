# SPDX-License-Identifier: Apache-2.0
"""Masks the values of diskimage-builder's variables that may be secret.

All users can read the plan, the manifest, the report and the cache, and a
variable may hold a token.  The variables in the list below never hold secrets,
so their values are recorded; other variables are recorded with a digest.

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
    """
    DIB_ADD_APT_KEYS DIB_APT_KEYRING DIB_APT_LOCAL_CACHE
    DIB_APT_MINIMAL_CREATE_INTERFACES DIB_BAREMETAL_INITRD_PATTERN
    DIB_BAREMETAL_KERNEL_PATTERN DIB_BLOCK_DEVICE
    DIB_BOOTLOADER_DEFAULT_CMDLINE DIB_BOOTLOADER_SERIAL_CONSOLE
    DIB_BOOTLOADER_USE_SERIAL_CONSOLE DIB_BOOTLOADER_VIRTUAL_TERMINAL
    DIB_BOOT_LABEL DIB_CHECKSUM DIB_CLOUD_INIT_ALLOW_SSH_PWAUTH
    DIB_CLOUD_INIT_DATASOURCES DIB_CONTAINERFILE_DOCKERFILE
    DIB_CONTAINERFILE_NETWORK_DRIVER DIB_CONTAINERFILE_PODMAN_ROOT
    DIB_CONTAINERFILE_RUNTIME DIB_CONTAINERFILE_RUNTIME_NETWORK
    DIB_CONTAINERFILE_RUNTIME_ROOT DIB_CONTAINER_CONTEXT
    DIB_DEBIAN_ALT_INIT_PACKAGE DIB_DEBIAN_COMPONENTS
    DIB_DEBIAN_COMPONENTS_WS DIB_DEBIAN_DEBOOTSTRAP_SCRIPT
    DIB_DEBIAN_KEYRING DIB_DEBIAN_SECURITY_MIRROR DIB_DEBIAN_SECURITY_PATH
    DIB_DEBIAN_SECURITY_SUBPATH DIB_DEBIAN_USE_DEBOOTSTRAP_CACHE
    DIB_DEBOOTSTRAP_CACHE DIB_DEBOOTSTRAP_DEFAULT_LOCALE DIB_DEBUG_TRACE
    DIB_DEFAULT_INSTALLTYPE DIB_DISABLE_APT_CLEANUP
    DIB_DISABLE_KERNEL_CLEANUP DIB_DISTRIBUTION_MIRROR
    DIB_DNF_MODULE_STREAMS DIB_EXTLINUX DIB_GRUB_TIMEOUT
    DIB_GRUB_TIMEOUT_STYLE DIB_GZIP_BIN DIB_IMAGE_CACHE
    DIB_IMAGE_EXTRA_SIZE DIB_IMAGE_SIZE DIB_INIT_SYSTEM DIB_JOURNAL_SIZE
    DIB_LOCAL_IMAGE DIB_LOCKFILES DIB_MANIFEST_IMAGE_DIR DIB_MIN_TMPFS
    DIB_MOUNTPOINTS DIB_NETWORK_INTERFACE_NAMES DIB_NO_TIMER_CHECK
    DIB_NO_TIMESTAMP DIB_NO_TMPFS DIB_OFFLINE DIB_PYTHON DIB_PYTHON_EXEC
    DIB_PYTHON_VERSION DIB_QUIET DIB_RELEASE DIB_ROOT_FSTYPE DIB_ROOT_LABEL
    DIB_SHOW_IMAGE_USAGE DIB_SHOW_IMAGE_USAGE_FULL
    DIB_SIMPLE_INIT_NETWORKMANAGER DIB_SIMPLE_INIT_NO_DHCP_FALLBACK
    DIB_SKIP_GRUB_PACKAGE_INSTALL DIB_TROVE_AGENT_CHECKOUT
    DIB_TROVE_AGENT_COMPILER DIB_TROVE_AGENT_CONSTRAINTS
    DIB_TROVE_AGENT_DEPENDENCIES DIB_TROVE_AGENT_GIT_REF
    DIB_TROVE_AGENT_GIT_URL DIB_TROVE_AGENT_REQUIREMENT
    DIB_TROVE_APT_COMPONENTS DIB_TROVE_APT_MIRROR
    DIB_TROVE_APT_SECURITY_MIRROR DIB_TROVE_DEV_KEY
    DIB_TROVE_DOCKER_LOG_FILES DIB_TROVE_DOCKER_LOG_SIZE DIB_TROVE_GUEST_CA
    DIB_TROVE_GUEST_DOCS DIB_TROVE_GUEST_KERNEL DIB_TROVE_GUEST_USER
    DIB_TROVE_SNAPSHOT DIB_UBUNTU_KERNEL DIB_UBUNTU_MIRROR_DISTS
    DIB_YUM_MINIMAL_CREATE_INTERFACES SOURCE_DATE_EPOCH
    """.split()  # noqa: SIM905
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
            with tempfile.NamedTemporaryFile(dir=directory) as made:
                made.write(secrets.token_bytes(_KEY_SIZE))
                made.flush()
                # another build may have created the key meanwhile
                with contextlib.suppress(FileExistsError):
                    os.link(made.name, file)
        with open(trust.open_own(file, os.O_RDONLY, "the key"), "rb") as key:
            found = key.read(_KEY_SIZE)
        if len(found) == _KEY_SIZE:
            return found
    return secrets.token_bytes(_KEY_SIZE)


def mask_values(
    values: collections.abc.Mapping[str, str], key: bytes
) -> dict[str, str]:
    """Return the texts that are recorded in place of secret values.

    :param values: the values by the variables' names.
    :param key: the secret key of the cache.
    :returns: the texts by name; only for variables that may hold a secret.
    """
    found = {}
    for name, value in values.items():
        shown = credentials.hide(value)
        safe = name in _SAFE or name.startswith(_SAFE_BEGINNINGS)
        if not safe or shown != value:
            text = f"{name}={value}".encode(errors="surrogateescape")
            digest = hmac.new(key, text, hashlib.sha256).hexdigest()
            found[name] = f"{shown if safe else ''} {KEYED}{digest}".strip()
    return found


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
