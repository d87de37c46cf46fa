# SPDX-License-Identifier: Apache-2.0
"""Finds problems in catalog files: violations of schemas, contradictions.

Parsing a file and checking it against a schema takes longer than all other
work of ``list``.  A valid file stays valid while neither the file nor the
schemas change, so the data is stored in the user's cache under the digest of
both.  If the cache is lost or cannot be written, the files are checked again.
"""

import collections.abc
import contextlib
import hashlib
import json
import pathlib
import sys
import typing

from trove_tools import errors
from trove_tools.catalog import native
from trove_tools.host import bounds
from trove_tools.host import paths
from trove_tools.host import trust

if typing.TYPE_CHECKING:
    import yaml

Entry = dict[str, typing.Any]


class Problem(typing.NamedTuple):
    """One problem in a file.

    :param place: the keys and list indexes on the path to the problem.
    :param text: a description of the problem and of the allowed values.
    """

    place: tuple[str | int, ...]
    text: str


class Problems:
    """Collects the problems of several files, to report them together."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(
        self, file: pathlib.Path, wrong: collections.abc.Iterable[Problem]
    ) -> None:
        """Add the problems of a file, sorted by line."""
        located = [
            (find_line(file, problem.place), problem) for problem in wrong
        ]
        for line, problem in sorted(located):
            place = "".join(
                f"[{key}]" if isinstance(key, int) else f".{key}"
                for key in problem.place
            )
            where = f"{file}:{line}: {place.lstrip('.')}".rstrip(" :")
            self._lines.append(f"{where}: {problem.text}")

    def add_yaml(self, file: pathlib.Path, error: "yaml.YAMLError") -> None:
        """Add the problem that a file is not valid YAML."""
        import yaml

        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
            line = error.problem_mark.line + 1
            self._lines.append(f"{file}:{line}: not YAML: {error.problem}")
        else:
            self._lines.append(f"{file}: not YAML: {error}")

    def raise_any(self) -> None:
        """Raise an error with all problems, if there are any.

        :raises CatalogError: there is a problem.
        """
        if self._lines:
            raise errors.CatalogError(self._lines)


def rules() -> bytes:
    """Return the content of this module, which has the rules."""
    return pathlib.Path(__file__).read_bytes()


def find_violations(
    data: typing.Any, schema: dict[str, typing.Any]
) -> list[Problem]:
    """Return all violations of a JSON schema in some data."""
    jsonschema = _jsonschema()
    checker = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.FormatChecker(["regex"])
    )
    return [
        Problem(tuple(error.absolute_path), _words(error))
        for error in checker.iter_errors(data)
    ]


def _jsonschema() -> typing.Any:
    """Import jsonschema without its optional import of rfc3987_syntax.

    rfc3987_syntax generates a parser when it is imported, which takes more
    than a second, and no schema of the catalog has a format that needs it.
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
    """Return an error of jsonschema as a message for an author of YAML."""
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


def find_line(
    file: pathlib.Path, place: collections.abc.Sequence[str | int]
) -> int:
    """Return the line number, from 1, of a place in a YAML file.

    If a key is absent, the line of the mapping that should contain it.

    :param place: the keys and list indexes on the path.
    """
    # imported here because files that were valid before are not parsed
    import yaml

    try:
        node = yaml.compose(bounds.read_bytes(file), yaml.SafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return 1
    line = 1
    for key in place:
        if isinstance(node, yaml.MappingNode):
            inner = {
                name.value: (name, inner_node)
                for name, inner_node in node.value
            }
            if key not in inner:
                break
            name, node = inner[key]
            line = name.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode):
            node = node.value[int(key)]
            line = node.start_mark.line + 1
    return line


class ValidFiles:
    """The data of valid catalog files, by the digests of the files.

    :param schemas: the content of the schemas, which is part of the cache key.
    """

    def __init__(self, schemas: bytes) -> None:
        self._schemas = schemas
        self._directory = paths.user_cache() / "catalog"

    def has(self, kind: str, content: bytes) -> bool:
        """Return whether this content was validated before."""
        return trust.is_own(self._directory) and trust.is_own(
            self._file(kind, content)
        )

    def read(self, kind: str, content: bytes) -> typing.Any:
        """Return the data in this content; None if it is not known."""
        if not self.has(kind, content):
            return None
        try:
            data = bounds.read_json(self._file(kind, content))
        except (OSError, ValueError):
            return None
        # a file of an earlier release is empty
        return data if isinstance(data, dict) else None

    def add(
        self, kind: str, content: bytes, data: typing.Any = None
    ) -> None:
        """Record that this content is valid.

        :param data: the data in it, if :meth:`read` is to return it.
        """
        from trove_tools.host import files

        with contextlib.suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
            if trust.is_own(self._directory):
                files.write_file(
                    self._file(kind, content), json.dumps(data)
                )

    def _file(self, kind: str, content: bytes) -> pathlib.Path:
        total = hashlib.sha256(self._schemas)
        total.update(f"\0{kind}\0".encode())
        total.update(content)
        return self._directory / total.hexdigest()


