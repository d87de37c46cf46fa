# SPDX-License-Identifier: Apache-2.0
"""Creates the settings for trove-tempest-plugin.

They are the plugin's options in the group ``[database]``. All values come from
the cloud, so that the tests use the datastores and flavors that actually
exist.

devstack writes the rest of tempest's configuration itself. For tests against
any other cloud, this module also creates the rest: the login of an
administrator, with which tempest creates users, and the services of the cloud.
"""

import collections.abc
import dataclasses
import pathlib
import typing

from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.cloud import connection
from trove_tools.cloud import trove
from trove_tools.devstack import resources
from trove_tools.host import files

Setting = tuple[str, str, str]

#: Services by their types, as tempest calls them.
_SERVICES = {
    "cinder": "block-storage",
    "glance": "image",
    "neutron": "network",
    "nova": "compute",
    "swift": "object-store",
}


@dataclasses.dataclass(frozen=True)
class Cloud:
    """The properties of a cloud that the tests need.

    :param versions: Trove's datastore versions.
    :param flavors: Nova's flavors; empty without Nova.
    :param volume_type: the type of new volumes; None without Cinder.
    """

    versions: collections.abc.Sequence[trove.DatastoreVersion]
    flavors: collections.abc.Sequence[resources.Flavor]
    volume_type: str | None


def inspect_cloud(login: connection.Login) -> Cloud:
    """Read the properties of a cloud.

    :raises CloudError: a service refused.
    """
    databases = login.service("Trove", "database")
    shown: list[resources.Flavor] = []
    if login.has("compute"):
        shown = resources.list_flavors(login.service("Nova", "compute"))
    versions = trove.Versions(databases).list_all()
    return Cloud(versions, shown, _volume_type(login))


def _volume_type(login: connection.Login) -> str | None:
    if not login.has("block-storage"):
        return None
    cinder = login.service("Cinder", "block-storage")
    answer = cinder.read("/types/default", "asking the volume type")
    return str(answer["volume_type"]["name"])


def list_settings(
    cloud: Cloud,
    catalog: model.Catalog,
    *,
    network: str,
    timeout: int,
    only: collections.abc.Collection[str] = (),
) -> list[Setting]:
    """Return section, option and value of each setting.

    :param network: name or id of the network that the tests may use.
    :param timeout: the timeout of a new instance, in seconds.
    :param only: the datastores to test; by default all.
    :raises UsageError: a datastore to test does not exist.
    :raises CloudError: there is no datastore to test, or no flavor for it.
    """
    defaults = _defaults(cloud.versions, only)
    names = [name for name in defaults if name in catalog.datastores]
    known = [catalog.datastores[name] for name in names]
    result = [
        ("service_available", "trove", "True"),
        ("database", "enabled_datastores", ",".join(defaults)),
        (
            "database",
            "default_datastore_versions",
            ",".join(
                f"{name}:{version}" for name, version in defaults.items()
            ),
        ),
        ("database", "shared_network", network),
        ("database", "database_build_timeout", str(timeout)),
        ("database", "database_restore_timeout", str(2 * timeout)),
        ("database", "backup_wait_timeout", str(timeout)),
        # removing an account needs a role that ordinary clouds do not grant
        ("database", "remove_swift_account", "False"),
    ]
    if cloud.flavors:
        small, large = _flavors(
            cloud,
            max((datastore.min_ram for datastore in known), default=0),
            max((datastore.min_disk for datastore in known), default=0),
        )
        result += [
            ("database", "flavor_id", small.id),
            ("database", "resize_flavor_id", large.id),
        ]
    if cloud.volume_type is not None:
        result.append(("database", "volume_type", cloud.volume_type))
    return result


def _defaults(
    versions: collections.abc.Sequence[trove.DatastoreVersion],
    only: collections.abc.Collection[str],
) -> dict[str, str]:
    """Return the first version to test of each datastore."""
    defaults = {
        version.datastore: version.version
        for version in versions
        if version.active and version.default
    }
    for name in only:
        if name not in defaults:
            raise errors.UsageError(
                f"this cloud has no datastore {name} that is ready to use",
                hint=errors.nearest(name, defaults, "datastores of this cloud")
                + "; load-trove-image IMAGE --activate adds one",
            )
    if not defaults:
        raise errors.CloudError(
            "this cloud has no datastore that is ready to use",
            hint="load-trove-image IMAGE --activate adds one",
        )
    return {
        name: version
        for name, version in sorted(defaults.items())
        if not only or name in only
    }


