# SPDX-License-Identifier: Apache-2.0
"""Builds an image from a plan: check, build, convert, describe, publish."""

import collections.abc
import dataclasses
import datetime
import importlib.metadata
import json
import pathlib
import time
import typing
import uuid

from trove_tools import console
from trove_tools import errors
from trove_tools import manifest
from trove_tools import sbom
from trove_tools.container import prepare
from trove_tools.container import sources
from trove_tools.image import dib
from trove_tools.image import disk
from trove_tools.image import host
from trove_tools.image import natives
from trove_tools.image import packages
from trove_tools.image import plan as _plan
from trove_tools.image import timeline as _timeline
from trove_tools.image import workspace
from trove_tools.inspection import contents
from trove_tools.inspection import inspect
from trove_tools.report import page


@dataclasses.dataclass(frozen=True)
class Result:
    """An image that is there.

    :param built: whether it was built now; false when it was current.
    :param seconds: how long that took.
    """

    image: pathlib.Path
    manifest: manifest.Manifest
    log: pathlib.Path
    built: bool
    seconds: float

    def pinned(self) -> dict[str, str]:
        """Return the digests of what came from registries, by reference."""
        return {
            container["reference"]: container["digest"]
            for datastore in self.manifest.datastores
            for container in datastore.containers
            if container["source"] == "registry"
        }

    def as_dict(self) -> dict[str, typing.Any]:
        """Return it for printing."""
        return {
            "image": str(self.image),
            "size": self.manifest.image["size"],
            "sha256": self.manifest.image["sha256"],
            "built": self.built,
            "seconds": round(self.seconds, 1),
            "log": str(self.log),
            "manifest": str(manifest.path(self.image)),
            "report": str(page.path(self.image)),
        }


@dataclasses.dataclass(frozen=True)
class _Made:
    """What is known of an image that was just made, besides its plan."""

    timeline: _timeline.Timeline
    containers: list[prepare.Prepared]
    contents: contents.Contents


def current(
    plan: _plan.Plan, output: pathlib.Path
) -> manifest.Manifest | None:
    """Return the manifest of the image that this plan would build again.

    :returns: nothing, when there is no image, or one of another plan.
    """
    image = output / plan.file
    try:
        found = manifest.read(image)
    except errors.ImageError:
        return None
    if found is None or found.plan_digest != plan.digest():
        return None
    if not image.is_file() or image.stat().st_size != found.image["size"]:
        return None
    return found


def build(
    plan: _plan.Plan,
    *,
    output: pathlib.Path,
    work: pathlib.Path | None,
    force: bool,
    screen: console.Console,
) -> Result:
    """Build an image, unless it is there already.

    :param output: the directory that gets it.
    :param work: where diskimage-builder works, if not there too.
    :param force: build even if it is there.
    :raises MissingToolError: the host lacks something.
    :raises UsageError: a directory cannot be used.
    :raises BuildError: it could not be built; nothing is left of it but
        the log.
    """
    begin = time.monotonic()
    found = None if force else current(plan, output)
    if found is not None:
        image = output / plan.file
        log = manifest.sidecar(image) / "build.log"
        return Result(image, found, log, False, time.monotonic() - begin)
    host.require_tools("build")
    for container in plan.containers:
        host.require_tools(
            "packages" if container["source"] == "packages" else "containers"
        )
    host.require_root()
    host.require_space(output, work)
    with workspace.open_workspace(output, plan.file, work) as space:
        screen.say(f"Building {plan.name}; the log grows in {space.log}")
        try:
            ready = _make(plan, space, screen)
            made = _describe(plan, space, ready)
        except errors.TroveToolsError as exc:
            kept = space.keep_log(output)
            where = f"the whole log is in {kept}"
            exc.hint = f"{exc.hint}\n{where}" if exc.hint else where
            raise
        manifest.write(made, manifest.path(space.image))
        sbom.write(ready.contents, made, sbom.path(space.image))
        page.write(space.image)
        image = space.publish(output)
    log = manifest.sidecar(image) / "build.log"
    return Result(image, made, log, True, time.monotonic() - begin)


