# SPDX-License-Identifier: Apache-2.0
"""Lists all options of all commands in :data:`OPTIONS`.

:mod:`trove_tools.config.options` defines the entries of this table. A topic
precedes the options that ``--help`` lists under it; an option's group decides
which commands accept it. Variables of diskimage-builder and of Trove's
older scripts are accepted, too, so that environments for these keep working.
"""

import argparse
import pathlib
import typing

from trove_tools.config import kinds
from trove_tools.config import options
from trove_tools.config.options import Option
from trove_tools.config.options import Topic

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
           "also build for guest systems that the datastore's vendor does not"
           " support", kinds.boolean, False),
    Option("agent", "plan",
           "source of the guest agent's code: a PyPI requirement,"
           " git+URL[@REF], or a directory", metavar="SOURCE"),
    Option("constraints", "system",
           "upper constraints for the agent's Python packages",
           variables=("DIB_TROVE_AGENT_CONSTRAINTS",), metavar="FILE|URL"),
    Option("guest_user", "plan",
           "name of the guest's login user, who has no password",
           variables=("DIB_TROVE_GUEST_USER", "GUEST_USERNAME"),
           metavar="NAME"),
    Option("unattended_upgrades", "plan",
           "guests install the distribution's security updates automatically,"
           " except those of the datastore and of Docker; only for Debian and"
           " Ubuntu",
           kinds.boolean, default=False),
    Option("dev", "plan",
           "make an image for development: the owner of this SSH key can log"
           " in; such an image can never be made public", kinds.path,
           metavar="KEYFILE.pub"),
    Option("allow", "plan",
           "accept this finding of inspect in the image, such as 'private"
           " key:/etc/x.pem'; the manifest lists it", many=True,
           metavar="KIND:PATH"),
    Option("elements_path", "plan", "directories with additional elements",
           variables=("ELEMENTS_PATH",), metavar="DIR[:DIR]"),
    Option("element", "plan", "add an element", many=True,
           variables=("EXTRA_ELEMENTS",), metavar="NAME"),
    Topic("containers", "the sources of containers"),
    Option("container_source", "container",
           "source of the datastore's container: packages, registry,"
           " archive:PATH or oci:PATH; prefix it with DATASTORE= if the image"
           " has several datastores (default: packages if the catalog lists"
           " them)",
           many=True, metavar="SOURCE"),
    Option("with_backup", "plan",
           "also include the container that takes backups (default: if the"
           " datastore's container is made from packages)",
           kinds.boolean),
    Option("registry_mirror", "plan",
           "registry to use instead of the catalog's; http://... for one"
           " without TLS", metavar="HOST[:PORT][/PATH]"),
    Option("local_manifests", "plan",
           "let the guest serve the manifests of the image's containers to"
           " its Docker engine, so that a pull needs no registry",
           kinds.boolean, True),
    Option("locked", "plan",
           "use only the containers that this lock file pins from registries",
           kinds.path, metavar="FILE"),
    Option("lock", "lock",
           "write a lock file of the containers that came from registries",
           kinds.path, metavar="FILE"),
    Topic("packages", "the sources and the date of packages"),
    Option("repository", "plan",
           "package repository instead of the vendor's, with the same layout",
           many=True, metavar="DATASTORE=URL"),
    Option("repository_key", "plan",
           "file or URL of the repository's public key, instead of the"
           " vendor's URL",
           many=True, metavar="DATASTORE=FILE|URL"),
    Option("repository_fingerprint", "plan",
           "fingerprint of the repository's key, instead of the catalog's,"
           " for a mirror that signs with its own key",
           many=True, metavar="DATASTORE=HEX"),
    Option("package", "plan",
           "package file of a datastore that only its vendor distributes",
           many=True, variables=("DATASTORE_PKG_LOCATION",),
           metavar="[DATASTORE=]FILE|URL"),
    Option("package_sha256", "plan",
           "sha256 of --package; required for a URL", many=True,
           metavar="[DATASTORE=]HEX"),
    Option("mirror", "system", "package mirror (default: this host's)",
           variables=("DIB_DISTRIBUTION_MIRROR",), metavar="URL"),
    Option("security_mirror", "system",
           "mirror for security updates (default: this host's)",
           variables=("DIB_DEBIAN_SECURITY_MIRROR",), metavar="URL"),
    Option("ca_certificate", "system",
           "additional certificate authorities that the build trusts for"
           " mirrors and other servers; they are not put into the image",
           kinds.path, metavar="FILE"),
    Option("guest_ca", "plan",
           "additional certificate authorities that guests trust",
           kinds.path, many=True, metavar="FILE"),
    Option("snapshot", "plan",
           "use the packages of this date, such as 2026-01-31; the mirror"
           " must have snapshots", metavar="DATE"),
    Option("source_date_epoch", "plan",
           "latest time of files in the image, in seconds since 1970"
           " (default: the time of --snapshot, if given)", kinds.natural,
           variables=("SOURCE_DATE_EPOCH",), metavar="SECONDS"),
    Topic("disk", "the format of the image"),
    Option("image_format", "plan", "format of the image", default="qcow2",
           choices=("qcow2", "raw", "tar")),
    Option("compression", "plan", "compression inside a qcow2",
           default="zstd", choices=("zstd", "zlib", "none")),
    Option("partition_table", "plan",
           "disk label; efi is a GPT for UEFI (default: mbr; on arm64 efi)",
           choices=("mbr", "gpt", "efi")),
    Option("disk_size", "plan", "virtual size of the disk, GiB", int,
           variables=("DIB_IMAGE_SIZE", "GUEST_IMAGESIZE"), metavar="GIB"),
    Option("output_dir", "place", "directory for the images",
           kinds.path, pathlib.Path("."), short="-o", metavar="DIR"),
    Option("name", "name", "name of the image, without a file extension",
           metavar="NAME"),
    Topic("building", "what is built, and how"),
    Option("all", "all", "build an image of each datastore in the catalog",
           kinds.boolean, False),
    Option("together", "name",
           "build one image that contains all named datastores",
           kinds.boolean, False),
    Option("verify", "after", "verify the images after the build",
           kinds.boolean, False),
    Option("force", "force", "repeat the work even if its result is current",
           kinds.boolean, False),
    Option("fresh", "fresh", "build all layers again", kinds.boolean,
           False),
    Option("refresh_packages", "fresh",
           "upgrade the packages in cached layers",
           kinds.boolean, False),
    Option("patch", "fresh",
           "for development: replace the agent's code in the previous image,"
           " if nothing else has changed", kinds.boolean, False),
    Option("max_age", "age",
           "age in days at which layers are built again, to get security"
           " updates", kinds.duration, 7, metavar="DAYS"),
    Option("jobs", "jobs",
           "number of images to build in parallel (default: depends on"
           " processors and memory)", int, metavar="N"),
    Option("pid_file", "jobs",
           "file that contains the id of this process during the build",
           kinds.path, metavar="FILE"),
    Option("work_dir", "place", "directory for temporary files of the build",
           kinds.path, variables=("TMP_DIR",), metavar="DIR"),
    Option("cache_dir", "cache",
           "directory for layers and downloads that builds share (default:"
           " ~/.cache/trove-tools)",
           kinds.path, metavar="DIR"),
    Option("cache_size", "cache",
           "maximum size of the cached layers, GiB; the least recently used"
           " layers are removed",
           kinds.natural, 20, metavar="GIB"),
    Option("clean", "doctor",
           "remove the leftovers of killed builds: mounts, loop devices,"
           " processes, directories", kinds.boolean, False),
    Topic("signing", "signatures of images"),
    Option("sign_key", "sign",
           "sign the files beside an image with this private SSH key; or, if"
           " ssh-agent has the private key, with this public key", kinds.path,
           metavar="KEYFILE"),
    Option("trusted_key", "trust",
           "refuse an image, or a layer in a registry, that is not signed with"
           " one of these public SSH keys", kinds.path, many=True,
           metavar="KEYFILE.pub"),
    Topic("registry", "layers and images that builders share"),
    Option("cache_from", "remote",
           "repository from which layers are fetched; http://... for a"
           " registry without TLS", many=True,
           metavar="HOST[:PORT]/REPOSITORY"),
    Option("cache_to", "remote",
           "repository to which the layers are written",
           metavar="HOST[:PORT]/REPOSITORY"),
    Option("image_from", "image",
           "repository from which an image is fetched if it was built from the"
           " same plan", metavar="HOST[:PORT]/REPOSITORY"),
    Option("allow_unsigned", "remote",
           "also fetch and write layers, and fetch images, without the"
           " signature of a trusted key; the manifest marks such layers",
           kinds.boolean, False),
    Topic("looking", "how an image is compared and verified"),
    Option("files", "compare", "compare all files of the two images instead",
           kinds.boolean, False),
    Option("security", "outdated",
           "count security updates only", kinds.boolean, False),
    Option("level", "verify",
           "level of the verification (default: the highest that the image"
           " supports)",
           choices=("boot", "datastore", "agent", "life")),
    Option("only", "verify",
           "run only this check of the level life", many=True,
           metavar="CHECK"),
    Option("from", "verify",
           "image from which your instances were created; the level life"
           " upgrades an instance from it", kinds.path, metavar="IMAGE"),
    Option("machine", "verify",
           "machine that runs the guest: QEMU, a container of systemd-nspawn"
           " (needs root), or both if this host needs them",
           kinds.machine, default="auto",
           choices=("auto", "qemu", "container"), former="tier"),
    Option("guest_config", "verify",
           "your cloud's trove-guestagent.conf for the guest, from the level"
           " agent on; verify replaces the broker in it", kinds.path,
           metavar="FILE"),
    Option("user_data", "verify",
           "your cloud's user data for Trove's guests (MANAGER.cloudinit),"
           " from the level agent on", kinds.path, metavar="FILE"),
    Option("disk_bus", "verify",
           "bus of the guest's disks, as in Nova's hw_disk_bus",
           default="virtio", choices=("virtio", "scsi")),
    Option("broker_port", "verify",
           "loopback port for the message broker of the level agent (default:"
           " a free one)", int, metavar="PORT"),
    Option("accelerator", "verify", "QEMU's accelerator",
           default="auto", choices=("auto", "kvm", "tcg")),
    Option("timeout", "verify",
           "maximum seconds of each wait for the guest, even if it makes"
           " progress; without progress, verify gives up earlier",
           int, 7200, metavar="SECONDS"),
    Option("memory", "verify", "memory of the guest, MiB", int, 2048,
           metavar="MIB"),
    Option("cpus", "verify", "number of the guest's processors", int, 2,
           metavar="N"),
    Topic("image", "which image is loaded"),
    Option("from_build", "load",
           "load the newest image of this version in --output-dir",
           many=True, metavar="DATASTORE[:VERSION]"),
    Option("sha256", "load", "sha256 of an image that is given as a URL",
           metavar="DIGEST"),
    Option("datastore", "datastore",
           "datastore in the image, if there is no manifest",
           metavar="NAME"),
    Option("version", "load", "version of --datastore", metavar="VERSION"),
    Option("manager", "load", "guest agent's manager (default: the catalog's)",
           metavar="NAME"),
    Option("os", "load", "guest system in the image, if there is no manifest",
           metavar="NAME-VERSION"),
    Option("parameters", "load",
           "source of the datastore's configuration parameters: a source"
           " tree, wheel, or installed package of Trove, a file of rules,"
           " none, or the Trove in this environment (auto)",
           default="auto", metavar="SOURCE"),
    Option("strict", "load",
           "refuse an image of another series than the cloud's",
           kinds.boolean, False),
    Option("require_verified", "load",
           "refuse an image unless it passed all checks of verify",
           kinds.boolean, False),
    Topic("loading", "how it is loaded into Glance and Trove"),
    Option("activate", "load",
           "also make the version active and the default",
           kinds.boolean, False),
    Option("visibility", "load",
           "visibility of the image in Glance (a new image: private)",
           choices=("private", "shared", "community", "public")),
    Option("property", "load",
           "property of the image in Glance, such as hw_disk_bus=scsi; KEY="
           " omits a property of the previous image", kinds.image_property,
           many=True, metavar="KEY=VALUE"),
    Option("tag", "load", "additional tag of the image", kinds.label,
           many=True, metavar="TAG"),
    Option("member", "load",
           "also share the image with this project; implies --visibility"
           " shared", many=True, metavar="PROJECT"),
    Option("protected", "load",
           "whether Glance refuses to remove the image (a new image: no)",
           kinds.boolean),
    Option("pin", "load",
           "register the version by the image's id instead of by tags",
           kinds.boolean, False),
    Option("keep", "load", "number of images of a version to keep in Glance",
           int, 2, metavar="N"),
    Option("keep_in_use", "load",
           "keep older images that instances, servers or volumes may need",
           kinds.boolean, True),
    Option("import_method", "load",
           "upload method: one request (upload), one of Glance's import"
           " methods, or the first that the cloud supports (auto)",
           default="auto",
           choices=("auto", "upload", "glance-direct", "web-download")),
    Option("store", "load",
           "Glance store for the image; give several, or all (default:"
           " Glance's default store)", many=True, metavar="STORE"),
    Topic("activation", "what is changed"),
    Option("rollback", "activate",
           "return to the previous image of the version",
           kinds.boolean, False),
    Option("to_image", "activate",
           "id of the image to return to, with --rollback; it may be one that"
           " was rolled back before", metavar="ID"),
    Option("list", "activate",
           "list the versions and their images; change nothing",
           kinds.boolean, False),
    Option("instances", "activate",
           "list a version's instances that run another image than its"
           " current one", kinds.boolean, False),
    Option("rebuild_instances", "activate",
           "have Trove rebuild these instances; stop at the first one that is"
           " not healthy again", kinds.boolean, False),
    Option("at_once", "activate", "instances that are rebuilt at a time",
           kinds.natural, 1, metavar="N"),
    Option("rebuild_timeout", "activate",
           "seconds until an instance must be healthy again", kinds.natural,
           1800, metavar="SECONDS"),
    Option("dry_run", "change",
           "print the calls that would change something, without making them",
           kinds.boolean, False),
    Topic("devstack", "preparation of a cloud for tests"),
    Option("flavors", "prepare", "create the flavors for Trove's tests",
           kinds.boolean, True),
    Option("quota", "quota",
           "raise a quota of the project that owns Trove's instances",
           many=True, metavar="NAME=NUMBER"),
    Option("service_project", "prepare",
           "project that owns Trove's instances", default="service",
           metavar="NAME"),
    Option("user_cloud", "prepare",
           "cloud in clouds.yaml of an ordinary user, for whom the services"
           " are checked", metavar="NAME"),
    Option("volumes", "settings", "whether the cloud has volumes",
           kinds.boolean, True),
    Option("network", "tempest", "network for the test instances",
           default="private", metavar="NAME"),
    Option("build_timeout", "tempest",
           "timeout for a new instance, in seconds", int,
           1800, metavar="SECONDS"),
    Option("tempest_conf", "tempest",
           "write a complete tempest configuration to this file, instead of"
           " printing Trove's part", kinds.path, metavar="FILE"),
    # cloud/cloud_config.py reads the other OS_* variables that the openstack
    # command reads
    Topic("cloud", "the cloud and the credentials"),
    Option("os_cloud", "cloud", "name of a cloud in clouds.yaml",
           variables=("OS_CLOUD",), metavar="NAME"),
    Option("image_project", "cloud",
           "project that owns the images; if the default does not exist, the"
           " user's own project", default="service",
           metavar="NAME|ID"),
    Option("os_region_name", "cloud", "region",
           variables=("OS_REGION_NAME",), metavar="NAME"),
    Option("os_interface", "cloud", "interface of the endpoints",
           kinds.interface, variables=("OS_INTERFACE",),
           choices=("public", "internal", "admin")),
    Option("os_auth_type", "cloud", "authentication method",
           variables=("OS_AUTH_TYPE",), metavar="TYPE"),
    Option("os_auth_url", "cloud", "URL of keystone",
           variables=("OS_AUTH_URL",), metavar="URL"),
    Option("os_username", "cloud", "user", variables=("OS_USERNAME",),
           metavar="NAME"),
    Option("os_password", "cloud",
           "the user's password; prefer clouds.yaml or OS_PASSWORD, because"
           " all users of this host can read command lines",
           variables=("OS_PASSWORD",)),
    Option("os_user_domain_name", "cloud", "the user's domain",
           variables=("OS_USER_DOMAIN_NAME",), metavar="NAME"),
    Option("os_project_name", "cloud", "name of the project",
           variables=("OS_PROJECT_NAME",), metavar="NAME"),
    Option("os_project_id", "cloud", "id of the project",
           variables=("OS_PROJECT_ID",), metavar="ID"),
    Option("os_project_domain_name", "cloud", "the project's domain",
           variables=("OS_PROJECT_DOMAIN_NAME",), metavar="NAME"),
    Option("os_cacert", "cloud",
           "file with the certificate authorities to trust", kinds.path,
           variables=("OS_CACERT",), metavar="FILE"),
    Option("os_cert", "cloud", "file with the user's certificate", kinds.path,
           variables=("OS_CERT",), metavar="FILE"),
    Option("os_key", "cloud",
           "file with the private key of --os-cert", kinds.path,
           variables=("OS_KEY",), metavar="FILE"),
    Option("insecure", "cloud", "do not verify the servers' certificates",
           kinds.boolean, False),
    Topic("common", "options of all commands"),
    Option("config_file", "common", "read options from this file",
           kinds.path, metavar="FILE"),
    Option("format", "common", "format of the results on stdout",
           default="table", choices=("table", "json", "shell"), short="-f"),
    Option("long", "long", "show all columns", kinds.boolean,
           False),
    Option("quiet", "common", "print only results, warnings and errors",
           kinds.boolean, False, short="-q"),
    Option("debug", "common", "show tracebacks and debug messages",
           kinds.boolean, False),
    Option("catalog", "common", "directory with additional datastore entries",
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
    files = options.find_files(flags, FILES)
    return options.resolve(declared, flags, files=files, known=_IN_FILES)


def list_opts() -> list[tuple[str, list[typing.Any]]]:
    """Return the options for oslo-config-generator."""
    return [("DEFAULT", options.oslo_options(_IN_FILES))]
