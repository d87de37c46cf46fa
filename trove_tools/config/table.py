# SPDX-License-Identifier: Apache-2.0
"""Lists all options of all commands in :data:`OPTIONS`.

:mod:`trove_tools.config.options` defines the entries of this table. A topic
precedes the options that ``--help`` lists under it; an option's group decides
which commands accept it. Variables of diskimage-builder and of Trove's
older scripts are accepted, too, so that environments for these keep working.
"""

import argparse
import os
import pathlib
import typing

from trove_tools import errors
from trove_tools.config import kinds
from trove_tools.config import options
from trove_tools.config.options import Option
from trove_tools.config.options import Topic
from trove_tools.host import trust

#: The default configuration files; the last one takes precedence, and
#: ``--config-file`` replaces both.
FILES = (
    pathlib.Path("/etc/trove-tools/trove-tools.conf"),
    pathlib.Path("~/.config/trove-tools/trove-tools.conf"),
)

_TABLE: tuple[Topic | Option, ...] = (
    Topic("guest", "the guest system and the guest agent"),
    Option("guest", "guest", "guest system, as `list --long` names them",
           metavar="SYSTEM"),
    Option("arch", "arch", "architecture of the image", default="amd64",
           variables=("DIB_ARCH",)),
    Option("runtime", "plan", "how the datastore runs in the guest",
           metavar="RUNTIME"),
    Option("unsupported", "plan",
           "build for guest systems, too, that a datastore's vendor does not"
           " support", kinds.boolean, False),
    Option("agent", "plan",
           "Trove for the guest agent: a PyPI requirement, git+URL[@REF],"
           " or a directory", metavar="SOURCE"),
    Option("constraints", "system",
           "upper constraints for the agent's Python packages",
           variables=("DIB_TROVE_AGENT_CONSTRAINTS",), metavar="FILE|URL"),
    Option("guest_user", "plan", "the guest's user, without a password",
           variables=("DIB_TROVE_GUEST_USER", "GUEST_USERNAME"),
           metavar="NAME"),
    Option("unattended_upgrades", "plan",
           "guests install the distribution's security updates by themselves,"
           " but for the datastore and Docker; Debian and Ubuntu only",
           kinds.boolean, default=False),
    Option("dev", "plan",
           "for development: let in who has the private part of this public"
           " key; such an image is never made public", kinds.path,
           metavar="KEYFILE.pub"),
    Option("allow", "plan",
           "let this be in the image although inspect reports it, such as"
           " 'private key:/etc/x.pem'; the manifest names it", many=True,
           metavar="KIND:PATH"),
    Option("elements_path", "plan", "directories with further elements",
           variables=("ELEMENTS_PATH",), metavar="DIR[:DIR]"),
    Option("element", "plan", "a further element", many=True,
           variables=("EXTRA_ELEMENTS",), metavar="NAME"),
    Topic("containers", "where a datastore's containers come from"),
    Option("container_source", "container",
           "where the datastore's container comes from: packages, registry,"
           " archive:PATH or oci:PATH; with DATASTORE= before it for one of"
           " several (default: packages where the catalog has them)",
           many=True, metavar="SOURCE"),
    Option("with_backup", "plan",
           "put the container that takes backups into the image, too"
           " (default: where the datastore's container comes from packages)",
           kinds.boolean),
    Option("registry_mirror", "plan",
           "registry to ask instead of the catalog's; http://... for one"
           " without TLS", metavar="HOST[:PORT][/PATH]"),
    Option("local_manifests", "plan",
           "put into the image what answers its Docker engine about the"
           " containers that are in it, so that a pull needs no registry",
           kinds.boolean, True),
    Option("locked", "plan",
           "take from registries only what this lock file pins",
           kinds.path, metavar="FILE"),
    Option("lock", "lock", "write what came from registries to a lock file",
           kinds.path, metavar="FILE"),
    Topic("packages", "where packages come from, and of which day"),
    Option("repository", "plan",
           "package repository instead of the vendor's, as the catalog"
           " arranges it", many=True, metavar="DATASTORE=URL"),
    Option("repository_key", "plan",
           "the vendor's public key, instead of fetching it from the vendor",
           many=True, metavar="DATASTORE=FILE|URL"),
    Option("repository_fingerprint", "plan",
           "fingerprint that is pinned instead of the catalog's, for a mirror"
           " with a key of its own", many=True, metavar="DATASTORE=HEX"),
    Option("package", "plan",
           "the package of a datastore that its vendor gives to you",
           many=True, variables=("DATASTORE_PKG_LOCATION",),
           metavar="[DATASTORE=]FILE|URL"),
    Option("package_sha256", "plan", "its sha256; a URL needs it", many=True,
           metavar="[DATASTORE=]HEX"),
    Option("mirror", "system",
           "package mirror (default: the one this host uses)",
           variables=("DIB_DISTRIBUTION_MIRROR",), metavar="URL"),
    Option("security_mirror", "system",
           "mirror of the security updates (default: as this host)",
           variables=("DIB_DEBIAN_SECURITY_MIRROR",), metavar="URL"),
    Option("ca_certificate", "system",
           "certificates of authorities that the build trusts besides this"
           " host's, for mirrors and other servers; none of it stays in the"
           " image", kinds.path, metavar="FILE"),
    Option("guest_ca", "plan",
           "certificates of authorities that guests trust besides their"
           " system's", kinds.path, many=True, metavar="FILE"),
    Option("snapshot", "plan",
           "packages as they were on a day, such as 2026-01-31, of a mirror"
           " that has snapshots", metavar="DATE"),
    Option("source_date_epoch", "plan",
           "seconds since 1970 that no file in the image is newer than"
           " (default: as --snapshot says, if it does)", kinds.natural,
           variables=("SOURCE_DATE_EPOCH",), metavar="SECONDS"),
    Topic("disk", "the file that a build makes"),
    Option("image_format", "plan", "format of the image", default="qcow2",
           choices=("qcow2", "raw", "tar")),
    Option("compression", "plan", "compression inside a qcow2",
           default="zstd", choices=("zstd", "zlib", "none")),
    Option("partition_table", "plan",
           "disk label; efi is a GPT for UEFI (default: mbr; on arm64 efi)",
           choices=("mbr", "gpt", "efi")),
    Option("disk_size", "plan", "virtual size of the disk, GiB", int,
           variables=("DIB_IMAGE_SIZE", "GUEST_IMAGESIZE"), metavar="GIB"),
    Option("output_dir", "place", "directory of the images that are built",
           kinds.path, pathlib.Path("."), short="-o", metavar="DIR"),
    Option("name", "name", "name of the image, without an ending",
           metavar="NAME"),
    Topic("building", "what is built, and what is used again"),
    Option("all", "all", "an image of each datastore in the catalog",
           kinds.boolean, False),
    Option("together", "name", "one image for all the datastores named",
           kinds.boolean, False),
    Option("verify", "after", "boot and verify what was built",
           kinds.boolean, False),
    Option("force", "force", "do it again even if there is no need",
           kinds.boolean, False),
    Option("fresh", "fresh", "build every layer anew", kinds.boolean,
           False),
    Option("refresh_packages", "fresh",
           "upgrade the packages of layers that are in the cache",
           kinds.boolean, False),
    Option("max_age", "age",
           "days after which layers are built anew, so that security updates"
           " arrive", kinds.duration, 7, metavar="DAYS"),
    Option("jobs", "jobs",
           "images that are built at a time (default: by processors and"
           " memory)", int, metavar="N"),
    Option("pid_file", "jobs",
           "file that has the number of this process while it builds",
           kinds.path, metavar="FILE"),
    Option("work_dir", "place", "directory for the build's own files",
           kinds.path, variables=("TMP_DIR",), metavar="DIR"),
    Option("cache_dir", "cache",
           "directory for layers and downloads that builds share (default:"
           " ~/.cache/trove-tools)",
           kinds.path, metavar="DIR"),
    Option("cache_size", "cache",
           "GiB of layers that are kept; those used longest ago go",
           kinds.natural, 20, metavar="GIB"),
    Option("clean", "doctor",
           "take down what killed builds have left: mounts, loop devices,"
           " processes, directories", kinds.boolean, False),
    Topic("signing", "who vouches for an image"),
    Option("sign_key", "sign",
           "sign what is written of an image with this private key of SSH, or"
           " with the one that ssh-agent has to this public one", kinds.path,
           metavar="KEYFILE"),
    Option("trusted_key", "trust",
           "refuse an image whose manifest is signed with none of these public"
           " keys of SSH", kinds.path, many=True, metavar="KEYFILE.pub"),
    Topic("looking", "how an image is looked at"),
    Option("files", "compare",
           "compare every file of the two images instead",
           kinds.boolean, False),
    Option("level", "verify",
           "how far to look (default: the highest that it has)",
           choices=("boot", "datastore", "agent", "life")),
    Option("only", "verify",
           "a check of the level life to make, in place of all", many=True,
           metavar="CHECK"),
    Option("from", "verify",
           "the image that your instances were made of: the level life"
           " upgrades one to this image", kinds.path, metavar="IMAGE"),
    Option("machine", "verify",
           "what runs the guest: QEMU, a container of systemd-nspawn (needs"
           " root), or both as this host needs them",
           kinds.machine, default="auto",
           choices=("auto", "qemu", "container"), former="tier"),
    Option("guest_config", "verify",
           "your cloud's own trove-guestagent.conf, for the level agent: the"
           " guest gets it, with verify's broker in it", kinds.path,
           metavar="FILE"),
    Option("user_data", "verify",
           "your cloud's user data of Trove's guests (MANAGER.cloudinit), for"
           " the level agent", kinds.path, metavar="FILE"),
    Option("disk_bus", "verify",
           "what the guest's disks are on, as Nova's hw_disk_bus",
           default="virtio", choices=("virtio", "scsi")),
    Option("broker_port", "verify",
           "port on loopback for the level agent's message broker (default:"
           " a free one)", int, metavar="PORT"),
    Option("accelerator", "verify", "what runs QEMU's processors",
           default="auto", choices=("auto", "kvm", "tcg")),
    Option("timeout", "verify",
           "seconds that each wait for the guest lasts at most, however much"
           " it gets on; a guest that shows nothing new is given up earlier",
           int, 7200, metavar="SECONDS"),
    Option("memory", "verify", "memory of the guest, MiB", int, 2048,
           metavar="MIB"),
    Option("cpus", "verify", "processors of the guest", int, 2,
           metavar="N"),
    Topic("image", "which image is loaded, and as what"),
    Option("from_build", "load",
           "load the newest image of this version in --output-dir",
           many=True, metavar="DATASTORE[:VERSION]"),
    Option("sha256", "load", "the digest of an image that is named by an URL",
           metavar="DIGEST"),
    Option("datastore", "datastore",
           "the datastore in the image, where no manifest tells",
           metavar="NAME"),
    Option("version", "load", "its version", metavar="VERSION"),
    Option("manager", "load",
           "the guest agent's manager (default: as the catalog says)",
           metavar="NAME"),
    Option("os", "load",
           "the guest system in the image, where no manifest tells",
           metavar="NAME-VERSION"),
    Option("parameters", "load",
           "where the datastore's configuration parameters come from: a"
           " source tree, wheel, or installed package of Trove, a file of"
           " rules, none, or the Trove that is installed here (auto)",
           default="auto", metavar="SOURCE"),
    Option("strict", "load",
           "refuse an image of another series than the cloud's",
           kinds.boolean, False),
    Option("require_verified", "load",
           "refuse an image that failed a check of verify, or of which one"
           " was not made", kinds.boolean, False),
    Topic("loading", "what becomes of it in Glance and Trove"),
    Option("activate", "load",
           "also make the version active and the default",
           kinds.boolean, False),
    Option("visibility", "load",
           "who may use the image (a new one: private)",
           choices=("private", "shared", "community", "public")),
    Option("property", "load",
           "property of the image in Glance, as hw_disk_bus=scsi; KEY= leaves"
           " one out that the image before has", kinds.image_property,
           many=True, metavar="KEY=VALUE"),
    Option("tag", "load", "further tag of the image", kinds.label,
           many=True, metavar="TAG"),
    Option("member", "load",
           "share the image with this project, too; means --visibility"
           " shared", many=True, metavar="PROJECT"),
    Option("protected", "load",
           "whether Glance refuses to remove the image (a new one: no)",
           kinds.boolean),
    Option("pin", "load",
           "register the version by the image's id instead of by tags",
           kinds.boolean, False),
    Option("keep", "load", "how many images of a version stay in Glance",
           int, 2, metavar="N"),
    Option("keep_in_use", "load",
           "keep older ones that instances, servers or volumes may need",
           kinds.boolean, True),
    Option("import_method", "load",
           "how images are sent: one request (upload), Glance's import, or"
           " as the cloud can (auto)", default="auto",
           choices=("auto", "upload", "glance-direct", "web-download")),
    Option("store", "load",
           "store of Glance that gets the image; several, or all, if named"
           " (default: as Glance does)", many=True, metavar="STORE"),
    Topic("activation", "what is changed, and what is not"),
    Option("rollback", "activate",
           "return to the image that the version had before",
           kinds.boolean, False),
    Option("to_image", "activate",
           "with --rollback: the image to return to, by its id; also one"
           " that was withdrawn", metavar="ID"),
    Option("list", "activate",
           "show what there is, and change nothing", kinds.boolean, False),
    Option("instances", "activate",
           "list the instances of the version that run another image than its"
           " current one", kinds.boolean, False),
    Option("rebuild_instances", "activate",
           "have Trove rebuild these instances from the current image; it"
           " stops at the first one that is not healthy again", kinds.boolean,
           False),
    Option("at_once", "activate",
           "how many instances are rebuilt at the same time", kinds.natural,
           1, metavar="N"),
    Option("rebuild_timeout", "activate",
           "seconds that an instance may take to be healthy again",
           kinds.natural, 1800, metavar="SECONDS"),
    Option("dry_run", "change",
           "print the calls that would change something; make none",
           kinds.boolean, False),
    Topic("devstack", "what a test environment needs of a cloud"),
    Option("flavors", "prepare", "make the flavors of Trove's tests",
           kinds.boolean, True),
    Option("quota", "quota",
           "raise a quota of the project that has Trove's instances",
           many=True, metavar="NAME=NUMBER"),
    Option("service_project", "prepare", "that project", default="service",
           metavar="NAME"),
    Option("user_cloud", "prepare",
           "a cloud in clouds.yaml that is an ordinary user's: see that it"
           " is served", metavar="NAME"),
    Option("volumes", "settings", "whether the cloud has volumes",
           kinds.boolean, True),
    Option("network", "tempest", "network of the test instances",
           default="private", metavar="NAME"),
    Option("build_timeout", "tempest", "seconds a new instance gets", int,
           1800, metavar="SECONDS"),
    Option("tempest_conf", "tempest",
           "write a whole configuration of tempest's into this file, instead"
           " of printing Trove's part", kinds.path, metavar="FILE"),
    # cloud/cloud_config.py reads the other OS_* variables that the openstack
    # command reads
    Topic("cloud", "which cloud, and as whom"),
    Option("os_cloud", "cloud", "name of a cloud in clouds.yaml",
           variables=("OS_CLOUD",), metavar="NAME"),
    Option("image_project", "cloud",
           "project that the images belong to; where there is none of the"
           " default's name, the user's own", default="service",
           metavar="NAME|ID"),
    Option("os_region_name", "cloud", "region",
           variables=("OS_REGION_NAME",), metavar="NAME"),
    Option("os_interface", "cloud", "which endpoints are called",
           kinds.interface, variables=("OS_INTERFACE",),
           choices=("public", "internal", "admin")),
    Option("os_auth_type", "cloud", "how to log in",
           variables=("OS_AUTH_TYPE",), metavar="TYPE"),
    Option("os_auth_url", "cloud", "address of keystone",
           variables=("OS_AUTH_URL",), metavar="URL"),
    Option("os_username", "cloud", "user", variables=("OS_USERNAME",),
           metavar="NAME"),
    Option("os_password", "cloud",
           "its password; better kept in clouds.yaml or OS_PASSWORD, as"
           " every user of this host sees command lines",
           variables=("OS_PASSWORD",)),
    Option("os_user_domain_name", "cloud", "the user's domain",
           variables=("OS_USER_DOMAIN_NAME",), metavar="NAME"),
    Option("os_project_name", "cloud", "project",
           variables=("OS_PROJECT_NAME",), metavar="NAME"),
    Option("os_project_id", "cloud", "project, by its id",
           variables=("OS_PROJECT_ID",), metavar="ID"),
    Option("os_project_domain_name", "cloud", "the project's domain",
           variables=("OS_PROJECT_DOMAIN_NAME",), metavar="NAME"),
    Option("os_cacert", "cloud",
           "certificates of the authorities to trust", kinds.path,
           variables=("OS_CACERT",), metavar="FILE"),
    Option("os_cert", "cloud", "the user's own certificate", kinds.path,
           variables=("OS_CERT",), metavar="FILE"),
    Option("os_key", "cloud", "its private key", kinds.path,
           variables=("OS_KEY",), metavar="FILE"),
    Option("insecure", "cloud", "do not check the servers' certificates",
           kinds.boolean, False),
    Topic("common", "what every command takes"),
    Option("config_file", "common", "read options from this file",
           kinds.path, metavar="FILE"),
    Option("format", "common", "how results are printed on stdout",
           default="table", choices=("table", "json", "shell"), short="-f"),
    Option("long", "long", "show everything in the table", kinds.boolean,
           False),
    Option("quiet", "common", "print results and errors only",
           kinds.boolean, False, short="-q"),
    Option("debug", "common", "show tracebacks and debug messages",
           kinds.boolean, False),
    Option("catalog", "common", "directory with further datastore entries",
           kinds.path, many=True, metavar="DIR"),
)  # fmt: skip

