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
    :param time_only: in nothing but the time of their last change.
    """

    pattern: str
    why: str
    time_only: bool = False


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
    Expected(
        r"/opt/trove-guest-agent/.*\.pyc",
        "Python compiles several modules at a time; which constants a few of"
        " them mark as shared depends on what the process has done before",
    ),
    Expected(
        r"/etc|/tmp|/var/log/.*",
        "diskimage-builder empties logs and puts resolv.conf in place after"
        " the last hook",
        time_only=True,
    ),
)


def reason(path: str, time_only: bool = False) -> str | None:
    """Return why a file differs from build to build; nothing if not known.

    :param time_only: it is the same but for its time.
    """
    for each in EXPECTED:
        if re.fullmatch(each.pattern, path) and (
            time_only or not each.time_only
        ):
            return each.why
    return None
