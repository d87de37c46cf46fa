# SPDX-License-Identifier: Apache-2.0
"""What a layer's run knows of the layers below, as an element.

diskimage-builder is told that one element provides all those that have had
their turn, so their hooks do not run again.  What their files in
``environment.d`` set counts in every later run, so this element has copies.
"""

import collections.abc
import pathlib
import shutil

from trove_tools.image import elements
from trove_tools.image import layers


def write(
    layer: layers.Layer,
    directories: collections.abc.Sequence[str | pathlib.Path],
    place: pathlib.Path,
) -> None:
    """Write the element for one layer's run.

    :param directories: where elements are, the strongest first.
    :param place: becomes a directory of elements, with this one in it.
    """
    element = place / layers.BELOW
    environment = element / "environment.d"
    environment.mkdir(parents=True)
    for name in layer.below:
        directory = elements.find(name, directories)
        assert directory is not None, name
        for file in directory.glob("environment.d/*"):
            shutil.copy(file, environment)
    (element / "element-provides").write_text(
        "".join(f"{name}\n" for name in ("operating-system", *layer.below))
    )
