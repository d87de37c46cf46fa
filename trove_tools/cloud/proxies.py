# SPDX-License-Identifier: Apache-2.0
"""The proxy that a request goes through, if any, and who chose it.

requests takes proxies from the environment: ``http_proxy``,
``https_proxy``, ``all_proxy``, but for the addresses in ``no_proxy``, all of
them in lower or upper case.
"""

import dataclasses
import os
import urllib.parse

from trove_tools.host import credentials


@dataclasses.dataclass(frozen=True)
class Proxy:
    """A proxy.

    :param address: without credentials.
    :param variable: the environment variable that names it.
    """

    address: str
    variable: str

    def __str__(self) -> str:
        return f"the proxy {self.address} (from {self.variable})"


def used_for(url: str) -> Proxy | None:
    """Return the proxy that requests to an address go through.

    :param url: the address.
    :returns: nothing where they go directly.
    """
    import requests

    try:
        scheme = urllib.parse.urlsplit(url).scheme
        if not scheme:
            return None
        found = requests.utils.get_environ_proxies(url)
        address = requests.utils.select_proxy(url, found)
    except ValueError:
        # no URL at all: whoever uses it says so
        return None
    if not address:
        return None
    shown = address if "://" in address else f"http://{address}"
    for variable, value in os.environ.items():
        wanted = (f"{scheme}_proxy", "all_proxy")
        if variable.lower() in wanted and value == address:
            return Proxy(credentials.hide(shown), variable)
    return Proxy(credentials.hide(shown), "this host's configuration")
