# SPDX-License-Identifier: Apache-2.0
"""The benchmark's table says what was measured, and what is missed."""

import importlib.util
import typing

from tests import base

_spec = importlib.util.spec_from_file_location(
    "benchmark_build", base.ROOT / "tools" / "lib" / "benchmark_build.py"
)
assert _spec is not None and _spec.loader is not None
benchmark: typing.Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)


def measured(seconds: float) -> dict[str, typing.Any]:
    return {
        "seconds": seconds,
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
        reference = {"seconds": 200.0, "size": 500 << 20}
        results = {
            "machine": {"date": "2026-01-31", "text": "2 x slow"},
            **{f"reference {name}": reference for name in "abc"},
            "cold": measured(100),
            "second": measured(60),
            "three": measured(240),
            "agent": measured(30),
            "nothing": measured(0.3),
            "cache": {"layers": 2000 << 20, "downloads": 500 << 20},
            **changes,
        }
        return str(benchmark.report(results, ["a", "b", "c"])).splitlines()

    def line(self, begin: str, **changes: typing.Any) -> list[str]:
        lines = self.report(**changes)
        return next(each for each in lines if each.startswith(begin)).split()

    def test_ratios(self) -> None:
        self.assertEqual(["0.50", "0.55", "yes"], self.line("cold")[-3:])
        self.assertEqual(["0.30", "0.25", "no"], self.line("second")[-3:])
        self.assertEqual(["0.40", "0.45", "yes"], self.line("three d")[-3:])
        self.assertEqual(["0.60", "0.75", "yes"], self.line("size")[-3:])
        self.assertEqual(["2.50", "3.0", "yes"], self.line("cache")[-3:])
        slow = self.line("no change", nothing=measured(2))
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
        bench = benchmark.Benchmark(self.temp_dir(), agent, ["mariadb"] * 3)
        made = bench.plan("mariadb")
        self.assertEqual(4, len(made.layers))
