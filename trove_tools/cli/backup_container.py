# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder backup-container``: builds a backup container."""

import pathlib
import shutil
import tempfile

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.build import workspace
from trove_tools.catalog import model
from trove_tools.cli import common
from trove_tools.host import credentials
from trove_tools.host import paths
from trove_tools.host import requirements
from trove_tools.plan import mirrors
from trove_tools.sources.container import prepare
from trove_tools.sources.container import rootfs
from trove_tools.sources.container import sources
from trove_tools.sources.network import session


def make_container(call: common.Call) -> int:
    """Build the backup container of a datastore.

    :returns: the exit status.
    """
    settings, catalog = call.settings, call.catalog
    name, version = model.split_name(call.flags.datastore)
    datastore = catalog.datastore(name)
    version = datastore.version(version or None).version
    if "container" not in datastore.runtimes:
        others = [
            each.name
            for each in catalog.datastores.values()
            if "container" in each.runtimes
        ]
        raise errors.UsageError(
            f"{datastore.name} does not run in a container, so Trove has no"
            " backup container for it",
            hint=f"datastores that run in a container: {', '.join(others)}",
        )
    wanted = datastore.runtime("container").container
    systems = wanted.packages.get(version, {}) if wanted else {}
    guest = catalog.guest(
        settings.guest or next(iter([*systems, *catalog.guests]))
    )
    container = sources.make_backup(
        datastore,
        version,
        wanted,
        guest,
        requirement=catalog.series.requirement,
        constraints=settings.constraints,
    )
    output: pathlib.Path = settings.output_dir
    paths.require_writable(output, "--output-dir")
    work = (settings.work_dir or pathlib.Path(tempfile.gettempdir())).resolve()
    if not work.is_dir() or not workspace.is_plain(work):
        raise errors.UsageError(
            f"mmdebstrap cannot work in {work}",
            hint="set --work-dir to an existing directory whose path has only"
            " letters, digits and . _ + -",
        )
    requirements.require_tools("packages")
    requirements.require_root("making a container of packages")
    paths.make_directory(output, "--output-dir")
    chosen = mirrors.choose(
        settings.mirror, settings.security_mirror, guest.distribution
    )
    credentials.refuse(
        settings.constraints, "--constraints", "leave it out", query=True
    )
    (image,) = container.names
    file = output / f"trove-backup-{datastore.name}-{version}.tar"
    with (
        tempfile.TemporaryDirectory(
            prefix="trove-backup-", dir=work
        ) as directory,
        call.screen.progress(image),
        session.open_session(settings.ca_certificate),
    ):
        conditions = rootfs.Conditions(
            guest.distribution, settings.arch, chosen
        )
        obtained = prepare.obtain(
            container, pathlib.Path(directory), conditions, lambda text: None
        )
        (prepared,) = prepare.write_archives(
            [obtained], pathlib.Path(directory), conditions
        )
        shutil.move(pathlib.Path(directory, container.file), file)
    console.emit(
        {
            "archive": str(file),
            "image": image,
            "size": prepared.size,
            "digest": prepared.digest,
            "trove": prepared.installed,
        },
        settings.format,
        result=results.BACKUP,
    )
    call.screen.say(
        "copy it to a registry that guests can reach: skopeo copy"
        f" docker-archive:{file} docker://REGISTRY/{image}"
    )
    return errors.EXIT_OK
