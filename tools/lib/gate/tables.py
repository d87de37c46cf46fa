# SPDX-License-Identifier: Apache-2.0
"""The tables of the documentation that the catalog makes.

Each stands in its file between two comments that name it.
"""

import collections.abc
import re

from trove_tools import errors
from trove_tools.catalog import gate
from trove_tools.catalog import model
from trove_tools.catalog import native

_FROM = {
    model.CONTAINER: "container",
    native.DISTRIBUTION: "distribution",
    native.REPOSITORY: "vendor repository",
    native.FILE: "your package",
}
_TABLE = re.compile(
    r"(?P<begin>^\.\. catalog table (?P<name>[a-z]+) begins\n)"
    r".*?(?P<end>^\.\. catalog table ends$)",
    re.DOTALL | re.MULTILINE,
)

Rows = list[list[str]]


def support(catalog: model.Catalog) -> Rows:
    """Return one line for each datastore."""
    booted = {name for name, _, _ in gate.list_booted(catalog)}
    rows = [["datastore", "versions", "in Trove", "comes from", "gate"]]
    for entry in catalog.datastores.values():
        rows.append(
            [
                entry.name,
                ", ".join(_newest(entry.versions)),
                entry.tier,
                ", ".join(
                    dict.fromkeys(
                        _FROM[entry.source(name)] for name in entry.runtimes
                    )
                ),
                "yes" if entry.name in booted else "",
            ]
        )
    return rows


def systems(catalog: model.Catalog) -> Rows:
    """Return the versions of each datastore by guest system."""
    rows = [["datastore", *catalog.guests]]
    for entry in catalog.datastores.values():
        row = [entry.name]
        for guest in catalog.guests:
            found = [
                version.version
                for version in entry.versions.values()
                if any(guest in version.supported(r) for r in entry.runtimes)
            ]
            risky = [
                f"({version.version})"
                for version in entry.versions.values()
                if guest in version.unsupported
            ]
            row.append(", ".join([*_newest(found), *_newest(risky)]))
        rows.append(row)
    return rows


Maker = collections.abc.Callable[[model.Catalog], Rows]
Makers = collections.abc.Mapping[str, Maker]

TABLES: Makers = {"support": support, "systems": systems}


def _newest(versions: collections.abc.Iterable[str]) -> list[str]:
    return errors.in_order(versions)[::-1]


def update(
    text: str, catalog: model.Catalog, makers: Makers = TABLES
) -> str:
    """Return a document with its tables as the catalog has them.

    :param makers: what makes the rows of each table, by its name.
    """

    def table(match: re.Match[str]) -> str:
        rows = makers[match["name"]](catalog)
        return f"{match['begin']}\n{_simple_table(rows)}\n{match['end']}"

    return _TABLE.sub(table, text)


def _simple_table(rows: Rows) -> str:
    """Return rows as a simple table of reStructuredText."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    border = "  ".join("=" * width for width in widths)

    def line(row: list[str]) -> str:
        cells = (
            cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        )
        return "  ".join(cells).rstrip()

    head, *rest = rows
    lines = [border, line(head), border, *map(line, rest), border]
    return "\n".join(lines) + "\n"
