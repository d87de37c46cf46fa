# SPDX-License-Identifier: Apache-2.0
"""Which cloud is meant: by options, variables, or clouds.yaml."""

import typing

from trove_tools import errors
from trove_tools import options

#: What is said of the login itself; the rest says how to reach a cloud.
_AUTH = (
    "auth_url",
    "username",
    "password",
    "user_domain_name",
    "project_name",
    "project_id",
    "project_domain_name",
)


def choose(settings: options.Settings) -> typing.Any:
    """Return openstacksdk's configuration of the cloud that was named.

    :param settings: the options of the group ``cloud``.
    :raises UsageError: it is not said which cloud, or it cannot be used.
    """
    from keystoneauth1 import exceptions as ksa
    from openstack import config
    from openstack import exceptions as sdk

    given: dict[str, typing.Any] = {
        name.removeprefix("os_"): value if value is True else str(value)
        for name, value in settings.as_dict().items()
        if name.startswith("os_") or name == "insecure"
        if value
    }
    # beside "auth", and not in it, a login would yield to clouds.yaml's
    given["auth"] = {name: given.pop(name) for name in _AUTH if name in given}
    try:
        found = config.OpenStackConfig(app_name="trove-tools")
    except (sdk.SDKException, OSError, ValueError) as exc:
        raise errors.UsageError(
            f"clouds.yaml cannot be used: {exc}", hint="correct it"
        ) from exc
    try:
        return found.get_one(**given)
    except ksa.MissingRequiredOptions as exc:
        raise errors.UsageError(
            f"it is not said which cloud to use: {exc}",
            hint=_which_cloud(found),
        ) from exc
    except sdk.ConfigException as exc:
        hint = _which_cloud(found)
        if "Region" in str(exc):
            hint = "correct --os-region-name"
        raise errors.UsageError(str(exc), hint=hint) from exc
    except (ksa.ClientException, OSError) as exc:
        raise errors.UsageError(
            f"the cloud's configuration cannot be used: {exc}",
            hint=_which_cloud(found),
        ) from exc


def _which_cloud(found: typing.Any) -> str:
    # without any file, openstacksdk makes up a cloud of this name
    names = [n for n in found.get_cloud_names() if n != "defaults"]
    if names:
        return f"use --os-cloud or OS_CLOUD with one of: {', '.join(names)}"
    return (
        "there is no clouds.yaml here, in ~/.config/openstack or in"
        " /etc/openstack that names a cloud: write one and use --os-cloud,"
        " or set OS_AUTH_URL, OS_USERNAME and the other OS_* variables"
    )
