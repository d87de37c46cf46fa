# SPDX-License-Identifier: Apache-2.0
"""Checks the network and the host before a build starts.

A missing version, a missing branch or a mirror that does not answer would
otherwise fail a build after minutes. These checks run in parallel and request
only a small file each. The build itself still checks what it downloads.
"""

import collections.abc
import concurrent.futures
import functools
import importlib.util
import pathlib
import re
import sys

from trove_tools import errors
from trove_tools.build import cache as _cache
from trove_tools.build import lower_layers
from trove_tools.build import remote_cache
from trove_tools.build import workspace
from trove_tools.host import causes
from trove_tools.host import paths
from trove_tools.host import process
from trove_tools.host import requirements
from trove_tools.plan import agent as _agent
from trove_tools.plan import elements
from trove_tools.plan import layers
from trove_tools.plan import plan as _plan
from trove_tools.sources import fetch
from trove_tools.sources.container import skopeo
from trove_tools.sources.network import session

#: The timeout for an answer of a mirror, an index or a repository, in seconds.
TIMEOUT = 20.0

LOOP_CONTROL = pathlib.Path("/dev/loop-control")

# git abbreviates a commit to at least four digits
_COMMIT = re.compile(r"[0-9a-f]{4,40}")

# pip's message if no version matches; the last five versions are kept
_VERSIONS = re.compile(r"from versions: .*?((?:[^, ]+, ){0,4}[^, ]+)\)$")

_Check = collections.abc.Callable[[], object]


def require(
    plan: _plan.Plan,
    output: pathlib.Path,
    work: pathlib.Path | None,
    cache: _cache.Cache,
    remote: remote_cache.RemoteCache | None = None,
) -> list[layers.Layer]:
    """Check all requirements of a build that are known in advance.

    :param remote: the layers in a registry, if it is used.
    :returns: the layers that have to be built.
    :raises MissingToolError: the host lacks a program or a privilege.
    :raises UsageError: a directory cannot be written to.
    :raises BuildError: a source in the plan is not available.
    """
    paths.require_writable(output, "--output-dir")
    if work is not None:
        paths.require_writable(work, "--work-dir")
    missing = lower_layers.missing(plan.layers, cache, remote)
    requirements.require_tools("build")
    requirements.require_arch(plan.guest["arch"])
    requirements.require_layout(
        plan.output["partition_table"], plan.output["format"]
    )
    for layer in missing:
        for container in layer.containers:
            packaged = container.source == "packages"
            requirements.require_tools(
                "packages" if packaged else "containers"
            )
    if missing and session.needs_mmdebstrap():
        requirements.require_tools("packages")
    requirements.require_root()
    requirements.require_space(output, work, cache.directory)
    check(plan, missing)
    return missing


def check(
    plan: _plan.Plan, missing: collections.abc.Iterable[layers.Layer]
) -> None:
    """Check everything that would otherwise fail a build late.

    :param missing: the layers that are not in the cache.
    :raises MissingToolError: this host cannot build.
    :raises BuildError: something in the plan is not available; the message
        lists everything that is missing.
    """
    _check_host()
    environment = plan.layers[0].environment
    if plan.layers[-1].environment.get("DIB_OFFLINE"):
        return
    wanted: list[_Check] = [
        functools.partial(
            _check_agent,
            plan.agent["source"],
            plan.agent["location"],
            plan.agent["ref"],
            plan.agent["constraints"],
        )
    ]
    release = plan.guest["release"]
    if plan.guest["distribution"] in ("debian", "ubuntu"):
        for variable, option, suite in (
            (layers.MIRROR, "--mirror", release),
            (
                layers.SECURITY_MIRROR,
                "--security-mirror",
                f"{release}-security",
            ),
        ):
            mirror = environment.get(variable)
            if mirror:
                wanted.append(
                    functools.partial(_check_mirror, mirror, suite, option)
                )
    suites = set()
    for layer in missing:
        for container in layer.containers:
            if container.source == "packages":
                suites.add(container.suite)
            else:
                wanted.append(
                    functools.partial(
                        skopeo.find, container, plan.guest["arch"]
                    )
                )
    if mirror := environment.get(layers.MIRROR):
        wanted += [
            functools.partial(_check_mirror, mirror, suite, "--mirror")
            for suite in sorted(suites - {release})
        ]
    _run(wanted)


def _run(wanted: collections.abc.Sequence[_Check]) -> None:
    """Run checks in parallel, and raise their errors as one error."""
    with concurrent.futures.ThreadPoolExecutor(len(wanted)) as pool:
        futures = [pool.submit(each) for each in wanted]
    failures = [
        exc for future in futures if (exc := future.exception()) is not None
    ]
    for exc in failures:
        if not isinstance(exc, errors.TroveToolsError):
            raise exc
    if len(failures) == 1:
        raise failures[0]
    if failures:
        known = [
            exc for exc in failures if isinstance(exc, errors.TroveToolsError)
        ]
        hints = dict.fromkeys(exc.hint for exc in known if exc.hint)
        raise errors.BuildError(
            "\n".join(exc.message for exc in known), hint="\n".join(hints)
        )


