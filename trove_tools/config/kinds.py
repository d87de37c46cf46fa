# SPDX-License-Identifier: Apache-2.0
"""How the text of an option becomes its value, where that has rules.

Each function takes the text, returns the value, and raises ValueError that
says what is wanted.
"""

import math
import pathlib

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


def boolean(text: str) -> bool:
    """Read a yes or no as people write it in environment and files.

    :raises ValueError: it is neither.
    """
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("yes or no")
    return word in _TRUE


def natural(text: str) -> int:
    """Read a number that is not negative.

    :raises ValueError: it is none.
    """
    if not text.strip().isdecimal():
        raise ValueError("a whole number that is not negative")
    return int(text)


def duration(text: str) -> float:
    """Read a length of time, in whatever unit.

    :raises ValueError: it is no number, negative, or without end.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < math.inf:
        raise ValueError("a number that is not negative")
    return value


def path(text: str) -> pathlib.Path:
    """Read a path; a leading ``~`` is the user's home."""
    return pathlib.Path(text).expanduser()


def interface(text: str) -> str:
    """Read which endpoints of a cloud are called.

    Keystone's catalog once called them ``publicURL`` and so on, and many
    files with ``OS_INTERFACE`` still do.
    """
    return text.removesuffix("URL")


def machine(text: str) -> str:
    """Read which machine verifies; once these were called tiers."""
    return {"vm": "qemu", "namespace": "container"}.get(text, text)


def label(text: str) -> str:
    """Read a tag of Glance's or a property's name."""
    if not text.strip() or not text.isprintable() or len(text) > 255:
        raise ValueError("1 to 255 printable characters")
    return text


def image_property(text: str) -> tuple[str, str]:
    """Read ``KEY=VALUE``, a property of an image in Glance."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("KEY=VALUE")
    if name.startswith(("trove_tools_", "os_glance_")):
        raise ValueError(
            "a name that begins neither with trove_tools_, which this tool"
            " keeps for itself, nor with os_glance_, which Glance does"
        )
    if not value.isprintable():
        raise ValueError("a value of printable characters")
    return label(name), value
