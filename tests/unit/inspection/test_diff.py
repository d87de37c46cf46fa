# SPDX-License-Identifier: Apache-2.0
"""How what is in two images differs."""

import dataclasses
import typing

from tests import base
from trove_tools.inspection import contents
from trove_tools.inspection import diff
from trove_tools.inspection import docker
from trove_tools.inspection import package

MIB = 1024 * 1024
OLD = contents.Contents(
    system={"id": "debian", "kernel": "6.1"},
    packages=(package.Package("a", "1"), package.Package("b", "1")),
    python=(package.Package("trove", "26.0"),),
    containers=(
        docker.Container(("m:1", "n:1"), "sha256:1", 5,
                         (package.Package("a", "1"),)),
    ),
    directories={"/": 9 * MIB, "/usr": 5 * MIB},
    configuration={"/etc/x": "0644 0:0 sha256:1", "/etc/y": "-> z"},
)  # fmt: skip


class DiffTest(base.TestCase):
    def compare(self, **changes: typing.Any) -> list[diff.Difference]:
        return diff.compare_contents(OLD, dataclasses.replace(OLD, **changes))

    def test_same(self) -> None:
        self.assertEqual([], self.compare())

    def test_packages(self) -> None:
        found = self.compare(
            packages=(package.Package("b", "2"), package.Package("c", "1"))
        )
        self.assertEqual(
            [
                ("package", "system", "a", "removed", "1", None),
                ("package", "system", "b", "changed", "1", "2"),
                ("package", "system", "c", "added", None, "1"),
            ],
            found,
        )

    def test_agent(self) -> None:
        (found,) = self.compare(python=(package.Package("trove", "26.1"),))
        self.assertEqual(("agent", "26.1"), (found.where, found.new))

    def test_containers(self) -> None:
        other = docker.Container(
            ("m:1",), "sha256:2", 5, (package.Package("a", "2"),)
        )
        self.assertEqual(
            [
                ("container", "system", "m:1", "changed", "sha256:1",
                 "sha256:2"),
                ("package", "m:1", "a", "changed", "1", "2"),
            ],
            self.compare(containers=(other,)),
        )  # fmt: skip
        (gone,) = self.compare(containers=())
        self.assertEqual("removed", gone.change)

    def test_directories(self) -> None:
        few = OLD.directories | {"/": 9 * MIB + 10}
        self.assertEqual([], self.compare(directories=few))
        more = OLD.directories | {"/usr": 6 * MIB, "/opt": MIB}
        self.assertEqual(
            [("/opt", "added"), ("/usr", "changed")],
            [(each.name, each.change)
             for each in self.compare(directories=more)],
        )  # fmt: skip

    def test_configuration_and_system(self) -> None:
        found = self.compare(
            system={"id": "debian", "kernel": "6.12"},
            configuration={"/etc/x": "0600 0:0 sha256:1"},
        )
        self.assertEqual(
            [("system", "kernel"), ("configuration", "/etc/x"),
             ("configuration", "/etc/y")],
            [(each.kind, each.name) for each in found],
        )  # fmt: skip

    def test_plans(self) -> None:
        left = {"digest": "1", "output": {"disk_size": 4}, "elements": ["a"],
                "datastores": [{"name": "x"}]}  # fmt: skip
        right = {"digest": "2", "output": {"disk_size": 5},
                 "elements": ["a", "b"], "datastores": [{"name": "y"}]}
        self.assertEqual(
            [("datastores[0].name", "x", "y"), ("elements", ["a"], ["a", "b"]),
             ("output.disk_size", 4, 5)],
            [(each.name, each.old, each.new)
             for each in diff.compare_plans(left, right)],
        )  # fmt: skip
