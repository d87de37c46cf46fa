# SPDX-License-Identifier: Apache-2.0
"""The page that explains an image: ``NAME.d/report.html``.

One file that needs nothing else, made from those beside the image.
"""

import os
import pathlib

from trove_tools import console
from trove_tools import described
from trove_tools import manifest
from trove_tools import paths
from trove_tools import trust
from trove_tools.report import chart
from trove_tools.report import facts
from trove_tools.report import rooms
from trove_tools.report import template


def path(image: pathlib.Path) -> pathlib.Path:
    """Return where the page of an image lies."""
    return manifest.sidecar(image) / "report.html"


def write(image: pathlib.Path) -> pathlib.Path | None:
    """Write the page of an image, from the files beside it.

    :returns: where it is; nothing where no manifest is beside the image,
        or where this user may not write.
    :raises ImageError: one of those files is broken.
    """
    made = manifest.read(image)
    file = path(image)
    writable = trust.is_own(file.parent) and os.access(file.parent, os.W_OK)
    if made is None or not writable:
        return None
    paths.replace_file(file, render(image, made))
    return file


def render(image: pathlib.Path, made: manifest.Manifest) -> str:
    """Return the page of an image."""
    found = described.told(image, made)
    record = facts.record(made, image)
    guest = made.guest
    return template.page(
        name=manifest.sidecar(pathlib.Path(made.image["file"])).stem,
        status=facts.status(record),
        about=f"Guest image for OpenStack Trove {made.series['name']}: "
        f"{guest['distribution'].capitalize()} {guest['version']}"
        f" {guest.get('arch', '')}, built {facts.date(made.created)}",
        dev=template.part("dev") if made.dev else "",
        facts=facts.tiles(made, found),
        datastores=facts.datastores(made),
        checks=facts.checks(record),
        timeline=chart.timeline(made.timeline),
        room=template.part("no-contents")
        if found is None
        else template.part(
            "room",
            directories=chart.rooms_map(
                "what takes room, by directory", rooms.directories(found)
            ),
            packages=chart.rooms_map(
                "what takes room, by package", rooms.packages(found)
            ),
            total=console.size(found.directories["/"]),
        ),
        inputs=facts.inputs(made),
    )
