# SPDX-License-Identifier: Apache-2.0
"""Copies a layer's elements, and checks that its inputs match its digest.

The cache finds a layer by a digest of its inputs. The digest was computed when
the plan was made, minutes before the build reads the files. A layer whose
inputs have changed since must not be stored under that digest.

One element is generated: it provides all elements that already ran in a lower
layer, so that their hooks do not run again. It contains copies of their
``environment.d``, because these variables are needed in every later run. The
other elements are copies with normalized file modes, because diskimage-builder
copies files into the image with their modes, which depend on the umask of the
checkout or installation. The copies also avoid paths with a blank or a colon,
which diskimage-builder does not support.
"""

import collections.abc
import os
import pathlib
import shutil

from trove_tools.host import digests
from trove_tools.plan import agent
from trove_tools.plan import elements
from trove_tools.plan import layers
from trove_tools.sources.network import authorities


def copy_elements(
    layer: layers.Layer,
    directories: collections.abc.Sequence[str | pathlib.Path],
    target: pathlib.Path,
) -> None:
    """Write the elements of a layer's run.

    :param directories: the directories with elements; the first has
        precedence.
    :param target: the directory to create.
    """
    environment = target / layers.BELOW / "environment.d"
    environment.mkdir(parents=True)
    for name in layer.below:
        directory = elements.find(name, directories)
        assert directory is not None, name
        for file in directory.glob("environment.d/*"):
            _copy(file, environment / file.name)
    (target / layers.BELOW / "element-provides").write_text(
        "".join(f"{name}\n" for name in ("operating-system", *layer.below))
    )
    for name in layer.runs:
        directory = elements.find(name, directories)
        assert directory is not None, name
        _copy(directory, target / name)


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy a file, a link or a directory tree.

    The copies have the modes of files in a repository: only the owner's
    permission to execute is kept.
    """
    if source.is_symlink():
        target.symlink_to(os.readlink(source))
    elif source.is_dir():
        target.mkdir()
        target.chmod(0o755)
        for entry in source.iterdir():
            if entry.name != "__pycache__":
                _copy(entry, target / entry.name)
    else:
        shutil.copyfile(source, target)
        target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


_HINT = "build again when nobody writes to it any more"


def require_elements(layer: layers.Layer, directory: pathlib.Path) -> None:
    """Check that the copies of a layer's elements match the plan.

    :param directory: the directory with the copies.
    :raises BuildError: an element has changed.
    """
    for name in layer.runs:
        digest = elements.digest(directory / name)
        _require(layer, f"the element {name}", digest, layer.element(name))


def require_files(layer: layers.Layer) -> None:
    """Check that the files named by variables match the plan.

    Call this after the layer's hooks have read them.

    :raises BuildError: a file or a checkout has changed.
    """
    readers: dict[str, collections.abc.Callable[[str], str]] = {
        agent.CHECKOUT: lambda path: agent.compute_state(pathlib.Path(path)),
        agent.CONSTRAINTS: lambda path: digests.sha256(pathlib.Path(path)),
        authorities.VARIABLE: lambda places: authorities.join_fingerprints(
            authorities.read_guest_authorities(
                map(pathlib.Path, places.split(":"))
            )
        ),
    }
    for name, wanted in layer.places.items():
        if name in readers and wanted:
            path = layer.environment[name]
            _require(layer, path, readers[name](path), wanted)


def _require(layer: layers.Layer, what: str, found: str, wanted: str) -> None:
    what = f"the layer {layer.name}: {what}"
    digests.require(what, found, wanted, _HINT, said="the plan")
