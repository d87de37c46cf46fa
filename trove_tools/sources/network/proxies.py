# SPDX-License-Identifier: Apache-2.0
"""Finds the proxy that this host uses for a URL.

For packages, it is apt's proxy: the options ``Acquire::http::Proxy`` and
similar ones in apt's configuration (apt-transport-http(1),
apt-transport-https(1)), otherwise the environment's variables.  For all other
URLs, only the variables apply: apt's proxy may be a cache of packages, which
does not serve a Python index.
"""

import collections.abc
import dataclasses
import ipaddress
import os
import re
import urllib.parse

from trove_tools import errors
from trove_tools.host import bounds
from trove_tools.host import credentials
from trove_tools.host import debian
from trove_tools.host import hosttools
from trove_tools.host import process
from trove_tools.host import requirements

#: Hosts without a proxy: for a proxy, these names would mean its own host.
LOOPBACK = ("localhost", "127.0.0.1", "::1")

_LINE = re.compile(r'^(?P<name>\S+) "(?P<value>.*)";$')
_SCHEMES = ("http", "https", "socks5", "socks5h")
_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclasses.dataclass(frozen=True)
class Proxies:
    """The proxy settings of this host.

    :param apt: apt's options for proxies and certificates, by their names in
        lower case.
    :param environment: the values of http_proxy, https_proxy, all_proxy and
        no_proxy, as far as they are set.
    """

    apt: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )
    environment: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )
    _detected: dict[str, str] = dataclasses.field(
        default_factory=dict, compare=False
    )

    def __bool__(self) -> bool:
        """Return whether a proxy is configured."""
        return any(
            name.startswith(("acquire::http::proxy", "acquire::https::proxy"))
            for name in self.apt
        ) or any(name != "no_proxy" for name in self.environment)

    def for_packages(self, url: str) -> str:
        """Return the proxy for a package repository; empty for none.

        :raises BuildError: a setting is not the URL of a proxy.
        """
        parts = split(url)
        if self._is_excepted(parts):
            return ""
        # the options for http apply to https if there are none for https
        schemes = ("https", "http") if parts.scheme == "https" else ("http",)
        host = (parts.hostname or "").lower()
        proxy = self._of_apt(schemes, f"::{host}")
        if not proxy:
            proxy = self._detect(parts.scheme, host, url)
        if not proxy:
            proxy = self._of_apt(schemes, "")
        if not proxy:
            proxy = self._of_environment(schemes)
        return _checked(proxy)

    def for_others(self, url: str) -> str:
        """Return the proxy for other URLs than packages; empty for none.

        :raises BuildError: a setting is not the URL of a proxy.
        """
        parts = split(url)
        if self._is_excepted(parts):
            return ""
        return _checked(self._of_environment((parts.scheme,)))

    def _of_apt(self, schemes: tuple[str, ...], ending: str) -> str:
        for scheme in schemes:
            value = self.apt.get(f"acquire::{scheme}::proxy{ending}")
            if value:
                return value
        return ""

    def _of_environment(self, schemes: tuple[str, ...]) -> str:
        for name in (*(f"{scheme}_proxy" for scheme in schemes), "all_proxy"):
            if self.environment.get(name):
                return self.environment[name]
        return ""

    def _detect(self, scheme: str, host: str, url: str) -> str:
        """Return the output of apt's Proxy-Auto-Detect command for a host.

        apt runs the command once for each host, and uses no proxy if the
        command fails (AutoDetectProxy in apt-pkg/contrib/proxy.cc).
        """
        option = f"acquire::{scheme}::proxy"
        command = self.apt.get(f"{option}-auto-detect") or self.apt.get(
            f"{option}autodetect"
        )
        if not command:
            return ""
        if host not in self._detected:
            try:
                done = process.run([command, url], check=False, timeout=30)
            except errors.TroveToolsError as exc:
                raise errors.BuildError(
                    f"apt's Proxy-Auto-Detect {command} cannot be run:"
                    f" {exc.message}",
                    hint="correct or remove it in this host's /etc/apt",
                ) from exc
            line = done.stdout.strip().splitlines()[:1]
            known = line and line[0].startswith(("DIRECT", *_SCHEMES))
            self._detected[host] = line[0].strip() if known else ""
        return self._detected[host]

    def _is_excepted(self, parts: urllib.parse.SplitResult) -> bool:
        """Return whether a server is reached without a proxy."""
        host = (parts.hostname or "").lower().rstrip(".")
        if host in LOOPBACK:
            return True
        address = _address(host)
        if address is not None and address.is_loopback:
            return True
        words = self.environment.get("no_proxy", "").replace(",", " ").split()
        return any(_matches(word.lower(), host, parts.port) for word in words)


