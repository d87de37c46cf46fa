# SPDX-License-Identifier: Apache-2.0
"""Sets up proxies and certificates once for all programs of a build.

All programs inherit the variables of this process: the address of a relay that
replaces the host's proxies, and a file with all trusted certificates.  apt,
which runs as root in the root that is built, gets the same settings from a
file of its configuration.

``TROVE_BUILD_NETWORK`` names the directory with both files.  During the build,
elements put them under the same path into the root that is built, so that the
paths are valid on the host and in the root.
"""

import collections.abc
import contextlib
import os
import pathlib
import shutil
import typing
import urllib.request

from trove_tools.host import cleanup
from trove_tools.sources.network import authorities
from trove_tools.sources.network import proxies
from trove_tools.sources.network import relay

DIRECTORY = "TROVE_BUILD_NETWORK"
#: The relay's address for package repositories.
PACKAGES = "TROVE_BUILD_NETWORK_PACKAGES"

#: The path of apt's configuration file in the root that is built.
APT_CONF = "/etc/apt/apt.conf.d/99trove-build-network"

# a file that exists if apt needs these settings to reach its mirrors
_SPECIAL = "special"
# the path is the same in the root of the image, which has a /tmp
_PARENT = pathlib.Path("/tmp")  # noqa: S108
_PREFIX = "trove-build-network-"
_HERE = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
_EXCEPTED = ("no_proxy", "NO_PROXY")
_OTHERS = ("all_proxy", "ALL_PROXY")


@contextlib.contextmanager
def open_session(
    certificate: pathlib.Path | None = None,
) -> collections.abc.Iterator[None]:
    """Set up how this process and its children reach servers.

    In a child process that also calls this, the settings of the parent apply.

    :param certificate: a file with certificate authorities that are trusted
        besides the host's.
    :raises UsageError: the file has no valid certificate of an authority.
    """
    if os.path.isdir(os.environ.get(DIRECTORY, "")):
        yield
        return
    if certificate is not None:
        authorities.read(certificate, "--ca-certificate")
    known = proxies.of_host()
    with contextlib.ExitStack() as stack:
        directory, lock = cleanup.new_directory(_PARENT, _PREFIX)
        stack.callback(os.close, lock)
        stack.callback(shutil.rmtree, directory)
        # apt reads the directory as the user _apt
        directory.chmod(0o755)
        values: dict[str, str | None] = {DIRECTORY: str(directory)}
        lines = []
        if known:
            packages = stack.enter_context(
                contextlib.closing(relay.Relay(known.for_packages))
            )
            others = stack.enter_context(
                contextlib.closing(relay.Relay(known.for_others))
            )
            values[PACKAGES] = packages.url
            values.update(dict.fromkeys(_HERE, others.url))
            values.update(dict.fromkeys(_EXCEPTED, ",".join(proxies.LOOPBACK)))
            values.update(dict.fromkeys(_OTHERS))
            lines += [
                f'Acquire::{scheme}::Proxy "{packages.url}";'
                for scheme in ("http", "https")
            ]
        trusted = directory / "ca.crt"
        of_apt = authorities.of_apt(known.apt)
        files: list[str | os.PathLike[str]] = [
            *authorities.of_system(),
            *of_apt,
        ]
        if certificate is not None:
            files += [*authorities.of_programs(), certificate]
            values.update(dict.fromkeys(authorities.VARIABLES, str(trusted)))
        if known or of_apt or certificate is not None:
            (directory / _SPECIAL).touch()
        trusted.write_text(authorities.bundle(files))
        trusted.chmod(0o644)
        if trusted.stat().st_size:
            lines.append(f'Acquire::https::CaInfo "{trusted}";')
        conf = directory / "apt.conf"
        conf.write_text("".join(f"{line}\n" for line in lines))
        conf.chmod(0o644)
        stack.enter_context(_environment(values))
        yield


@contextlib.contextmanager
def _environment(
    values: collections.abc.Mapping[str, str | None],
) -> collections.abc.Iterator[None]:
    """Set or unset environment variables while this context lasts."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: collections.abc.Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def abandoned(warn: cleanup.Warn) -> list[pathlib.Path]:
    """Remove the network directories of this user's killed builds.

    :param warn: as for :func:`trove_tools.host.cleanup.remove_dead`.
    :returns: the directories that were removed.
    """
    directories = [
        directory
        for directory in _PARENT.glob(f"{_PREFIX}*")
        if directory.lstat().st_uid == os.geteuid()
        and not directory.is_symlink()
    ]
    return cleanup.remove_dead(directories, warn)


def bootstrap_options() -> list[str]:
    """Return the options for mmdebstrap with which apt reaches its mirrors."""
    directory = os.environ.get(DIRECTORY)
    if not directory or not os.path.exists(f"{directory}/{_SPECIAL}"):
        return []
    return [f"--setup-hook=upload {directory}/apt.conf {APT_CONF}"]


def needs_mmdebstrap() -> bool:
    """Return whether only mmdebstrap can make the root of a base system.

    debootstrap supports only a proxy for HTTP, and only the host's
    certificates.
    """
    return bool(bootstrap_options())


def open_url(
    url: str, timeout: float, *, packages: bool = False
) -> typing.Any:
    """Send a GET request and return the answer.

    :param timeout: seconds to wait for data from the server.
    :param packages: the server is a package repository.
    :raises OSError: the server does not answer, or reports an error.
    """
    handlers: list[urllib.request.BaseHandler] = []
    if packages and PACKAGES in os.environ:
        relayed = os.environ[PACKAGES]
        handlers.append(
            urllib.request.ProxyHandler({"http": relayed, "https": relayed})
        )
    opener = urllib.request.build_opener(*handlers)
    return opener.open(url, timeout=timeout)
