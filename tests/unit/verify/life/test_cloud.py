# SPDX-License-Identifier: Apache-2.0
"""The cloud of one verify, with guests that only take notes."""

import collections.abc
import contextlib
import pathlib
import typing

from tests import base
from trove_tools.verify import disks
from trove_tools.verify import machine
from trove_tools.verify.life import cloud

DISK = disks.Disk(pathlib.Path("/nowhere"), "raw", 1 << 30)
PORT = 3306


class Noted:
    """A machine that notes what is done to it."""

    def __init__(self, guest: machine.Guest) -> None:
        self.guest = guest
        self.notes: list[typing.Any] = []
        self.services: list[machine.Service] = []

    def __getattr__(self, name: str) -> typing.Any:
        return lambda *arguments: self.notes.append((name, *arguments))

    def serve(self, service: machine.Service) -> None:
        self.services.append(service)


class CloudTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        self.made: list[Noted] = []
        self.cloud = cloud.Cloud(
            DISK,
            self.open,  # type: ignore[arg-type]
            self.place,
            5672,
            (PORT,),
        )
        self.addCleanup(self.cloud.close)
        volume = self.place / "first"
        volume.touch()
        self.first = Noted(machine.Guest(DISK, volume, {"id": "i"}))
        self.cloud.adopt("server", "volume", self.first)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def open(self, guest: machine.Guest) -> collections.abc.Iterator[Noted]:
        self.made.append(Noted(guest))
        yield self.made[-1]
        self.made[-1].notes.append(("closed",))

    def port(self, network: str) -> dict[str, typing.Any]:
        given = self.cloud("port", {"network": network})
        return {
            "network_id": network,
            "mac_address": given["mac"],
            "fixed_ips": [{"ip_address": given["address"]}],
            "cidr": given["cidr"],
            "gateway_ip": given["gateway"],
        }

    def create(self) -> Noted:
        self.cloud(
            "create",
            {
                "server": "second", "image": cloud.IMAGE, "user_data": "data",
                "volume": "other", "size": 3,
                "ports": [self.port("tenant"), self.port("management")],
            },
        )  # fmt: skip
        return self.made[-1]

    def test_a_second_guest_has_addresses_of_its_own(self) -> None:
        guest = self.create().guest
        addresses = {nic.address for nic in guest.nics}
        macs = {nic.mac for nic in guest.nics}
        first = self.first.guest.nics
        self.assertEqual(set(), addresses & {nic.address for nic in first})
        self.assertEqual(set(), macs & {nic.mac for nic in first})
        self.assertEqual(
            [nic.gateway for nic in first], [nic.gateway for nic in guest.nics]
        )
        self.assertEqual(3 << 30, guest.volume.stat().st_size)

    def test_guests_reach_each_others_databases(self) -> None:
        second = self.create()
        for one, other in ((self.first, second), (second, self.first)):
            (service,) = one.services
            self.assertEqual(PORT, service.port)
            self.assertEqual(
                other.guest.nics[1].address, f"{service.address}/24"
            )
            service.connect()
            self.assertIn(("connect", PORT), other.notes)

    def test_a_service_is_for_guests_to_come_as_well(self) -> None:
        def connect() -> typing.Any:
            raise OSError

        service = machine.Service("10.0.2.100", 8080, connect)
        self.cloud.serve(service)
        self.assertEqual([service], self.first.services)
        self.assertIn(service, self.create().services)

    def test_a_volume_grows_where_it_is_used(self) -> None:
        second = self.create()
        self.cloud("extend", {"volume": "other", "size": 4})
        self.assertIn(("grow_volume", 4), second.notes)
        self.assertEqual([], self.first.notes)

    def test_a_rebuilt_guest_keeps_its_volume(self) -> None:
        self.cloud(
            "rebuild",
            {"server": "server", "image": cloud.IMAGE, "user_data": "new"},
        )
        self.assertEqual(
            ["power_off", "replace_disk", "power_on"],
            [note[0] for note in self.first.notes],
        )
        self.assertEqual(
            {"id": "i", "user_data": "new"}, self.first.notes[1][2]
        )

    def test_reboot(self) -> None:
        self.cloud("reboot", {"server": "server"})
        self.assertEqual([("power_off",), ("power_on",)], self.first.notes)

    def test_a_removed_guest_leaves_no_volume(self) -> None:
        second = self.create()
        self.cloud.remove("second")
        self.assertEqual(("cut_power",), second.notes[-2])
        self.assertEqual(("closed",), second.notes[-1])
        self.assertFalse(second.guest.volume.exists())
