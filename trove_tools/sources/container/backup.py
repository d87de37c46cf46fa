# SPDX-License-Identifier: Apache-2.0
"""Adds Trove's backup program to the root of a container.

The program is part of Trove's source distribution, but not of the wheel, which
only has the package ``trove``.  The backup container consists of the program,
its requirements from the package index, and the database's backup tool from
the guest system's packages; no daemon and no registry is needed.
"""

import base64
import hashlib
import io
import os
import pathlib
import re
import shutil
import sys
import tarfile

from trove_tools import errors
from trove_tools.host import causes
from trove_tools.host import digests
from trove_tools.host import process
from trove_tools.sources.container import recipes
from trove_tools.sources.container import sources

# the platforms of the index's binary packages, the newest first
_PLATFORMS = {
    "amd64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64",
              "manylinux2014_x86_64"),
    "arm64": ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64",
              "manylinux2014_aarch64"),
}  # fmt: skip
_TIMEOUT = 900.0
_PYTHON = re.compile(r"\./usr/bin/python(3\.\d+)$")
# lines of a package's RECORD with files in bin
_SCRIPTS = re.compile(rb"^\.\./\.\./bin/.*\n", re.MULTILINE)


def add_program(
    root: pathlib.Path,
    container: sources.Container,
    program: tuple[pathlib.Path, str],
    arch: str,
    directory: pathlib.Path,
    epoch: int,
) -> str:
    """Add the program and its requirements to a container's root.

    :param root: the tar archive of the root; files are appended to it.
    :param program: the result of :func:`fetch_program`.
    :param arch: the guest system's architecture.
    :param directory: the directory for temporary files.
    :param epoch: the time of the files, in seconds since 1970.
    :returns: the version of Trove that has the program.
    :raises BuildError: the requirements cannot be downloaded.
    """
    source, trove = program
    libraries = _requirements(
        container, source / "requirements.txt", arch, _python(root), directory
    )
    _install(source, libraries, trove)
    with tarfile.open(root, "a", format=tarfile.PAX_FORMAT) as layer:
        _add(layer, libraries, recipes.LIBRARIES, epoch)
    return trove


def _install(
    source: pathlib.Path, libraries: pathlib.Path, trove: str
) -> None:
    """Copy the program to its requirements, and write a record like pip's.

    ``inspect`` distinguishes published files from others by that record:
    https://packaging.python.org/en/latest/specifications/recording-installed-packages/
    """
    shutil.copytree(source, libraries / "backup")
    lines = []
    for file in sorted(source.rglob("*.py")):
        content = file.read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
        name = f"backup/{file.relative_to(source)}"
        text = digest.decode().rstrip("=")
        lines.append(f"{name},sha256={text},{len(content)}\n")
    metadata = libraries / f"trove_backup-{trove}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: trove-backup\nVersion: {trove}\n"
    )
    (metadata / "RECORD").write_text("".join(lines))


def fetch_program(
    requirement: str, directory: pathlib.Path
) -> tuple[pathlib.Path, str]:
    """Download Trove's source distribution and unpack the backup program.

    :param requirement: for pip, the requirement on Trove.
    :param directory: the directory for temporary files.
    :returns: the directory of the program, and the version of Trove.
    :raises BuildError: the program cannot be downloaded.
    """
    place = directory / "source"
    _pip(
        "download", "--no-deps", "--no-binary", "trove", "--dest", place,
        requirement,
    )  # fmt: skip
    (found,) = place.glob("trove-*.tar.gz")
    trove = found.name.removeprefix("trove-").removesuffix(".tar.gz")
    with tarfile.open(found) as sdist:
        inside = f"trove-{trove}/backup/"
        for member in sdist.getmembers():
            name = pathlib.PurePath(member.name)
            wanted_here = member.name.startswith(inside) and member.isfile()
            if wanted_here and not {"..", "tests"} & set(name.parts):
                stream = sdist.extractfile(member)
                assert stream is not None
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(stream.read())
    if not (place / inside / "main.py").is_file():
        raise errors.BuildError(
            f"{found.name} has no program that takes backups"
        )
    return place / inside, trove


def _requirements(
    container: sources.Container,
    requirements: pathlib.Path,
    arch: str,
    python: str,
    directory: pathlib.Path,
) -> pathlib.Path:
    """Install the program's requirements for the container's Python.

    :returns: the directory with the installed packages.
    """
    place = directory / "lib"
    file = container.constraints
    if container.constraints_digest:
        digests.require(
            f"--constraints {file}",
            digests.sha256(pathlib.Path(file)),
            container.constraints_digest,
            "build again when nobody writes to it any more",
            said="the plan",
        )
    _pip(
        "install", "--target", place, "--only-binary=:all:", "--no-compile",
        "--implementation=cp", f"--python-version={python}",
        *(f"--platform={one}" for one in _PLATFORMS[arch]),
        "--requirement", requirements,
        # a URL may contain a token, which ps would show
        **({"PIP_CONSTRAINT": file} if file else {}),
    )  # fmt: skip
    return place


def _pip(*argv: process.Argument, **variables: str) -> None:
    try:
        process.run(
            [sys.executable, "-m", "pip", "--disable-pip-version-check",
             "--quiet", *argv],
            env=variables,
            timeout=_TIMEOUT,
        )  # fmt: skip
    except errors.CommandError as exc:
        lines = exc.output.strip().splitlines()
        told = [line for line in lines if "ERROR" in line] or lines
        said = "".join(f"\n  | {line}" for line in told[-6:])
        raise errors.BuildError(
            f"the package index has not all of the backup program{said}",
            hint=causes.find_remedy(exc.output, mirror=False)
            or "check pip's settings (PIP_INDEX_URL, pip.conf) and"
            " --constraints",
        ) from exc


def _python(root: pathlib.Path) -> str:
    """Return the version of Python in a root's archive, such as 3.13."""
    with tarfile.open(root) as archived:
        for name in archived.getnames():
            found = _PYTHON.match(name)
            if found:
                return found[1]
    raise errors.BuildError("the packages bring no Python 3")


def _add(
    layer: tarfile.TarFile, tree: pathlib.Path, where: str, epoch: int
) -> None:
    """Add a tree of files to a layer reproducibly.

    :param where: the directory for the files in the container.
    :param epoch: the time of the files, in seconds since 1970.
    """
    files = [
        pathlib.Path(place, name)
        for place, _, names in os.walk(tree)
        for name in names
    ]
    for file in sorted(files):
        inside = file.relative_to(tree)
        # scripts contain the path of the build host's Python; tests contain
        # private keys
        if (
            inside.parts[0] == "bin"
            or file.suffix == ".pyc"
            or "tests" in inside.parts
        ):
            continue
        content = file.read_bytes()
        if file.name == "RECORD":
            content = _SCRIPTS.sub(b"", content)
        member = tarfile.TarInfo(f"./{where}/{inside}")
        member.size = len(content)
        member.mode = 0o644
        member.mtime = epoch
        layer.addfile(member, io.BytesIO(content))
