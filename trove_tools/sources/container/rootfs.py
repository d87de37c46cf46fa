# SPDX-License-Identifier: Apache-2.0
"""Makes a container's root from a distribution's signed packages.

mmdebstrap needs no daemon, sorts the files that it writes, and takes all times
from ``SOURCE_DATE_EPOCH``: the same packages give the same bytes.
"""

import collections.abc
import pathlib
import tarfile

from trove_tools import errors
from trove_tools.host import causes
from trove_tools.host import debian
from trove_tools.host import process
from trove_tools.sources.container import recipes
from trove_tools.sources.network import session

_KEYRINGS = pathlib.Path("/usr/share/keyrings")
_COMPONENTS = {"debian": "main", "ubuntu": "main universe"}

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

# suites that are not released have neither updates nor security updates:
# https://www.debian.org/releases/sid/
_ROLLING = ("sid", "unstable")


def make(
    recipe: recipes.Recipe,
    *,
    suite: str,
    guest: collections.abc.Mapping[str, str],
    packages: collections.abc.Sequence[str],
    mirror: str | None,
    security: str | None,
    directory: pathlib.Path,
    epoch: int = 0,
    is_snapshot: bool = False,
) -> tuple[pathlib.Path, str]:
    """Make the root of a container.

    :param suite: the distribution's suite that has the packages.
    :param guest: distribution and arch of the packages.
    :param packages: the packages to install.
    :param mirror: the URL of the archive; by default the distribution's.
    :param security: the URL of the mirror for security updates.
    :param directory: the directory for the result and temporary files.
    :param epoch: the time of all files, in seconds since 1970.
    :param is_snapshot: the mirrors are snapshots of an earlier date.
    :returns: the root as a tar archive, and the output of mmdebstrap.
    :raises BuildError: the packages cannot be installed.
    """
    overlay = directory / "overlay.tar"
    recipe.write_overlay(overlay)
    finish = directory / "finish"
    finish.write_bytes(recipes.FINISH.read_bytes())
    finish.chmod(0o755)
    root = directory / "root.tar"
    argv: list[process.Argument] = [
        # sudo does not pass on the environment
        "env", f"PATH={_PATH}", f"SOURCE_DATE_EPOCH={epoch}",
        f"TMPDIR={directory}",
        f"TROVE_REMOVE={' '.join(recipe.remove)}",
        f"TROVE_DELETE={' '.join(recipe.delete)}",
        f"TROVE_DATA={' '.join(path.lstrip('/') for path in recipe.data)}",
        # a pid namespace, so that the child processes end with mmdebstrap; no
        # mount namespace, since it would keep the disks of other builds on
        # this host in use.  mmdebstrap's mounts are below the directory.
        "unshare", "--pid", "--fork", "--kill-child",
        "mmdebstrap", "--mode=root", "--variant=essential",
        f"--architectures={guest['arch']}",
        f"--include={','.join(packages)}",
        '--aptopt=APT::Install-Recommends "false"',
        *(_OLD_INDEX if is_snapshot or _takes_old_index() else ()),
        *(f"--dpkgopt={option}" for option in _DPKG),
        *(f"--dpkgopt=path-exclude={path}" for path in recipe.exclude),
        *session.bootstrap_options(),
        # before the server's packages, whose scripts may use these files
        f"--essential-hook=tar-in {overlay} /",
        f"--customize-hook={finish}",
        # the hook has cleaned up already; without the files that it removed,
        # apt would clean the lists and the cache of this host
        "--skip=cleanup/apt",
        suite, root,
        *_sources(guest["distribution"], suite, mirror, security),
    ]  # fmt: skip
    try:
        done = process.run(process.as_root(argv), cwd=directory)
    except errors.CommandError as exc:
        raise errors.BuildError(
            f"no container can be made of {', '.join(packages)} of"
            f" {suite}:\n{_reasons(exc.output)}",
            hint=causes.find_remedy(exc.output)
            or "check --mirror and --security-mirror, or this host's apt"
            " sources; or take the container from elsewhere, with"
            " --container-source",
        ) from exc
    return root, done.stderr


def _reasons(output: str) -> str:
    lines = output.strip().splitlines()
    told = [line for line in lines if line.startswith(("E:", "W:", "Err:"))]
    shown = (told or lines)[-8:]
    cause = causes.find_cause(output)
    if cause is not None and cause.line not in shown:
        shown = [cause.line, *shown]
    return "\n".join(f"  | {line}" for line in shown)


def _takes_old_index() -> bool:
    """Return whether this host's apt accepts an index past its date.

    Hosts have this setting for a mirror that is updated less often than its
    suite, as behind an air gap: apt.conf(5), Acquire::Check-Valid-Until.
    """
    if process.find("apt-config") is None:
        return False
    option = "Acquire::Check-Valid-Until"
    done = process.run(
        ["apt-config", "shell", "CHECKED", f"{option}/b"], check=False
    )
    return "false" in done.stdout


def _sources(
    distribution: str,
    suite: str,
    mirror: str | None,
    security: str | None,
) -> list[str]:
    """Return lines for sources.list(5); empty for mmdebstrap's defaults."""
    if mirror is None:
        return []
    keyring = _KEYRINGS / f"{distribution}-archive-keyring.gpg"
    if not keyring.exists():
        raise errors.MissingToolError(
            f"nothing on this host says which keys sign {distribution}'s"
            f" packages: there is no {keyring}",
            hint=f"install {distribution}-archive-keyring (Ubuntu:"
            " ubuntu-keyring)",
        )
    places = [(mirror, suite)]
    if suite not in _ROLLING:
        places.append((mirror, f"{suite}-updates"))
        if distribution == "ubuntu":
            security = security or mirror
        if security:
            places.append((security, f"{suite}-security"))
    components = _COMPONENTS[distribution]
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
