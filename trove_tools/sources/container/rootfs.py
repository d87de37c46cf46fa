# SPDX-License-Identifier: Apache-2.0
"""Makes a container's root from a distribution's signed packages.

mmdebstrap needs no daemon, sorts the files that it writes, and takes all times
from ``SOURCE_DATE_EPOCH``: the same packages give the same bytes.

Half of a container's processor time goes into the essential packages and the
package lists.  All containers of a suite share an archive with both, as long
as the mirrors serve the same ``InRelease`` files.
"""

import collections.abc
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import shlex
import tarfile
import typing

from trove_tools import errors
from trove_tools.host import causes
from trove_tools.host import debian
from trove_tools.host import paths
from trove_tools.host import process
from trove_tools.sources import fetch
from trove_tools.sources.container import recipes
from trove_tools.sources.network import session

# only the system's programs: mmdebstrap starts Python for each package, and a
# user's Python may start slowly, or root should not run it
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_DPKG = (
    # no fsync: after a crash, the root is made again
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*/LC_MESSAGES/*",
)


# for mirrors whose index has passed its Valid-Until date
_OLD_INDEX = ('--aptopt=Acquire::Check-Valid-Until "no"',)

# files of one build and of one recipe, which each run of mmdebstrap writes
_OWN_FILES = (
    "etc/apt/apt.conf.d/99*",
    "etc/apt/sources.list*",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "etc/hostname",
    "etc/resolv.conf",
)


class Keep(typing.Protocol):
    """Keeps archives, such as the cache of a build."""

    def __call__(
        self,
        name: str,
        inputs: dict[str, typing.Any],
        make: collections.abc.Callable[[pathlib.Path], None],
    ) -> contextlib.AbstractContextManager[pathlib.Path]:
        """Provide an archive while the context lasts.

        :param inputs: plain data that the archive's content depends on.
        :param make: writes the archive (tar, zstd) to a path, if there is none
            for these inputs.
        """


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What all containers of an image have in common.

    :param distribution: the distribution of the packages.
    :param arch: their architecture, and that of the container.
    :param mirrors: by default the distribution's.
    :param is_snapshot: the mirrors are snapshots of an earlier date.
    :param epoch: the time of the container and its files, in seconds since
        1970; 0 by default, as the versions of the packages are more useful.
    :param keep: keeps the archive that containers share; without it, the
        essential packages are installed again.
    """

    distribution: str
    arch: str
    mirrors: debian.Mirrors = debian.Mirrors()
    is_snapshot: bool = False
    epoch: int = 0
    keep: Keep | None = None


def make(
    recipe: recipes.Recipe,
    suite: str,
    packages: collections.abc.Sequence[str],
    conditions: Conditions,
    directory: pathlib.Path,
) -> tuple[pathlib.Path, str]:
    """Make the root of a container.

    :param suite: the distribution's suite that has the packages.
    :param packages: the packages to install.
    :param directory: the directory for the result and temporary files.
    :returns: the root as a tar archive, and the output of mmdebstrap.
    :raises BuildError: the packages cannot be installed.
    """
    overlay = directory / "overlay.tar"
    recipe.write_overlay(overlay)
    finish = directory / "finish"
    finish.write_bytes(recipes.FINISH.read_bytes())
    finish.chmod(0o755)
    root = directory / "root.tar"
    places = []
    if conditions.mirrors.archive is not None:
        places = debian.list_suites(
            conditions.mirrors, conditions.distribution, suite
        )
    sources = _sources(conditions.distribution, places)
    epoch = conditions.epoch
    old = conditions.is_snapshot or debian.takes_old_index()
    common = [
        f"--architectures={conditions.arch}",
        '--aptopt=APT::Install-Recommends "false"',
        *(_OLD_INDEX if old else ()),
        *(f"--dpkgopt={option}" for option in _DPKG),
    ]

    def run(
        file: pathlib.Path,
        options: collections.abc.Iterable[process.Argument],
        variables: collections.abc.Iterable[str] = (),
    ) -> str:
        argv: list[process.Argument] = [
            # sudo does not pass on the environment
            "env", f"PATH={_PATH}", f"SOURCE_DATE_EPOCH={epoch}",
            f"TMPDIR={directory}", *variables,
            # a pid namespace, so that the child processes end with mmdebstrap;
            # no mount namespace, since it would keep the disks of other builds
            # on this host in use; mmdebstrap's mounts are in the directory
            "unshare", "--pid", "--fork", "--kill-child",
            "mmdebstrap", "--mode=root", "--variant=essential", *common,
            *session.bootstrap_options(), *options,
            # the hooks clean up; without the files that they remove, apt would
            # clean the lists and the cache of this host
            "--skip=cleanup/apt",
            suite, file, *sources,
        ]  # fmt: skip
        return process.run(process.as_root(argv), cwd=directory).stderr

    def make_base(file: pathlib.Path) -> None:
        removed = " ".join(f'"$1"/{name}' for name in _OWN_FILES)
        run(file, [f"--customize-hook=rm -rf {removed}"])

    try:
        with contextlib.ExitStack() as stack:
            base: list[str] = []
            if conditions.keep and (states := _states(places)):
                inputs = {
                    "options": common, "mirrors": places, "states": states,
                    "suite": suite, "epoch": epoch,
                }  # fmt: skip
                kept = stack.enter_context(
                    conditions.keep(f"container {suite}", inputs, make_base)
                )
                base = [f"--setup-hook={_unpack(kept)}"]
            said = run(
                root,
                [
                    *base,
                    f"--include={','.join(packages)}",
                    *(f"--dpkgopt=path-exclude={path}"
                      for path in recipe.exclude),
                    # before the server's packages, whose scripts may use these
                    # files
                    f"--essential-hook=tar-in {overlay} /",
                    f"--customize-hook={finish}",
                ],
                [
                    f"TROVE_REMOVE={' '.join(recipe.remove)}",
                    f"TROVE_DELETE={' '.join(recipe.delete)}",
                    "TROVE_DATA="
                    + " ".join(path.lstrip("/") for path in recipe.data),
                ],
            )  # fmt: skip
        if os.geteuid() != 0:
            # the caller adds files to the archive
            owner = f"{os.geteuid()}:{os.getegid()}"
            process.run(process.as_root(["chown", owner, root]))
    except errors.CommandError as exc:
        raise errors.BuildError(
            f"no container can be made of {', '.join(packages)} of"
            f" {suite}:\n{_reasons(exc.output)}",
            hint=causes.find_remedy(exc.output)
            or "check --mirror and --security-mirror, or this host's apt"
            " sources; or take the container from elsewhere, with"
            " --container-source",
        ) from exc
    return root, said


def _unpack(archive: pathlib.Path) -> str:
    """Return the shell command that unpacks an archive in a root, ``$1``."""
    return (
        f"zstd --decompress --stdout --quiet {shlex.quote(str(archive))}"
        " | tar --extract --numeric-owner --xattrs --xattrs-include='*'"
        ' --directory "$1"'
    )


def _states(
    places: collections.abc.Iterable[tuple[str, str]],
) -> list[str] | None:
    """Return the digests of the mirrors' indexes.

    :returns: None if they are unknown: a mirror is not on the network, or has
        no InRelease file.
    :raises BuildError: a mirror does not answer.
    """
    found = []
    for uri, name in places:
        if not paths.is_url(uri):
            return None
        url = f"{uri.rstrip('/')}/dists/{name}/InRelease"
        try:
            content = fetch.read(url, "package mirror", packages=True)
        except fetch.AbsentError:
            return None
        found.append(hashlib.sha256(content).hexdigest())
    return found


def _reasons(output: str) -> str:
    lines = output.strip().splitlines()
    told = [line for line in lines if line.startswith(("E:", "W:", "Err:"))]
    shown = (told or lines)[-8:]
    cause = causes.find_cause(output)
    if cause is not None and cause.line not in shown:
        shown = [cause.line, *shown]
    return "\n".join(f"  | {line}" for line in shown)


def _sources(
    distribution: str, places: collections.abc.Collection[tuple[str, str]]
) -> list[str]:
    """Return lines for sources.list(5); empty for mmdebstrap's defaults."""
    if not places:
        return []
    keyring = debian.find_keyring(distribution)
    components = " ".join(debian.COMPONENTS[distribution])
    return [
        f"deb [signed-by={keyring}] {uri} {name} {components}"
        for uri, name in places
    ]


def installed(root: pathlib.Path) -> dict[str, str]:
    """Return the versions of the packages in a root, by package."""
    with tarfile.open(root) as archive:
        stream = archive.extractfile("./var/lib/dpkg/status")
        assert stream is not None
        text = stream.read().decode()
    return {
        fields["package"]: fields["version"]
        for fields in debian.parse_installed(text)
    }
