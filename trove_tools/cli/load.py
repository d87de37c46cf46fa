# SPDX-License-Identifier: Apache-2.0
"""load-trove-image: upload images to Glance and register them in Trove."""

import pathlib
import tempfile
import typing

from trove_tools import errors
from trove_tools import results
from trove_tools.cli import cloud as clouds
from trove_tools.cli import common
from trove_tools.host import paths

if typing.TYPE_CHECKING:
    from trove_tools.artifact import remote_image

_EXAMPLES = (
    "load-trove-image trove-mariadb-11.8-debian-13-amd64.qcow2 --activate",
    "load-trove-image --from-build mariadb:11.8",
    "load-trove-image other.qcow2 --datastore mariadb --version 11.8",
    "load-trove-image oci://registry.example/trove/images:mariadb-11.8",
    "load-trove-image https://.../x.qcow2 --sha256 DIGEST --datastore ...",
    'eval "$(load-trove-image IMAGE -f shell)"; echo $LOADED_0_IMAGE_ID',
)

_NOTES = """
A new version is registered as inactive: users see it only after --activate or
activate-trove-image has made it active and the default.
An image that is already in Glance is not uploaded again.  Trove uses the new
image as soon as it is complete in Glance; activate-trove-image --rollback
returns to the previous image.
"""

_COLUMNS = (
    "datastore",
    "version",
    "active",
    "default",
    "verified",
    "registration",
    "upload",
    "image_id",
)


def load_images(call: common.Call) -> int:
    """Load the images that the command line names.

    :returns: an exit status.
    """
    settings = call.settings
    if not call.flags.images and not settings.from_build:
        raise errors.UsageError(
            "no IMAGE was given",
            hint="name files or URLs, or use --from-build DATASTORE:VERSION",
        )
    from trove_tools.cloud import load
    from trove_tools.cloud import sources
    from trove_tools.cloud import transfer

    request = load.Request(
        pin=settings.pin,
        activate=settings.activate,
        keep=settings.keep,
        keep_in_use=settings.keep_in_use,
        route=transfer.Route(settings.import_method, tuple(settings.store)),
        rules=settings.parameters,
        strict=settings.strict,
        members=tuple(settings.member),
    )
    with tempfile.TemporaryDirectory(prefix="trove-tools-") as directory:
        images, urls, remotes = _find_images(call, pathlib.Path(directory))
        prepared = sources.prepare(images, settings, urls, remotes)
        series = call.catalog.series
        session = clouds.connect(settings, call.screen)
        rows = load.Loader(
            session.cloud, request, series, call.screen
        ).load_images(prepared)
    return session.print_rows(rows, results.LOAD, _COLUMNS)


def _find_images(
    call: common.Call, directory: pathlib.Path
) -> tuple[
    list[pathlib.Path],
    dict[pathlib.Path, str],
    dict[pathlib.Path, "remote_image.RemoteImage"],
]:
    """Find the images that the command line names.

    :param directory: for the files beside images in a registry.
    :returns: the paths of all images; by path, the URLs of downloaded images,
        and the images in a registry.
    """
    from trove_tools.artifact import remote_image
    from trove_tools.cloud import sources
    from trove_tools.cloud import transfer

    settings, screen = call.settings, call.screen
    images, urls, remotes = [], {}, {}
    for word in call.flags.images:
        path = pathlib.Path(word)
        if remote_image.is_reference(word):
            remote = remote_image.open_image(word)
            path = remote.fetch_files(
                pathlib.Path(tempfile.mkdtemp(dir=directory))
            )
            remotes[path] = remote
        elif paths.is_url(word):
            path = transfer.download_image(word, settings.sha256, screen)
            urls[path] = word
        images.append(path)
    for name in settings.from_build:
        images.append(sources.find_newest_build(settings.output_dir, name))
        screen.say(f"the newest build of {name} is {images[-1].name}")
    return images, urls, remotes


PROGRAM = common.Program(
    name="load-trove-image",
    description="Load guest images into Glance and register their"
    " datastores in Trove.",
    examples=_EXAMPLES,
    statuses=common.statuses(
        0, 1, 2, 3, 4, 130, failed="the image is not usable"
    ),
    notes=_NOTES,
    commands=(
        common.Command(
            "",
            "",
            load_images,
            groups=(
                *clouds.GROUPS, "arch", "datastore", "load", "trust",
            ),  # fmt: skip
            further=("output_dir", "name"),
            arguments=(
                common.argument(
                    "images",
                    metavar="IMAGE",
                    nargs="*",
                    help="image file, oci://REGISTRY/REPOSITORY:TAG or"
                    " @DIGEST, or the URL of a file; the manifest beside an"
                    " image describes it",
                ),
            ),
        ),
    ),
)

main = PROGRAM.main
parser = PROGRAM.parser
