# SPDX-License-Identifier: Apache-2.0
"""What takes room, in rows of a table."""

from tests import base
from trove_tools.artifact import charts
from trove_tools.inspection import contents
from trove_tools.inspection import docker
from trove_tools.inspection import package

SITE = "/opt/trove-guest-agent/lib/site-packages"
FOUND = contents.Contents(
    system={},
    packages=(
        package.Package("small", "1", size=1),
        package.Package("large", "1", size=1000),
        package.Package("unknown", "1"),
    ),
    python=(package.Package("trove", "26", size=2000),),
    containers=(
        docker.Container(("m:1",), "sha256:1", 300,
                         (package.Package("server", "1", size=250),)),
    ),
    directories={
        "/": 1000, "/usr": 400, "/usr/bin": 300, "/usr/tiny": 5, "/opt": 200,
        "/opt/trove-guest-agent": 200, "/opt/trove-guest-agent/lib": 195,
        SITE: 194, f"{SITE}/trove": 100, "/var": 350, "/var/lib": 350,
        "/var/lib/docker": 320, "/var/lib/docker/overlay2/x": 300,
    },
)  # fmt: skip


class SizesTest(base.TestCase):
    def test_directories(self) -> None:
        self.assertEqual(
            [
                # what holds just another directory is passed over
                charts.Bar("/usr", "system", 400),
                charts.Bar("bin", "system", 300, 1),
                charts.Bar("/var/lib", "system", 350),
                charts.Bar("docker", "container", 320, 1),
                charts.Bar("m:1", "container", 300, 2),
                charts.Bar("/opt/trove-guest-agent", "agent", 200),
                charts.Bar("lib/site-packages", "agent", 194, 1),
                charts.Bar("trove", "agent", 100, 2),
            ],
            charts.directory_bars(FOUND),
        )

    def test_packages(self) -> None:
        self.assertEqual(
            [
                ("trove 26", "agent", 2000),
                ("large 1", "system", 1000),
                ("server 1", "container", 250),
                ("small 1", "system", 1),
            ],
            [
                (bar.name, bar.kind, bar.size)
                for bar in charts.package_bars(FOUND)
            ],
        )

    def test_nothing(self) -> None:
        empty = contents.Contents({}, directories={"/": 0})
        self.assertEqual([], charts.directory_bars(empty))
        self.assertEqual([], charts.package_bars(empty))
