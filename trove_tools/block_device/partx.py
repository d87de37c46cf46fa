# SPDX-License-Identifier: Apache-2.0
"""Partitions an image without device-mapper.

diskimage-builder's ``partitioning`` plugin writes the partition table and then
creates device-mapper nodes with kpartx. Many containers and small virtual
machines have no device-mapper. This plugin uses the kernel's loop partitions
instead: ``partx`` adds the partitions to the kernel, and the kernel creates
``loopNpM``.

``partx_partitioning`` takes the same configuration as ``partitioning`` and
behaves the same otherwise. diskimage-builder pickles the nodes (and through
them this object) between ``create`` and ``umount``, so everything kept on
``self`` is plain data.
"""

import logging
import os
import pathlib
import sys
import time
from typing import Any

from diskimage_builder.block_device import exception
from diskimage_builder.block_device import utils
from diskimage_builder.block_device.level1 import partitioning

from trove_tools.host import loopdevice
from trove_tools.host import mounts

LOG = logging.getLogger(__name__)

#: How long a partition's node may take to appear, in seconds.
NODE_TIMEOUT = 5.0
#: How long to retry ``partx --delete`` while a partition is in use, in
#: seconds: udev probes a new partition for a moment.
DELETE_TIMEOUT = 10.0
#: How long to retry before copies of mounts in other mount namespaces are
#: removed, in seconds.
COPIES_TIMEOUT = 1.0
POLL_INTERVAL = 0.2

MOUNTS = pathlib.Path("/proc/self/mounts")


