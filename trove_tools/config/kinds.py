# SPDX-License-Identifier: Apache-2.0
"""Converts texts of options to values.

Each function converts a text, or raises a ValueError that describes the
expected form.
"""

import math
import pathlib

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


def boolean(text: str) -> bool:
    """Parse a boolean from the environment or a file.

    :raises ValueError: it is not a boolean.
    """
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("yes or no")
    return word in _TRUE


def natural(text: str) -> int:
    """Parse a non-negative integer.

    :raises ValueError: it is not one.
    """
    if not text.strip().isdecimal():
        raise ValueError("a whole number that is not negative")
    return int(text)


def duration(text: str) -> float:
    """Parse a duration in any unit.

    :raises ValueError: it is not a number, negative, or infinite.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < math.inf:
        raise ValueError("a number that is not negative")
    return value


def path(text: str) -> pathlib.Path:
    """Parse a path; a leading ``~`` is the user's home."""
    return pathlib.Path(text).expanduser()


def interface(text: str) -> str:
    """Convert the name of an endpoint interface.

    Keystone's catalog formerly used ``publicURL`` and so on, and many files
    with ``OS_INTERFACE`` still do.
    """
    return text.removesuffix("URL")


def machine(text: str) -> str:
    """Convert the name of a machine; former names are accepted."""
    return {"vm": "qemu", "namespace": "container"}.get(text, text)


def label(text: str) -> str:
    """Convert a tag or the name of a property in Glance."""
    if not text.strip() or not text.isprintable() or len(text) > 255:
        raise ValueError("1 to 255 printable characters")
    return text


def image_property(text: str) -> tuple[str, str]:
    """Convert ``KEY=VALUE``, a property of an image in Glance."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("KEY=VALUE")
    if name.startswith(("trove_tools_", "os_glance_")):
        raise ValueError(
            "a name that does not begin with trove_tools_ or os_glance_, which"
            " are reserved for this tool and for Glance"
        )
    if not value.isprintable():
        raise ValueError("a value of printable characters")
    return label(name), value
