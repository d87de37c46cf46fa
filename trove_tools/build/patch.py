# SPDX-License-Identifier: Apache-2.0
"""Replaces the guest agent's code in a built image, for development.

A clean build makes the disk, the boot loader and the image file anew.  If only
the agent's code has changed, it is enough to copy the previous image, to mount
the copy, and to run the hooks that install the agent in it.  The files are
those of a clean build, except for the list in
:mod:`trove_tools.inspection.diff`; the image file is larger, because what is
written into it is not compressed.
"""

import collections.abc
import contextlib
import os
import pathlib
import shutil
import time
import typing

from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import signature
from trove_tools.build import dib
from trove_tools.build import inputs
from trove_tools.build import previous
from trove_tools.build import workspace
from trove_tools.host import loopdevice
from trove_tools.host import process
from trove_tools.inspection import inspect
from trove_tools.plan import agent
from trove_tools.plan import elements
from trove_tools.plan import layers
from trove_tools.plan import plan as _plan

# the elements whose hooks run again, and a hook that limits time stamps
_ELEMENTS = (elements.PIP, elements.AGENT)
_TIMES = "cleanup.d/99-trove-guest-times"
_PHASES = ("extra-data", "install", "post-install")
#: The number of progress steps: a step a phase, and the search for secrets.
STEPS = len(_PHASES) + 2
_TOOLS = ("qemu-storage-daemon", "fstrim")
_FUSE = pathlib.Path("/dev/fuse")
_RECORD = "etc/dib-manifests/trove-guest-agent.json"
_PATIENCE = 30.0

# Runs hooks as diskimage-builder does (lib/common-functions, run_in_target).
# $1: the directory with all hooks, $2: the image's root, then the hooks
_SCRIPT = """\
set -e -o pipefail
export TMP_HOOKS_PATH=$1 TMP_MOUNT_PATH=$2 TARGET_ROOT=$2 TMP_BUILD_DIR=$PWD
shift 2
while read -r file; do
    source "$TMP_HOOKS_PATH/environment.d/$file"
done < <(ls "$TMP_HOOKS_PATH/environment.d")
for hook in "$@"; do
    echo "dib-run-parts Running $TMP_HOOKS_PATH/$hook"
    case "$hook" in
        *install.d/*)
            sudo -n -E HOME=/root env -u TMPDIR chroot "$TARGET_ROOT" \\
                "/tmp/in_target.d/$hook" ;;
        *) "$TMP_HOOKS_PATH/$hook" ;;
    esac
    echo "dib-run-parts $hook completed"
done
"""


def find_previous(
    plan: _plan.Plan,
    output: pathlib.Path,
    trusted: signature.TrustedKeys | None,
) -> tuple[manifest.Manifest | None, str]:
    """Find the image whose agent can be replaced.

    :param output: the directory of the image.
    :param trusted: the keys that must have signed the image; None accepts any.
    :returns: the image's manifest; or None, and the reason.
    """
    found = previous.read_manifest(plan, output, trusted)
    if found is None or not previous.is_intact(found, output / plan.file):
        return None, "there is no intact image of an earlier build"
    if plan.output["format"] != "qcow2":
        return None, f"the format is {plan.output['format']}, not qcow2"
    if _without_agent(plan.as_dict()) != _without_agent(found.plan):
        return None, "more than the code of the agent's checkout has changed"
    missing = [name for name in _TOOLS if process.find(name) is None]
    if not _FUSE.exists():
        missing.append(os.fspath(_FUSE))
    if missing:
        return None, f"this host has no {' and no '.join(missing)}"
    return found, ""


def _without_agent(plan: dict[str, typing.Any]) -> typing.Any:
    """Return a plan's data without the state of the agent's checkout."""
    *below, last = plan.get("layers") or [{}]
    meaningless = ("agent", "digest", "elements_path", "layers", "reasons",
                   "unread")  # fmt: skip
    return (
        {name: plan[name] for name in plan if name not in meaningless},
        [layer["digest"] for layer in below],
        {
            name: {**value, agent.CHECKOUT: ""}
            if name in ("environment", "places") and agent.CHECKOUT in value
            else value
            for name, value in last.items()
            if name != "digest"
        },
    )