class PartxPartitioning(partitioning.Partitioning):
    """The ``partx_partitioning`` entry of a block device configuration."""

    def create(self) -> None:
        """Write the partition table and create the device nodes.

        Every partition in diskimage-builder's graph calls this; only the first
        call does the work.

        :raises BlockDeviceSetupException: a command fails, or the kernel does
            not show a requested partition.
        """
        self.number_of_partitions += 1
        if self.number_of_partitions > 1:
            return

        base = self.state["blockdev"][self.base]
        self.image_path = base["image"]
        self.device_path = base["device"]
        self.disk_size = self._size_of_block_dev(self.image_path)
        self.made_nodes: list[str] = []

        try:
            if self.label == "mbr":
                self._create_mbr()
            else:
                self._create_gpt()
        finally:
            # The parent registered the removal of device-mapper nodes, which
            # do not exist. One rollback covers all partitions.
            for node in self.partitions:
                node.rollbacks.clear()
            self.partitions[0].add_rollback(self._roll_back)

        devices = [self._rename_device(node) for node in self.partitions]
        utils.exec_sudo(["sync"])
        utils.exec_sudo(["partx", "--update", self.device_path])
        for device in devices:
            self._ensure_node(device)

    def umount(self) -> None:
        """Remove the partitions before the loop device is detached.

        Otherwise their device nodes would remain. If a process still uses a
        partition, its file system is synced and made read-only, so that the
        image is complete; the kernel removes the partitions and the device
        when that process ends.

        :raises BlockDeviceSetupException: the file system of a partition in
            use cannot be made read-only.
        """
        self.number_of_partitions -= 1
        if self.number_of_partitions > 0:
            return
        device = self.state["blockdev"][self.base]["device"]
        try:
            self._delete_partitions()
        except exception.BlockDeviceSetupException as exc:
            LOG.warning("%s; the image is complete all the same", exc)
            utils.exec_sudo(
                [sys.executable, "-m", loopdevice.__name__, device]
            )
            self._remove_made_nodes()

    def _rename_device(self, node: Any) -> str:
        """Replace a node's device-mapper name by the kernel's name.

        The partition number is kept, because logical MBR partitions are not
        numbered by their position in the list.
        """
        entry = self.state["blockdev"][node.get_name()]
        entry["device"] = entry["device"].replace("/dev/mapper/", "/dev/", 1)
        return str(entry["device"])

    def _ensure_node(self, device: str) -> None:
        """Wait for a partition's device node; create it if it does not appear.

        The node must also have the right number: if /dev is a plain directory,
        an old node of that name may refer to another device.
        """
        deadline = time.monotonic() + NODE_TIMEOUT
        while True:
            number = _number_in_sysfs(device)
            if number is not None:
                if _number_of_node(device) == number:
                    return
                if not _devtmpfs():
                    break
            if time.monotonic() > deadline:
                raise exception.BlockDeviceSetupException(
                    f"partx made no {device}: this host shows no partitions "
                    f"of {self.device_path}"
                )
            time.sleep(POLL_INTERVAL)
        utils.exec_sudo(["rm", "--force", device])
        utils.exec_sudo(["mknod", device, "b", *number.split(":")])
        self.made_nodes.append(device)

    def _delete_partitions(self) -> None:
        device = self.state["blockdev"][self.base]["device"]
        begin = time.monotonic()
        deadline = begin + DELETE_TIMEOUT
        copies = True
        while loopdevice.list_partitions(device):
            try:
                utils.exec_sudo(["partx", "--delete", device])
                break
            except exception.BlockDeviceSetupException as exc:
                if copies and time.monotonic() > begin + COPIES_TIMEOUT:
                    self._remove_copies()
                    copies = False
                elif time.monotonic() > deadline:
                    holders = mounts.find_holders(
                        loopdevice.list_devices(device)
                    )
                    by = ", ".join(map(str, holders))
                    raise exception.BlockDeviceSetupException(
                        f"{device} is still in use"
                        + (f" by {by}, in another mount namespace" * bool(by))
                    ) from exc
                time.sleep(POLL_INTERVAL)
        self._remove_made_nodes()

    def _remove_copies(self) -> None:
        """Unmount the image's mounts in other mount namespaces.

        A process that was started in a new mount namespace while the image was
        mounted, such as a container engine, has a copy of the mount and would
        keep it until it ends. When a directory is removed, Linux removes the
        mounts on it in other namespaces; see mount_namespaces(7),
        restrictions.
        """
        root = self.state.get("mount", {}).get("/")
        if root is None:
            return
        try:
            utils.exec_sudo(["rmdir", root["path"]])
            utils.exec_sudo(["mkdir", root["path"]])
        except exception.BlockDeviceSetupException as exc:
            LOG.warning("Copies of %s stay mounted: %s", root["path"], exc)

    def _remove_made_nodes(self) -> None:
        if self.made_nodes:
            utils.exec_sudo(["rm", "--force", *self.made_nodes])
            self.made_nodes = []

    def _roll_back(self) -> None:
        """Undo everything that was done so far, without raising exceptions.

        diskimage-builder stops its rollback at the first exception, and would
        leave the loop device attached.
        """
        try:
            for device in self._mounted_devices():
                # diskimage-builder registers no rollback for mounts.
                utils.exec_sudo(["umount", "--all-targets", device])
            self._delete_partitions()
        except Exception as exc:
            LOG.warning(
                "Partitions of %s were not removed: %s", self.device_path, exc
            )

    def _mounted_devices(self) -> list[str]:
        mounted = {
            line.split()[0] for line in MOUNTS.read_text().splitlines() if line
        }
        devices = [
            self.state["blockdev"].get(node.get_name(), {}).get("device")
            for node in self.partitions
        ]
        return [device for device in devices if device in mounted]


def _number_in_sysfs(device: str) -> str | None:
    """Return "major:minor" of a device in the kernel; None if it is absent."""
    try:
        number = loopdevice.SYS_BLOCK / os.path.basename(device) / "dev"
        return number.read_text().strip()
    except FileNotFoundError:
        return None


def _number_of_node(device: str) -> str | None:
    """Return "major:minor" of a node in /dev; None if it is absent."""
    try:
        number = os.stat(device).st_rdev
    except FileNotFoundError:
        return None
    return f"{os.major(number)}:{os.minor(number)}"


def _devtmpfs() -> bool:
    """Return whether the kernel itself creates the nodes in /dev."""
    return any(
        line.split()[1:3] == ["/dev", "devtmpfs"]
        for line in MOUNTS.read_text().splitlines()
    )
