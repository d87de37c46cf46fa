# SPDX-License-Identifier: Apache-2.0
"""trove-image-builder: plan, build and verify guest images."""

import argparse
import collections.abc
import contextlib
import os
import pathlib
import sys
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.cli import common
from trove_tools.config import options

if typing.TYPE_CHECKING:
    from trove_tools.catalog import model

#: Of this command and of every program that it starts.
UMASK = 0o022

_BUILD = (
    "common", "arch", "guest", "system", "container", "plan", "name", "lock",
    "place", "cache", "age", "fresh", "force", "jobs", "all", "after",
    "verify", "sign",
)  # fmt: skip


def _list(
    settings: options.Settings,
    flags: argparse.Namespace,
    screen: console.Console,
    catalog: "model.Catalog",
) -> int:
    from trove_tools.cli import catalog as catalogue

    return catalogue.list_datastores(
        flags.datastores, settings, screen, catalog
    )


def _show(
    settings: options.Settings,
    flags: argparse.Namespace,
    screen: console.Console,
    catalog: "model.Catalog",
) -> int:
    from trove_tools.cli import catalog as catalogue

    return catalogue.show_datastore(
        flags.datastore, settings, screen, catalog
    )


def _plans(
    settings: options.Settings,
    flags: argparse.Namespace,
    screen: console.Console,
    catalog: "model.Catalog",
) -> list[typing.Any]:
    from trove_tools.plan import plan
    from trove_tools.plan import request

    named = flags.datastores
    if settings.all:
        if named:
            raise errors.UsageError(
                f"--all builds all there are, and {named[0]} was named",
                hint="leave one of the two out",
            )
        named = list(catalog.datastores)
    if not named:
        raise errors.UsageError(
            "no datastore was named",
            hint=f"one of: {', '.join(catalog.datastores)}; or --all",
        )
    images = [[word] for word in named]
    if settings.together:
        images = [named]
    if settings.name and len(images) > 1:
        raise errors.UsageError(
            "--name goes with one image only",
            hint="build the images one by one, or leave --name out; or"
            " --together makes one image of all",
        )
    # all are checked before the first is built
    plans = [
        plan.make(request.make(words, settings, catalog)) for words in images
    ]
    # one that only some of the images read is not in vain
    for name in sorted(set.intersection(*(set(p.unread) for p in plans))):
        screen.warn(
            f"{name} is set, but nothing in this build reads it: neither an"
            " element of the plan nor diskimage-builder itself"
        )
    return plans


def _plan(
    settings: options.Settings,
    flags: argparse.Namespace,
    screen: console.Console,
    catalog: "model.Catalog",
) -> int:
    from trove_tools.cli import plan as plans
    from trove_tools.sources.network import session

    with session.open_session(settings.ca_certificate):
        found = _plans(settings, flags, screen, catalog)
    plans.print_plans(found, settings)
    return errors.EXIT_OK


def _build(
    settings: options.Settings,
    flags: argparse.Namespace,
    screen: console.Console,
    catalog: "model.Catalog",
) -> int:
    from trove_tools.cli import build
    from trove_tools.sources.network import session

    with (
        _pid_file(settings.pid_file),
        session.open_session(settings.ca_certificate),
    ):
        plans = _plans(settings, flags, screen, catalog)
        for reason in (reason for each in plans for reason in each.reasons):
            screen.say(reason)
        return build.build(plans, settings, screen, catalog)


@contextlib.contextmanager
def _pid_file(path: pathlib.Path | None) -> collections.abc.Iterator[None]:
    """Have the number of this process in a file as long as this lasts."""
    if path is None:
        yield
        return
    from trove_tools.host import files

    path = path.parent.resolve() / path.name
    try:
        files.write(path, f"{os.getpid()}\n")
    except OSError as exc:
        raise errors.UsageError(
            f"--pid-file {path} cannot be written: {exc.strerror}",
            hint="name a file in a directory that you may write to",
        ) from exc
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _verify(
    settings: options.Settings,
    flags: argparse.Namespace,
    screen: console.Console,
    catalog: "model.Catalog",
) -> int:
    from trove_tools.cli import verify

    return verify.verify(settings, flags, screen, catalog)


def _backup_container(
    settings: options.Settings,
    flags: argparse.Namespace,
    screen: console.Console,
    catalog: "model.Catalog",
) -> int:
    from trove_tools.cli import backup_container
    from trove_tools.sources.network import session

    with session.open_session(settings.ca_certificate):
        return backup_container.make(
            flags.datastore, settings, screen, catalog
        )


def _inspect(
    settings: options.Settings,
    flags: argparse.Namespace,
    screen: console.Console,
    catalog: "model.Catalog",
) -> int:
    from trove_tools.artifact import signature
    from trove_tools.cli import inspect

    return inspect.inspect(
        flags.image,
        settings.format,
        screen,
        catalog,
        signature.read_trusted_keys(settings.trusted_key),
    )


def _diff(
    settings: options.Settings,
    flags: argparse.Namespace,
    screen: console.Console,
    catalog: "model.Catalog",
) -> int:
    from trove_tools.cli import inspect

    compare = inspect.diff_files if settings.files else inspect.diff
    return compare(flags.old, flags.new, settings.format, screen)


