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

from trove_tools import credentials
from trove_tools import errors
from trove_tools import paths
from trove_tools import process
from trove_tools.catalog import model
from trove_tools.image import elements

_REQUIREMENT = re.compile(
    r"^trove\s*(\[[\w,]+\])?\s*([<>=!~].*)?$", re.IGNORECASE
)
# an @ before the path is a user's, one in the path begins a ref
_GIT = re.compile(r"^(?P<url>\w+://[^/]*/[^@]+)(@(?P<ref>.+))?$")


@dataclasses.dataclass(frozen=True)
class Agent:
    """A source of the guest agent.

    :param source: pypi, git or checkout.
    :param location: the requirement, the URL, or the directory.
    :param ref: branch, tag or commit of a git source.
    :param state: what a checkout holds: its commit, and a digest of its
        uncommitted changes where there are any; without a repository, a
        digest of all.
    :param constraints: a file or URL of upper constraints.
    :param constraints_digest: of the file.
    :param dependencies: lines of a requirements file that bring, as far as
        it is known beforehand, what the agent's code needs.
    """

    source: str
    location: str
    ref: str = ""
    state: str = ""
    constraints: str = ""
    constraints_digest: str = ""
    dependencies: str = ""

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
        if self.dependencies:
            values["DIB_TROVE_AGENT_DEPENDENCIES"] = self.dependencies
        return values

    def places(self) -> dict[str, str]:
        """Return what lies at the places that variables name."""
        values = {}
        if self.source == "checkout":
            values["DIB_TROVE_AGENT_CHECKOUT"] = self.state
        if self.constraints_digest:
            values["DIB_TROVE_AGENT_CONSTRAINTS"] = self.constraints_digest
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
        credentials.refuse(
            url,
            flag,
            "leave it out, and let git's credential helper or ~/.netrc of the"
            " building user supply it",
            account=True,
        )
    return dataclasses.replace(
        _source(text or series.requirement, series),
        **_constraints(constraints),
    )


def _source(text: str, series: model.Series) -> Agent:
    if text.startswith("git+"):
        match = _GIT.match(text[4:])
        if match:
            ref = match["ref"] or series.git_ref
            # what a commit needs is not known before it is fetched; nearly
            # all of it is what the series' release needs
            return Agent(
                "git", match["url"], ref=ref, dependencies=series.requirement
            )
    directory = pathlib.Path(text).expanduser()
    if directory.is_dir():
        return _checkout(directory.resolve())
    if _REQUIREMENT.match(text):
        return Agent("pypi", text, dependencies=text)
    raise errors.UsageError(
        f"--agent {text}: neither a directory, nor git+URL[@REF], nor a"
        " requirement on trove",
        hint=f"for example: '{series.requirement}',"
        f" git+{series.git_url}@{series.git_ref}, /opt/stack/trove",
    )


def _constraints(text: str | None) -> dict[str, str]:
    if not text or "://" in text:
        return {"constraints": text or ""}
    file = pathlib.Path(text).expanduser()
    paths.require_file(file, "--constraints", "name a file, or a URL")
    return {
        "constraints": str(file.resolve()),
        "constraints_digest": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def _checkout(directory: pathlib.Path) -> Agent:
    if not (directory / "trove" / "guestagent").is_dir():
        raise errors.UsageError(
            f"--agent {directory}: this is no checkout of Trove",
            hint="name the directory that holds trove/guestagent",
        )
    if (directory / ".git").exists():
        state = _state(directory)
    else:
        state = elements.digest(directory)
    return Agent(
        "checkout", str(directory), state=state,
        dependencies=_requirements(directory / "requirements.txt"),
    )  # fmt: skip


def _requirements(file: pathlib.Path) -> str:
    """Return what a file requires, without comments.

    :returns: nothing where there is no such file: all is installed with the
        agent's code then.
    """
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return ""
    words = (line.partition("#")[0].strip() for line in lines)
    return "\n".join(filter(None, words))


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
