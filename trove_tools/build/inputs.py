# SPDX-License-Identifier: Apache-2.0
"""Checks that a layer is built from the inputs in its digest.

The cache finds a layer by a digest of its inputs. The digest was computed when
the plan was made, minutes before the build reads the files. A layer whose
inputs have changed since must not be stored under that digest.
"""

import collections.abc
import pathlib

from trove_tools.host import digests
from trove_tools.plan import agent
from trove_tools.plan import elements
from trove_tools.plan import layers
from trove_tools.sources.network import authorities

_HINT = "build again when nobody writes to it any more"


def require_elements(layer: layers.Layer, directory: pathlib.Path) -> None:
    """Check that the copies of a layer's elements match the plan.

    :param directory: the directory with the copies.
    :raises BuildError: an element has changed.
    """
    for name in layer.runs:
        found = elements.digest(directory / name)
        _require(layer, f"the element {name}", found, layer.element(name))


def require_files(layer: layers.Layer) -> None:
    """Check that the files named by variables match the plan.

    Call this after the layer's hooks have read them.

    :raises BuildError: a file or a checkout has changed.
    """
    readers: dict[str, collections.abc.Callable[[str], str]] = {
        agent.CHECKOUT: lambda place: agent.compute_state(pathlib.Path(place)),
        agent.CONSTRAINTS: lambda place: digests.sha256(pathlib.Path(place)),
        authorities.VARIABLE: lambda places: authorities.join_fingerprints(
            authorities.read_guest_authorities(
                map(pathlib.Path, places.split(":"))
            )
        ),
    }
    for name, wanted in layer.places.items():
        if name in readers and wanted:
            place = layer.environment[name]
            _require(layer, place, readers[name](place), wanted)


def _require(layer: layers.Layer, what: str, found: str, wanted: str) -> None:
    what = f"the layer {layer.name}: {what}"
    digests.require(what, found, wanted, _HINT, said="the plan")
