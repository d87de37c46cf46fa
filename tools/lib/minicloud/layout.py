# SPDX-License-Identifier: Apache-2.0
"""Where things lie in a minicloud's directory.

::

    DIR/minicloud.json   ports, passwords, what is prepared; marks DIR as ours
    DIR/clouds.yaml      what clients read; written when the cloud is ready
    DIR/etc              configuration and keys of the services
    DIR/data             databases and images
    DIR/log              one file a service
    DIR/run              the services' working directory; who runs

Everything with a secret in it is readable for its owner only.
"""

import dataclasses
import os
import pathlib

from trove_tools import errors
from trove_tools.host import files
from trove_tools.host import trust

#: Characters that an SQLite URL or the services' ini files, which replace
#: ``$name`` and ``%(name)s`` more than once, cannot carry in a path.
_UNFIT = "?#$%\n\r\t"


@dataclasses.dataclass(frozen=True)
class Layout:
    """The paths of one minicloud.

    :param root: its directory, absolute.
    """

    root: pathlib.Path

    @property
    def state(self) -> pathlib.Path:
        """The file that makes a directory a minicloud's."""
        return self.root / "minicloud.json"

    @property
    def clouds(self) -> pathlib.Path:
        """The clients' configuration."""
        return self.root / "clouds.yaml"

    @property
    def lock(self) -> pathlib.Path:
        """Held by whoever starts or stops."""
        return self.root / ".lock"

    @property
    def etc(self) -> pathlib.Path:
        """Configuration of the services."""
        return self.root / "etc"

    @property
    def data(self) -> pathlib.Path:
        """Databases and images."""
        return self.root / "data"

    @property
    def run(self) -> pathlib.Path:
        """Who runs; nothing else has this working directory."""
        return self.root / "run"

    def database(self, service: str) -> pathlib.Path:
        """The SQLite database of a service."""
        return self.data / f"{service}.sqlite"

    def log(self, service: str) -> pathlib.Path:
        """The log of a service."""
        return self.root / "log" / f"{service}.log"

    def record(self, service: str) -> pathlib.Path:
        """The file that remembers a service's process."""
        return self.run / f"{service}.json"

    def make(self) -> None:
        """Create the directories below the root."""
        logs = self.root / "log"
        for directory in (self.etc, self.data, logs, self.run):
            directory.mkdir(mode=0o700, exist_ok=True)


def existing(directory: pathlib.Path) -> Layout:
    """Return the layout of a minicloud that was started before.

    :raises UsageError: it is no minicloud's directory.
    """
    layout = Layout(_absolute(directory))
    if not layout.state.is_file():
        raise errors.UsageError(
            f"there is no minicloud in {layout.root}",
            hint=f"make one with: tools/minicloud start {directory}",
        )
    # what is in there decides which processes are ended, and what is run
    trust.require_own(layout.root, "the minicloud in")
    return layout


def new_or_existing(directory: pathlib.Path) -> Layout:
    """Return the layout of a directory in which a minicloud may live.

    The directory is made where it does not exist.

    :raises UsageError: it belongs to something else, or cannot be used.
    """
    layout = Layout(_absolute(directory))
    root = layout.root
    unfit = sorted({repr(char) for char in str(root) if char in _UNFIT})
    if unfit:
        raise errors.UsageError(
            f"the services cannot work in a path with {' or '.join(unfit)}:"
            f" {str(root)!r}",
            hint="choose another directory",
        )
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as exc:
        raise errors.UsageError(
            f"{root} is not a directory",
            hint="name a directory that is empty or not there yet",
        ) from exc
    except OSError as exc:
        raise _unusable(root, exc) from exc
    trust.require_own(root, "the minicloud in")
    foreign = [path for path in _entries(root) if not _is_ours(path)]
    if foreign and not layout.state.is_file():
        raise errors.UsageError(
            f"{root} is not empty and not a minicloud's directory",
            hint="name a directory that is empty or not there yet",
        )
    if not os.access(root, os.W_OK | os.X_OK):
        raise _unusable(root, PermissionError("no right to write"))
    return layout


def write_private(path: pathlib.Path, text: str) -> None:
    """Write a file that only its owner can read, wholly or not at all."""
    files.write_file(path, text, mode=0o600)


def _absolute(directory: pathlib.Path) -> pathlib.Path:
    return directory.expanduser().resolve()


def _entries(root: pathlib.Path) -> list[pathlib.Path]:
    try:
        return list(root.iterdir())
    except OSError as exc:
        raise _unusable(root, exc) from exc


def _is_ours(path: pathlib.Path) -> bool:
    # what a start that was killed at once leaves
    return path.name == ".lock" or path.name.startswith(".minicloud.json.")


def _unusable(root: pathlib.Path, exc: OSError) -> errors.UsageError:
    return errors.UsageError(
        f"{root} cannot be used: {exc.strerror or exc}",
        hint="name a directory that you can write to",
    )
