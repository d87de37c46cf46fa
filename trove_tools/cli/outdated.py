# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder outdated``: whether images miss updates."""

import collections.abc
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

if typing.TYPE_CHECKING:
    from trove_tools.cloud import connection

_COLUMNS = ("image", "where", "name", "installed", "available", "security",
            "source")  # fmt: skip


def list_outdated(call: common.Call) -> int:
    """Print the updates that images miss.

    :returns: the exit status: 1 if an image misses some.
    :raises TroveToolsError: the only image cannot be compared.
    :raises ImageError: some of several images cannot be compared.
    """
    settings, screen = call.settings, call.screen
    words = list(dict.fromkeys(call.flags.images))
    trusted = signature.read_trusted_keys(settings.trusted_key)
    glance = _open_glance(call, words)
    rows: list[dict[str, typing.Any]] = []
    with session.open_session(settings.ca_certificate):
        for word in words:
            try:
                image = _find_file(call, word, glance)
                rows.append(_compare(call, word, image, trusted))
            except errors.TroveToolsError as exc:
                if len(words) == 1:
                    raise
                screen.error(exc)
                said = exc.message.splitlines()[0]
                rows.append({"image": word, "outdated": None, "error": said})
    _print(rows, call)
    failed = [row for row in rows if "error" in row]
    if failed:
        listed = "".join(
            f"\n  {row['image']}: {row['error']}" for row in failed
        )
        raise errors.ImageError(
            f"{len(failed)} of {len(rows)} images cannot be compared:{listed}",
            hint="remove the cause and compare them again",
        )
    if any(row["outdated"] for row in rows):
        return errors.EXIT_FAILED
    return errors.EXIT_OK


def _print(rows: list[dict[str, typing.Any]], call: common.Call) -> None:
    """Print the result of each image, and of several images a summary."""
    settings, screen = call.settings, call.screen
    compared = [row for row in rows if "error" not in row]
    if settings.format == "table":
        shown = [
            {"image": row["image"], **update}
            for row in compared
            for update in row["updates"]
        ]
        if shown:
            console.emit(shown, "table", _COLUMNS)
    else:
        console.emit(rows, settings.format, result=results.OUTDATED)
    for row in compared:
        for note in row["notes"]:
            screen.warn(f"{row['image']}: not compared: {note}")
        screen.say(
            f"{row['image']} is {'outdated' if row['outdated'] else 'current'}"
            f"; security updates: {row['security']}, other updates:"
            f" {row['other']}, compared packages: {row['packages']}"
        )


def _compare(
    call: common.Call,
    word: str,
    image: pathlib.Path,
    trusted: signature.TrustedKeys | None,
) -> dict[str, typing.Any]:
    """Compare an image, and return its row.

    :param word: the image's name on the command line.
    :param trusted: the keys that may have signed the manifest.
    :raises UsageError: no mirror is known.
    :raises ImageError: the image has no bill of materials, or a wrong one.
    :raises BuildError: a repository cannot be read or is not to be trusted.
    """
    settings = call.settings
    made = manifest.read(image, trusted)
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
        "sha256": made.image.sha256 or None,
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


def _is_file(word: str) -> bool:
    """Return whether a word names an image's file, or its NAME.d is there."""
    path = pathlib.Path(word)
    return manifest.sidecar(path).is_dir() or path.exists()


def _open_glance(
    call: common.Call, words: collections.abc.Iterable[str]
) -> "connection.Service | None":
    """Return Glance if a cloud is given and a word names no file.

    :raises CloudError: the cloud cannot be reached.
    """
    if not call.settings.os_cloud or all(map(_is_file, words)):
        return None
    from trove_tools.cloud import connection

    login = connection.log_in(call.settings, call.screen.warn)
    return login.service("Glance", "image")


def _find_file(
    call: common.Call, word: str, images: "connection.Service | None"
) -> pathlib.Path:
    """Return the image file of a word of the command line.

    Only the directory NAME.d is needed. A word that names no file is the name
    or the id of an image in Glance.

    :param images: Glance.
    :raises UsageError: there is no such image, or no build with its digest.
    """
    path = pathlib.Path(word)
    if _is_file(word):
        return path
    if images is None:
        raise errors.UsageError(
            f"there is no image {word}, nor {manifest.sidecar(path)}",
            hint="correct the path; or, for an image in Glance, name the cloud"
            " with --os-cloud",
        )
    from trove_tools.cloud import glance

    sha256 = glance.find_digest(images, word)
    return manifest.find_built(call.settings.output_dir, sha256)