OPTIONS = options.under_topics(_TABLE)
# a file cannot set the file to read
_IN_FILES = [option for option in OPTIONS if option.name != "config_file"]
BY_NAME = {option.name: option for option in OPTIONS}


def group(*names: str) -> list[Option]:
    """Return the options of some groups, in the table's order."""
    return [option for option in OPTIONS if option.group in names]


def settings(
    declared: list[Option], flags: argparse.Namespace
) -> options.Settings:
    """Find the values of options for this run of a command.

    :param declared: the options of the command.
    :param flags: its parsed command line.
    :raises UsageError: a value is wrong, or the file of ``--config-file`` is
        missing.
    """
    named = getattr(flags, "config_file", None) or os.environ.get(
        "TROVE_TOOLS_CONFIG_FILE"
    )
    if named is None:
        files = list(filter(os.path.exists, map(_expanded, FILES)))
        if os.geteuid() == 0:
            # the content of these files decides what root runs
            for file in files:
                trust.require_own(file.resolve(), "the configuration file")
    else:
        files = [_expanded(pathlib.Path(named))]
        if not os.path.exists(files[0]):
            raise errors.UsageError(
                f"there is no configuration file {files[0]}",
                hint="correct --config-file or TROVE_TOOLS_CONFIG_FILE",
            )
    return options.resolve(declared, flags, files=files, known=_IN_FILES)


def _expanded(file: pathlib.Path) -> pathlib.Path:
    try:
        return file.expanduser()
    except RuntimeError:
        # this user has no home directory
        return file


def list_opts() -> list[tuple[str, list[typing.Any]]]:
    """Return the options for oslo-config-generator."""
    return [("DEFAULT", options.oslo_options(_IN_FILES))]
