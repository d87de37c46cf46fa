# SPDX-License-Identifier: Apache-2.0
"""The benchmark's table says what was measured, and what is missed."""

import importlib.util
import pathlib
import subprocess
import sys
import typing
from unittest import mock

import yaml

from tests import base
from trove_tools.plan import elements

_LIBRARY = base.ROOT / "tools" / "lib"


def _load(name: str) -> typing.Any:
    spec = importlib.util.spec_from_file_location(
        name, _LIBRARY / f"{name}.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # as for a script in that directory
    with mock.patch.object(sys, "path", [str(_LIBRARY), *sys.path]):
        spec.loader.exec_module(module)
    return module


benchmark = _load("benchmark_build")
peer = _load("benchmark_peer")
report = _load("benchmark_report")


def measured(cpu: float, seconds: float = 100) -> dict[str, typing.Any]:
    return {
        "seconds": seconds,
        "cpu": cpu,
        "peak": 80,
        "size": 300 << 20,
        "root": 1000 << 20,
        "timeline": [
            {"name": "base", "seconds": 0.0, "cached": True, "spans": []},
            {
                "name": "agent",
                "seconds": 20.0,
                "spans": [
                    {"name": "install", "seconds": 3.0},
                    {"name": "finalise", "seconds": 9.0},
                ],
            },
        ],
    }


class ReportTest(base.TestCase):
    def report(self, **changes: typing.Any) -> list[str]:
        results = {
            "machine": {"date": "2026-01-31", "text": "2 x slow"},
            "peer": {"seconds": 400.0, "cpu": 300.0, "size": 500 << 20},
            "reference": {"seconds": 200.0, "cpu": 240.0, "size": 1},
            "cold": measured(120),
            "second": measured(60),
            "three": measured(180),
            "agent": measured(30),
            "patch": measured(15),
            "nothing": measured(0.3, 0.3),
            "cache": {"layers": 2000 << 20, "downloads": 500 << 20},
            **changes,
        }
        return str(report.report(results, ["a", "b", "c"])).splitlines()

    def line(self, begin: str, **changes: typing.Any) -> list[str]:
        lines = self.report(**changes)
        return next(each for each in lines if each.startswith(begin)).split()

    def test_ratios(self) -> None:
        self.assertEqual(["0.40", "0.42", "yes"], self.line("cold b")[-3:])
        self.assertEqual(["0.20", "0.12", "no"], self.line("second")[-3:])
        self.assertEqual(["0.20", "0.2", "yes"], self.line("three d")[-3:])
        self.assertEqual(
            ["0.10", "0.1", "yes"],
            self.line("agent changed, clean")[-3:],
        )
        self.assertEqual(
            ["0.05", "0.04", "no"], self.line("agent changed, ``")[-3:]
        )
        self.assertEqual(["0.50", "0.55", "yes"], self.line("the same")[-3:])
        self.assertEqual(["0.60", "0.39", "no"], self.line("size")[-3:])
        self.assertEqual(["2.50", "3.0", "yes"], self.line("cache")[-3:])
        slow = self.line("no change", nothing=measured(2, 2))
        self.assertEqual("no", slow[-1])

    def test_steps(self) -> None:
        text = "\n".join(self.report())
        self.assertIn("agent: finalise 9, install 3", text)
        self.assertIn("base: from the cache", text)
        self.assertIn("2026-01-31: 2 x slow.", text)


class PlanTest(base.TestCase):
    def test_reference_has_the_plan_of_the_command(self) -> None:
        agent = self.temp_dir() / "trove"
        (agent / "trove" / "guestagent").mkdir(parents=True)
        (agent / "setup.cfg").touch()
        bench = benchmark.Benchmark(
            self.temp_dir(), agent, ["mariadb"] * 3, agent / "c.txt"
        )
        made = bench.plan("mariadb")
        self.assertEqual(4, len(made.layers))


class PeerTest(base.TestCase):
    def test_elements_without_ubuntu(self) -> None:
        trove = self.temp_dir()
        for name, text in (
            ("guest-agent/package-installs.yaml", "vim:\nureadahead:\n"),
            ("guest-agent/extra-data.d/70-x", ""),
            ("ubuntu-docker/element-deps", "ubuntu-guest\n"),
            ("ubuntu-docker/install.d/21-docker", "curl download.docker.com"),
            ("ubuntu-guest/pre-install.d/11-baseline-tools", ""),
            ("ubuntu-guest/post-install.d/12-ntp", ""),
        ):
            file = trove / peer.ELEMENTS / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        seen: list[typing.Any] = []

        def run(argv: list[typing.Any], **more: typing.Any) -> typing.Any:
            seen.append((argv, more))
            if "-o" in argv:
                pathlib.Path(argv[argv.index("-o") + 1]).write_bytes(b"12345")
            return subprocess.CompletedProcess(argv, 0, "abc\n", "")

        self.patch_object(subprocess, "run", run)
        work = self.temp_dir()
        size = peer.build(trove, trove / "c.txt", work, "trixie", {"M": "m"})
        self.assertEqual(5, size)
        argv, more = seen[-1]
        self.assertEqual("abc", more["env"]["DIB_REPOREF_guest_agent"])
        self.assertEqual("m", more["env"]["M"])
        adapted = pathlib.Path(more["env"]["ELEMENTS_PATH"])
        own = {file.name for file in adapted.iterdir()}
        self.assertEqual(
            {"guest-agent", "debian-docker", "debian-guest",
             elements.disk("mbr")},
            own,
        )  # fmt: skip
        self.assertIn("debian-docker", argv)
        packages = adapted / "guest-agent/package-installs.yaml"
        self.assertEqual({"vim"}, set(yaml.safe_load(packages.read_text())))
        for file in adapted.rglob("*"):
            if file.is_file():
                self.assertNotIn("download.docker.com", file.read_text())
