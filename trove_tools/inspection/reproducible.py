# SPDX-License-Identifier: Apache-2.0
"""Where two builds of one plan differ, and why.

With the same packages and the same ``SOURCE_DATE_EPOCH``, every other file
of the two images is the same, byte for byte.  A test builds twice and holds
them to this list.
"""

import re
import typing


class Expected(typing.NamedTuple):
    """Files that differ from build to build.

    :param pattern: a regular expression for their paths.
    """

    pattern: str
    why: str


EXPECTED = (
    Expected(
        r"/var/lib/docker(/.*)?",
        "Docker gives each layer a random name, and notes when it was loaded",
    ),
    Expected(
        r"/boot/grub(/.*)?",
        "the boot loader finds its disk by the UUID of a file system, which"
        " is random",
    ),
)


def reason(path: str) -> str | None:
    """Return why a file differs from build to build; nothing if not known."""
    for each in EXPECTED:
        if re.fullmatch(each.pattern, path):
            return each.why
    return None
