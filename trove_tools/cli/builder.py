# SPDX-License-Identifier: Apache-2.0
"""trove-image-builder: plan, build and verify guest images."""

import collections.abc
import os
import pathlib
import sys

from trove_tools.cli import common

#: The umask of this command and of every program that it starts.
UMASK = 0o022

_BUILD = (
    "common", "arch", "guest", "system", "container", "plan", "name", "lock",
    "place", "cache", "age", "fresh", "force", "jobs", "all", "after",
    "verify", "sign", "trust", "remote", "image",
)  # fmt: skip


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
            "catalog:list_datastores",
            groups=("common", "long"),
            arguments=(
                common.argument("datastores", metavar="DATASTORE", nargs="*"),
            ),
            examples=(
                "list", "list mariadb --long", "list --format json",
            ),
        ),
        common.Command(
            "show",
            "show the catalog's entry of a datastore",
            "catalog:show_datastore",
            groups=("common",),
            arguments=(common.argument("datastore", metavar="DATASTORE"),),
            examples=("show mariadb", "show mongodb --format json"),
        ),
        common.Command(
            "plan",
            "print what a build with the same options would do",
            "plan:print_plans",
            # the options of ``build``, so that the same command line can be
            # planned first
            groups=(*_BUILD, "long"),
            arguments=(_WORDS,),
            examples=(
                "plan mariadb",
                "plan mariadb:10.11 --guest debian-12 --format json",
            ),
        ),
        common.Command(
            "build",
            "build an image",
            "build:build_images",
            groups=_BUILD,
            arguments=(_WORDS,),
            examples=(
                "build mariadb --output-dir /var/lib/images",
                "build mariadb postgresql --together --verify",
            ),
        ),
        common.Command(
            "verify",
            "boot an image and check that it works with Trove",
            "verify:verify",
            groups=(
                "common", "arch", "datastore", "verify", "force", "sign",
                "trust",
            ),  # fmt: skip
            arguments=(_FILE,),
            examples=(
                f"verify {_IMAGE}", "verify --level boot mariadb.qcow2",
            ),
        ),
        common.Command(
            "backup-container",
            "build the container that takes backups",
            "backup_container:make_container",
            groups=("common", "arch", "guest", "system", "place"),
            arguments=(common.argument("datastore", metavar=_WORD),),
            examples=(
                "backup-container mariadb",
                "backup-container postgresql:17 --output-dir /var/lib",
            ),
        ),
        common.Command(
            "inspect",
            "show the contents of an image, and search it for secrets",
            "inspect:inspect",
            groups=("common", "trust"),
            arguments=(_FILE,),
            examples=(
                f"inspect {_IMAGE}", "inspect mariadb.qcow2 --format json",
            ),
        ),
        common.Command(
            "diff",
            "compare the contents of two images",
            "inspect:diff",
            groups=("common", "compare"),
            arguments=(
                common.argument("old", metavar="IMAGE", type=pathlib.Path),
                common.argument("new", metavar="IMAGE", type=pathlib.Path),
            ),
            examples=(
                "diff old.qcow2 new.qcow2",
                "diff --files old.qcow2 new.qcow2",
            ),
        ),
        common.Command(
            "outdated",
            "tell whether images miss updates, without booting them",
            "outdated:list_outdated",
            groups=("common", "outdated", "trust", "cloud"),
            further=(
                "mirror", "security_mirror", "ca_certificate", "output_dir",
                "cache_dir",
            ),
            arguments=(
                common.argument("images", metavar="IMAGE", nargs="+"),
            ),
            examples=(
                f"outdated {_IMAGE}",
                "outdated --security --format json *.qcow2",
                "outdated IMAGE-ID --os-cloud admin -o /var/lib/images",
            ),
        ),
        common.Command(
            "push",
            "put an image into a registry",
            "push:push_image",
            groups=("common", "trust"),
            arguments=(
                _FILE,
                common.argument(
                    "repository", metavar="REGISTRY/REPOSITORY[:TAG]"
                ),
            ),
            examples=(
                "push mariadb.qcow2 registry.example/trove/images",
                "push mariadb.qcow2 registry.example/trove/images:stable",
            ),
        ),
        common.Command(
            "cache",
            "list, prune, verify, push or pull the cached layers",
            "cache:run",
            groups=("common", "cache", "age", "sign", "trust", "remote"),
            arguments=(
                common.argument(
                    "action",
                    choices=("list", "prune", "verify", "push", "pull"),
                ),
            ),
            examples=(
                "cache list", "cache prune --cache-size 10",
                "cache push --cache-to registry.example/trove/layers",
            ),
        ),
        common.Command(
            "doctor",
            "check the requirements of this host",
            "doctor:run",
            groups=(
                "common", "place", "cache", "age", "doctor", "sign", "trust",
                "remote",
            ),  # fmt: skip
            examples=("doctor", "doctor --clean"),
        ),
    ),
)  # fmt: skip

parser = PROGRAM.parser


def main(argv: collections.abc.Sequence[str] | None = None) -> int:
    """Run the command.

    :returns: its exit status.
    """
    # file modes in the image and of public files do not depend on the user;
    # secret files get an explicit mode
    os.umask(UMASK)
    return PROGRAM.main(argv)


if __name__ == "__main__":
    sys.exit(main())
