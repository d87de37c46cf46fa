# SPDX-License-Identifier: Apache-2.0
"""Keeps credentials in addresses out of what a build writes down.

The plan, and with it the manifest, the log and an image's apt sources, name
the places that things came from.
"""

import re

from trove_tools import errors

# user information as in RFC 3986, section 3.2.1; a name alone may be a token
_PASSWORD = re.compile(r"://[^/\s@:]*:[^/\s@]*@")
_ANY = re.compile(r"://[^/\s@]*@")
# up to the last @ before a path; "git@" is how everybody writes an address
_SHOWN = re.compile(r"(?<=://)(?!git@)[^/\s?#]+@")


def hide(text: str) -> str:
    """Return a text with an ellipsis for each credential in an address."""
    return _SHOWN.sub("…@", text) if "://" in text else text


def refuse(
    address: str | None, what: str, hint: str, *, account: bool = False
) -> None:
    """Make sure that there are no credentials in an address.

    :param what: whose address it is: an option or a variable.
    :param hint: how to do without.
    :param account: whether the name of an account alone may be there, as git
        has it.
    :raises UsageError: there are some; they are not shown.
    """
    pattern = _PASSWORD if account else _ANY
    if address and pattern.search(address):
        raise errors.UsageError(
            f"{what}: there are credentials in the URL, and they would stay"
            " in the build's log and the image's manifest",
            hint=hint,
        )
