# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder push``: writes an image to a registry."""

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.artifact import imagefile
from trove_tools.artifact import manifest
from trove_tools.artifact import remote_image
from trove_tools.artifact import signature
from trove_tools.cli import common
from trove_tools.host import digests
from trove_tools.host import paths
from trove_tools.sources.network import session
from trove_tools.sources.registry import address
from trove_tools.sources.registry import client


def push_image(call: common.Call) -> int:
    """Write an image and all that lies beside it to a registry.

    :returns: the exit status.
    :raises UsageError: the image or the repository cannot be used.
    :raises ImageError: the image is not what its manifest describes, or is
        not signed with a trusted key.
    :raises RegistryError: the registry did not store it.
    """
    image, settings = call.flags.image, call.settings
    where = address.parse(call.flags.repository, "REPOSITORY", tagged=True)
    if "@" in call.flags.repository:
        raise errors.UsageError(
            f"{where} has a digest, and only the registry gives one",
            hint="name a tag, or leave it out",
        )
    paths.require_file(image, "image", "build it first")
    if not image.name.endswith(".tar"):
        imagefile.inspect(image)
    made = manifest.read(
        image, signature.read_trusted_keys(settings.trusted_key)
    )
    if made is None:
        raise errors.UsageError(
            f"{image} has no manifest {manifest.path(image)}",
            hint="copy the directory NAME.d together with the image",
        )
    manifest.require_digests(made, image, digests.compute(image))
    tags = [where.tag or manifest.sidecar(image).stem]
    if made.plan_digest:
        tags.append(remote_image.plan_tag(made.plan_digest))
    repository = client.Repository(where)
    with (
        session.open_session(),
        call.screen.progress(
            f"sending {image.name}", image.stat().st_size, "bytes"
        ) as progress,
    ):
        digest = remote_image.push(
            image, made, repository, tags, progress.advance
        )
    signed = signature.path(manifest.path(image)).exists()
    if not signed:
        call.screen.say(
            f"{image.name} is not signed: builders and clouds that trust only"
            " certain keys refuse it"
        )
    row = {
        "image": image.name,
        "repository": str(repository),
        "tags": tags,
        "digest": digest,
        "size": made.image.size,
        "signed": signed,
    }
    shown = row
    if settings.format == "table":
        shown = {**row, "size": console.size(made.image.size)}
    console.emit(shown, settings.format, result=results.PUSH)
    return errors.EXIT_OK
