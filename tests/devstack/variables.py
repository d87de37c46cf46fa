# SPDX-License-Identifier: Apache-2.0
"""The plugin's variables, from its files and from its documentation."""

import re

from tests import base

_FILES = ("settings", "override-defaults")

#: Where the checkout is: found out, not set.
_FOUND = "TROVE_TOOLS_DIR"


def lines() -> dict[str, str]:
    """Return the line that sets each variable."""
    found = {}
    for name in _FILES:
        text = (base.ROOT / "devstack" / name).read_text()
        for line in text.splitlines():
            if match := re.match(r"(\w+)=", line):
                found[match[1]] = line
    return found


def settings() -> dict[str, str]:
    """Return each variable and its default."""
    defaults = {}
    for name, line in lines().items():
        if name == _FOUND:
            continue
        plain = re.fullmatch(rf"{name}=\$\{{{name}:-(.*)\}}", line)
        choice = re.fullmatch(rf"{name}=\$\(trueorfalse (\w+) {name}\)", line)
        match = plain or choice
        defaults[name] = match[1] if match else line
    return defaults


def ours() -> list[str]:
    """Return the names of the variables that a user may set."""
    return list(settings())


def documented() -> dict[str, str]:
    """Return each variable in the documentation, and its default there.

    A default that is told in words is taken for the right one.
    """
    text = (base.ROOT / "doc/source/reference/devstack.rst").read_text()
    rows = re.findall(r"   \* - ``(\w+)``\n     -(.*)\n", text)
    right = settings()
    found = {}
    for name, cell in rows:
        default = cell.strip()
        if default and not default.startswith("``"):
            found[name] = right.get(name, default)
        else:
            found[name] = default.strip("`")
    return found
