# SPDX-License-Identifier: Apache-2.0
"""Writes the report about an image:

``NAME.d/report.html``. The report is one self-contained file, rendered from
the files beside the image with the template ``page.html`` and the style sheet
``style.css``.
"""

import os
import pathlib
import typing

from trove_tools import console
from trove_tools.artifact import description
from trove_tools.artifact import manifest
from trove_tools.artifact.report import facts
from trove_tools.artifact.report import sizes
from trove_tools.artifact.report import timeline
from trove_tools.host import files
from trove_tools.host import trust
from trove_tools.inspection import contents

_DIRECTORY = pathlib.Path(__file__).parent


def path(image: pathlib.Path) -> pathlib.Path:
    """Return the path of an image's report."""
    return manifest.sidecar(image) / "report.html"


def write(image: pathlib.Path) -> pathlib.Path | None:
    """Write the report of an image, from the files beside it.

    :returns: its path; None if the image has no manifest, or if this user may
        not write there.
    :raises ImageError: one of those files is damaged.
    """
    made = manifest.read(image)
    file = path(image)
    writable = trust.is_own(file.parent) and os.access(file.parent, os.W_OK)
    if made is None or not writable:
        return None
    files.write(file, render(image, made))
    return file


def render(image: pathlib.Path, made: manifest.Manifest) -> str:
    """Return the HTML text of an image's report."""
    # imported here because only builds and verify write a report
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_DIRECTORY),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "seconds": facts.seconds,
        "share": _share,
        "size": console.size,
    }
    style = environment.filters["safe"]((_DIRECTORY / "style.css").read_text())
    found = description.told(image, made)
    record = facts.record(made, image)
    guest = made.guest
    return environment.get_template("page.html").render(
        style=style,
        name=manifest.sidecar(pathlib.Path(made.image["file"])).stem,
        status=facts.status(record),
        about=f"Guest image for OpenStack Trove {made.series['name']}: "
        f"{guest['distribution'].capitalize()} {guest['version']}"
        f" {guest.get('arch', '')}, built {facts.date(made.created)}",
        dev=made.dev,
        facts=facts.numbers(made, found),
        datastores=made.datastores,
        checks=facts.checks(record),
        timeline=timeline.timeline(made.timeline),
        sizes=_sizes(found),
        inputs=facts.inputs(made),
        layers=facts.layers(made),
    )


def _sizes(found: contents.Contents | None) -> dict[str, typing.Any] | None:
    if found is None:
        return None
    total = found.directories["/"]
    packages = sizes.packages(found)
    return {
        "kinds": sizes.KINDS,
        "total": total,
        "least": round(sizes.LEAST * total),
        "directories": sizes.directories(found),
        "packages": packages[: sizes.PACKAGES],
        "smaller": max(0, len(packages) - sizes.PACKAGES),
    }


def _share(part: float, whole: float) -> str:
    """Return a fraction as a percentage for CSS."""
    return f"{100 * part / whole if whole else 0:.3f}"
