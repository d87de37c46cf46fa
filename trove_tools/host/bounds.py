# SPDX-License-Identifier: Apache-2.0
"""Decodes untrusted data within bounds on its size and depth.

All JSON from files beside an image, from a cache and from inside an image is
decoded here.  Python's decoder accepts text that causes errors later: nesting
that exceeds the recursion limit, numbers that cannot be printed, characters
that cannot be encoded.  Any code can copy, compare, print and write the data
that this module returns.
"""

import json
import math
import os
import pathlib
import re
import stat
import typing

#: Bytes of a file; the bill of materials of the largest image has 4 MiB.
LARGEST = 64 * 1024 * 1024
#: Number of lists and mappings that may be nested in one another.
DEEPEST = 60
#: Number of values, including nested ones.
MOST = 3_000_000
#: Number of digits of an integer; 2**128 has 39.
LONGEST = 40

_SURROGATE = re.compile("[\ud800-\udfff]")


def decode_json(text: str | bytes) -> typing.Any:
    """Return the value of a JSON text.

    :raises ValueError: the text is not JSON, or a value is out of bounds.
    """
    try:
        data = json.loads(
            text,
            parse_int=_parse_integer,
            parse_float=_parse_float,
            parse_constant=_parse_float,
        )
    except RecursionError as exc:
        raise too_deep() from exc
    require(data)
    return data


def parse_yaml(text: str | bytes) -> typing.Any:
    """Return the value of a YAML text; :func:`require` checks its bounds.

    :raises yaml.YAMLError: the text is not YAML.
    """
    import yaml

    # libyaml limits the nesting of a text, and takes a tenth of the time
    loader: typing.Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(text, loader)


def read_json(path: pathlib.Path, largest: int = LARGEST) -> typing.Any:
    """Return the value in a JSON file.

    :param largest: the largest size that is accepted, in bytes.
    :raises OSError: the file cannot be read.
    :raises ValueError: it is not a regular file, too large, not JSON, or a
        value in it is out of bounds.
    """
    return decode_json(read_bytes(path, largest))


def read_bytes(path: pathlib.Path, largest: int = LARGEST) -> bytes:
    """Return the content of a regular file of bounded size.

    :raises OSError: the file cannot be read.
    :raises ValueError: it is not a regular file, or too large.
    """
    # without O_NONBLOCK, opening a FIFO waits until a writer opens it
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        text = stream.read(largest + 1)
    if len(text) > largest:
        raise ValueError(f"it is larger than {largest} bytes")
    return text


def _parse_integer(text: str) -> int:
    if len(text.lstrip("-")) > LONGEST:
        raise ValueError(f"an integer has more than {LONGEST} digits")
    return int(text)


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        # RFC 8259, section 6, does not permit NaN and Infinity
        raise ValueError(f"{text[:LONGEST]} is not a finite number")
    return number


def require(data: typing.Any) -> None:
    """Raise an error unless data is within the bounds of this module.

    :param data: the result of a JSON or YAML parser.  Only YAML can refer to
        one value several times, or to a value from inside that value.
    :raises ValueError: the data is nested too deeply or is too large, a key
        is not a string, or a string cannot be encoded.
    """
    level: list[typing.Any] = [data]
    depth = total = 0
    while level:
        depth += 1
        total += len(level)
        if depth > DEEPEST + 1:
            raise too_deep()
        if total > MOST:
            raise ValueError(f"it has more than {MOST} values")
        below: list[typing.Any] = []
        for value in level:
            if isinstance(value, str):
                _require_text(value)
            elif isinstance(value, dict):
                for name in value:
                    if not isinstance(name, str):
                        raise ValueError(
                            f"the key {name!r} is not a text; write it in"
                            " quotes"
                        )
                    _require_text(name)
                below += value.values()
            elif isinstance(value, list):
                below += value
        level = below


def _require_text(text: str) -> None:
    if not text.isascii() and _SURROGATE.search(text):
        raise ValueError("a text has half of a surrogate pair")


def too_deep() -> ValueError:
    """Return the error for data that is nested too deeply."""
    return ValueError(f"it has more than {DEEPEST} levels")


def parse_number(text: str) -> int:
    """Return a decimal text as a number; 0 if it is not a natural number.

    ``str.isdigit()`` is true for digits that ``int()`` refuses, and ``int()``
    refuses numbers of more than 4,300 digits.
    """
    is_number = text.isascii() and text.isdigit() and len(text) <= LONGEST
    return int(text) if is_number else 0


def escape_controls(text: str) -> str:
    """Return a text with its control characters written as escapes.

    A terminal executes escape sequences: they move the cursor, hide text and
    change the clipboard.  Line ends and tabs are kept.
    """
    if text.isprintable():
        return text
    return "".join(
        char
        if char in "\n\t" or char.isprintable()
        else char.encode("unicode_escape").decode()
        for char in text.replace("\r\n", "\n")
    )


def is_list_of(value: typing.Any, kind: type) -> bool:
    """Return whether a value is a list with items of one type only."""
    return isinstance(value, list) and all(
        isinstance(item, kind) for item in value
    )
