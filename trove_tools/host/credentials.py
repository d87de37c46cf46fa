# SPDX-License-Identifier: Apache-2.0
"""Removes credentials from URLs in everything that is written or shown.

An address may hold a secret in two places: before the host (``USER:PASSWORD@``
or ``TOKEN@``) and in the query (``?token=...``, ``?X-Amz-Signature=...``).
Nobody can tell from a query whether it is secret, so none is kept.
"""

import re
import typing

from trove_tools import errors

# RFC 3986, sections 3.2.1 and 3.4.  A password may hold an @, and by mistake a
# slash; "git@" is how everybody writes an address.
_BEFORE_HOST = re.compile(
    r"(?<=://)(?!git@)"
    r"(?:[^/\s?#\"'<>]+@|[^/\s?#\"'<>@:]*:(?!\d*/)[^\s\"'<>@]*@)"
)
_QUERY = re.compile(r"(://[^\s?\"'<>`]*)\?[^\s\"'<>`]*[^\s\"'<>`.,:;)\]]")
# the account of ssh is no secret
_REFUSED = re.compile(r"(?:https?|ftp)://[^/\s?#]*@|://[^/\s?#@:]*:[^/\s@]*@")

#: Addresses with credentials in the content of a file.
PASSWORD_IN_FILE = re.compile(
    rb"\w://[^/\s:@\"'<>]*:(?![$%{<*])[^/\s@\"'<>]+@"
)
TOKEN_IN_FILE = re.compile(rb"\w://[A-Za-z0-9_.-]{20,}@")


def hide(text: str) -> str:
    """Return a text whose addresses have neither credentials nor a query."""
    if "://" not in text:
        return text
    return _QUERY.sub(r"\1", _BEFORE_HOST.sub("", text))


def hide_all(data: typing.Any) -> typing.Any:
    """Return plain data with :func:`hide` applied to each text in it."""
    if isinstance(data, str):
        return hide(data)
    if isinstance(data, dict):
        return {hide_all(name): hide_all(each) for name, each in data.items()}
    if isinstance(data, list | tuple):
        return [hide_all(each) for each in data]
    return data


def refuse(
    address: str | None, what: str, hint: str, *, query: bool = False
) -> None:
    """Make sure that an address holds no credentials.

    Programs that get such an address show it to all users of this host, on
    their command lines.  The account of ssh alone is allowed.

    :param what: whose address it is: an option or a variable.
    :param hint: how to do without.
    :param query: whether the address may have a query: no program gets it on
        its command line.
    :raises UsageError: there are credentials; they are not shown.
    """
    if not address:
        return
    if _REFUSED.search(address):
        found = "there are credentials in the URL"
    elif not query and _QUERY.search(address):
        found = "there is a query in the URL, which may hold a token"
    else:
        return
    raise errors.UsageError(
        f"{what}: {found}, and other users of this host could read it on"
        " command lines",
        hint=hint,
    )
