# SPDX-License-Identifier: Apache-2.0
"""A JSON schema as tables, one for each kind of object in it."""

import collections.abc
import json
import pathlib
import re
import typing

import yaml

from doc.ext import rst

PACKAGE = pathlib.Path(__file__).parents[2] / "trove_tools"

Node = collections.abc.Mapping[str, typing.Any]

_TYPES = {
    "string": "text", "integer": "number", "number": "number",
    "boolean": "true or false", "null": "null", "object": "object",
}  # fmt: skip


def manifest() -> rst.Lines:
    """Return the tables of an image's manifest."""
    text = (PACKAGE / "artifact" / "manifest.schema.json").read_text()
    return _Schema("manifest", json.loads(text)).lines()


def catalog(name: str) -> rst.Lines:
    """Return the tables of one kind of the catalog's files.

    :param name: datastore, guests, runtimes or series.
    """
    text = (PACKAGE / "catalog" / "schemas.yaml").read_text()
    return _Schema(name, yaml.safe_load(text)[name]).lines()


class _Schema:
    def __init__(self, name: str, schema: Node) -> None:
        self.name = name
        self.schema = schema
        #: objects that still have to be described, by their place
        self.rest: list[tuple[str, Node]] = []
        #: by object and property, where alone the property is required
        self.where: dict[tuple[str, str], list[str]] = {}
        self._find_conditions(schema)

    def _find_conditions(self, node: typing.Any, place: str = "") -> None:
        """Note what ``allOf`` requires of an object in some places only."""
        if isinstance(node, list):
            for each in node:
                self._find_conditions(each, place)
        if not isinstance(node, collections.abc.Mapping):
            return
        parts = node.get("allOf", ())
        names = [
            each["$ref"].rsplit("/", 1)[-1] for each in parts if "$ref" in each
        ]
        for each in parts:
            for wanted in each.get("required", ()):
                for name in names:
                    self.where.setdefault((name, wanted), []).append(place)
        for name, each in node.items():
            self._find_conditions(each, name)

    def lines(self) -> rst.Lines:
        top = self.schema
        if top.get("type") == "array":
            top = top["items"]
        lines = self._table(top)
        for name, node in self.schema.get("$defs", {}).items():
            if "properties" in node:
                self.rest.append((name, node))
        while self.rest:
            name, node = self.rest.pop(0)
            lines += [f".. _{self._label(name)}:", *rst.heading(name, "-")]
            if said := node.get("description"):
                lines += rst.block(f"{said[:1].upper()}{said[1:]}.")
            lines += self._table(node, name)
        return lines

    def _label(self, place: str) -> str:
        return re.sub(r"[^a-z0-9]+", "-", f"schema-{self.name}-{place}")

    def _table(self, node: Node, place: str = "") -> rst.Lines:
        required = node.get("required", ())
        rows = [["property", "value", "meaning"]]
        for name, value in node["properties"].items():
            need = "" if name in required else " (optional)"
            if where := self.where.get((place, name)):
                named = " and ".join(f"``{each}``" for each in where)
                need = f" (required in {named}, else optional)"
            rows.append(
                [
                    f"``{name}``{need}",
                    self._type(value, name),
                    self._said(value),
                ]
            )
        return rst.table(rows, "26 34 40")

    def _said(self, node: Node) -> str:
        said = node.get("description", "")
        if not said and "$ref" in node:
            said = self._resolve(node["$ref"]).get("description", "")
        return rst.plain(" ".join(said.split()))

    def _resolve(self, ref: str) -> Node:
        node: typing.Any = self.schema
        for part in ref.removeprefix("#/").split("/"):
            node = node[part]
        found: Node = node
        return found

    def _type(self, node: Node, place: str) -> str:
        for part in node.get("allOf", ()):
            if "$ref" in part:
                return self._type(part, place)
        if ref := node.get("$ref"):
            named = self._resolve(ref)
            if "properties" in named and ref.startswith("#/$defs/"):
                name = ref.rsplit("/", 1)[-1]
                return f":ref:`{self._label(name)}`"
            return self._type(named, place)
        if "enum" in node:
            return " or ".join(f"``{word}``" for word in node["enum"])
        if "const" in node:
            return f"``{node['const']}``"
        kind = node.get("type")
        if isinstance(kind, list):
            return " or ".join(_TYPES[each] for each in kind)
        if kind == "array":
            items = node.get("items", {})
            return f"list of: {self._type(items, place)}"
        if "properties" in node:
            self.rest.append((place, node))
            return f":ref:`{self._label(place)}`"
        if kind == "object":
            values = node.get("additionalProperties")
            if isinstance(values, collections.abc.Mapping):
                return f"name → {self._type(values, place)}"
        if pattern := node.get("pattern"):
            return f"{_TYPES[kind]}, ``{pattern}``"
        return _TYPES.get(kind, "anything")
