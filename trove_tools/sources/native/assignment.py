# SPDX-License-Identifier: Apache-2.0
"""Options that say something of one datastore: ``DATASTORE=VALUE``."""

import collections.abc
import re

from trove_tools import errors

_ASSIGNED = re.compile(r"([a-z][a-z0-9-]*)=(.+)", re.DOTALL)


def read(
    flag: str,
    words: collections.abc.Iterable[str],
    known: collections.abc.Collection[str],
    *,
    alone: bool = False,
) -> dict[str, str]:
    """Return the values by datastore.

    :param flag: the option, for errors.
    :param known: the datastores that there are.
    :param alone: a value without a datastore is allowed; its key is empty.
    :raises UsageError: a value has no datastore, or an unknown one.
    """
    values: dict[str, str] = {}
    for word in words:
        match = _ASSIGNED.fullmatch(word)
        if match is None and alone:
            values[""] = word
        elif match is None:
            raise errors.UsageError(
                f"{flag} {word}: it does not say of which datastore",
                hint=f"write {flag} DATASTORE={word}",
            )
        elif match[1] not in known:
            raise errors.UsageError(
                f"{flag} {word}: unknown datastore {match[1]!r}",
                hint=errors.nearest(match[1], known, "datastores"),
            )
        else:
            values[match[1]] = match[2]
    return values
