# SPDX-License-Identifier: Apache-2.0
"""The reference of the elements, from their READMEs and dependencies."""

import pathlib
import re

from doc.ext import graph
from doc.ext import rst
from trove_tools.catalog import loader
from trove_tools.catalog import model

DIRECTORY = pathlib.Path(__file__).parents[2] / "trove_tools" / "elements"

_VARIABLES = re.compile(r"^Environment Variables\n-+$", re.MULTILINE)


def needs() -> dict[str, list[str]]:
    """Return what each of our elements depends on."""
    found = {}
    for readme in sorted(DIRECTORY.glob("*/README.rst")):
        file = readme.parent / "element-deps"
        found[readme.parent.name] = (
            file.read_text().split() if file.exists() else []
        )
    return found


def elements() -> rst.Lines:
    """Return a section for each element."""
    lines: rst.Lines = []
    depends = needs()
    catalog = loader.load()
    for name, wanted in depends.items():
        _, title, _, *text = (
            (DIRECTORY / name / "README.rst").read_text().splitlines()
        )
        body = "\n".join(text).replace(".. element_deps::", "")
        lines += [f".. _element-{name}:", *rst.heading(title)]
        lines += _VARIABLES.sub(".. rubric:: Variables", body).splitlines()
        lines += ["", *_facts(name, wanted, depends)]
        users = _datastores(name, catalog)
        if users:
            lines += rst.block(f"Datastores that name it: {users}.")
    return lines


def picture() -> rst.Lines:
    """Return the graph of the dependencies."""
    ours = needs()
    drawn = graph.svg(
        {name: [each for each in deps if each in ours]
         for name, deps in ours.items()},
        "What each element depends on",
        link="#element-{}",
    )  # fmt: skip
    return ["", ".. raw:: html", "", *rst.block(drawn, "   ")]


def _facts(
    name: str, wanted: list[str], depends: dict[str, list[str]]
) -> rst.Lines:
    def link(other: str) -> str:
        if other in depends:
            return f":ref:`{other} <element-{other}>`"
        return f"``{other}``"

    lines: rst.Lines = []
    if wanted:
        needed = ", ".join(link(other) for other in wanted)
        lines += rst.block(f"Depends on: {needed}.")
    users = [other for other, deps in depends.items() if name in deps]
    if users:
        needed = ", ".join(link(other) for other in users)
        lines += rst.block(f"Needed by: {needed}.")
    return lines


def _datastores(name: str, catalog: model.Catalog) -> str:
    return ", ".join(
        entry.name
        for entry in catalog.datastores.values()
        if any(name in each.elements for each in entry.runtimes.values())
    )
