# SPDX-License-Identifier: Apache-2.0
"""Where the guest agent's code comes from.

``--agent`` takes what pip users know: nothing (the series' release from
PyPI), a requirement, ``git+URL@REF``, or a directory with a checkout.
"""

import dataclasses
import hashlib
import os
import pathlib
import re

from trove_tools import errors
from trove_tools import process
from trove_tools.catalog import model

_REQUIREMENT = re.compile(
    r"^trove\s*(\[[\w,]+\])?\s*([<>=!~].*)?$", re.IGNORECASE
)
# an @ before the path is a user's, one in the path begins a ref
_GIT = re.compile(r"^(?P<url>\w+://[^/]*/[^@]+)(@(?P<ref>.+))?$")
_PASSWORD = re.compile(r"://[^/@:]*:[^/@]*@")


@dataclasses.dataclass(frozen=True)
class Agent:
    """A source of the guest agent.

    :param source: pypi, git or checkout.
    :param location: the requirement, the URL, or the directory.
    :param ref: branch, tag or commit of a git source.
    :param state: what a checkout holds: its commit, and a digest of its
        uncommitted changes where there are any.
    :param constraints: a file or URL of upper constraints.
    """

    source: str
    location: str
    ref: str = ""
    state: str = ""
    constraints: str = ""

    def environment(self) -> dict[str, str]:
        """Return the variables that tell the element trove-guest-agent."""
        values = {
            "pypi": {"DIB_TROVE_AGENT_REQUIREMENT": self.location},
            "git": {
                "DIB_TROVE_AGENT_GIT_URL": self.location,
                "DIB_TROVE_AGENT_GIT_REF": self.ref,
            },
            "checkout": {"DIB_TROVE_AGENT_CHECKOUT": self.location},
        }[self.source]
        if self.constraints:
            values["DIB_TROVE_AGENT_CONSTRAINTS"] = self.constraints
        return values


def parse(
    text: str | None, constraints: str | None, series: model.Series
) -> Agent:
    """Return the source that a user named.

    :param text: what ``--agent`` was given.
    :param constraints: what ``--constraints`` was given.
    :param series: what to take when nothing was given.
    :raises UsageError: it names nothing that exists.
    """
    for flag, url in (("--agent", text), ("--constraints", constraints)):
        if url and _PASSWORD.search(url):
            raise errors.UsageError(
                f"{flag}: there is a password in the URL, and it would stay"
                " in the build's log and the image's manifest",
                hint="leave it out, and let git's credential helper or"
                " ~/.netrc of the building user supply it",
            )
    limits = _constraints(constraints)
    if not text:
        return Agent("pypi", series.requirement, constraints=limits)
    if text.startswith("git+"):
        match = _GIT.match(text[4:])
        if match:
            ref = match["ref"] or series.git_ref
            return Agent("git", match["url"], ref=ref, constraints=limits)
    directory = pathlib.Path(text).expanduser()
    if directory.is_dir():
        return _checkout(directory.resolve(), limits)
    if _REQUIREMENT.match(text):
        return Agent("pypi", text, constraints=limits)
    raise errors.UsageError(
        f"--agent {text}: neither a directory, nor git+URL[@REF], nor a"
        " requirement on trove",
        hint=f"for example: '{series.requirement}',"
        f" git+{series.git_url}@{series.git_ref}, /opt/stack/trove",
    )


def _constraints(text: str | None) -> str:
    if not text or "://" in text:
        return text or ""
    file = pathlib.Path(text).expanduser()
    if not file.is_file():
        raise errors.UsageError(
            f"--constraints {text}: there is no such file",
            hint="name a file, or a URL",
        )
    return str(file.resolve())


def _checkout(directory: pathlib.Path, constraints: str) -> Agent:
    if not (directory / "trove" / "guestagent").is_dir():
        raise errors.UsageError(
            f"--agent {directory}: this is no checkout of Trove",
            hint="name the directory that holds trove/guestagent",
        )
    state = ""
    if (directory / ".git").exists():
        state = _state(directory)
    return Agent(
        "checkout", str(directory), state=state, constraints=constraints
    )


def _state(directory: pathlib.Path) -> str:
    """Return the commit, and a digest of what is not committed."""
    git = (
        "git", "-c", f"safe.directory={directory}", "-C", directory,
    )  # fmt: skip
    commit = process.run([*git, "rev-parse", "HEAD"]).stdout.strip()
    changes = process.run([*git, "diff", "HEAD", "--binary"]).stdout
    listed = process.run(
        [*git, "ls-files", "--others", "--exclude-standard", "-z"]
    ).stdout
    total = hashlib.sha256(changes.encode())
    new = [name for name in listed.split("\0") if name]
    for name in sorted(new):
        total.update(name.encode())
        file = directory / name
        if file.is_file():
            total.update(file.read_bytes())
        elif file.is_symlink():
            total.update(os.readlink(file).encode())
    if changes or new:
        return f"{commit}+{total.hexdigest()[:16]}"
    return commit
