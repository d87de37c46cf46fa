# SPDX-License-Identifier: Apache-2.0
"""Creates the manifest of an image that was just built."""

import collections.abc
import dataclasses
import datetime
import importlib.metadata
import json
import pathlib
import typing
import uuid

from trove_tools import errors
from trove_tools.artifact import imagefile
from trove_tools.artifact import manifest
from trove_tools.build import timeline as _timeline
from trove_tools.build import workspace
from trove_tools.host import debian
from trove_tools.host import digests
from trove_tools.inspection import contents as _contents
from trove_tools.plan import plan as _plan


def describe_patched(
    plan: _plan.Plan,
    space: workspace.Workspace,
    *,
    previous: manifest.Manifest,
    timeline: _timeline.Timeline,
    contents: _contents.Contents,
) -> manifest.Manifest:
    """Return the manifest of an image whose agent was replaced.

    :param previous: the manifest of the image that was copied.
    :param contents: the contents of the new image.
    :raises BuildError: the image differs from the plan.
    """
    last = plan.layers[-1]
    return dataclasses.replace(
        previous,
        **_measured(plan, space, timeline, contents),
        layers=(
            *previous.layers[:-1],
            manifest.Layer(last.name, last.digest, False),
        ),
        patched=True,
    )


def describe(
    plan: _plan.Plan,
    space: workspace.Workspace,
    *,
    layers: collections.abc.Iterable[manifest.Layer],
    timeline: _timeline.Timeline,
    contents: _contents.Contents,
    facts: collections.abc.Mapping[str, typing.Any],
) -> manifest.Manifest:
    """Return the manifest of an image.

    :param layers: how its layers were provided, the lowest first.
    :param contents: the contents of the image.
    :param facts: the facts recorded by the datastore layer.
    :raises BuildError: the image differs from the plan.
    """
    return manifest.Manifest(
        guest=plan.guest,
        series=plan.series,
        datastores=tuple(_datastores(plan, space, facts)),
        dev=plan.dev,
        guest_ca=plan.guest_ca,
        unattended_upgrades=plan.unattended_upgrades,
        layers=tuple(layers),
        **_measured(plan, space, timeline, contents),
    )


def _measured(
    plan: _plan.Plan,
    space: workspace.Workspace,
    timeline: _timeline.Timeline,
    contents: _contents.Contents,
) -> dict[str, typing.Any]:
    """Return the parts of a manifest that are new in each build.

    :raises BuildError: the agent has no manager for a datastore of the plan.
    """
    image = space.image
    virtual = image.stat().st_size
    if plan.output["format"] != "tar":
        virtual = imagefile.inspect(image).virtual_size
    agent = _facts(space, "trove-guest-agent.json")
    # the list of other packages from pip stays in the element's own file
    agent.pop("packages", None)
    check_managers(plan, agent)
    return {
        "build_id": uuid.uuid4().hex,
        "created": datetime.datetime.now(datetime.UTC).isoformat(
            timespec="seconds"
        ),
        "image": manifest.File(
            image.name,
            plan.output["format"],
            image.stat().st_size,
            virtual,
            **digests.compute(image),
        ),
        "agent": agent,
        "plan": plan.as_dict(),
        "plan_digest": plan.digest(),
        "tools": {
            name: importlib.metadata.version(name)
            for name in ("trove-tools", "diskimage-builder")
        },
        "timeline": tuple(timeline.as_list()),
        "contents": {
            "system": contents.system,
            "directories": contents.directories,
            "configuration": contents.configuration,
        },
    }


def check_managers(
    plan: _plan.Plan, agent: collections.abc.Mapping[str, typing.Any]
) -> None:
    """Check that the guest agent has managers for the image's datastores.

    :param agent: the agent's record in the image.
    :raises BuildError: the agent has no manager for a datastore.
    """
    managers = agent["managers"]
    for each in plan.datastores:
        if each["manager"] is not None and each["manager"] not in managers:
            raise errors.BuildError(
                f"the guest agent {agent['version']} has no manager"
                f" {each['manager']} for {each['name']}; it has"
                f" {', '.join(managers)}",
                hint="build with --agent and a Trove that has this manager, as"
                f" the series {plan.series['name']} does",
            )


def _datastores(
    plan: _plan.Plan,
    space: workspace.Workspace,
    facts: collections.abc.Mapping[str, typing.Any],
) -> collections.abc.Iterator[manifest.Datastore]:
    """Yield the image's datastores with their installed versions.

    :raises BuildError: a version differs from the plan.
    """
    for entry in plan.datastores:
        prepared = [
            each
            for each in facts.get("containers", ())
            if each["datastore"] == entry["name"]
        ]
        if prepared:
            yield manifest.Datastore(
                **entry,
                # the server's container comes before the backup container
                installed=prepared[0]["installed"],
                containers=tuple(
                    manifest.Container(**each["container"])
                    for each in prepared
                ),
            )
            continue
        server, _, installed = facts["natives"][entry["name"]].partition(" ")
        # a vendor's installer leaves no package, only the version
        if not installed:
            installed = read_packages(space.sidecar).get(server, "")
            debian.require_version(
                server, installed, entry["version"], plan.mirror
            )
        yield manifest.Datastore(**entry, installed=installed)


def read_packages(sidecar: pathlib.Path) -> dict[str, str]:
    """Return the versions of the packages in an image, by package.

    diskimage-builder's element ``manifests`` writes the list that the guest's
    package manager prints to a file beside the image.

    :param sidecar: the directory beside the image.
    :raises BuildError: the build left no list.
    """
    file = sidecar / "dib-manifests" / f"dib-manifest-dpkg-{workspace.STEM}"
    try:
        listed = json.loads(file.read_text())["packages"]
        return {
            entry["package"].partition(":")[0]: entry["version"]
            for entry in listed
        }
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise errors.BuildError(
            f"the build left no list of its packages: {file.name}: {exc}"
        ) from exc


def _facts(space: workspace.Workspace, name: str) -> dict[str, typing.Any]:
    """Return the facts that an element recorded inside the image.

    :raises BuildError: the element recorded nothing.
    """
    file = space.sidecar / "dib-manifests" / name
    try:
        found: dict[str, typing.Any] = json.loads(file.read_text())
    except (OSError, ValueError) as exc:
        raise errors.BuildError(
            f"the build ended without {name}: {exc}"
        ) from exc
    return found
