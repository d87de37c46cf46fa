# SPDX-License-Identifier: Apache-2.0
"""Builds an image from a plan: check, build, convert, describe, publish.

With ``--patch``, the agent is replaced in the previous image instead, if
nothing else has changed; see :mod:`.patch`.
"""

import collections.abc
import concurrent.futures
import dataclasses
import os
import pathlib
import sys
import time
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import report
from trove_tools.artifact import sbom
from trove_tools.artifact import signature
from trove_tools.build import cache as _cache
from trove_tools.build import cache_maintenance
from trove_tools.build import containers
from trove_tools.build import describe
from trove_tools.build import dib
from trove_tools.build import dib_python
from trove_tools.build import lower_layers
from trove_tools.build import patch as _patch
from trove_tools.build import preflight
from trove_tools.build import previous as _previous
from trove_tools.build import remote_cache
from trove_tools.build import timeline as _timeline
from trove_tools.build import workspace
from trove_tools.host import digests
from trove_tools.host import process
from trove_tools.host import requirements
from trove_tools.inspection import contents as _contents
from trove_tools.inspection import inspect
from trove_tools.plan import layers
from trove_tools.plan import plan as _plan
from trove_tools.plan import variables

# Each read decompresses a whole cluster.  With 256 KiB, an image is 5 %
# smaller than with qemu's default of 64 KiB, and a small read takes 0.4 ms
# instead of 0.2 ms; with 1 MiB, it is 2 % smaller again, and takes 0.9 ms.
_CLUSTER = "256k"


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a build.

    :param built: whether the image was built now; false if it was up to date,
        or fetched.
    :param seconds: the duration of the build.
    :param fetched_from: the repository that it was fetched from now.
    """

    image: pathlib.Path
    manifest: manifest.Manifest
    log: pathlib.Path
    built: bool
    seconds: float
    fetched_from: str = ""

    def pinned(self) -> dict[str, str]:
        """Return the digests of containers from registries, by reference."""
        return {
            container.reference: container.digest
            for datastore in self.manifest.datastores
            for container in datastore.containers
            if container.source == "registry"
        }

    def as_dict(self) -> dict[str, typing.Any]:
        """Return the result as plain data, to print as JSON."""
        return {
            "image": str(self.image),
            "size": self.manifest.image.size,
            "sha256": self.manifest.image.sha256,
            "built": self.built,
            "fetched_from": self.fetched_from,
            "seconds": round(self.seconds, 1),
            "log": str(self.log),
            "manifest": str(manifest.path(self.image)),
            "report": str(report.path(self.image)),
        }


def build(
    plan: _plan.Plan,
    *,
    output: pathlib.Path,
    work: pathlib.Path | None,
    cache: _cache.Cache,
    force: bool,
    screen: console.Console,
    key: signature.SigningKey | None = None,
    remote: remote_cache.RemoteCache | None = None,
    patch: bool = False,
) -> Result:
    """Build an image unless it is up to date.

    :param output: the directory of the image.
    :param work: the work directory of diskimage-builder, if it is not in the
        output directory.
    :param cache: the cache of layers.
    :param force: build even if the image is up to date.
    :param key: the key that signs the manifest.
    :param remote: the layers in a registry, if it is used.
    :param patch: replace the agent in the previous image, if possible.
    :raises MissingToolError: the host lacks a program or a privilege.
    :raises UsageError: a directory cannot be used.
    :raises BuildError: the build failed; only the log is left.
    """
    begin = time.monotonic()
    # a build signs only images that it has built
    trusted = key.trusted if key else None
    if not force and _previous.find_current(plan, output, trusted, patch):
        seconds = time.monotonic() - begin
        return read_result(output / plan.file, seconds, built=False)
    if key is not None and _previous.find_current(plan, output) is not None:
        screen.say(
            f"{output / plan.file} is not signed with the key"
            f" {key.public.fingerprint} and is built again"
        )
    workspace.take_down_dead(cache.workspaces, screen.warn)
    cache_maintenance.abandoned(cache, screen.warn)
    previous = None
    if patch and not force:
        previous, reason = _patch.find_previous(plan, output, trusted)
        if reason:
            screen.say(f"{plan.name} is built from its layers: {reason}")
    if previous is not None:
        requirements.require_root()
        missing: list[layers.Layer] = []
    else:
        missing = preflight.require(plan, output, work, cache, remote)
    with workspace.open_workspace(
        output, plan.file, work, cache.workspaces, screen.warn
    ) as space:
        screen.say(f"Building {plan.name}; the log grows in {space.log}")
        # diskimage-builder, which reads files in the cache, needs a plain path
        cache = cache.at(space.plain(cache.directory))
        try:
            if previous is not None:
                made, found = _replace_agent(
                    plan, previous, output, space, cache, screen
                )
            else:
                made, found = _make(
                    plan, space, cache, missing, screen, remote
                )
            bill = sbom.path(space.image)
            sbom.write(found, made, bill)
            made = dataclasses.replace(
                made,
                sbom={"file": bill.name, **digests.compute(bill, ("sha256",))},
            )
            manifest.write(made, manifest.path(space.image), key)
            report.write(space.image)
            image = space.publish(output)
        except Exception as exc:
            where = f"the whole log is in {space.keep_log(output)}"
            if isinstance(exc, OSError):
                raise errors.BuildError(
                    f"cannot write: {exc}", hint=where
                ) from exc
            if isinstance(exc, errors.TroveToolsError):
                exc.hint = f"{exc.hint}\n{where}" if exc.hint else where
            else:
                exc.add_note(where)
            raise
    return read_result(image, time.monotonic() - begin)


def read_result(
    image: pathlib.Path,
    seconds: float,
    built: bool = True,
    fetched_from: str = "",
) -> Result:
    """Return the result of a build that another process has done.

    :param seconds: how long the build took.
    :param built: whether it was built now.
    :param fetched_from: the repository that it was fetched from now.
    :raises ImageError: the image has no manifest that can be read.
    """
    made = manifest.read(image)
    if made is None:
        raise errors.ImageError(f"{image} has no manifest")
    log = manifest.sidecar(image) / "build.log"
    return Result(image, made, log, built, seconds, fetched_from)


def _make(
    plan: _plan.Plan,
    space: workspace.Workspace,
    cache: _cache.Cache,
    missing: collections.abc.Sequence[layers.Layer],
    screen: console.Console,
    remote: remote_cache.RemoteCache | None,
) -> tuple[manifest.Manifest, _contents.Contents]:
    """Build the image, and return its manifest and contents."""
    steps = len(dib.PHASES) + 3
    for layer in missing:
        steps += lower_layers.STEPS + len(layer.containers)
    space.mount_memory()
    space.stem.parent.mkdir(0o700)
    with (
        screen.progress(plan.name, steps) as shown,
        dib_python.serve(space.work, space.log) as python,
    ):
        progress = containers.Lanes(shown)
        run = _open_run(plan, space, cache, progress, python)
        timeline = run.timeline
        below = lower_layers.Stack(
            plan.layers, cache, run, progress, remote
        )
        last = plan.layers[-1]
        kind = "tar" if plan.output["format"] == "tar" else "raw"
        with below.top() as entry:
            with timeline.within("layer", last.name):
                run.build(last, space.stem, kind, below.root(entry))
            _found_out(space)
            facts = entry.record.facts
        found = _finish(plan, space, run)
        progress.state("write the manifest and the report")
        chain = [
            *below.describe_layers(),
            manifest.Layer(last.name, last.digest, False),
        ]
        return describe.describe(
            plan,
            space,
            layers=chain,
            timeline=timeline,
            facts=facts,
            contents=found,
        ), found


def _open_run(
    plan: _plan.Plan,
    space: workspace.Workspace,
    cache: _cache.Cache,
    progress: console.Progress,
    python: str | os.PathLike[str] = sys.executable,
) -> dib.Run:
    """Return the settings of diskimage-builder for a plan."""
    downloads = cache.downloads
    if plan.downloads:
        downloads = space.plain(pathlib.Path(plan.downloads).absolute())
    return dib.Run(
        arch=plan.guest["arch"],
        distribution=plan.guest["distribution"],
        elements_path=plan.elements_path,
        work=space.work,
        log=space.log,
        progress=progress,
        timeline=_timeline.Timeline(),
        downloads=downloads,
        containers=space.containers,
        natives=space.natives,
        python=python,
        clean=variables.Filter(plan.secrets()),
    )


def _replace_agent(
    plan: _plan.Plan,
    previous: manifest.Manifest,
    output: pathlib.Path,
    space: workspace.Workspace,
    cache: _cache.Cache,
    screen: console.Console,
) -> tuple[manifest.Manifest, _contents.Contents]:
    """Copy the previous image with another agent; see :func:`_make`."""
    with screen.progress(plan.name, _patch.STEPS) as progress:
        run = _open_run(plan, space, cache, progress)
        with run.timeline.within("layer", plan.layers[-1].name):
            found = _patch.patch(plan, output / plan.file, space, run)
        found.require_safe()
        made = describe.describe_patched(
            plan,
            space,
            previous=previous,
            timeline=run.timeline,
            contents=found.contents,
        )
    return made, found.contents


def _found_out(space: workspace.Workspace) -> None:
    """Copy what elements recorded in the image to its sidecar directory."""
    made = space.stem.with_name(f"{space.stem.name}.d")
    for each in made.iterdir():
        process.run(["mv", each, space.sidecar])
    # this file contains the values of all variables, including secrets; the
    # manifest has only those that may be recorded
    told = space.sidecar / "dib-manifests" / "dib_environment"
    told.unlink(missing_ok=True)


def _finish(
    plan: _plan.Plan, space: workspace.Workspace, run: dib.Run
) -> _contents.Contents:
    """Inspect the disk and convert it to its final format.

    :returns: the contents of the image.
    :raises BuildError: the image contains secrets.
    """
    kind = "tar" if plan.output["format"] == "tar" else "raw"
    raw = space.stem.with_name(f"{space.stem.name}.{kind}")
    run.progress.state("scan for secrets and identities")
    convert = plan.output["format"] == "qcow2"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        # the conversion and the inspection only read the disk
        if convert:
            converted = pool.submit(
                write_qcow2, raw, space.image, plan.output["compression"]
            )
        with run.timeline.within("step", "inspect"):
            found = inspect.inspect_image(raw, plan.dev, plan.allow)
            found.require_safe()
        run.progress.advance()
        if convert:
            run.progress.state("convert to qcow2")
            with run.timeline.within("step", "convert"):
                converted.result()
                raw.unlink()
        else:
            process.run(["mv", raw, space.image])
    run.progress.advance()
    return found.contents


def write_qcow2(
    raw: pathlib.Path, image: pathlib.Path, compression: str
) -> None:
    """Write a raw disk as qcow2.

    :param compression: zstd, zlib or none.
    :raises CommandError: qemu-img failed.
    """
    options = ["-W", "-m", str(min(16, max(2, os.cpu_count() or 2)))]
    if compression != "none":
        options += [
            "-c", "-o",
            f"compression_type={compression},cluster_size={_CLUSTER}",
        ]  # fmt: skip
    process.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options,
         raw, image],
        cwd=image.parent,
    )  # fmt: skip
