# SPDX-License-Identifier: Apache-2.0
"""Makes a container's root from a distribution's signed packages.

mmdebstrap does it without a daemon, sorts what it writes, and takes all
times from ``SOURCE_DATE_EPOCH``: the same packages give the same bytes.
"""

import collections.abc
import pathlib
import tarfile

from trove_tools import errors
from trove_tools.host import causes
from trove_tools.host import deb822
from trove_tools.host import process
from trove_tools.sources.container import recipes
from trove_tools.sources.network import session

_KEYRINGS = pathlib.Path("/usr/share/keyrings")
_COMPONENTS = {"debian": "main", "ubuntu": "main universe"}

_DPKG = (
    # a root that a crash leaves half-made is made anew
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*/LC_MESSAGES/*",
)


# whose index is older than it is meant to get
_OF_AN_EARLIER_DAY = ('--aptopt=Acquire::Check-Valid-Until "no"',)


def make(
    recipe: recipes.Recipe,
    *,
    guest: collections.abc.Mapping[str, str],
    packages: collections.abc.Sequence[str],
    mirror: str | None,
    security: str | None,
    directory: pathlib.Path,
    epoch: int = 0,
    is_snapshot: bool = False,
) -> tuple[pathlib.Path, str]:
    """Make the root of a container.

    :param guest: distribution, release and arch of the packages.
    :param mirror: the archive; the distribution's own when not given.
    :param security: the same for security updates.
    :param directory: where to work and to leave the result.
    :param epoch: the time of everything in it, seconds since 1970.
    :param is_snapshot: the mirrors are as they were on an earlier day.
    :returns: the root as a tar archive, and what mmdebstrap said.
    :raises BuildError: the packages cannot be had.
    """
    overlay = directory / "overlay.tar"
    recipe.write_overlay(overlay)
    finish = directory / "finish"
    finish.write_bytes(recipes.FINISH.read_bytes())
    finish.chmod(0o755)
    root = directory / "root.tar"
    argv: list[process.Argument] = [
        # sudo passes no environment on
        "env", f"SOURCE_DATE_EPOCH={epoch}", f"TMPDIR={directory}",
        f"TROVE_REMOVE={' '.join(recipe.remove)}",
        f"TROVE_DELETE={' '.join(recipe.delete)}",
        # what it starts ends with it.  Not so what it mounts, below the
        # directory: a mount namespace would hold on to the disks of other
        # builds on this host
        "unshare", "--pid", "--fork", "--kill-child",
        "mmdebstrap", "--mode=root", "--variant=essential",
        f"--architectures={guest['arch']}",
        f"--include={','.join(packages)}",
        '--aptopt=APT::Install-Recommends "false"',
        *(_OF_AN_EARLIER_DAY if is_snapshot else ()),
        *(f"--dpkgopt={option}" for option in _DPKG),
        *(f"--dpkgopt=path-exclude={path}" for path in recipe.exclude),
        *session.bootstrap_options(),
        # before the server's packages, whose scripts may ask it
        f"--essential-hook=tar-in {overlay} /",
        f"--customize-hook={finish}",
        # the hook did that; without what it took away, apt would clean the
        # lists and the cache of this host
        "--skip=cleanup/apt",
        guest["release"], root,
        *_sources(guest, mirror, security),
    ]  # fmt: skip
    try:
        done = process.run(process.as_root(argv), cwd=directory)
    except errors.CommandError as exc:
        raise errors.BuildError(
            f"no container can be made of {', '.join(packages)} of"
            f" {guest['release']}:\n{_reasons(exc.output)}",
            hint=causes.remedy(exc.output)
            or "check --mirror and --security-mirror, or this host's apt"
            " sources; or take the container from elsewhere, with"
            " --container-source",
        ) from exc
    return root, done.stderr


def _reasons(output: str) -> str:
    lines = output.strip().splitlines()
    told = [line for line in lines if line.startswith(("E:", "W:", "Err:"))]
    shown = (told or lines)[-8:]
    cause = causes.find(output)
    if cause is not None and cause.line not in shown:
        shown = [cause.line, *shown]
    return "\n".join(f"  | {line}" for line in shown)


def _sources(
    guest: collections.abc.Mapping[str, str],
    mirror: str | None,
    security: str | None,
) -> list[str]:
    """Return apt's lines; none leaves it to mmdebstrap, which knows them."""
    if mirror is None:
        return []
    distribution, release = guest["distribution"], guest["release"]
    keyring = _KEYRINGS / f"{distribution}-archive-keyring.gpg"
    if not keyring.exists():
        raise errors.MissingToolError(
            f"nothing on this host says which keys sign {distribution}'s"
            f" packages: there is no {keyring}",
            hint=f"install {distribution}-archive-keyring (Ubuntu:"
            " ubuntu-keyring)",
        )
    places = [(mirror, release), (mirror, f"{release}-updates")]
    if distribution == "ubuntu":
        security = security or mirror
    if security:
        places.append((security, f"{release}-security"))
    return [
        f"deb [signed-by={keyring}] {uri} {suite} {_COMPONENTS[distribution]}"
        for uri, suite in places
    ]


def installed(root: pathlib.Path) -> dict[str, str]:
    """Return the packages in a root and their versions."""
    with tarfile.open(root) as archive:
        stream = archive.extractfile("./var/lib/dpkg/status")
        assert stream is not None
        text = stream.read().decode()
    return {
        fields["package"]: fields["version"]
        for fields in deb822.installed(text)
    }
