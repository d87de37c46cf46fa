# SPDX-License-Identifier: Apache-2.0
"""Keeps passwords in addresses out of what a build writes down.

The plan, and with it the manifest, the log and an image's apt sources, name
the places that things came from.
"""

import re

from trove_tools import errors

# user information as in RFC 3986, section 3.2.1, with a password in it
_PASSWORD = re.compile(r"://[^/\s@:]*:[^/\s@]*@")


def refuse(address: str | None, what: str, hint: str) -> None:
    """Make sure that there is no password in an address.

    :param what: whose address it is: an option or a variable.
    :param hint: how to do without.
    :raises UsageError: there is one; it is not shown.
    """
    if address and _PASSWORD.search(address):
        raise errors.UsageError(
            f"{what}: there is a password in the URL, and it would stay in"
            " the build's log and the image's manifest",
            hint=hint,
        )
