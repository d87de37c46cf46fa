# SPDX-License-Identifier: Apache-2.0
"""Names and values for a shell, made of nested data."""

import collections.abc
import re
import typing


def flatten(
    value: typing.Any, name: str = ""
) -> collections.abc.Iterator[tuple[str, str]]:
    """Yield shell names and values of a nested structure.

    ``{"image": {"size": 1}}`` becomes ``IMAGE_SIZE=1``; a list of plain
    values is joined by blanks; a list of things is numbered from 0, with
    their number in ``..._COUNT``.

    :param name: what the value itself is called.
    """
    if isinstance(value, collections.abc.Mapping):
        for key, inner in value.items():
            part = re.sub(r"\W", "_", str(key)).upper()
            yield from flatten(inner, f"{name}_{part}" if name else part)
    elif isinstance(value, list | tuple):
        if any(isinstance(inner, collections.abc.Mapping) for inner in value):
            yield f"{name}_COUNT".lstrip("_"), str(len(value))
            for number, inner in enumerate(value):
                numbered = f"{name}_{number}" if name else f"ITEM_{number}"
                yield from flatten(inner, numbered)
        else:
            yield name, " ".join(map(str, value))
    else:
        yield name, _plain(value)


def _plain(value: typing.Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
