# SPDX-License-Identifier: Apache-2.0
"""Partition an image without device-mapper.

diskimage-builder's own ``partitioning`` plugin writes the partition table and
then asks kpartx for device-mapper nodes.  Many containers and small virtual
machines have no device-mapper.  There the kernel's own loop partitions do the
same job: ``partx`` tells the kernel about them, the kernel makes ``loopNpM``.

``partx_partitioning`` takes the same configuration as ``partitioning`` and
differs in nothing but that.  diskimage-builder pickles the nodes (and through
them this object) between ``create`` and ``umount``, so everything kept on
``self`` is plain data.
"""

import logging
import os
import pathlib
import time
from typing import Any

from diskimage_builder.block_device import exception
from diskimage_builder.block_device import utils
from diskimage_builder.block_device.level1 import partitioning

LOG = logging.getLogger(__name__)

#: How long a partition's node may take to appear, in seconds.
NODE_TIMEOUT = 5.0
#: How long ``partx --delete`` is tried while something holds a partition, in
#: seconds.  udev looks at a new one for a moment.  A process that started with
#: a mount namespace of its own while the image was mounted got a copy of that
#: mount, and holds it until it ends.
DELETE_TIMEOUT = 60.0
POLL_INTERVAL = 0.2

SYSFS_BLOCK = pathlib.Path("/sys/class/block")
MOUNTS = pathlib.Path("/proc/self/mounts")
PROC = pathlib.Path("/proc")


class PartxPartitioning(partitioning.Partitioning):
    """The ``partx_partitioning`` entry of a block device configuration."""

    def create(self) -> None:
        """Write the partition table and make the partitions' nodes.

        Each partition is a node of its own in diskimage-builder's graph and
        calls this; only the first call does the work.

        :raises BlockDeviceSetupException: when a command fails or the kernel
            does not show a partition that was asked for.
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
            # The parent registered the removal of device-mapper nodes, and
            # there are none.  One rollback stands for all the partitions.
            for node in self.partitions:
                node.rollbacks.clear()
            self.partitions[0].add_rollback(self._roll_back)

        devices = [self._rename_device(node) for node in self.partitions]
        utils.exec_sudo(["sync"])
        utils.exec_sudo(["partx", "--update", self.device_path])
        for device in devices:
            self._ensure_node(device)

    def umount(self) -> None:
        """Take the partitions away, before the loop device is detached.

        Detaching first would leave the partitions' nodes behind.

        :raises BlockDeviceSetupException: when a partition stays in use.
        """
        self.number_of_partitions -= 1
        if self.number_of_partitions > 0:
            return
        try:
            self._delete_partitions()
        except exception.BlockDeviceSetupException:
            # Nobody else will: diskimage-builder stops here.  The kernel
            # detaches the device when the last one lets go of it.
            device = self.state["blockdev"][self.base]["device"]
            utils.exec_sudo(["losetup", "--detach", device])
            raise

    def _rename_device(self, node: Any) -> str:
        """Replace a node's device-mapper name by the kernel's own.

        Only the directory differs; the number is kept, since logical MBR
        partitions are not numbered by their place in the list.
        """
        entry = self.state["blockdev"][node.get_name()]
        entry["device"] = entry["device"].replace("/dev/mapper/", "/dev/", 1)
        return str(entry["device"])

    def _ensure_node(self, device: str) -> None:
        """Wait for a partition's node; make it where the kernel does not.

        A node of the right name is not enough: where /dev is a plain
        directory, one may be left there that means another device.
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
        deadline = time.monotonic() + DELETE_TIMEOUT
        while _partitions(device):
            try:
                utils.exec_sudo(["partx", "--delete", device])
                break
            except exception.BlockDeviceSetupException as exc:
                if time.monotonic() > deadline:
                    raise exception.BlockDeviceSetupException(
                        f"{device} is still in use{_holders(device)}"
                    ) from exc
                time.sleep(POLL_INTERVAL)
        if self.made_nodes:
            utils.exec_sudo(["rm", "--force", *self.made_nodes])
            self.made_nodes = []

    def _roll_back(self) -> None:
        """Undo what was done so far, and never raise.

        diskimage-builder stops its rollback at the first exception, and would
        leave the loop device attached.
        """
        try:
            for device in self._mounted_devices():
                # Mounts register no rollback of their own.
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


def _partitions(device: str) -> list[pathlib.Path]:
    """Return what the kernel shows of a device's partitions."""
    name = os.path.basename(device)
    return list((SYSFS_BLOCK / name).glob(f"{name}p*"))


def _holders(device: str) -> str:
    """Name the processes that see a device's partition mounted."""
    numbers = {_number_in_sysfs(part.name) for part in _partitions(device)}
    found = []
    for mounts in PROC.glob("[0-9]*/mountinfo"):
        try:
            lines = mounts.read_text().splitlines()
            name = (mounts.parent / "comm").read_text().strip()
        except OSError:
            # it has ended, or is none of ours
            continue
        if any(line.split()[2] in numbers for line in lines):
            found.append(f"{mounts.parent.name} ({name})")
    return f", by process {', '.join(found)}" if found else ""


def _number_in_sysfs(device: str) -> str | None:
    """Return "major:minor" of a device that the kernel has, else None."""
    try:
        number = SYSFS_BLOCK / os.path.basename(device) / "dev"
        return number.read_text().strip()
    except FileNotFoundError:
        return None


def _number_of_node(device: str) -> str | None:
    """Return "major:minor" of a node in /dev, None when there is none."""
    try:
        number = os.stat(device).st_rdev
    except FileNotFoundError:
        return None
    return f"{os.major(number)}:{os.minor(number)}"


def _devtmpfs() -> bool:
    """Tell whether the kernel itself makes the nodes in /dev."""
    return any(
        line.split()[1:3] == ["/dev", "devtmpfs"]
        for line in MOUNTS.read_text().splitlines()
    )
