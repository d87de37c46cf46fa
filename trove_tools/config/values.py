# SPDX-License-Identifier: Apache-2.0
"""How the text of an option becomes its value, where that has rules.

Each function takes the text, returns the value, and raises ValueError that
says what is wanted.
"""


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