def _make(
    plan: _plan.Plan,
    space: workspace.Workspace,
    screen: console.Console,
) -> _Made:
    """Run diskimage-builder and bring the result into its format."""
    steps = len(plan.containers) + len(dib.PHASES) + 3
    timeline = _timeline.Timeline()
    with screen.progress(plan.name, steps) as progress:
        prepared = []
        if plan.natives:
            with timeline.within("step", "packages"):
                natives.prepare(plan, space, progress)
        if plan.containers:
            with timeline.within("step", "containers"):
                prepared = _prepare(plan, space, progress)
        dib.run(
            plan,
            space.stem,
            work=space.work.resolve(),
            log=space.log,
            progress=progress,
            timeline=timeline,
            containers=space.containers,
            natives=space.natives,
        )
        progress.state("look for what must not be in an image")
        kind = "tar" if plan.output["format"] == "tar" else "raw"
        raw = space.stem.with_name(f"{space.stem.name}.{kind}")
        with timeline.within("step", "inspect"):
            found = inspect.inspect(raw)
            found.require_safe()
        progress.advance()
        if plan.output["format"] == "qcow2":
            progress.state("convert to qcow2")
            with timeline.within("step", "convert"):
                disk.to_qcow2(raw, space.image, plan.output["compression"])
                raw.unlink()
        progress.advance()
        progress.state("describe")
    return _Made(timeline, prepared, found.contents)


def _prepare(
    plan: _plan.Plan,
    space: workspace.Workspace,
    progress: console.Progress,
) -> list[prepare.Prepared]:
    """Lay the containers where the element finds them.

    :raises BuildError: one cannot be had, or is of another version.
    """
    prepared = []
    mirror = plan.environment.get("DIB_DISTRIBUTION_MIRROR")
    with open(space.log, "a") as log:
        for entry in plan.containers:
            container = sources.Container(**entry)
            progress.state(f"container of {container.datastore}")
            made = prepare.prepare(
                container,
                space.containers,
                guest=plan.guest,
                mirror=mirror,
                security=plan.environment.get("DIB_DEBIAN_SECURITY_MIRROR"),
                log=log.write,
            )
            for server in container.packages[:1]:
                packages.of_version(
                    {server: made.installed},
                    server,
                    container.version,
                    mirror or "the mirror",
                )
            prepared.append(made)
            progress.advance()
    return prepared


def _describe(
    plan: _plan.Plan,
    space: workspace.Workspace,
    found: _Made,
) -> manifest.Manifest:
    """Return the manifest of the image that was just made."""
    image = space.image
    virtual = image.stat().st_size
    if plan.output["format"] != "tar":
        virtual = disk.info(image)["virtual-size"]
    agent = _facts(space, "trove-guest-agent.json")
    # what pip installed besides stays in the element's own file
    agent.pop("packages", None)
    return manifest.Manifest(
        build_id=uuid.uuid4().hex,
        created=datetime.datetime.now(datetime.UTC).isoformat(
            timespec="seconds"
        ),
        image={
            "file": image.name,
            "format": plan.output["format"],
            "size": image.stat().st_size,
            "virtual_size": virtual,
            **manifest.digests(image),
        },
        guest=plan.guest,
        series=plan.series,
        agent=agent,
        datastores=tuple(_datastores(plan, space, found.containers)),
        plan=plan.as_dict(),
        plan_digest=plan.digest(),
        tools={
            name: importlib.metadata.version(name)
            for name in ("trove-tools", "diskimage-builder")
        },
        timeline=tuple(found.timeline.as_list()),
        contents={
            "system": found.contents.system,
            "directories": found.contents.directories,
            "configuration": found.contents.configuration,
        },
    )


def _datastores(
    plan: _plan.Plan,
    space: workspace.Workspace,
    containers: list[prepare.Prepared],
) -> collections.abc.Iterator[manifest.Datastore]:
    """Yield what the image serves, with what is really installed.

    :raises BuildError: that is not what the plan says.
    """
    prepared = {each.container.datastore: each for each in containers}
    for entry in plan.datastores:
        container = prepared.get(entry["name"])
        if container is not None:
            yield manifest.Datastore(
                **entry,
                installed=container.installed,
                containers=(container.as_dict(),),
            )
            continue
        yield manifest.Datastore(
            **entry, installed=natives.installed(entry, plan, space)
        )


def _facts(space: workspace.Workspace, name: str) -> dict[str, typing.Any]:
    """Return what an element found out inside the image.

    :raises BuildError: the element did not say it.
    """
    file = space.sidecar / "dib-manifests" / name
    try:
        found: dict[str, typing.Any] = json.loads(file.read_text())
    except (OSError, ValueError) as exc:
        raise errors.BuildError(
            f"the build ended without {name}: {exc}"
        ) from exc
    return found
