# SPDX-License-Identifier: Apache-2.0
"""The elements of one layer's run, copied to a directory of the build.

One element is made for the run: it provides all elements that already ran in
a lower layer, so that their hooks do not run again, and holds copies of their
``environment.d``, whose variables count in every later run.

The others are copies.  diskimage-builder copies files of elements into the
image with the modes that they have, and those depend on the umask with which
a checkout was cloned or a package installed: the copies have modes of their
own.  And it cannot work with a path that has a blank or a colon in it.
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
    """Write the elements of one layer's run.

    :param directories: where elements are, the strongest first.
    :param place: becomes the directory with the elements.
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
    """Copy a file, a link or a directory with all that is below it.

    The modes are those that files have in a repository: whether the owner
    can execute a file is all that is kept.
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
