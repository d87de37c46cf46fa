# SPDX-License-Identifier: Apache-2.0
"""What the devstack plugin does to a cloud: real services, twice."""

import functools
import shlex
import typing

from tests import base as tests_base
from tests import commands
from tests.devstack import stack
from tests.functional import base
from tests.functional import clouds
from tests.functional import nova
from trove_tools.devstack import resources


class NovaCase(clouds.TestCase):
    """A test with a real nova-api.

    The flavors of Trove's tests may stay for the next one.
    """

    def setUp(self) -> None:
        super().setUp()
        path = nova.clouds(self.minicloud_dir)
        self.set_env(OS_CLIENT_CONFIG_FILE=str(path))
        self.catalog = self._catalog()

    def _clean(self) -> None:
        self.set_env(
            OS_CLIENT_CONFIG_FILE=str(nova.clouds(self.minicloud_dir))
        )
        self.admin.compute.delete(self.quotas_path)
        super()._clean()

    @functools.cached_property
    def quotas_path(self) -> str:
        """Where Nova has the quotas of the project ``service``."""
        project = self.admin.identity.find_project("service").id
        return f"/os-quota-sets/{project}"

    def _catalog(self) -> str:
        """Return a directory that knows this test's own datastore."""
        source = tests_base.ROOT / "trove_tools/catalog/datastores"
        text = (source / "mariadb.yaml").read_text()
        directory = self.temp_dir()
        (directory / f"{self.datastore}.yaml").write_text(
            text.replace("name: mariadb\n", f"name: {self.datastore}\n", 1)
        )
        return str(directory)

    def flavors(self) -> dict[str, typing.Any]:
        """Return the flavors that are there, by name."""
        answer = self.admin.compute.get("/flavors/detail?is_public=None")
        return {each["name"]: each for each in answer.json()["flavors"]}

    def remove_flavors(self, *names: str) -> None:
        """Remove flavors; all, when none is named."""
        for name, flavor in self.flavors().items():
            if not names or name in names:
                self.admin.compute.delete_flavor(flavor["id"])

    def devstack(self, *args: str, **env: str) -> commands.Outcome:
        """Run trove-devstack."""
        return self.command(
            "trove-devstack", *args, "--catalog", self.catalog, env=env
        )

    def done(self, *args: str, **env: str) -> typing.Any:
        """Run trove-devstack, which must work; return what it says."""
        outcome = self.devstack(*args, "--format", "json", **env)
        self.assertEqual(0, outcome.status, outcome.stderr)
        return outcome.json()


class PrepareTest(NovaCase):
    def test_twice(self) -> None:
        words = ("prepare", "--quota", "instances=30", "--quota", "cores=10",
                 "--user-cloud", base.DEMO)  # fmt: skip
        self.remove_flavors()
        path = self.quotas_path
        self.admin.compute.put(path, json={"quota_set": {"cores": 40}})

        first = self.done(*words)
        wanted = len(resources.TEST_FLAVORS)
        self.assertEqual(
            {"created": wanted, "unchanged": 0, "different": []},
            first["flavors"],
        )
        # what was higher is not lowered
        self.assertEqual({"instances": 30}, first["raised"])
        self.assertEqual([True], [each["ok"] for each in first["checks"]])
        quotas = self.admin.compute.get(path).json()["quota_set"]
        self.assertEqual((30, 40), (quotas["instances"], quotas["cores"]))
        made = self.flavors()
        for flavor in resources.TEST_FLAVORS:
            shown = resources.Flavor.from_answer(made[flavor.name])
            self.assertEqual(flavor, shown)

        second = self.done(*words)
        self.assertEqual(
            {"created": 0, "unchanged": wanted, "different": []},
            second["flavors"],
        )
        self.assertEqual({}, second["raised"])
        self.assertEqual(made, self.flavors())

    def test_without_the_right(self) -> None:
        self.remove_flavors("test.tiny-4")
        outcome = self.devstack("prepare", OS_CLOUD=base.DEMO)
        self.assert_refused(outcome, 4, "admin role")


class CheckTest(NovaCase):
    def test_story(self) -> None:
        word = f"{self.datastore}:11.8"
        outcome = self.devstack("check", word, OS_CLOUD=base.DEMO)
        self.assertEqual(1, outcome.status)
        self.assertIn(f"activate-trove-image {word}", outcome.stderr)
        outcome = self.devstack("tempest")
        self.assertEqual(4, outcome.status)
        self.assertIn("no datastore that is ready", outcome.stderr)

        self.loaded(self.image_file("11.8"), "--activate")
        self.done("prepare")
        rows = self.done("check", word, OS_CLOUD=base.DEMO)
        self.assertEqual([True] * 3, [each["ok"] for each in rows])

        outcome = self.devstack("tempest", self.datastore)
        self.assertEqual(0, outcome.status, outcome.stderr)
        found = dict(
            line.split(" ", 2)[1:] for line in outcome.stdout.splitlines()
        )
        self.assertEqual(self.datastore, found["enabled_datastores"])
        self.assertEqual(word, found["default_datastore_versions"])
        # there is no cinder: data lie on an ephemeral disk
        by_id = {each["id"]: each for each in self.flavors().values()}
        small = by_id[found["flavor_id"]]
        large = by_id[found["resize_flavor_id"]]
        self.assertEqual("test.eph.small-6", small["name"])
        self.assertEqual("test.eph.small-6.resize", large["name"])
        self.assertNotIn("volume_type", found)

        outcome = self.devstack("tempest", "mariadb")
        self.assertEqual(2, outcome.status)
        self.assertIn("no datastore mariadb", outcome.stderr)


class PluginTest(NovaCase, stack.StackCase):
    """The plugin's phases with the real commands, against real services."""

    #: What writes a configuration as devstack's iniset does, in short.
    _INISET = """
iniset() {
    record iniset "$@"
    printf '%s\\n' "$*" >>"$1"
}
"""

    def setUp(self) -> None:
        super().setUp()
        for name in ("load-trove-image", "activate-trove-image"):
            self.scripts[name] = "exec " + shlex.join(
                commands.command_line(name)
            ) + ' "$@"'  # fmt: skip
        self.scripts["trove-devstack"] = "exec " + shlex.join(
            commands.command_line("trove-devstack")
        ) + ' "$@"'  # fmt: skip
        self.set_env(
            OS_CLOUD="devstack-admin", TROVE_TOOLS_CATALOG=self.catalog
        )

    def test_twice(self) -> None:
        image = self.image_file("11.8")
        self.scripts["trove-image-builder"] = (
            f"""echo '{{"image": "{image}"}}'"""
        )
        outcomes = []
        for _ in range(2):
            ran = self.stack(
                TROVE_GUEST_DATASTORES=self.datastore,
                after_settings=self._INISET,
            )
            self.assertEqual(0, ran.status, ran.stderr)
            (version,) = self.versions()
            self.assertTrue(version.active)
            (loaded,) = self.images()
            self.assertEqual("private", loaded.visibility)
            # Trove's own project, in which the instances are
            owner = self.admin.identity.get_project(loaded.owner)
            self.assertEqual("service", owner.name)
            outcomes.append((self.flavors(), version.id, loaded.id, ran.ini()))
        self.assertEqual(outcomes[0], outcomes[1])
        ini = outcomes[0][3]
        self.assertEqual(
            self.datastore,
            ini["trove.conf", "DEFAULT", "default_datastore"],
        )
        self.assertIn(
            f"{self.datastore}:11.8",
            ini["tempest.conf", "database", "default_datastore_versions"],
        )
