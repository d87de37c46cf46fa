# SPDX-License-Identifier: Apache-2.0
"""Whether a Python module is a package's, unchanged: given to everybody.

dpkg keeps MD5 sums of a package's files; a Python distribution keeps a
record with digests:
https://packaging.python.org/en/latest/specifications/recording-installed-packages/
A compiled module is in neither, as it is made where it is installed; so
what it shows must stand in its source.
"""

import base64
import collections.abc
import csv
import hashlib
import pathlib

from trove_tools.inspection import reading

#: Where Python packages are, Debian's and others.
LIBRARIES = frozenset({"site-packages", "dist-packages"})

_SUMS = "var/lib/dpkg/info"
# a record names each file of a distribution; that of a large one has 1 MB
_LARGEST = 16 * 1024 * 1024


def shows(
    root: pathlib.Path,
    file: pathlib.Path,
    texts: collections.abc.Collection[bytes],
) -> bool:
    """Tell whether a package's unchanged module shows some texts.

    :param root: the directory where the root file system is.
    :param file: a file below it.
    :param texts: what is in the file, each a part of a line or of a few.
    """
    if not LIBRARIES & set(file.relative_to(root).parts):
        return False
    if file.suffix == ".pyc" and file.parent.name == "__pycache__":
        source = file.name.partition(".")[0]
        file = file.parent.parent / f"{source}.py"
    if file.suffix != ".py":
        return False
    content = reading.content(file)
    if content is None or not all(text in content for text in texts):
        return False
    return _of_dpkg(root, file, content) or _of_python(file, content)


def _of_dpkg(root: pathlib.Path, file: pathlib.Path, content: bytes) -> bool:
    total = hashlib.md5(content, usedforsecurity=False).hexdigest()
    wanted = f"{total}  {file.relative_to(root)}"
    return any(
        wanted in reading.text(root, sums.relative_to(root), _LARGEST)
        .splitlines()
        for sums in (root / _SUMS).glob("*.md5sums")
    )  # fmt: skip


def _of_python(file: pathlib.Path, content: bytes) -> bool:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    wanted = f"sha256={digest.decode().rstrip('=')}"
    for place in file.parents:
        if place.name in LIBRARIES:
            name = str(file.relative_to(place))
            return any(
                row[:2] == [name, wanted]
                for record in place.glob("*.dist-info/RECORD")
                for row in csv.reader(
                    reading.text(
                        place, record.relative_to(place), _LARGEST
                    ).splitlines()
                )
            )
    return False
