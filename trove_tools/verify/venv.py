# SPDX-License-Identifier: Apache-2.0
"""Makes the virtual environment in which the services are installed.

It is made once, and all miniclouds and verifications of this user share it.
Its name contains a digest of the pinned versions, so another set of versions
gets another environment.  A marker file in it shows whether it is complete:
an interrupted installation is repeated, and a directory that this module did
not make is never changed.
"""

import collections.abc
import hashlib
import json
import pathlib
import shutil
import sys

from trove_tools import errors
from trove_tools.host import files
from trove_tools.host import paths
from trove_tools.host import process

REQUIREMENTS = pathlib.Path(__file__).with_name("venv-requirements.txt")

_MARK = "trove-tools-minicloud.json"
_TIMEOUT = 1800.0

Report = collections.abc.Callable[[str], None]


def digest() -> str:
    """Return a digest of the pinned versions and the version of Python."""
    content = REQUIREMENTS.read_bytes()
    python = f"{sys.version_info.major}.{sys.version_info.minor}".encode()
    return hashlib.sha256(python + b"\0" + content).hexdigest()[:12]


def default_path() -> pathlib.Path:
    """Return the default path of the environment."""
    return paths.user_cache() / f"minicloud-venv-{digest()}"


def ensure(path: pathlib.Path, report: Report) -> None:
    """Install the services unless they are installed already.

    Several processes may call this at once: one installs, the others wait.

    :param path: the path of the environment, which may not exist yet.
    :param report: called with a text before each slow step.
    :raises UsageError: the path cannot be used.
    :raises MissingToolError: Python's venv module is not complete.
    :raises CommandError: the installation failed.
    """
    if _is_complete(path):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.hold_lock(
            path.with_name(path.name + ".lock"),
            lambda: report(
                "waiting for another command that installs the services"
            ),
        ):
            if not _is_complete(path):
                _install(path, report)
    except OSError as exc:
        raise errors.UsageError(
            f"the services cannot be installed into {path}:"
            f" {exc.strerror or exc}",
            hint="name another directory with --venv",
        ) from exc


def _mark(path: pathlib.Path) -> dict[str, object] | None:
    try:
        values = json.loads((path / _MARK).read_text())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _is_complete(path: pathlib.Path) -> bool:
    # its python is a link to the Python that made it, which may be gone
    works = (path / "bin/python").exists()
    return works and _mark(path) == {"digest": digest(), "complete": True}


def _write_mark(path: pathlib.Path, complete: bool) -> None:
    values = {"digest": digest(), "complete": complete}
    files.write_file(path / _MARK, json.dumps(values) + "\n")


def _install(path: pathlib.Path, report: Report) -> None:
    if path.exists() and any(path.iterdir()):
        if not (path / _MARK).exists():
            raise errors.UsageError(
                f"{path} is not empty and was not made by this tool",
                hint="name an empty or a new directory with --venv",
            )
        report(f"an unfinished or older installation is redone: {path}")
        _clear(path)
    path.mkdir(exist_ok=True)
    _write_mark(path, complete=False)
    report(f"installing keystone, glance and trove into {path} (once)")
    result = process.run(
        [sys.executable, "-m", "venv", path], check=False, timeout=_TIMEOUT
    )
    if result.status != 0:
        if "ensurepip" in result.stdout + result.stderr:
            raise errors.MissingToolError(
                "this Python cannot make virtual environments",
                hint="install with: sudo apt-get install python3-venv",
            )
        raise process.make_failure(
            [sys.executable, "-m", "venv", path],
            result.status,
            result.stderr or result.stdout,
        )
    try:
        process.run(
            [path / "bin/python", "-m", "pip", "install",
             "--quiet", "--disable-pip-version-check", "--no-input",
             "--requirement", REQUIREMENTS],
            env={"PYTHONPATH": "", "PYTHONHOME": ""},
            timeout=_TIMEOUT,
        )  # fmt: skip
    except errors.CommandError as exc:
        exc.hint = (
            "is a package index reached? `pip config list` shows the"
            " settings in use; the next start tries again"
        )
        raise
    _write_mark(path, complete=True)


def _clear(path: pathlib.Path) -> None:
    # the marker file stays: without it the directory would look foreign
    for entry in path.iterdir():
        if entry.name == _MARK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
