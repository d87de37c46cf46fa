# SPDX-License-Identifier: Apache-2.0
"""The directive for what pages have from the code.

``.. generated:: NAME [ARGUMENT]`` stands for the lines that one of
:data:`MAKERS` makes.
"""

import typing

from docutils.parsers import rst as parsers

from doc.ext import commands
from doc.ext import elements
from doc.ext import rst
from doc.ext import schemas
from gate import tables
from trove_tools.catalog import loader
from trove_tools.sources.container import sources
from trove_tools.verify import defects


def _support() -> rst.Lines:
    return rst.table(tables.support(loader.load()))


def _systems() -> rst.Lines:
    return rst.table(tables.systems(loader.load()))


def _defects() -> rst.Lines:
    rows = [["line of a log", "cause", "remedy"]]
    for each in defects.DEFECTS:
        line = f"``{each.pattern}``" if each.pattern else "none; by its facts"
        rows.append([line, each.cause, each.remedy])
    return rst.table(rows, "38 31 31")


def _container_names() -> rst.Lines:
    catalog = loader.load()
    rows = [["datastore", "section", "docker_image", "backup_docker_image"]]
    for entry in catalog.datastores.values():
        names = sources.configured(entry, entry.default_version, catalog)
        if names:
            columns = [
                str(entry.manager), names["docker_image"],
                names.get("backup_docker_image", ""),
            ]  # fmt: skip
            shown = [f"``{name}``" if name else "" for name in columns]
            rows.append([entry.name, *shown])
    return rst.table(rows)


MAKERS = {
    "catalog": schemas.catalog,
    "container-names": _container_names,
    "commands": commands.commands,
    "defects": _defects,
    "elements": elements.elements,
    "elements-graph": elements.picture,
    "manifest": schemas.manifest,
    "settings": commands.settings,
    "support": _support,
    "systems": _systems,
}


class Generated(parsers.Directive):
    """Puts made lines where the directive stands."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[typing.Any]:
        name, *arguments = self.arguments
        if name not in MAKERS:
            raise self.error(f"one of {', '.join(MAKERS)} is wanted: {name}")
        made = MAKERS[name](*arguments)
        self.state_machine.insert_input(made, f"doc/ext ({name})")
        return []


def setup(app: typing.Any) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("generated", Generated)
    # the pages change with the code, not with their own text alone
    return {"parallel_read_safe": True}
