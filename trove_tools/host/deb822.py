# SPDX-License-Identifier: Apache-2.0
"""Reads what Debian's tools write as fields in paragraphs: deb822(5)."""

import collections.abc
import re

_BETWEEN = re.compile(r"\n\s*\n")


def paragraphs(text: str) -> collections.abc.Iterator[dict[str, str]]:
    """Yield the fields of each paragraph that has some.

    :returns: values by the field's name in small letters; the lines of a
        value that goes on in further lines are without their indentation.
    """
    for paragraph in _BETWEEN.split(text):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line[:1].isspace():
                if name:
                    fields[name] += f"\n{line.strip()}"
            elif ":" in line and not line.startswith("#"):
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields:
            yield fields


def installed(status: str) -> collections.abc.Iterator[dict[str, str]]:
    """Yield the fields of each installed package in dpkg's status file."""
    for fields in paragraphs(status):
        state = fields.get("status", "")
        if state.endswith(" installed") and fields.keys() >= {
            "package", "version"
        }:  # fmt: skip
            yield fields
