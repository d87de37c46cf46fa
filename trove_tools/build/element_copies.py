# SPDX-License-Identifier: Apache-2.0
"""Copies the elements of a layer's run to a directory of the build.

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

from trove_tools.plan import elements
from trove_tools.plan import layers


def write(
    layer: layers.Layer,
    directories: collections.abc.Sequence[str | pathlib.Path],
    place: pathlib.Path,
) -> None:
    """Write the elements of a layer's run.

    :param directories: the directories with elements; the first has
        precedence.
    :param place: the directory to create.
    """
    environment = place / layers.BELOW / "environment.d"
    environment.mkdir(parents=True)
    for name in layer.below:
        directory = elements.find(name, directories)
        assert directory is not None, name
        for file in directory.glob("environment.d/*"):
            _copy(file, environment / file.name)
    (place / layers.BELOW / "element-provides").write_text(
        "".join(f"{name}\n" for name in ("operating-system", *layer.below))
    )
    for name in layer.runs:
        directory = elements.find(name, directories)
        assert directory is not None, name
        _copy(directory, place / name)


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
