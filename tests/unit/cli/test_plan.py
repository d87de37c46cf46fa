# SPDX-License-Identifier: Apache-2.0
"""What a person reads of a plan."""

import dataclasses

from tests import base
from tests.unit.plan import samples
from trove_tools.build import cache
from trove_tools.build import forecast
from trove_tools.cli import plan as plans
from trove_tools.host import requirements
from trove_tools.plan import agent
from trove_tools.plan import plan
from trove_tools.sources.network import proxies


class SummaryTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cache = cache.Cache(self.temp_dir())
        self.output = self.temp_dir()
        self.set_env(PIP_CONFIG_FILE="/dev/null", PIP_INDEX_URL=None,
                     PIP_EXTRA_INDEX_URL=None)  # fmt: skip
        self.patch_object(proxies, "findings", list)
        self.plan = plan.make(samples.a_request())

    def put(self, number: int, seconds: float) -> None:
        """Have a layer in the cache that took so long."""
        layer = self.plan.layers[number]
        with self.cache.partial() as place:
            (place / cache.ARCHIVE).write_bytes(b"x")
            self.cache.put(
                place, name=layer.name, digest=layer.digest,
                inputs=layer.as_dict(), facts={},
                timeline={"seconds": seconds},
            )  # fmt: skip

    def said(self) -> dict[str, str]:
        forecaster = forecast.Forecaster(self.cache, self.output)
        return plans.summary(self.plan, forecaster, self.output)

    def test_no_digests_and_one_screen(self) -> None:
        said = self.said()
        text = "\n".join(map(str, said.values()))
        self.assertNotRegex(text, "[0-9a-f]{40}")
        self.assertLess(text.count("\n"), 22)
        self.assertEqual(self.plan.name, said["name"])

    def test_packages_of_another_suite(self) -> None:
        choices = (
            samples.a_choice(
                "mysql", source="packages", suite="sid", packages=("core",)
            ),
            samples.a_choice(
                "mariadb", source="packages", suite="trixie",
                packages=("core",),
            ),
        )  # fmt: skip
        self.plan = plan.make(samples.a_request(choices=choices))
        self.assertEqual(
            ["mysql: packages core of sid, made into a container",
             "mariadb: packages core, made into a container"],
            self.said()["comes from"].splitlines(),
        )  # fmt: skip

    def test_why_a_version_was_chosen(self) -> None:
        self.assertNotIn("decided", self.said())
        choice = samples.a_choice("mysql")
        choices = (dataclasses.replace(choice, reason="no registry"),)
        self.plan = plan.make(samples.a_request(choices=choices))
        self.assertEqual("no registry", self.said()["decided"])

    def test_every_address(self) -> None:
        self.assertEqual(
            [
                "http://a.example/d  (packages)",
                "http://s.example  (security updates)",
                "https://pypi.org/simple  (Python packages)",
            ],
            self.said()["addresses"].splitlines(),
        )
        found = requirements.Finding("proxy for packages", True, "http://p:3128")
        self.patch_object(proxies, "findings", lambda: [found])
        self.assertIn(
            "http://p:3128  (proxy for packages)", self.said()["addresses"]
        )

    def test_passwords_are_not_shown(self) -> None:
        self.set_env(PIP_INDEX_URL="https://me:secret@pypi.example/simple")
        said = self.said()["addresses"]
        self.assertIn("https://pypi.example/simple  (Python packages)", said)
        self.assertNotIn("secret", said)

    def test_an_agent_of_git(self) -> None:
        request = samples.a_request(
            agent=agent.Agent("git", "https://example.org/trove", ref="x")
        )
        self.plan = plan.make(request)
        said = self.said()
        self.assertEqual("https://example.org/trove, x", said["guest agent"])
        self.assertIn(
            "https://example.org/trove  (guest agent)", said["addresses"]
        )

    def test_an_empty_cache(self) -> None:
        said = self.said()
        self.assertEqual("nothing", said["in the cache"])
        self.assertEqual(
            ["base", "runtime", "datastore", "agent"], said["to be built"]
        )
        self.assertEqual("size not known before the first build", said["file"])
        self.assertRegex(said["time"], r"^about 3 min; .*two quiet processors")

    def test_what_is_in_the_cache_is_not_built(self) -> None:
        self.put(0, 600)
        said = self.said()
        self.assertEqual(["base"], said["in the cache"])
        self.assertRegex(said["time"], "^about 2 min; runtime, datastore")
        self.put(1, 300)
        self.put(2, 60)
        said = self.said()
        self.assertEqual(["agent"], said["to be built"])
        self.assertRegex(said["time"], "^about 1 min; agent as measured")

    def test_earlier_builds_tell_the_time(self) -> None:
        self.put(0, 600)
        self.put(1, 300)
        self.put(2, 60)
        self.cache.not_before = 4e9
        said = self.said()
        self.assertEqual("nothing", said["in the cache"])
        self.assertRegex(said["time"], "^about 17 min; agent as measured")

    def test_containers_of_a_registry_are_not_asked_for_twice(self) -> None:
        choices = (samples.a_choice("mysql"),)
        self.plan = plan.make(samples.a_request(choices=choices))
        self.assertIn("registry.example/mysql", self.said()["comes from"])
        self.assertIn("(container of mysql)", self.said()["addresses"])
        self.put(2, 60)
        self.assertNotIn("container of mysql", self.said()["addresses"])
