# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder outdated``: whether images miss updates."""

import dataclasses
import pathlib
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.artifact import manifest
from trove_tools.artifact import sbom
from trove_tools.artifact import signature
from trove_tools.artifact import updates
from trove_tools.cli import common
from trove_tools.config import options
from trove_tools.host import debian
from trove_tools.host import paths
from trove_tools.plan import layers
from trove_tools.plan import mirrors
from trove_tools.sources.network import session

_COLUMNS = ("image", "where", "name", "installed", "available", "security",
            "source")  # fmt: skip


def list_outdated(call: common.Call) -> int:
    """Print the updates that images miss.

    :returns: the exit status: 1 if an image misses some.
    :raises UsageError: there is no such image, or no mirror is known.
    :raises ImageError: an image has no bill of materials, or a wrong one.
    :raises BuildError: a repository cannot be read or is not to be trusted.
    """
    settings, screen = call.settings, call.screen
    files = _find_files(call)
    rows: list[dict[str, typing.Any]] = []
    with session.open_session(settings.ca_certificate):
        for word, image in files.items():
            rows.append(_compare(call, word, image))
    missed = [row for row in rows if row["outdated"]]
    if settings.format == "table":
        shown = [
            {"image": row["image"], **update}
            for row in rows
            for update in row["updates"]
        ]
        if shown:
            console.emit(shown, "table", _COLUMNS)
    else:
        console.emit(rows, settings.format, result=results.OUTDATED)
    for row in rows:
        for note in row["notes"]:
            screen.warn(f"{row['image']}: not compared: {note}")
        screen.say(
            f"{row['image']} is {'outdated' if row['outdated'] else 'current'}"
            f"; security updates: {row['security']}, other updates:"
            f" {row['other']}, compared packages: {row['packages']}"
        )
    return errors.EXIT_FAILED if missed else errors.EXIT_OK


def _compare(
    call: common.Call, word: str, image: pathlib.Path
) -> dict[str, typing.Any]:
    settings = call.settings
    made = manifest.read(
        image, signature.read_trusted_keys(settings.trusted_key)
    )
    contents = sbom.read_stated(image, made) if made else None
    if made is None or contents is None:
        raise errors.ImageError(
            f"{image} has no bill of materials: {sbom.path(image)} is not"
            " there",
            hint="keep the directory NAME.d of an image, or build it again",
        )
    found = updates.compare_image(
        made,
        contents,
        updates.Today(
            _choose_mirrors(made, settings),
            call.catalog.series,
            (settings.cache_dir or paths.user_cache()) / "lists",
        ),
    )
    security = [each for each in found.updates if each.security]
    shown = security if settings.security else found.updates
    return {
        "image": word,
        "outdated": bool(shown),
        "security": len(security),
        "other": len(found.updates) - len(security),
        "packages": found.compared,
        "created": made.created,
        "sha256": made.image.get("sha256"),
        "updates": [dataclasses.asdict(each) for each in shown],
        "unknown": found.unknown,
        "notes": found.notes,
    }


def _choose_mirrors(
    made: manifest.Manifest, settings: options.Settings
) -> debian.Mirrors:
    """Return the mirrors of the options, the manifest, or this host.

    A snapshot of an earlier day has no newer packages, so a manifest with a
    snapshot does not count.
    """
    environment: dict[str, str] = {}
    for layer in made.plan.get("layers", ())[:1]:
        environment = layer["environment"]
    if layers.SNAPSHOT in environment:
        environment = {}
    return mirrors.choose(
        settings.mirror or environment.get(layers.MIRROR),
        settings.security_mirror or environment.get(layers.SECURITY_MIRROR),
        made.guest["distribution"],
    )


def _find_files(call: common.Call) -> dict[str, pathlib.Path]:
    """Return the image file of each word of the command line.

    Only the directory NAME.d is needed. A word that names no file is the name
    or the id of an image in Glance.

    :raises UsageError: there is no such image, or no build with its digest.
    """
    files = {word: pathlib.Path(word) for word in call.flags.images}
    absent = [
        word
        for word, path in files.items()
        if not manifest.sidecar(path).is_dir() and not path.exists()
    ]
    if not absent:
        return files
    if not call.settings.os_cloud:
        raise errors.UsageError(
            f"there is no image {absent[0]}, nor"
            f" {manifest.sidecar(files[absent[0]])}",
            hint="correct the path; or, for an image in Glance, name the cloud"
            " with --os-cloud",
        )
    from trove_tools.cloud import connection
    from trove_tools.cloud import glance

    login = connection.log_in(call.settings, call.screen.warn)
    images = login.service("Glance", "image")
    for word in absent:
        sha256 = glance.find_digest(images, word)
        files[word] = manifest.find_built(call.settings.output_dir, sha256)
    return files

