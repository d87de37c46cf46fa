# SPDX-License-Identifier: Apache-2.0
"""Removes credentials from URLs in all text that is written or shown.

A URL may hold a secret in two places: before the host (``USER:PASSWORD@`` or
``TOKEN@``) and in the query (``?token=...``, ``?X-Amz-Signature=...``).  A
query does not show whether it is secret, so all queries are removed.
"""

import re
import typing

from trove_tools import errors

# RFC 3986, sections 3.2.1 and 3.4.  A password may contain an @ and, by
# mistake, a slash; "git@" is a common account name and no secret.
_BEFORE_HOST = re.compile(
    r"(?<=://)(?!git@)"
    r"(?:[^/\s?#\"'<>]+@|[^/\s?#\"'<>@:]*:(?!\d*/)[^\s\"'<>@]*@)"
)
_QUERY = re.compile(r"(://[^\s?\"'<>`]*)\?[^\s\"'<>`]*[^\s\"'<>`.,:;)\]]")
# the account name in an ssh URL is no secret
_REFUSED = re.compile(r"(?:https?|ftp)://[^/\s?#]*@|://[^/\s?#@:]*:[^/\s@]*@")

#: URLs with credentials in the content of a file.
PASSWORD_IN_FILE = re.compile(
    rb"\w://[^/\s:@\"'<>]*:(?![$%{<*])[^/\s@\"'<>]+@"
)
TOKEN_IN_FILE = re.compile(rb"\w://[A-Za-z0-9_.-]{20,}@")


def hide(text: str) -> str:
    """Return a text without the credentials and queries of its URLs."""
    if "://" not in text:
        return text
    return _QUERY.sub(r"\1", _BEFORE_HOST.sub("", text))


def hide_all(data: typing.Any) -> typing.Any:
    """Return plain data with :func:`hide` applied to each string in it."""
    if isinstance(data, str):
        return hide(data)
    if isinstance(data, dict):
        return {
            hide_all(name): hide_all(value) for name, value in data.items()
        }
    if isinstance(data, list | tuple):
        return [hide_all(value) for value in data]
    return data


def refuse(
    address: str | None, what: str, hint: str, *, query: bool = False
) -> None:
    """Raise an error if a URL contains credentials.

    All users of this host can read the command lines of programs that get
    the URL as an argument.  An account name for ssh is allowed.

    :param address: the URL, or None.
    :param what: the option or the variable that holds the URL.
    :param hint: how to do without credentials in the URL.
    :param query: whether a query is allowed, because no program gets the URL
        on its command line.
    :raises UsageError: there are credentials; the message omits them.
    """
    if not address:
        return
    if _REFUSED.search(address):
        problem = "there are credentials in the URL"
    elif not query and _QUERY.search(address):
        problem = "there is a query in the URL, which may hold a token"
    else:
        return
    raise errors.UsageError(
        f"{what}: {problem}, and other users of this host could read it on"
        " command lines",
        hint=hint,
    )
