# SPDX-License-Identifier: Apache-2.0
"""Makes the container that Trove's guest agent takes backups with.

Its program is part of Trove's source distribution (not of the wheel, which
has the package ``trove`` alone).  With its requirements from the package
index and the database's own tool from the guest system's packages it becomes
a container, without a daemon and without a registry.

The agent asks a registry for it before each backup (Trove 26,
``get_backup_image``), so it is of use in a registry that guests reach, and
not in an image.
"""

import collections.abc
import dataclasses
import io
import os
import pathlib
import re
import sys
import tarfile

import yaml

from trove_tools import causes
from trove_tools import errors
from trove_tools import process
from trove_tools.catalog import model
from trove_tools.container import archive
from trove_tools.container import recipes
from trove_tools.container import rootfs

#: Where the agent expects the program: it runs ``python3 main.py``.
PROGRAM = "opt/trove/backup"
_LIBRARIES = "opt/trove/lib"
_PACKAGES = ("python3", "dumb-init")
# what the index has ready-made for amd64, the newest first
_PLATFORMS = {
    "amd64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64",
              "manylinux2014_x86_64"),
    "arm64": ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64",
              "manylinux2014_aarch64"),
}  # fmt: skip
_TIMEOUT = 900.0
# the packages' versions say more than any time
_EPOCH = 0
_PYTHON = re.compile(r"\./usr/bin/python(3\.\d+)$")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A backup container that somebody wants.

    :param name: of the image, with its tag.
    :param guest: distribution, release and arch of its packages.
    :param requirement: of Trove, for the package index.
    :param constraints: a file or URL of upper constraints, or nothing.
    """

    datastore: model.Datastore
    version: str
    name: str
    guest: collections.abc.Mapping[str, str]
    requirement: str
    constraints: str


@dataclasses.dataclass(frozen=True)
class Made:
    """A backup container that is there.

    :param digest: the image's id.
    :param trove: the release that its program is of.
    """

    archive: pathlib.Path
    name: str
    digest: str
    trove: str


def recipe(datastore: model.Datastore, version: str) -> recipes.Recipe:
    """Return how packages become a datastore's backup container.

    :raises UsageError: Trove's program has no tool that packages bring.
    """
    container = datastore.runtime("container").container
    file = recipes.DIRECTORY / (container.recipe if container else "")
    file /= "backup.yaml"
    if container is None or not container.recipe or not file.is_file():
        raise errors.UsageError(
            f"no packages make a backup container of {datastore.name}",
            hint="take the one that Trove publishes",
        )
    text = file.read_text().replace("{version}", version)
    data = yaml.safe_load(text)
    places = ["/usr/local/bin", data["path"], "/usr/bin", "/bin", "/usr/sbin"]
    return recipes.Recipe(
        directory=file.parent / "backup",
        command=(),
        environment={
            "PATH": ":".join(filter(None, places)),
            "PYTHONPATH": f"/{_LIBRARIES}",
            "LANG": "C.UTF-8",
        },
        port=0,
        stop_signal="SIGTERM",
        exclude=tuple(data["exclude"]),
        remove=tuple(data["remove"]),
        delete=tuple(data["delete"]),
        packages=(*data["packages"], *_PACKAGES),
    )


def make(
    wanted: Wanted,
    how: recipes.Recipe,
    file: pathlib.Path,
    directory: pathlib.Path,
    *,
    mirror: str | None,
    security: str | None,
    say: collections.abc.Callable[[str], object],
) -> Made:
    """Make a backup container.

    :param how: from :func:`recipe`.
    :param file: the archive to write.
    :param directory: an empty one, to work in.
    :param say: told what is being done.
    :raises BuildError: packages, program or requirements cannot be had.
    """
    say("packages")
    root, _ = rootfs.make(
        how,
        guest=wanted.guest,
        packages=how.packages,
        mirror=mirror,
        security=security,
        directory=directory,
    )
    say("Trove's program")
    source, trove = _source(wanted, directory)
    say("what it requires")
    libraries = _requirements(
        wanted, source / "requirements.txt", _python(root), directory
    )
    with tarfile.open(root, "a", format=tarfile.PAX_FORMAT) as layer:
        _add(layer, source, PROGRAM)
        _add(layer, libraries, _LIBRARIES)
    say("the archive")
    config = {
        "Entrypoint": ["dumb-init", "--single-child", "--"],
        "Env": [f"{key}={value}" for key, value in how.environment.items()]
        + [f"TROVE_VERSION={trove}"],
        "WorkingDir": f"/{PROGRAM}",
    }
    digest = archive.write(
        root, file, names=[wanted.name], arch=wanted.guest["arch"],
        config=config, epoch=_EPOCH,
    )  # fmt: skip
    return Made(file, wanted.name, digest, trove)


def _source(
    wanted: Wanted, directory: pathlib.Path
) -> tuple[pathlib.Path, str]:
    """Get Trove's program from its source distribution."""
    place = directory / "source"
    _pip(
        "download", "--no-deps", "--no-binary", "trove", "--dest", place,
        wanted.requirement,
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
    wanted: Wanted,
    requirements: pathlib.Path,
    python: str,
    directory: pathlib.Path,
) -> pathlib.Path:
    """Install what the program requires, for the container's Python."""
    place = directory / "lib"
    _pip(
        "install", "--target", place, "--only-binary=:all:", "--no-compile",
        "--implementation=cp", f"--python-version={python}",
        *(f"--platform={one}" for one in _PLATFORMS[wanted.guest["arch"]]),
        "--requirement", requirements,
        # an address may hold a token, which ps would show
        **({"PIP_CONSTRAINT": wanted.constraints} if wanted.constraints
           else {}),
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
            hint=causes.remedy(exc.output)
            or "check pip's settings (PIP_INDEX_URL, pip.conf) and"
            " --constraints",
        ) from exc


def _python(root: pathlib.Path) -> str:
    """Return the version of a root's Python, such as 3.13."""
    with tarfile.open(root) as archived:
        for name in archived.getnames():
            found = _PYTHON.match(name)
            if found:
                return found[1]
    raise errors.BuildError("the packages bring no Python 3")


def _add(layer: tarfile.TarFile, tree: pathlib.Path, where: str) -> None:
    """Add files to a layer, the same bytes each time."""
    files = [
        pathlib.Path(place, name)
        for place, _, names in os.walk(tree)
        for name in names
    ]
    for file in sorted(files):
        inside = file.relative_to(tree)
        # scripts name the build host's Python; pip notes where from
        if inside.parts[0] == "bin" or file.suffix == ".pyc":
            continue
        content = file.read_bytes()
        member = tarfile.TarInfo(f"./{where}/{inside}")
        member.size = len(content)
        member.mode = 0o644
        member.mtime = _EPOCH
        layer.addfile(member, io.BytesIO(content))