def _cache(
    settings: options.Settings,
    flags: argparse.Namespace,
    screen: console.Console,
    catalog: "model.Catalog",
) -> int:
    from trove_tools.cli import cache

    return cache.run(settings, flags, screen)


def _doctor(
    settings: options.Settings,
    flags: argparse.Namespace,
    screen: console.Console,
    catalog: "model.Catalog",
) -> int:
    from trove_tools.cli import doctor

    return doctor.run(settings, screen)


_IMAGE = "trove-mariadb-11.8-debian-13-amd64.qcow2"
_WORD = "DATASTORE[:VERSION]"
_WORDS = common.argument("datastores", metavar=_WORD, nargs="*")
_FILE = common.argument("image", metavar="IMAGE", type=pathlib.Path)

PROGRAM = common.Program(
    name="trove-image-builder",
    description="Build and verify guest images for OpenStack Trove.",
    examples=(
        "trove-image-builder list",
        "trove-image-builder build mariadb --output-dir /var/lib/images",
        f"trove-image-builder verify {_IMAGE}",
    ),
    statuses=common.statuses(0, 1, 2, 3, 130),
    commands=(
        common.Command(
            "list",
            "list datastores, versions and guest systems",
            _list,
            groups=("common", "long"),
            arguments=(
                common.argument("datastores", metavar="DATASTORE", nargs="*"),
            ),
            examples=(
                "list", "list mariadb --long", "list --format json",
            ),
            with_catalog=True,
        ),
        common.Command(
            "show",
            "show all that is known of a datastore",
            _show,
            groups=("common",),
            arguments=(common.argument("datastore", metavar="DATASTORE"),),
            examples=("show mariadb", "show mongodb --format json"),
            with_catalog=True,
        ),
        common.Command(
            "plan",
            "print what a build with the same options would do",
            _plan,
            # the same command line, to be tried before it is built
            groups=(*_BUILD, "long"),
            arguments=(_WORDS,),
            examples=(
                "plan mariadb",
                "plan mariadb:10.11 --guest debian-12 --format json",
            ),
            with_catalog=True,
        ),
        common.Command(
            "build",
            "build an image",
            _build,
            groups=_BUILD,
            arguments=(_WORDS,),
            examples=(
                "build mariadb --output-dir /var/lib/images",
                "build mariadb postgresql --together --verify",
            ),
            with_catalog=True,
        ),
        common.Command(
            "verify",
            "boot an image and see that it serves Trove",
            _verify,
            groups=(
                "common", "arch", "datastore", "verify", "force", "sign",
                "trust",
            ),  # fmt: skip
            arguments=(_FILE,),
            examples=(
                f"verify {_IMAGE}", "verify --level boot mariadb.qcow2",
            ),
            with_catalog=True,
        ),
        common.Command(
            "backup-container",
            "make the container that takes backups",
            _backup_container,
            groups=("common", "arch", "guest", "system", "place"),
            arguments=(common.argument("datastore", metavar=_WORD),),
            examples=(
                "backup-container mariadb",
                "backup-container postgresql:17 --output-dir /var/lib",
            ),
            with_catalog=True,
        ),
        common.Command(
            "inspect",
            "tell what is in an image, and what must not be",
            _inspect,
            groups=("common", "trust"),
            arguments=(_FILE,),
            examples=(
                f"inspect {_IMAGE}", "inspect mariadb.qcow2 --format json",
            ),
            with_catalog=True,
        ),
        common.Command(
            "diff",
            "tell how the contents of two images differ",
            _diff,
            groups=("common", "compare"),
            arguments=(
                common.argument("old", metavar="IMAGE", type=pathlib.Path),
                common.argument("new", metavar="IMAGE", type=pathlib.Path),
            ),
            examples=(
                "diff old.qcow2 new.qcow2",
                "diff --files old.qcow2 new.qcow2",
            ),
            with_catalog=True,
        ),
        common.Command(
            "cache",
            "list, prune or verify the layers that builds share",
            _cache,
            groups=("common", "cache", "age"),
            arguments=(
                common.argument(
                    "action", choices=("list", "prune", "verify")
                ),
            ),
            examples=("cache list", "cache prune --cache-size 10"),
            with_catalog=True,
        ),
        common.Command(
            "doctor",
            "tell what this host lacks",
            _doctor,
            groups=(
                "common", "place", "cache", "age", "doctor", "sign", "trust",
            ),  # fmt: skip
            examples=("doctor", "doctor --clean"),
            with_catalog=True,
        ),
    ),
)  # fmt: skip

parser = PROGRAM.parser


def main(argv: collections.abc.Sequence[str] | None = None) -> int:
    """Run the command.

    :returns: its exit status.
    """
    # the modes of all that goes into an image, and of what others read, are
    # the same whoever builds; what is secret is given a mode of its own
    os.umask(UMASK)
    return PROGRAM.main(argv)


if __name__ == "__main__":
    sys.exit(main())