def _check_host() -> None:
    """Check that the host can build the last layer.

    :raises MissingToolError: the host cannot.
    """
    shipped = pathlib.Path(elements.shipped_path())
    if not workspace.is_plain(shipped):
        raise errors.MissingToolError(
            f"diskimage-builder cannot run from {shipped}",
            hint="install trove-tools into a virtual environment whose path"
            " has only letters, digits and . _ + -",
        )
    if not LOOP_CONTROL.exists():
        raise errors.MissingToolError(
            f"this host has no loop devices: {LOOP_CONTROL} is not there",
            hint="load the kernel module loop (modprobe loop); in a"
            " container, give it /dev/loop-control and /dev/loop*",
        )


def _check_mirror(mirror: str, suite: str, option: str) -> None:
    """Check that a package mirror answers and has a suite.

    :param option: the option that names another mirror, for the error.
    :raises BuildError: the mirror does not answer, or lacks the suite.
    """
    if not paths.is_url(mirror):
        # debootstrap supports more than HTTP, such as file: URLs
        return
    hint = f"check the network, and {option} or this host's apt sources"
    # https://wiki.debian.org/DebianRepository/Format
    for name in ("InRelease", "Release"):
        url = f"{mirror.rstrip('/')}/dists/{suite}/{name}"
        try:
            fetch.read(url, "package mirror", packages=True, timeout=TIMEOUT)
        except fetch.AbsentError:
            continue
        except errors.BuildError as exc:
            raise errors.BuildError(
                exc.message, hint=causes.find_remedy(exc.message) or hint
            ) from exc
        return
    raise errors.BuildError(
        f"the package mirror {mirror} does not have {suite}", hint=hint
    )


def _check_agent(
    source: str, location: str, ref: str, constraints: str
) -> None:
    """Check that the guest agent's source is available.

    :raises BuildError: the source is not available.
    """
    if paths.is_url(constraints):
        try:
            content = fetch.read(constraints, "--constraints", timeout=TIMEOUT)
        except errors.BuildError as exc:
            raise errors.BuildError(
                exc.message,
                hint=causes.find_remedy(exc.message, mirror=False)
                or "check the network, and --constraints",
            ) from exc
        _agent.require_constraints(content, constraints)
    if source == "git":
        _check_git(location, ref)
    elif source == "pypi":
        _check_requirement(location, constraints)


def _check_git(url: str, ref: str) -> None:
    """Check that a git repository has a branch or a tag.

    A name that may be a commit is accepted.

    :raises BuildError: the repository cannot be read, or lacks the name.
    """
    process.require("git")
    try:
        done = process.run(
            ["git", "ls-remote", url, ref, f"refs/tags/{ref}^{{}}"],
            env={"GIT_TERMINAL_PROMPT": "0"},
            timeout=TIMEOUT,
        )
    except errors.CommandError as exc:
        lines = [
            line
            for line in exc.output.splitlines()
            if line.startswith(("fatal: ", "remote: ", "ssh: "))
        ]
        raise errors.BuildError(
            f"--agent git+{url}: the repository cannot be read:"
            + "".join(f"\n  | {line}" for line in lines or [exc.message]),
            hint=causes.find_remedy(exc.output, mirror=False)
            or "check the network, the address, and git's credentials",
        ) from exc
    # the commits of a repository are only known after fetching
    if not done.stdout.strip() and not _COMMIT.fullmatch(ref):
        raise errors.BuildError(
            f"--agent git+{url}@{ref}: the repository has no branch and no"
            f" tag {ref}",
            hint=f"`git ls-remote {url}` lists what it has",
        )


def _check_requirement(requirement: str, constraints: str) -> None:
    """Check that the package index has the guest agent.

    The check uses the host's pip, whose settings also apply in the guest's
    environment. It ignores the dependencies, because the guest has another
    Python.

    :raises BuildError: the index does not have it.
    """
    if importlib.util.find_spec("pip") is None:
        return
    try:
        process.run(
            [
                sys.executable, "-m", "pip", "--disable-pip-version-check",
                "--no-input", "--retries=1", f"--timeout={TIMEOUT / 4:.0f}",
                "install", "--dry-run", "--quiet", "--no-deps",
                "--ignore-installed", "--ignore-requires-python",
                "--no-build-isolation", "--", requirement,
            ],
            # a URL may contain a token, which ps would show
            env={"PIP_CONSTRAINT": constraints} if constraints else {},
            timeout=TIMEOUT * 2,
        )  # fmt: skip
    except errors.CommandError as exc:
        lines = [
            # pip lists the oldest version first
            _VERSIONS.sub(r"newest: \1)", line.removeprefix("ERROR: "))
            for line in exc.output.splitlines()
            if line.startswith("ERROR: ")
        ]
        # the reason why an index was not reached
        warnings = "\n".join(
            line
            for line in exc.output.splitlines()
            if line.startswith("WARNING: ")
        )
        raise errors.BuildError(
            f"--agent {requirement}: the package index does not have it"
            + "".join(f"\n  | {line}" for line in lines or [exc.message]),
            hint=causes.find_remedy(warnings, mirror=False)
            or "check --agent and --constraints, the network, and pip's"
            " settings (PIP_INDEX_URL, pip.conf)",
        ) from exc
