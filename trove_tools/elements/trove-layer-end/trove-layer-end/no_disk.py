# SPDX-License-Identifier: Apache-2.0
"""Tells diskimage-builder's block device layer that there is no disk.

If a hook of ``block-device.d`` names a device, diskimage-builder does not
create one, but it still asks for the image's path and cleans up.
"""

import pickle
import sys

from diskimage_builder.block_device import blockdevice
import yaml


def main(params_file: str) -> None:
    with open(params_file) as stream:
        device = blockdevice.BlockDevice(yaml.safe_load(stream))
    state = blockdevice.BlockDeviceState()
    state["blockdev"] = {"image0": {"image": "none", "device": "none"}}
    state.save_state(device.state_json_file_name)
    with open(device.node_pickle_file_name, "wb") as nodes:
        pickle.dump([], nodes)


if __name__ == "__main__":
    main(*sys.argv[1:])
