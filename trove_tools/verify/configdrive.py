# SPDX-License-Identifier: Apache-2.0
"""A config drive, as nova makes one for an instance of Trove.

What Trove sends stands in the user data, byte for byte.  Verify's own
programs come as vendor data, which cloud-init handles after it.
"""

import json
import pathlib
import typing

from trove_tools.verify import evidence
from trove_tools.verify import qemu
from trove_tools.verify import seed

LABEL = "config-2"

_NETWORK = {
    "links": [
        {
            "id": "tap0",
            "type": "ovs",
            "vif_id": "0",
            "ethernet_mac_address": qemu.MAC,
            "mtu": 1500,
        }
    ],
    "networks": [
        {
            "id": "network0",
            "type": "ipv4_dhcp",
            "link": "tap0",
            "network_id": "0",
        }
    ],
    "services": [],
}


def make(
    known: seed.Secrets,
    created: dict[str, typing.Any],
    directory: pathlib.Path,
) -> pathlib.Path:
    """Write the drive and return its image.

    :param created: what Trove's own code says of the instance.
    :param directory: where; nobody else may read it.
    """
    content = directory / "seed"
    latest = content / "openstack/latest"
    latest.mkdir(mode=0o700, parents=True)
    (latest / "user_data").write_text(created["user_data"])
    watch = seed.user_data(known, {}, pathlib.Path(evidence.__file__))
    files = {
        "meta_data.json": {
            "uuid": created["id"],
            "name": "trove-verify",
            "hostname": "trove-verify",
            "availability_zone": "nova",
            "launch_index": 0,
            "random_seed": known.nonce,
        },
        "network_data.json": _NETWORK,
        "vendor_data.json": {"cloud-init": watch},
    }
    for name, data in files.items():
        (latest / name).write_text(json.dumps(data))
    return seed.write(content, LABEL, directory / qemu.SEED)