def find_contradictions(
    file: pathlib.Path,
    entry: Entry,
    guests: collections.abc.Sequence[Entry],
) -> list[Problem]:
    """Return contradictions within an entry, or with the guest systems.

    :param file: the file of the entry.
    :param entry: the entry of a datastore.
    :param guests: the entries of the guest systems.
    """
    return [
        *_names(file, entry),
        *_systems(entry, [guest["name"] for guest in guests]),
        *_natives(entry, guests),
        *_container(entry),
    ]


def _names(file: pathlib.Path, entry: Entry) -> list[Problem]:
    wrong = []
    if entry["name"] != file.stem:
        wrong.append(
            Problem(
                ("name",),
                f"{entry['name']!r} must be the file's name, {file.stem!r}",
            )
        )
    names = [version["version"] for version in entry["versions"]]
    if entry["default_version"] not in names:
        wrong.append(
            Problem(
                ("default_version",),
                f"{entry['default_version']!r} is not among the versions;"
                f" allowed: {', '.join(names)}",
            )
        )
    for twice in sorted({name for name in names if names.count(name) > 1}):
        wrong.append(
            Problem(("versions",), f"{twice!r} stands there twice")
        )
    if "scenarios" in entry and "manager" not in entry:
        wrong.append(
            Problem(
                ("scenarios",), "only a datastore with a manager has them"
            )
        )
    if (entry["tier"] == "supported") != ("manager" in entry):
        wrong.append(
            Problem(
                ("tier",),
                "a supported datastore names its manager;"
                " an image-only one has none",
            )
        )
    return wrong


def _systems(
    entry: Entry, guests: collections.abc.Collection[str]
) -> list[Problem]:
    wrong = []
    for number, version in enumerate(entry["versions"]):
        for runtime, systems in version["runtimes"].items():
            place = ("versions", number, "runtimes", runtime)
            if runtime not in entry["runtimes"]:
                wrong.append(
                    Problem(
                        place,
                        "is not among the runtimes;"
                        f" allowed: {', '.join(entry['runtimes'])}",
                    )
                )
            for system in systems:
                if system not in guests:
                    wrong.append(
                        Problem(
                            place,
                            f"unknown guest system {system!r};"
                            f" allowed: {', '.join(guests)}",
                        )
                    )
    return wrong


def _container(entry: Entry) -> collections.abc.Iterator[Problem]:
    """Yield the problems of a container that is made from packages."""
    place = ("runtimes", "container", "container")
    container = entry["runtimes"].get("container", {}).get("container", {})
    if "packages" in container and (
        ("recipe" in container) == ("command" in container)
    ):
        yield Problem(
            (*place, "packages"),
            "a container of packages needs a recipe, or else a command",
        )
    for version in set(container.get("suites", ())) - set(
        container.get("packages", ())
    ):
        yield Problem(
            (*place, "suites", version), "there are no packages of it"
        )


def _natives(
    entry: Entry, guests: collections.abc.Sequence[Entry]
) -> collections.abc.Iterator[Problem]:
    """Yield missing properties and unknown guests of a native runtime."""
    runtime = entry["runtimes"].get("native")
    if runtime is None:
        return
    names = {guest["name"] for guest in guests}
    families = {native.find_family(guest["distribution"]) for guest in guests}
    for name in set(runtime.get("guests", ())) - names - families:
        yield Problem(
            ("runtimes", "native", "guests", name),
            f"unknown guest system {name!r};"
            f" allowed: {', '.join(sorted(names | families))}",
        )
    for number, version in enumerate(entry["versions"]):
        systems = version["runtimes"].get("native", ())
        place = ("versions", number)
        for name in set(version.get("unsupported", ())) - set(systems):
            yield Problem(
                (*place, "unsupported", name),
                "it is not among those that it can be made for at all",
            )
        for name in set(version.get("refused", ())) & set(systems):
            yield Problem(
                (*place, "refused", name),
                "it is among those that it is made for",
            )
        for guest in guests:
            if guest["name"] not in systems:
                continue
            try:
                native.resolve(runtime, version, guest)
            except KeyError as exc:
                yield Problem(
                    (*place, "runtimes", "native"),
                    f"nothing says {exc.args[0]} for {guest['name']}",
                )
                break
