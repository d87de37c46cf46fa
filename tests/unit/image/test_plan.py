# SPDX-License-Identifier: Apache-2.0
"""The plan is plain data, and the same for the same request."""

import json

from tests import base
from tests.unit.image import samples
from trove_tools.image import agent
from trove_tools.image import mirrors
from trove_tools.image import plan


class PlanTest(base.TestCase):
    def test_whole_plan(self) -> None:
        made = plan.make(samples.a_request())
        self.assertEqual("trove-mariadb-11.8-debian-13-amd64.qcow2", made.file)
        self.assertEqual(
            (
                "debian-minimal",
                "vm",
                "block-device-trove-mbr",
                "trove-guest",
                "trove-guest-agent",
                "trove-mariadb",
                "manifests",
            ),
            made.elements,
        )
        self.assertEqual(
            {
                "DIB_DEBIAN_SECURITY_MIRROR": "http://s.example",
                "DIB_DISTRIBUTION_MIRROR": "http://a.example/d",
                "DIB_IMAGE_SIZE": "4",
                "DIB_RELEASE": "trixie",
                "DIB_TROVE_AGENT_REQUIREMENT": "trove==1",
            },
            made.environment,
        )
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
            ["trove-docker", "trove-datastore-containers"],
            [name for name in made.elements if name.startswith("trove-d")],
        )
        self.assertEqual(
            ["mariadb", "postgresql"],
            [each["datastore"] for each in made.containers],
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
                {"elements_digest": "abd"},
                {"dib_version": "4"},
                {"agent": agent.Agent("pypi", "trove==2")},
                {"agent": agent.Agent("checkout", "/trove", state="1")},
                {"agent": agent.Agent("checkout", "/trove", state="2")},
                {"partition_table": "gpt"},
                {"compression": "zlib"},
                {"image_format": "raw"},
                {"disk_size": 5},
                {"guest_user": "ann"},
                {"inherited": {"DIB_X": "1"}},
                {"further_elements": ("extra",)},
            )
        }
        self.assertEqual(13, len(digests))

    def test_where_the_elements_lie_does_not(self) -> None:
        self.assertEqual(
            plan.make(samples.a_request()).digest(),
            plan.make(samples.a_request(elements_path=("/x",))).digest(),
        )

    def test_options_reach_it(self) -> None:
        made = plan.make(
            samples.a_request(
                partition_table="gpt",
                image_format="raw",
                name="mine",
                further_elements=("extra",),
                guest_user="ann",
                disk_size=10,
            )
        )
        self.assertEqual("mine.raw", made.file)
        self.assertIn("block-device-trove-gpt", made.elements)
        self.assertIn("extra", made.elements)
        self.assertEqual("none", made.output["compression"])
        self.assertEqual("ann", made.environment["DIB_TROVE_GUEST_USER"])
        self.assertEqual("10", made.environment["DIB_IMAGE_SIZE"])
        self.assertEqual(10, made.datastores[0]["min_disk"])

    def test_users_dib_variables_reach_it_but_cannot_contradict(self) -> None:
        made = plan.make(
            samples.a_request(
                inherited={"DIB_OFFLINE": "1", "DIB_RELEASE": "sid"}
            )
        )
        self.assertEqual("1", made.environment["DIB_OFFLINE"])
        self.assertEqual("trixie", made.environment["DIB_RELEASE"])

    def test_unknown_mirrors_are_left_to_dib(self) -> None:
        made = plan.make(samples.a_request(mirrors=mirrors.Mirrors()))
        self.assertNotIn("DIB_DISTRIBUTION_MIRROR", made.environment)
        self.assertNotIn("DIB_DEBIAN_SECURITY_MIRROR", made.environment)

    def test_agent_from_git(self) -> None:
        made = plan.make(
            samples.a_request(
                agent=agent.Agent(
                    "git", "http://g/trove", "main", constraints="/uc"
                )
            )
        )
        self.assertEqual(
            ("http://g/trove", "main", "/uc"),
            tuple(
                made.environment[f"DIB_TROVE_AGENT_{name}"]
                for name in ("GIT_URL", "GIT_REF", "CONSTRAINTS")
            ),
        )
