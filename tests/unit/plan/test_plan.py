# SPDX-License-Identifier: Apache-2.0
"""The plan is plain data, and the same for the same request."""

import json

from tests import base
from tests.unit.plan import samples
from trove_tools.plan import agent
from trove_tools.plan import plan


class PlanTest(base.TestCase):
    def test_whole_plan(self) -> None:
        made = plan.make(samples.a_request())
        self.assertEqual("trove-mariadb-11.8-debian-13-amd64.qcow2", made.file)
        self.assertEqual(
            "mariadb 11.8",
            "{name} {version}".format(**made.datastores[0]),
        )

    def test_containers(self) -> None:
        made = plan.make(
            samples.a_request(
                choices=(
                    samples.a_choice("mariadb"),
                    samples.a_choice("postgresql"),
                )
            )
        )
        self.assertEqual(
            "trove-mariadb-11.8-postgresql-17-debian-13-amd64", made.name
        )
        self.assertEqual(
            ["mariadb", "postgresql"],
            [each.datastore for each in made.containers],
        )
        self.assertEqual(
            ["container", "container"],
            [each["runtime"] for each in made.datastores],
        )

    def test_where_an_archive_lies_does_not_change_the_digest(self) -> None:
        def digest(**values: str) -> str:
            choice = samples.a_choice("mysql", source="archive", **values)
            return plan.make(samples.a_request(choices=(choice,))).digest()

        self.assertEqual(
            digest(path="/a", digest="1"), digest(path="/b", digest="1")
        )
        self.assertNotEqual(
            digest(path="/a", digest="1"), digest(path="/a", digest="2")
        )

    def test_as_dict_is_json(self) -> None:
        plain = plan.make(samples.a_request()).as_dict()
        self.assertEqual(plain, json.loads(json.dumps(plain)))

    def test_same_request_same_digest(self) -> None:
        self.assertEqual(
            plan.make(samples.a_request()).digest(),
            plan.make(samples.a_request()).digest(),
        )

    def test_what_changes_the_image_changes_the_digest(self) -> None:
        digests = {
            plan.make(samples.a_request(**change)).digest()
            for change in (
                {},
                {"library": samples.changed("trove-guest")},
                {"dib_version": "4"},
                {"agent": agent.Agent("pypi", "trove==2")},
                {"agent": agent.Agent("checkout", "/trove", state="1")},
                {"agent": agent.Agent("checkout", "/trove", state="2")},
                {"partition_table": "gpt"},
                {"compression": "zlib"},
                {"image_format": "raw"},
                {"disk_size": 5},
                {"guest_user": "ann"},
                {"inherited": {"DIB_CLOUD_INIT_DATASOURCES": "Ec2"}},
                {
                    "further_elements": ("extra",),
                    "library": samples.changed("extra"),
                },
            )
        }
        self.assertEqual(13, len(digests))

    def test_where_the_elements_lie_does_not(self) -> None:
        self.assertEqual(
            plan.make(samples.a_request()).digest(),
            plan.make(samples.a_request(elements_path=("/x",))).digest(),
        )

    def test_a_variable_that_nothing_reads(self) -> None:
        made = plan.make(
            samples.a_request(
                inherited={
                    "DIB_CLOUD_INIT_DATASOURCE": "x",
                    "DIB_CLOUD_INIT_DATASOURCES": "ConfigDrive",
                    # by diskimage-builder itself
                    "DIB_OFFLINE": "1",
                    # the guest system decides
                    "DIB_RELEASE": "sid",
                    # an option has its value
                    "DIB_ARCH": "amd64",
                }
            )
        )
        self.assertEqual(
            ("DIB_CLOUD_INIT_DATASOURCE", "DIB_RELEASE=sid"), made.unread
        )
        for layer in made.layers:
            self.assertNotIn("DIB_CLOUD_INIT_DATASOURCE", layer.environment)
        self.assertEqual(
            "ConfigDrive",
            made.layers[0].environment["DIB_CLOUD_INIT_DATASOURCES"],
        )

    def test_what_nothing_reads_makes_no_other_image(self) -> None:
        self.assertEqual(
            plan.make(samples.a_request()).digest(),
            plan.make(samples.a_request(inherited={"DIB_X": "1"})).digest(),
        )

    def test_options_reach_it(self) -> None:
        made = plan.make(
            samples.a_request(
                partition_table="gpt",
                image_format="raw",
                name="mine",
                disk_size=10,
            )
        )
        self.assertEqual("mine.raw", made.file)
        self.assertEqual("none", made.output["compression"])
        self.assertEqual(10, made.datastores[0]["min_disk"])