def patch(
    plan: _plan.Plan,
    old: pathlib.Path,
    space: workspace.Workspace,
    run: dib.Run,
) -> inspect.Inspection:
    """Write a copy of an image with the agent's code of the plan.

    :param old: the image to copy.
    :param space: the workspace, for the new image and the agent's record.
    :param run: the settings of diskimage-builder.
    :returns: the contents of the new image, and the findings in the files that
        were changed.
    :raises BuildError: the agent cannot be installed.
    """
    layer = plan.layers[-1]
    hooks, wanted = _copy_hooks(layer, run)
    records = space.sidecar / "dib-manifests"
    shutil.copytree(manifest.sidecar(old) / records.name, records)
    process.run(["cp", "--reflink=auto", old, space.image])
    with _mounted(space.image, space.work, run.log) as root:
        begin = int(time.time())
        with _chroot(root, hooks):
            variables = {
                **run.environment(layer, None),
                "ARCH": run.arch,
                "IMAGE_NAME": os.fspath(space.stem),
                "DIB_OFFLINE": layer.environment.get("DIB_OFFLINE", ""),
            }
            run.follow(
                layer,
                ["bash", "-c", _SCRIPT, "patch", os.fspath(hooks),
                 os.fspath(root), *wanted],
                variables,
            )  # fmt: skip
        shutil.copy(root / _RECORD, records)
        run.progress.state("scan for secrets and identities")
        found = inspect.inspect_image(
            root, plan.dev, plan.allow, changed_since=begin
        )
    process.run(["qemu-img", "check", "-q", "-f", "qcow2", space.image])
    return found


def _copy_hooks(
    layer: layers.Layer, run: dib.Run
) -> tuple[pathlib.Path, list[str]]:
    """Copy the hooks of a layer's elements into one directory.

    :returns: the directory, and the hooks to run, in their order.
    """
    copies, hooks = run.work / "elements", run.work / "hooks"
    inputs.copy_elements(
        layer, (*run.elements_path, elements.shipped_path()), copies
    )
    inputs.require_elements(layer, copies)
    for element in copies.iterdir():
        shutil.copytree(element, hooks, symlinks=True, dirs_exist_ok=True)
    files = [
        file
        for phase in _PHASES
        for file in sorted(
            (
                file
                for name in _ELEMENTS
                for file in (copies / name / f"{phase}.d").glob("*")
            ),
            key=lambda file: file.name,
        )
    ]
    wanted = [f"{file.parent.name}/{file.name}" for file in files]
    if (hooks / _TIMES).exists():
        wanted.append(_TIMES)
    return hooks, wanted


@contextlib.contextmanager
def _mounted(
    image: pathlib.Path, work: pathlib.Path, log: pathlib.Path
) -> collections.abc.Iterator[pathlib.Path]:
    """Mount the root of a qcow2 image for writing.

    :returns: the directory of the root.
    :raises BuildError: the image cannot be mounted.
    """
    disk, root, ready = work / "disk.raw", work / "root", work / "exported"
    disk.touch()
    root.mkdir()
    daemon = process.start(
        process.as_root(
            ["qemu-storage-daemon", "--pidfile", ready,
             "--blockdev", f"file,filename={image},node-name=file,"
             "discard=unmap",
             "--blockdev", "qcow2,file=file,node-name=disk,discard=unmap",
             "--export", "fuse,id=disk,node-name=disk,writable=on,"
             f"mountpoint={disk},allow-other=auto"]
        ),
        cwd=work, log=log,
    )  # fmt: skip
    try:
        end = time.monotonic() + process.scale_timeout(_PATIENCE)
        while not ready.exists():
            if daemon.poll() is not None or time.monotonic() > end:
                raise errors.BuildError(
                    "qemu-storage-daemon cannot open the image",
                    hint="build without --patch",
                )
            time.sleep(0.05)
        offset, size = loopdevice.find_largest_partition(disk)
        _as_root(
            "mount", "-o",
            f"loop,offset={offset},sizelimit={size},noatime", disk, root,
        )  # fmt: skip
        yield root
        # what the old files took is not part of the image any more; it is free
        # when the journal has been written
        _as_root("sync", "--file-system", root)
        _as_root("fstrim", root)
        # clean, also if a process of the host holds a copy of the mount
        _as_root("mount", "-o", "remount,ro", root)
        _as_root("umount", root)
    finally:
        # after an error, the daemon must not end before the mounts do
        process.run(
            process.as_root(["umount", "--recursive", root]), check=False
        )
        process.stop(daemon)


@contextlib.contextmanager
def _chroot(
    root: pathlib.Path, hooks: pathlib.Path
) -> collections.abc.Iterator[None]:
    """Mount in a root what programs need, while the context lasts."""
    inside = root / "tmp/in_target.d"
    for options, place in (
        (("-t", "tmpfs", "none"), root / "tmp"),
        (("-t", "tmpfs", "none"), root / "run"),
        (("-t", "proc", "none"), root / "proc"),
        (("--bind", "/dev"), root / "dev"),
    ):
        _as_root("mount", *options, place)
    # systemd-resolved, whose file resolv.conf is, does not run here
    resolver = root / "etc/resolv.conf"
    if resolver.is_symlink() and "/run/" in os.readlink(resolver):
        name = os.readlink(resolver).partition("/run/")[2]
        _as_root(
            "install", "-D", "-m", "644", "/etc/resolv.conf",
            root / "run" / name,
        )  # fmt: skip
    _as_root("mkdir", inside)
    _as_root("mount", "--bind", hooks, inside)
    yield
    for name in ("tmp", "run", "proc", "dev"):
        _as_root("umount", "--recursive", root / name)


def _as_root(*argv: process.Argument) -> None:
    process.run(process.as_root(argv))
