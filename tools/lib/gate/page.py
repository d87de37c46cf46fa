# SPDX-License-Identifier: Apache-2.0
"""The files of documentation with tables that gate-jobs keeps."""

import pathlib

from gate import selection
from gate import tables
from trove_tools.catalog import model

PAGES = ("README.rst", "doc/source/project/gate.rst")

_ELEMENTS = "trove_tools/elements"
_STORES = "trove_tools/catalog/datastores"

#: What changes, and the file.
TYPICAL = (
    ("a page of the documentation", "doc/source/howto/verify.rst"),
    ("a unit test", "tests/unit/test_console.py"),
    ("Redis' entry in the catalog", f"{_STORES}/redis.yaml"),
    ("MySQL's entry in the catalog", f"{_STORES}/mysql.yaml"),
    ("the element trove-mariadb", f"{_ELEMENTS}/trove-mariadb/element-deps"),
    ("the element trove-package-repository",
     f"{_ELEMENTS}/trove-package-repository/element-deps"),
    ("the element trove-docker", f"{_ELEMENTS}/trove-docker/element-deps"),
    ("the element trove-guest", f"{_ELEMENTS}/trove-guest/element-deps"),
    ("how images are loaded (cloud/load.py)", "trove_tools/cloud/load.py"),
    ("how images are built (image/build.py)", "trove_tools/build/build.py"),
)  # fmt: skip


def changes(catalog: model.Catalog) -> tables.Rows:
    """Return a line for each typical change."""
    every = {
        pipeline: len(selection.jobs(catalog, pipeline))
        for pipeline in selection.PIPELINES
    }
    rows = [["change", *(f"in {name}" for name in every)]]
    for what, file in TYPICAL:
        counts = (
            f"{len(selection.run(catalog, name, [file]))} of {number}"
            for name, number in every.items()
        )
        rows.append([what, *counts])
    return rows


def update(text: str, catalog: model.Catalog) -> str:
    """Return a page with its tables as they should be."""
    return tables.update(
        text, catalog, {**tables.TABLES, "changes": changes}
    )


def write(catalog: model.Catalog, top: pathlib.Path) -> list[str]:
    """Bring the pages of a tree up to date.

    :returns: the names of those that were changed.
    """
    changed = []
    for name in PAGES:
        file = top / name
        old = file.read_text()
        new = update(old, catalog)
        if new != old:
            file.write_text(new)
            changed.append(name)
    return changed