def _flavors(
    cloud: Cloud, ram: int, disk: int
) -> tuple[resources.Flavor, resources.Flavor]:
    """Return the flavor of new instances, and the one to resize to.

    Nova cannot resize to a smaller root disk or to another ephemeral disk.
    """
    # without volumes, the data is on the ephemeral disk
    ephemeral = 0 if cloud.volume_type is not None else 1
    enough = resources.find_large_enough(cloud.flavors, ram, disk, ephemeral)
    for small in enough:
        for large in enough:
            if (
                large.ram > small.ram
                and large.disk >= small.disk
                and large.vcpus >= small.vcpus
                and large.ephemeral == small.ephemeral
            ):
                return small, large
    raise errors.CloudError(
        f"no two flavors have {ram} MiB, {disk} GiB"
        + (f" and {ephemeral} GiB ephemeral disk" if ephemeral else "")
        + ", one larger than the other",
        hint="create the test flavors: trove-devstack prepare",
    )


def list_general_settings(
    login: connection.Login, work: pathlib.Path
) -> list[Setting]:
    """Return the settings of tempest itself, without those of plugins.

    :param login: the login of an administrator.
    :param work: an existing directory, for the log and lock files.
    :raises UsageError: the login has no password, which tempest needs.
    :raises CloudError: the cloud refused.
    """
    region = login.sdk.config
    auth = region.config.get("auth", {})
    for name in ("auth_url", "username", "password"):
        if not auth.get(name):
            raise errors.UsageError(
                f"tempest logs in with a password, and the cloud's entry"
                f" has no {name}",
                hint="use a cloud in clouds.yaml with auth_url, username and"
                " password",
            )
    domain = auth.get("user_domain_name") or _domain(login, auth)
    rows = [
        ("DEFAULT", "log_file", str(work / "tempest.log")),
        ("oslo_concurrency", "lock_path", str(work / "locks")),
        ("auth", "use_dynamic_credentials", "True"),
        ("auth", "admin_username", auth["username"]),
        ("auth", "admin_password", auth["password"]),
        ("auth", "admin_project_name", auth.get("project_name", "")),
        ("auth", "admin_domain_name", domain),
        ("identity", "auth_version", "v3"),
        ("identity", "uri_v3", _v3(auth["auth_url"])),
        ("identity", "region", region.get_region_name() or ""),
    ]
    verify, _ = region.get_requests_verify_args()
    if verify is False:
        insecure = "disable_ssl_certificate_validation"
        rows.append(("identity", insecure, "True"))
    elif isinstance(verify, str):
        rows.append(("identity", "ca_certificates_file", verify))
    for name, kind in _SERVICES.items():
        rows.append(("service_available", name, str(login.has(kind))))
    if login.has("network"):
        public = _public_network(login)
        if public:
            rows.append(("network", "public_network_id", public))
    return rows


def write_conf(
    path: pathlib.Path, rows: collections.abc.Iterable[Setting]
) -> None:
    """Write settings to a file that only its owner can read.

    :raises OSError: it cannot be written.
    """
    sections: dict[str, list[str]] = {}
    for section, option, value in rows:
        # a single dollar sign would begin a reference to an option
        line = f"{option} = {value.replace('$', '$$')}"
        sections.setdefault(section, []).append(line)
    text = "\n".join(
        "\n".join([f"[{section}]", *lines, ""])
        for section, lines in sections.items()
    )
    files.write_file(path.parent.resolve() / path.name, text, mode=0o600)


def _v3(url: str) -> str:
    url = url.rstrip("/")
    return url if url.endswith("/v3") else f"{url}/v3"


def _domain(
    login: connection.Login, auth: collections.abc.Mapping[str, typing.Any]
) -> str:
    identifier = auth.get("user_domain_id", "default")
    keystone = login.service("keystone", "identity")
    answer = keystone.read(
        f"/domains/{identifier}", "looking for the user's domain"
    )
    return str(answer["domain"]["name"])


def _public_network(login: connection.Login) -> str | None:
    neutron = login.service("Neutron", "network")
    networks = neutron.read(
        "/networks",
        "looking for an external network",
        params={"router:external": "True"},
    )["networks"]
    return str(networks[0]["id"]) if networks else None
