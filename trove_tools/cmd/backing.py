# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder backup-container``: from options to an archive."""

import pathlib
import tempfile

from trove_tools import console
from trove_tools import credentials
from trove_tools import errors
from trove_tools import options
from trove_tools import paths
from trove_tools import results
from trove_tools.catalog import model
from trove_tools.container import backup
from trove_tools.image import host
from trove_tools.image import mirrors
from trove_tools.image import workspace


def make(
    word: str,
    settings: options.Settings,
    screen: console.Console,
    catalog: model.Catalog,
) -> int:
    """Make the container that takes backups of a datastore.

    :param word: ``DATASTORE[:VERSION]``.
    :returns: the command's exit status.
    """
    name, version = model.split_name(word)
    datastore = catalog.datastore(name)
    version = datastore.version(version or None).version
    how = backup.recipe(datastore, version)
    guest = _guest(settings.guest, datastore, version, catalog)
    output: pathlib.Path = settings.output_dir
    paths.require_writable(output, "--output-dir")
    work = (settings.work_dir or pathlib.Path(tempfile.gettempdir())).resolve()
    if not work.is_dir() or not workspace.is_plain(work):
        raise errors.UsageError(
            f"mmdebstrap cannot work in {work}",
            hint="give --work-dir a directory that exists, and whose path has"
            " only letters, digits and . _ + -",
        )
    host.require_tools("packages")
    host.require_root("making a container of packages")
    paths.make_directory(output, "--output-dir")
    chosen = mirrors.choose(
        settings.mirror, settings.security_mirror, guest.distribution
    )
    credentials.refuse(
        settings.constraints, "--constraints", "leave it out", query=True
    )
    image = f"db-backup-{datastore.name}:{version}"
    file = output / f"trove-backup-{datastore.name}-{version}.tar"
    with (
        tempfile.TemporaryDirectory(
            prefix="trove-backup-", dir=work
        ) as directory,
        screen.progress(image) as progress,
    ):
        made = backup.make(
            backup.Wanted(
                datastore,
                version,
                image,
                {
                    "distribution": guest.distribution,
                    "release": guest.release,
                    "arch": settings.arch,
                },
                catalog.series.requirement,
                settings.constraints or "",
            ),
            how,
            file,
            pathlib.Path(directory),
            mirror=chosen.archive,
            security=chosen.security,
            say=progress.state,
        )
    console.emit(
        {
            "archive": str(made.archive),
            "image": made.name,
            "size": made.archive.stat().st_size,
            "digest": made.digest,
            "trove": made.trove,
        },
        settings.format,
        result=results.BACKUP,
    )
    screen.say(
        "put it where guests ask for it: skopeo copy"
        f" docker-archive:{made.archive} docker://REGISTRY/{made.name}"
    )
    return errors.EXIT_OK


def _guest(
    asked: str | None,
    datastore: model.Datastore,
    version: str,
    catalog: model.Catalog,
) -> model.Guest:
    """Return the guest system whose packages are taken.

    :raises UsageError: none has the datastore's version.
    """
    container = datastore.runtime("container").container
    assert container is not None
    names = list(container.packages.get(version, {}))
    if not names or (asked and asked not in names):
        raise errors.UsageError(
            f"{asked or 'every guest system'} lacks packages of"
            f" {datastore.name} {version} to make a container of",
            hint=f"those that do: {', '.join(names) or 'none'}",
        )
    return catalog.guest(asked or names[0])
