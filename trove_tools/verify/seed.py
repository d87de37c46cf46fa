# SPDX-License-Identifier: Apache-2.0
"""Writes the seed: a config drive, as Nova makes one for an instance.

The user data contains what Trove sends, byte for byte.  An emulated guest
gets verify's own programs as vendor data, which is a boothook: cloud-init
runs it as soon as it finds it, early enough to watch the rest of the boot.
The boothook starts two services and returns: one runs commands for verify
(:mod:`trove_tools.verify.command_server`), the other writes the journal to a
serial port.
"""

import base64
import collections.abc
import ipaddress
import json
import pathlib
import secrets
import typing

from trove_tools.host import process
from trove_tools.verify import command_server
from trove_tools.verify import machine

TOOL = "genisoimage"
LABEL = "config-2"
#: The directory in which cloud-init finds the drive's files in a container.
DIRECTORY = "/var/lib/cloud/seed/config_drive"

_END = "END_OF_TROVE_VERIFY"
# no default dependencies, because both services run during the boot that they
# watch.  From then on, each line of the journal leaves the guest at once,
# because the guest may not answer later.
_BOOTHOOK = """\
#cloud-boothook
#!/bin/sh
set -eu
umask 077
mkdir -p /run/trove-verify
cd /run/trove-verify
for python in python3 /usr/libexec/platform-python; do
    if command -v "$python" >/dev/null; then
        break
    fi
done
cat >commands.py <<'{end}'
{script}
{end}
systemd-run --no-block --unit=trove-verify-commands \\
    --property=DefaultDependencies=no \\
    "$(command -v "$python")" "$PWD/commands.py" {nonce}
systemd-run --no-block --unit=trove-verify-journal \\
    --property=DefaultDependencies=no --property=StandardOutput=file:{port} \\
    --nice=5 journalctl --boot --follow --lines=all --no-pager \\
    --no-hostname --output=short-monotonic
"""


def boothook(nonce: str) -> str:
    """Return the script that an emulated guest runs early in its boot.

    :param nonce: the text that the guest sends when it accepts commands.
    """
    return _BOOTHOOK.format(
        end=_END,
        script=pathlib.Path(command_server.__file__).read_text(),
        nonce=nonce,
        port=command_server.JOURNAL,
    )


def write(
    directory: pathlib.Path,
    instance: collections.abc.Mapping[str, typing.Any] | None,
    *,
    nics: tuple[machine.Nic, ...] = (machine.MANAGEMENT, machine.TENANT),
    vendor_data: str = "",
    dhcp: bool = True,
) -> pathlib.Path:
    """Write the files of the config drive into a new directory.

    :param directory: the directory to make; other users cannot read it.
    :param instance: the data of Trove's instance; None if there is none.
    :param vendor_data: vendor data for cloud-init; empty for none.
    :param dhcp: whether the guest gets its addresses by DHCP; otherwise the
        seed contains them.
    :returns: the directory.
    """
    latest = directory / "openstack/latest"
    directory.mkdir(mode=0o700)
    latest.mkdir(parents=True)
    known = instance or {"id": f"verify-{secrets.token_hex(8)}"}
    (latest / "user_data").write_text(known.get("user_data", ""))
    files: dict[str, typing.Any] = {
        "meta_data.json": {
            "uuid": known["id"],
            "name": "trove-verify",
            "hostname": "trove-verify",
            "availability_zone": "nova",
            "launch_index": 0,
            "random_seed": base64.b64encode(secrets.token_bytes(64)).decode(),
        },
        "network_data.json": _network(nics, dhcp),
    }
    if vendor_data:
        files["vendor_data.json"] = {"cloud-init": vendor_data}
    for name, data in files.items():
        (latest / name).write_text(json.dumps(data))
    return directory


def _network(
    nics: tuple[machine.Nic, ...], dhcp: bool
) -> dict[str, typing.Any]:
    return {
        "links": [
            {
                "id": f"tap{number}",
                "type": "ovs",
                "vif_id": str(number),
                "ethernet_mac_address": nic.mac,
                "mtu": 1500,
            }
            for number, nic in enumerate(nics)
        ],
        "networks": [
            {
                "id": f"network{number}",
                "link": f"tap{number}",
                "network_id": str(number),
                **({"type": "ipv4_dhcp"} if dhcp else _fixed(nic)),
            }
            for number, nic in enumerate(nics)
        ],
        # no DNS server runs at this address, so that a database's lookups of
        # its clients' names fail at once
        "services": []
        if dhcp
        else [{"type": "dns", "address": machine.MANAGEMENT.gateway}],
    }


def _fixed(nic: machine.Nic) -> dict[str, typing.Any]:
    interface = ipaddress.ip_interface(nic.address)
    return {
        "type": "ipv4",
        "ip_address": str(interface.ip),
        "netmask": str(interface.netmask),
        "routes": [],
    }


def write_image(content: pathlib.Path, image: pathlib.Path) -> None:
    """Write the config drive as an image of a CD.

    :param content: the directory with the drive's files.
    """
    process.run(
        [
            TOOL, "-quiet", "-joliet", "-rock", "-volid", LABEL,
            "-output", image, content,
        ]
    )  # fmt: skip
