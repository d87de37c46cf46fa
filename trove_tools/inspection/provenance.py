# SPDX-License-Identifier: Apache-2.0
"""Determines which files of a root belong to a package and are unchanged.

The distribution has published such a file, so it cannot contain a secret of
the image's builder. All other files are read completely.

dpkg stores an MD5 sum of each file of a package, and of each configuration
file as it is in the package (dpkg-query(1), deb-md5sums(5)). A Python
distribution has a record with digests. Only the digests of modules, including
compiled ones, are used here, because a distribution may come from a checkout
with arbitrary other files:
https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

import base64
import collections
import collections.abc
import csv
import importlib.util
import pathlib
import re

from trove_tools.inspection import rootfile

# directories of Python packages: Debian's, and those of virtual environments
_LIBRARY = re.compile(r".*/(?:site|dist)-packages(?=/)", re.DOTALL)

_DPKG = "var/lib/dpkg"
# bytes; a large distribution's record, which lists all files, has 1 MB, and
# the status file of a desktop has 10 MB
_LARGEST = 64 * 1024 * 1024
_SUM = re.compile(r"^(?P<sum>[0-9a-f]{32})  (?P<path>\S.*)$", re.MULTILINE)
_CONFIGURATION = re.compile(
    r"^ /(?P<path>\S+) (?P<sum>[0-9a-f]{32})", re.MULTILINE
)

# including libraries that a wheel contains for its modules
_MODULE = re.compile(r"\.(?:py|so[.\d]*)$")

# PEP 552: magic number, flags, then either time and size, or a digest, of
# the module's source
_PYC_HEADER = 16
_PYC_BY_DIGEST = 0b01
_PYC_FLAGS = 0b11


class Provenance:
    """The digests that the packages in a root record of their files."""

    def __init__(self, roots: collections.abc.Iterable[pathlib.Path]) -> None:
        """Read the digests of dpkg.

        :param roots: the root, and the layers of its containers: each may have
            a dpkg database, which may list files of another layer.
        """
        self._sums: dict[str, set[str]] = collections.defaultdict(set)
        self._records: dict[pathlib.Path, dict[str, str]] = {}
        # the results for modules, needed again for the compiled modules
        self._known: dict[pathlib.Path, bool] = {}
        for root in roots:
            for file in (root / _DPKG / "info").glob("*.md5sums"):
                self._add(_SUM, file)
            self._add(_CONFIGURATION, root / _DPKG / "status")

    def _add(self, line: re.Pattern[str], file: pathlib.Path) -> None:
        for match in line.finditer(rootfile.read_text(file, _LARGEST)):
            self._sums[_merged(match["path"])].add(match["sum"])

    def is_published(self, file: rootfile.File) -> bool:
        """Return whether a regular file is an unchanged file of a package."""
        if file.name.endswith(".pyc"):
            return self._is_compiled(file)
        if not file.name.endswith(".py"):
            return self._is_of_package(file)
        if file.path not in self._known:
            self._known[file.path] = self._is_of_package(file)
        return self._known[file.path]

    def _is_of_package(self, file: rootfile.File) -> bool:
        if _MODULE.search(file.name) and self._is_recorded(file.path):
            return True
        sums = self._sums.get(_merged(file.name))
        return sums is not None and (
            rootfile.compute_digest(file.path, "md5").hex() in sums
        )

    def _is_recorded(self, path: pathlib.Path) -> bool:
        library = find_library(path)
        if library is None:
            return False
        recorded = self._record(library).get(str(path.relative_to(library)))
        if not recorded:
            return False
        digest = base64.urlsafe_b64encode(
            rootfile.compute_digest(path, "sha256")
        )
        return recorded == f"sha256={digest.decode().rstrip('=')}"

    def _record(self, library: pathlib.Path) -> dict[str, str]:
        """Return the recorded digests of files below a package directory."""
        if library not in self._records:
            self._records[library] = {
                row[0]: row[1]
                for record in library.glob("*.dist-info/RECORD")
                for row in csv.reader(
                    rootfile.read_text(record, _LARGEST).splitlines()
                )
                if len(row) > 1
            }
        return self._records[library]

    def _is_compiled(self, file: rootfile.File) -> bool:
        """Return whether a compiled module was made from a published source.

        Python itself checks the same header before it uses the module.
        """
        module = file.path.name.partition(".")[0]
        source = file.beside(file.path.parent.parent / f"{module}.py")
        if source is None or not self.is_published(source):
            return False
        with open(file.path, "rb") as stream:
            header = stream.read(_PYC_HEADER)
        flags = int.from_bytes(header[4:8], "little")
        if len(header) < _PYC_HEADER or flags & ~_PYC_FLAGS:
            return False
        if flags & _PYC_BY_DIGEST:
            return header[8:] == importlib.util.source_hash(
                source.path.read_bytes()
            )
        expected = (int(source.status.st_mtime), source.status.st_size)
        return header[8:] == b"".join(
            (number & 0xFFFFFFFF).to_bytes(4, "little") for number in expected
        )


def find_library(path: pathlib.Path) -> pathlib.Path | None:
    """Return the directory of Python packages that contains a file."""
    match = _LIBRARY.match(str(path))
    return pathlib.Path(match[0]) if match else None


def _merged(path: str) -> str:
    """Return a path without ``usr/``; /bin and /lib are links into /usr."""
    return path.removeprefix("usr/")
