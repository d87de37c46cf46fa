# SPDX-License-Identifier: Apache-2.0
"""Parses the source of the guest agent's code.

``--agent`` accepts the forms that pip does: a requirement, ``git+URL@REF``,
or a directory with a checkout.  The default is the series' release from PyPI.
"""

import dataclasses
import hashlib
import os
import pathlib
import re

from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.host import credentials
from trove_tools.host import paths
from trove_tools.host import process
from trove_tools.plan import elements

#: Variables with the directory of a checkout, and with the file or URL of
#: constraints.
CHECKOUT, CONSTRAINTS = (
    "DIB_TROVE_AGENT_CHECKOUT", "DIB_TROVE_AGENT_CONSTRAINTS",
)  # fmt: skip

_REQUIREMENT = re.compile(
    r"^trove\s*(\[[\w,]+\])?\s*([<>=!~].*)?$", re.IGNORECASE
)
# a requirement of PEP 508, or an option of pip in a constraints file
_CONSTRAINT = re.compile(
    r"-|\w[\w.-]*\s*(\[[^]]*\])?\s*\(?\s*([<>=!~]=|[<>;@])", re.ASCII
)
# an @ before the path ends the user name, an @ in the path begins a ref
_GIT = re.compile(r"^(?P<url>\w+://[^/]*/[^@]+)(@(?P<ref>.+))?$")


# a directory can be installed with pip if it has one of these files
_PACKAGES = ("pyproject.toml", "setup.cfg", "setup.py")


@dataclasses.dataclass(frozen=True)
class Agent:
    """A source of the guest agent.

    :param source: pypi, git or checkout.
    :param location: the requirement, the URL, or the directory.
    :param ref: branch, tag or commit of a git source.
    :param state: identifies the content of a checkout; see
        :func:`compute_state`.
    :param constraints: a file or URL of upper constraints.
    :param constraints_digest: the sha256 of the file of constraints.
    :param dependencies: lines of a requirements file with the packages that
        the agent's code needs, as far as they are known before the build.
    """

    source: str
    location: str
    ref: str = ""
    state: str = ""
    constraints: str = ""
    constraints_digest: str = ""
    dependencies: str = ""

    def environment(self) -> dict[str, str]:
        """Return the environment of the element trove-guest-agent."""
        values = {
            "pypi": {"DIB_TROVE_AGENT_REQUIREMENT": self.location},
            "git": {
                "DIB_TROVE_AGENT_GIT_URL": self.location,
                "DIB_TROVE_AGENT_GIT_REF": self.ref,
            },
            "checkout": {CHECKOUT: self.location},
        }[self.source]
        if self.constraints:
            values[CONSTRAINTS] = self.constraints
        if self.dependencies:
            values["DIB_TROVE_AGENT_DEPENDENCIES"] = self.dependencies
        return values

    def places(self) -> dict[str, str]:
        """Return digests of the files that variables name, by variable."""
        values = {}
        if self.source == "checkout":
            values[CHECKOUT] = self.state
        if self.constraints_digest:
            values[CONSTRAINTS] = self.constraints_digest
        return values


def parse_agent(
    text: str | None, constraints: str | None, series: model.Series
) -> Agent:
    """Return the agent's source for the user's options.

    :param text: the value of ``--agent``, or None.
    :param constraints: the value of ``--constraints``, or None.
    :param series: the series whose release is the default.
    :raises UsageError: a value is invalid, or names a file that is missing.
    """
    for flag, url, query in (
        ("--agent", text, False), ("--constraints", constraints, True),
    ):  # fmt: skip
        credentials.refuse(
            url,
            flag,
            "leave it out, and let git's credential helper or ~/.netrc of the"
            " building user supply it",
            query=query,
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
            # the requirements of a commit are unknown before it is fetched;
            # nearly all of them are those of the series' release
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
    content = file.read_bytes()
    require_constraints(content, text)
    return {
        "constraints": str(file.resolve()),
        "constraints_digest": hashlib.sha256(content).hexdigest(),
    }


def require_constraints(content: bytes, origin: str) -> None:
    """Raise an error unless a file contains constraints for pip.

    :param content: the content of the file.
    :param origin: the file's path or URL, for the error.
    :raises UsageError: a line is not a constraint.
    """
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as exc:
        raise _no_constraints(origin, "it is no text") from exc
    for number, line in enumerate(lines, 1):
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if text and not _CONSTRAINT.match(text):
            raise _no_constraints(origin, f"line {number} is none")


def _no_constraints(origin: str, why: str) -> errors.UsageError:
    return errors.UsageError(
        f"--constraints {origin} is not a file of constraints: {why}",
        hint="each line is NAME==VERSION, as in OpenStack's"
        " upper-constraints.txt",
    )


def _checkout(directory: pathlib.Path) -> Agent:
    if not (directory / "trove" / "guestagent").is_dir():
        raise errors.UsageError(
            f"--agent {directory}: this is not a checkout of Trove",
            hint="name the directory that holds trove/guestagent",
        )
    if not any((directory / name).is_file() for name in _PACKAGES):
        raise errors.UsageError(
            f"--agent {directory}: it has no file to install Trove from:"
            f" none of {', '.join(_PACKAGES)}",
            hint="name a whole checkout of Trove",
        )
    return Agent(
        "checkout", str(directory), state=compute_state(directory),
        dependencies=_requirements(directory / "requirements.txt"),
    )  # fmt: skip


def _requirements(file: pathlib.Path) -> str:
    """Return the lines of a requirements file, without comments.

    :returns: empty if there is no such file; then all requirements are
        installed together with the agent's code.
    """
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return ""
    words = (line.partition("#")[0].strip() for line in lines)
    return "\n".join(filter(None, words))


def compute_state(directory: pathlib.Path) -> str:
    """Return a text that identifies the content of a checkout.

    :returns: the commit, with a digest of the uncommitted changes if there
        are any; without a repository, a digest of all files.
    :raises UsageError: git cannot read the checkout.
    """
    if not (directory / ".git").exists():
        return elements.digest(directory)
    try:
        return _state(directory)
    except errors.CommandError as exc:
        raise errors.UsageError(
            f"--agent {directory}: git cannot read this checkout:"
            f" {exc.output.strip() or exc.message}",
            hint="make a commit in it, or clone it again",
        ) from exc


def _state(directory: pathlib.Path) -> str:
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
