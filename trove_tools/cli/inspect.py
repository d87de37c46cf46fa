# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder inspect`` and ``diff``: show and compare images."""

import pathlib
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.artifact import manifest
from trove_tools.artifact import sbom
from trove_tools.artifact import signature
from trove_tools.cli import common
from trove_tools.host import digests
from trove_tools.host import paths
from trove_tools.host import requirements
from trove_tools.inspection import contents
from trove_tools.inspection import diff as _diff
from trove_tools.inspection import inspect as _inspect

_LARGEST = 10
_READING = "reading the files in an image"


def inspect(call: common.Call) -> int:
    """Print the contents of an image and search it for secrets.

    Only two facts come from the manifest: whether this is a development image,
    in which a key is allowed, and the exceptions that its builder has allowed.

    :returns: the exit status.
    :raises UsageError: there is no such file.
    :raises ImageError: the image contains secrets, or its manifest is not
        signed by a trusted key or belongs to another image.
    """
    image, form = call.flags.image, call.settings.format
    trusted = signature.read_trusted_keys(call.settings.trusted_key)
    _require_files(image)
    requirements.require_root(_READING)
    known = manifest.read(image, trusted)
    if known is not None and trusted is not None:
        sums = digests.compute(image, ("sha256",))
        manifest.require_digests(known, image, sums)
    inspection = _inspect.inspect_image(
        image,
        dev=known is not None and known.dev,
        allow=known.plan.get("allow", ()) if known else (),
    )
    rows = [finding._asdict() for finding in inspection.findings]
    datastores = [
        datastore._asdict()
        for datastore in contents.find_datastores(
            inspection.contents, call.catalog
        )
    ]
    if form == "table":
        console.emit(_summary(inspection.contents, datastores), form)
        _tables(inspection.contents)
        if rows:
            console.emit(rows, form, ("kind", "path", "what"))
    else:
        console.emit(
            {
                "image": str(image),
                "safe": not rows,
                "findings": rows,
                "allowed": [each._asdict() for each in inspection.allowed],
                "datastores": datastores,
                "agent": inspection.contents.agent,
                **inspection.contents.as_dict(),
            },
            form,
            result=results.INSPECT,
        )
    for finding in inspection.allowed:
        call.screen.warn(
            f"{finding.path}: {finding.kind}: {finding.what}; allowed when"
            " the image was built"
        )
    if not rows:
        call.screen.say(f"{image} contains nothing that must not be published")
        return errors.EXIT_OK
    raise errors.ImageError(
        f"{image} contains {len(rows)} item(s) that must not be published",
        hint="remove them in an element's hook, and build again",
    )


def _summary(
    image: contents.Contents, datastores: list[dict[str, typing.Any]]
) -> dict[str, typing.Any]:
    return {
        "system": f"{image.system['name']}, Linux {image.system['kernel']}",
        "guest agent": f"trove {image.agent}" if image.agent else "none",
        "datastores": [
            f"{each['name']} {each['installed'] or each['version']}"
            f" ({each['runtime']})"
            for each in datastores
        ]
        or "none that the catalog knows",
        "packages": f"{len(image.packages)} of the system,"
        f" {len(image.python)} of the agent",
        "size": console.size(image.directories["/"]),
    }


def _tables(image: contents.Contents) -> None:
    """Print the containers and the largest packages and directories."""
    if image.containers:
        console.emit(
            [
                {
                    "container": ", ".join(each.names),
                    "packages": len(each.packages),
                    "size": console.size(each.size),
                    "id": each.id,
                }
                for each in image.containers
            ],
            "table",
        )
    packages = sorted(image.packages, key=lambda each: -each.size)
    console.emit(
        [
            {
                "largest packages": each.name,
                "version": each.version,
                "size": console.size(each.size),
            }
            for each in packages[:_LARGEST]
        ],
        "table",
    )
    console.emit(
        [
            {"largest directories": path, "size": console.size(size)}
            for path, size in _largest(image.directories)[:_LARGEST]
        ],
        "table",
    )


def _largest(directories: dict[str, int]) -> list[tuple[str, int]]:
    """Return directories by size, except those that one subdirectory fills."""
    return sorted(
        (
            (path, size)
            for path, size in directories.items()
            if not any(
                inner != path
                and inner.startswith(path.rstrip("/") + "/")
                and inside > 0.9 * size
                for inner, inside in directories.items()
            )
        ),
        key=lambda each: -each[1],
    )


def diff(call: common.Call) -> int:
    """Print the differences between the contents of two images.

    :returns: the exit status.
    :raises UsageError: there is no such file.
    :raises ImageError: a file is not an image.
    """
    settings, screen = call.settings, call.screen
    old, new = call.flags.old, call.flags.new
    _require_files(old, new)
    if settings.files:
        requirements.require_root(_READING)
        screen.say("comparing every file of the two images")
        differences = _diff.compare_files(
            _inspect.read_files(old), _inspect.read_files(new)
        )
        _print(old, new, "images", differences, settings.format, screen)
        return errors.EXIT_OK
    described = [sbom.read_contents(image) for image in (old, new)]
    left, right = described
    source = "sidecars"
    if left is None or right is None:
        # the two sources may describe the same content differently
        source = "images"
        absent = [
            str(image)
            for image, read in zip((old, new), described, strict=True)
            if read is None
        ]
        screen.say(
            "there is no manifest and bill of materials of"
            f" {' and '.join(absent)}: inspecting the images themselves"
        )
        requirements.require_root(_READING)
        left = _inspect.inspect_image(old).contents
        right = _inspect.inspect_image(new).contents
    else:
        screen.say("compared by manifests and bills of materials")
    differences = _diff.compare_contents(left, right)
    if source == "sidecars":
        differences += _plans(old, new)
    _print(old, new, source, differences, settings.format, screen)
    return errors.EXIT_OK


def _require_files(*images: pathlib.Path) -> None:
    """Check that the image files exist, before any other check."""
    for image in images:
        paths.require_file(
            image, "image", "give the path of an image file", by_root=True
        )


def _print(
    old: pathlib.Path,
    new: pathlib.Path,
    source: str,
    differences: list[_diff.Difference],
    form: str,
    screen: console.Console,
) -> None:
    if form == "table":
        console.emit([_shown(difference) for difference in differences], form)
        if not differences:
            screen.say(f"{old} and {new} have the same contents")
        return
    console.emit(
        {
            "old": str(old), "new": str(new), "source": source,
            "same": not differences,
            "differences": [each._asdict() for each in differences],
        },
        form,
        result=results.DIFF,
    )  # fmt: skip


def _plans(old: pathlib.Path, new: pathlib.Path) -> list[_diff.Difference]:
    left, right = manifest.read(old), manifest.read(new)
    assert left is not None and right is not None
    return _diff.compare_plans(left.plan, right.plan)


def _shown(difference: _diff.Difference) -> dict[str, typing.Any]:
    row = difference._asdict()
    if difference.kind == "directory":
        grown = (difference.new or 0) - (difference.old or 0)
        row["old"] = console.size(difference.old or 0)
        row["new"] = console.size(difference.new or 0)
        sign = "+" if grown > 0 else "-"
        row["change"] = f"{sign}{console.size(abs(grown))}"
    return row
