# SPDX-License-Identifier: Apache-2.0
"""What is wrong in a YAML file, said with file, line and place."""

import collections.abc
import pathlib
import sys
import typing

import yaml

from trove_tools import errors
from trove_tools.host import bounds


class Problem(typing.NamedTuple):
    """One thing that is wrong.

    :param place: keys and list numbers that lead to it.
    :param text: what is wrong and what is allowed.
    """

    place: tuple[str | int, ...]
    text: str


class Problems:
    """Collects what is wrong in several files, to report it at once."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(
        self, file: pathlib.Path, wrong: collections.abc.Iterable[Problem]
    ) -> None:
        """Add what is wrong in a file, by line."""
        found = [(line_of(file, each.place), each) for each in wrong]
        for line, each in sorted(found):
            place = "".join(
                f"[{key}]" if isinstance(key, int) else f".{key}"
                for key in each.place
            )
            where = f"{file}:{line}: {place.lstrip('.')}".rstrip(" :")
            self._lines.append(f"{where}: {each.text}")

    def add_yaml(self, file: pathlib.Path, error: yaml.YAMLError) -> None:
        """Add that a file is no YAML."""
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
            line = error.problem_mark.line + 1
            self._lines.append(f"{file}:{line}: not YAML: {error.problem}")
        else:
            self._lines.append(f"{file}: not YAML: {error}")

    def raise_any(self) -> None:
        """Report, if there is anything to report.

        :raises CatalogError: something was added.
        """
        if self._lines:
            raise errors.CatalogError(self._lines)


def violations(
    data: typing.Any, schema: dict[str, typing.Any]
) -> list[Problem]:
    """Return how data departs from a JSON schema, all of it."""
    jsonschema = _jsonschema()
    checker = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.FormatChecker(["regex"])
    )
    return [
        Problem(tuple(error.absolute_path), _words(error))
        for error in checker.iter_errors(data)
    ]


def _jsonschema() -> typing.Any:
    """Import jsonschema, without a parser that it would make for nothing.

    rfc3987_syntax makes one of a grammar when it is imported, in more than
    a second, and no schema of ours has a format that needs it.
    """
    name = "rfc3987_syntax"
    hidden = not {name, "jsonschema"} & sys.modules.keys()
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        import jsonschema
    finally:
        if hidden:
            del sys.modules[name]
    return jsonschema


def _words(error: typing.Any) -> str:
    """Say what jsonschema found in the words of somebody who writes YAML."""
    allowed = ""
    if error.validator == "additionalProperties":
        allowed = f"; allowed: {', '.join(sorted(error.schema['properties']))}"
    elif error.validator == "type":
        allowed = f"; write it as {error.validator_value}"
        if error.validator_value == "string":
            allowed += ", in quotes"
    elif "description" in error.schema:
        allowed = f" ({error.schema['description']})"
    return f"{error.message}{allowed}"


def line_of(
    file: pathlib.Path, place: collections.abc.Sequence[str | int]
) -> int:
    """Return the line in a YAML file where ``place`` stands, from 1.

    Where a key is absent, the line of what should have held it.
    """
    try:
        node = yaml.compose(bounds.read_bytes(file), yaml.SafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return 1
    line = 1
    for key in place:
        if isinstance(node, yaml.MappingNode):
            inner = {name.value: (name, each) for name, each in node.value}
            if key not in inner:
                break
            name, node = inner[key]
            line = name.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode):
            node = node.value[int(key)]
            line = node.start_mark.line + 1
    return line
