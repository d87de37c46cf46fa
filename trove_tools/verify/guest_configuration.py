# SPDX-License-Identifier: Apache-2.0
"""Adapts an operator's trove-guestagent.conf for a guest of verify.

Trove copies the file ``guest_config`` of the control plane into each guest.
verify uses an operator's file, so that it tests an image with the
configuration that the image will have.  It replaces the options that name the
operator's control plane, because a guest of verify reaches only verify's own
broker.
"""

import collections.abc
import dataclasses
import pathlib
import typing

from trove_tools import errors
from trove_tools.host import bounds

#: Values by section and option; an option that is given several times has a
#: list of values.
Sections = dict[str, dict[str, typing.Any]]

#: Maximum size in bytes; deployment tools write some thousand bytes.
_LARGEST = 1024 * 1024
_RABBIT = "oslo_messaging_rabbit"
_NOTIFICATIONS = "oslo_messaging_notifications"

# options that are removed, because a guest of verify reaches no registry
_DROPPED = {
    "guest_agent": (
        "container_registry",
        "container_registry_username",
        "container_registry_password",
    )
}
# options that decide how queues and exchanges are declared; the broker
# refuses different declarations of one exchange
_QUEUES = (
    "amqp_durable_queues",
    "amqp_auto_delete",
    "rabbit_ha_queues",
    "rabbit_quorum_queue",
    "rabbit_quorum_delivery_limit",
    "rabbit_quorum_max_memory_length",
    "rabbit_quorum_max_memory_bytes",
    "rabbit_transient_quorum_queue",
    "rabbit_transient_queues_ttl",
    "rabbit_stream_fanout",
    "rabbit_qos_prefetch_count",
)
# options that trove.conf and the guests' file share, and options of
# trove.conf that decide which other files a guest gets
_COMMON = (
    "control_exchange",
    "enable_secure_rpc_messaging",
    "docker_bridge_network_ip",
    "docker_insecure_registries",
    "injected_config_owner",
    "injected_config_group",
)
_VOLUME = ("device_path", "mount_point")


@dataclasses.dataclass(frozen=True)
class Deployment:
    """What an operator's control plane would inject into guests.

    :param configuration: the agent's options; None for the minimum that
        works.
    :param user_data: cloud-init user data, to which Trove adds its own.
    :param device: the volume's device, if the agent's configuration does not
        name it; empty for Trove's default.
    """

    configuration: Sections | None = None
    user_data: str = ""
    device: str = ""


def read(file: pathlib.Path) -> Sections:
    """Read a configuration file as oslo.config does.

    :raises UsageError: the file cannot be read, or is no configuration file.
    """
    from oslo_config import cfg
    from oslo_config import iniparser

    option = f"--guest-config {file}"
    try:
        text = bounds.read_bytes(file, _LARGEST).decode()
    except (OSError, ValueError) as exc:
        raise errors.UsageError(
            f"{option}: cannot be read: {exc}",
            hint="name the file that trove.conf calls guest_config, usually"
            " /etc/trove/trove-guestagent.conf",
        ) from exc
    if "{{" in text or "{%" in text:
        raise errors.UsageError(
            f"{option}: this is a template, with values still to be filled in",
            hint="name the file that the deployment tool has generated from"
            " it, on a host of the control plane",
        )
    sections: dict[str, dict[str, list[str]]] = {}
    try:
        # parse the text, because the parser's own method would read a file
        # of any size
        parser = cfg.ConfigParser(str(file), sections)
        iniparser.BaseParser.parse(parser, text.splitlines(keepends=True))
    except (cfg.ConfigFileParseError, cfg.ParseError) as exc:
        raise errors.UsageError(
            f"{option}: not a configuration file: {exc}",
            hint="it has sections in brackets and lines NAME = VALUE",
        ) from exc
    return {
        section: {
            name: values[0] if len(values) == 1 else values
            for name, values in options.items()
        }
        for section, options in sections.items()
    }


def configure_control_plane(operator: Sections) -> Sections:
    """Return the options that verify's control plane shares with the guest.

    :param operator: the operator's options, as :func:`read` returns them.
    """
    chosen: Sections = {
        "DEFAULT": _some(operator.get("DEFAULT", {}), _COMMON),
        "network": _some(operator.get("network", {}), ("network_isolation",)),
        _RABBIT: _some(operator.get(_RABBIT, {}), _QUEUES),
        **{
            section: _some(options, _VOLUME)
            for section, options in operator.items()
            if section not in ("DEFAULT", "network", _RABBIT)
        },
    }
    return {name: options for name, options in chosen.items() if options}


def configure_guest(operator: Sections, broker: str) -> Sections:
    """Return the operator's options for a guest that uses verify's broker.

    :param operator: the operator's options, as :func:`read` returns them.
    :param broker: the transport URL of verify's broker.
    """
    sections: Sections = {
        section: {
            name: value
            for name, value in options.items()
            if name not in _DROPPED.get(section, ())
        }
        for section, options in operator.items()
    }
    sections.setdefault("DEFAULT", {})["transport_url"] = broker
    if "transport_url" in sections.get(_NOTIFICATIONS, {}):
        sections[_NOTIFICATIONS]["transport_url"] = broker
    rabbit = sections.get(_RABBIT, {})
    for name in [option for option in rabbit if option.startswith("ssl")]:
        del rabbit[name]
    return sections


def replaced(operator: Sections) -> list[str]:
    """Return the operator's options that verify removes or replaces.

    :returns: the options, each as ``[section] option``.
    """
    guest = configure_guest(operator, "")
    return [
        f"[{section}] {name}"
        for section, options in operator.items()
        for name, value in options.items()
        if guest[section].get(name) != value
    ]


def _some(
    options: collections.abc.Mapping[str, typing.Any],
    names: collections.abc.Iterable[str],
) -> dict[str, typing.Any]:
    return {name: options[name] for name in names if name in options}