def of_host() -> Proxies:
    """Return the proxies of this host's apt and of the environment."""
    environment = {}
    for name in _NAMES:
        # the name in lower case is the older one and has precedence
        value = os.environ.get(name) or os.environ.get(name.upper())
        if value:
            environment[name] = value.strip()
    return Proxies(read_apt(), environment)


def read_apt() -> dict[str, str]:
    """Return apt's options for proxies and certificates, by name.

    apt-config reads the configuration as apt does.  It runs as root if it
    fails for this user: ordinary users may not be able to read a
    configuration file that contains a password.
    """
    if process.find("apt-config") is None:
        return {}
    argv: list[process.Argument] = ["apt-config", "dump"]
    done = process.run(argv, check=False)
    if done.status != 0 and process.find("sudo") is not None:
        done = process.run(process.as_root(argv), check=False)
    return parse_apt(done.stdout)


def parse_apt(dump: str) -> dict[str, str]:
    """Return proxy and certificate options in ``apt-config dump`` output."""
    options = {}
    for line in dump.splitlines():
        match = _LINE.match(line.strip())
        if match and match["value"]:
            name = match["name"].lower()
            if re.match(r"acquire::https?::.*(proxy|cainfo)", name):
                options[name] = match["value"]
    return options


def findings() -> list[requirements.Finding]:
    """Return the proxies that a build uses, as checks of the host.

    A check passes if no proxy is configured.
    """
    known = of_host()
    distribution = hosttools.os_release().get("ID", "")
    mirror = debian.read_mirrors(distribution).archive or "http://deb.debian.org"
    results = []
    for what, choose, url in (
        ("packages", known.for_packages, mirror),
        ("everything else", known.for_others, "https://pypi.org"),
    ):
        try:
            proxy = choose(url)
        except errors.BuildError as exc:
            finding = requirements.Finding(
                f"proxy for {what}", False, exc.message, exc.hint or ""
            )
        else:
            shown = credentials.hide(proxy) or "none"
            finding = requirements.Finding(f"proxy for {what}", True, shown)
        results.append(finding)
    return results


def split(url: str) -> urllib.parse.SplitResult:
    """Return the parts of a URL with a valid port.

    :param url: any text.
    :raises BuildError: the text is not a valid URL.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        # raises ValueError for an invalid port
        _ = parts.port
    except ValueError as exc:
        raise errors.BuildError(
            f"{credentials.hide(url)} is not a URL", hint="correct it"
        ) from exc
    return parts


def _checked(proxy: str) -> str:
    if not proxy or proxy == "DIRECT":
        return ""
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    try:
        parts = split(proxy)
        known = bool(parts.hostname) and parts.port != 0
    except errors.BuildError:
        known = False
    if not known or parts.scheme not in _SCHEMES:
        raise errors.BuildError(
            f"{credentials.hide(proxy)} is not the URL of a proxy",
            hint="correct it: http://HOST:PORT, https://HOST:PORT or"
            " socks5h://HOST:PORT, in apt's configuration (apt-config dump)"
            " or in http_proxy, https_proxy and all_proxy",
        )
    return proxy


def _address(
    host: str,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _matches(word: str, host: str, port: int | None) -> bool:
    """Return whether an entry of no_proxy matches a server.

    An entry is ``*``, a domain, which includes its subdomains, an address, or
    a network; a port may follow a domain or an address.

    :param word: the entry.
    :param host: the server's name or address.
    """
    if word == "*":
        return True
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(word, strict=False)
        except ValueError:
            pass
    name, separator, number = word.rpartition(":")
    if separator and number.isdecimal():
        if port != bounds.parse_number(number):
            return False
        word = name
    word = word.strip("[]").removeprefix("*").strip(".")
    return bool(word) and (host == word or host.endswith(f".{word}"))
