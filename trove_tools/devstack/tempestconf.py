# SPDX-License-Identifier: Apache-2.0
"""A whole tempest.conf, for tests against any cloud.

devstack writes tempest's configuration itself, and needs only what
:mod:`trove_tools.devstack.tempest` adds.  Elsewhere the rest comes from
here: how to log in as an administrator (tempest then makes users of its
own), and what the cloud has.
"""

import collections.abc
import pathlib
import typing

from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.devstack import tempest
from trove_tools.host import files

#: Services by their types, as tempest calls them.
_SERVICES = {
    "cinder": "block-storage",
    "glance": "image",
    "neutron": "network",
    "nova": "compute",
    "swift": "object-store",
}


def settings(
    login: connection.Login, work: pathlib.Path
) -> list[tempest.Setting]:
    """Return the settings that no plugin of tempest's has.

    :param login: an administrator's.
    :param work: a directory that exists.
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


def write(
    path: pathlib.Path, rows: collections.abc.Iterable[tempest.Setting]
) -> None:
    """Write settings as a file that only its owner can read.

    :raises OSError: it cannot be written.
    """
    sections: dict[str, list[str]] = {}
    for section, option, value in rows:
        # a dollar sign would begin the name of an option
        line = f"{option} = {value.replace('$', '$$')}"
        sections.setdefault(section, []).append(line)
    text = "\n".join(
        "\n".join([f"[{section}]", *lines, ""])
        for section, lines in sections.items()
    )
    files.write(path.parent.resolve() / path.name, text, mode=0o600)


def _v3(url: str) -> str:
    url = url.rstrip("/")
    return url if url.endswith("/v3") else f"{url}/v3"


def _domain(
    login: connection.Login, auth: collections.abc.Mapping[str, typing.Any]
) -> str:
    identifier = auth.get("user_domain_id", "default")
    keystone = login.service("keystone", "identity")
    answer = keystone.call(
        "GET", f"/domains/{identifier}", "looking for the user's domain"
    )
    return str(answer.json()["domain"]["name"])


def _public_network(login: connection.Login) -> str | None:
    neutron = login.service("Neutron", "network")
    answer = neutron.call(
        "GET", "/networks", "looking for an external network",
        params={"router:external": "True"},
    )  # fmt: skip
    found = answer.json()["networks"]
    return str(found[0]["id"]) if found else None
