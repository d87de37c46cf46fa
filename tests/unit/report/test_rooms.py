# SPDX-License-Identifier: Apache-2.0
"""What takes room, put into groups."""

from tests import base
from trove_tools.inspection import contents
from trove_tools.inspection import docker
from trove_tools.inspection import package
from trove_tools.report import rooms

SITE = "/opt/trove-guest-agent/lib/site-packages"
FOUND = contents.Contents(
    system={},
    packages=tuple(
        package.Package(f"p{number}", "1", size=1000 - number)
        for number in range(100)
    ),
    python=(package.Package("trove", "26", size=2000),),
    containers=(
        docker.Container(("m:1",), "sha256:1", 300,
                         (package.Package("server", "1", size=250),)),
    ),
    directories={
        "/": 1000, "/usr": 400, "/usr/bin": 300, "/opt": 200,
        "/opt/trove-guest-agent": 200, "/opt/trove-guest-agent/lib": 190,
        SITE: 190, f"{SITE}/trove": 100, "/var": 350, "/var/lib": 350,
        "/var/lib/docker": 320, "/var/lib/docker/overlay2/x": 300,
    },
)  # fmt: skip


class RoomsTest(base.TestCase):
    def test_directories_add_up(self) -> None:
        groups = rooms.directories(FOUND)
        self.assertEqual(1000, sum(group.size for group in groups))
        self.assertEqual(
            [("guest system", 480), ("containers", 320),
             ("guest agent", 200)],
            [(group.name, group.size) for group in groups],
        )  # fmt: skip

    def test_containers_have_their_names(self) -> None:
        (group,) = (
            each for each in rooms.directories(FOUND)
            if each.kind == "container"
        )  # fmt: skip
        self.assertEqual(
            [("m:1", 300), ("rest of /var/lib/docker", 20)],
            [(tile.name, tile.size) for tile in group.tiles],
        )

    def test_packages(self) -> None:
        groups = {group.name: group for group in rooms.packages(FOUND)}
        self.assertEqual({"guest system", "guest agent", "m:1"}, set(groups))
        system = groups["guest system"]
        self.assertEqual(sum(p.size for p in FOUND.packages), system.size)
        self.assertLess(len(system.tiles), rooms.TILES + 2)
        self.assertIn("smaller ones", system.tiles[0].name)

    def test_nothing(self) -> None:
        empty = contents.Contents({}, directories={"/": 0})
        self.assertEqual([], rooms.directories(empty))
        self.assertEqual([], rooms.packages(empty))
