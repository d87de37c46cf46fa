# SPDX-License-Identifier: Apache-2.0
import json
import typing

from gate import command as gate
from tests import base


class CommandTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(
            HOME=str(self.temp_dir()), XDG_CACHE_HOME=str(self.temp_dir())
        )
        self.out, self.err = self.capture()

    def text(self, stream: typing.Any) -> str:
        stream.seek(0)
        return str(stream.read())

    def test_jobs_and_reasons(self) -> None:
        file = "trove_tools/catalog/datastores/redis.yaml"
        status = gate.main(["--format", "json", "--changed", file])
        self.assertEqual(0, status)
        found = {
            row["job"]: row["because"]
            for row in json.loads(self.text(self.out))
        }
        self.assertEqual(
            f"{file}: the catalog's entry of redis",
            found["trove-tools-image-redis-debian-13"],
        )
        self.assertEqual("runs for every change", found["openstack-tox-pep8"])
        self.assertRegex(self.text(self.err), r"check: \d+ of \d+ jobs")

    def test_whole_path(self) -> None:
        status = gate.main(["--changed", str(gate.TOP / "README.rst")])
        self.assertEqual(0, status)
        self.assertIn("openstack-tox-docs", self.text(self.out))

    def test_unknown_file(self) -> None:
        self.assertEqual(2, gate.main(["--changed", "no/such/kind"]))
        self.assertIn("rules.yaml", self.text(self.err))

    def test_unknown_pipeline(self) -> None:
        status = gate.main(["--pipeline", "gat", "--changed", "README.rst"])
        self.assertEqual(2, status)
        self.assertIn("did you mean gate?", self.text(self.err))

    def test_nothing_asked(self) -> None:
        self.assertEqual(2, gate.main([]))

    def test_write_where_there_is_no_checkout(self) -> None:
        self.patch_object(gate, "TOP", self.temp_dir())
        self.assertEqual(2, gate.main(["--write"]))
        self.assertIn("no checkout", self.text(self.err))
