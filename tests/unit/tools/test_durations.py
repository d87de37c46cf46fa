# SPDX-License-Identifier: Apache-2.0
"""The durations that the runner of the image tests is told."""

import io
import pathlib
import subprocess
import sys
import typing

import subunit
import testtools
import yaml

from tests import base

_TOOL = base.ROOT / "tools/lib/durations.py"
_SECONDS = base.ROOT / "tests/image/seconds.yaml"


class DurationsTest(base.TestCase):
    def read(self, file: pathlib.Path, *names: str) -> dict[str, float]:
        """Return the seconds of each test, as a runner reads them."""
        done = subprocess.run(
            [sys.executable, _TOOL, file],
            input="\n".join(names).encode(),
            capture_output=True,
            check=True,
        )
        tests: list[typing.Any] = []
        result = testtools.StreamToDict(tests.append)
        result.startTestRun()
        subunit.ByteStreamToStreamResult(io.BytesIO(done.stdout)).run(result)
        result.stopTestRun()
        self.assertEqual({"skip"}, {test["status"] for test in tests})
        found = {}
        for test in tests:
            begin, end = test["timestamps"]
            found[test["id"]] = (end - begin).total_seconds()
        return found

    def test_tests_share_the_time_of_their_module(self) -> None:
        file = self.temp_dir() / "seconds.yaml"
        file.write_text("test_a: 30\ntest_gone: 5\n")
        self.assertEqual(
            {"tests.image.test_a.A.one": 15, "tests.image.test_a.B.two": 15},
            self.read(
                file,
                "tests.image.test_a.A.one",
                "tests.image.test_b.A.one",
                "tests.image.test_a.B.two",
            ),
        )

    def test_the_modules_exist(self) -> None:
        for name in yaml.safe_load(_SECONDS.read_text()):
            self.assertTrue(_SECONDS.with_name(f"{name}.py").exists(), name)
