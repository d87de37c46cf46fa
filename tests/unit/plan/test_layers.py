# SPDX-License-Identifier: Apache-2.0
"""What goes into which layer, and what a change makes new."""

import typing

from tests import base
from tests.unit.plan import samples
from trove_tools.host import debian
from trove_tools.plan import agent
from trove_tools.plan import layers
from trove_tools.plan import plan

#: All layers from one on are new when what it holds is.
BASE, RUNTIME, DATASTORE, AGENT, NOTHING = range(5)


def chain(**changes: typing.Any) -> tuple[layers.Layer, ...]:
    return plan.make(samples.a_request(**changes)).layers


class ElementsTest(base.TestCase):
    def test_native(self) -> None:
        made = chain()
        self.assertEqual(layers.NAMES, tuple(each.name for each in made))
        self.assertEqual(
            [
                ("debian-minimal", "trove-guest", "trove-build-network",
                 "trove-guest-clean", "trove-layer-end"),
                ("trove-layer-below", "trove-layer-root", "dpkg",
                 "trove-boot-bios", "trove-guest-agent-venv",
                "trove-build-network",
                 "trove-guest-clean", "trove-layer-end"),
                ("trove-layer-below", "trove-layer-root", "dpkg",
                 "trove-mariadb", "trove-build-network", "trove-guest-clean",
                 "trove-layer-end"),
                ("trove-layer-below", "trove-layer-root", "dpkg",
                 "trove-guest-agent", "trove-build-network",
                 "trove-guest-clean", "trove-apt-sources", "vm", "manifests",
                 "block-device-trove-mbr"),
            ],
            [each.elements for each in made],
        )  # fmt: skip

    def test_boot_loaders(self) -> None:
        for table, element in (
            ("mbr", "trove-boot-bios"),
            ("gpt", "trove-boot-bios"),
            ("efi", "trove-boot-efi"),
        ):
            made = plan.make(samples.a_request(partition_table=table)).layers
            self.assertIn(element, made[RUNTIME].elements)

    def test_containers(self) -> None:
        made = chain(
            choices=(
                samples.a_choice("mariadb"), samples.a_choice("postgresql"),
            )
        )  # fmt: skip
        self.assertIn("trove-docker", made[RUNTIME].elements)
        self.assertEqual(
            1, made[DATASTORE].elements.count("trove-datastore-containers")
        )
        self.assertEqual(
            ["mariadb", "postgresql"],
            [each.datastore for each in made[DATASTORE].containers],
        )
        for layer in (made[BASE], made[RUNTIME], made[AGENT]):
            self.assertEqual((), layer.containers)

    def test_local_manifests_are_the_datastores(self) -> None:
        choices = (samples.a_choice("mariadb"),)
        for wanted in (True, False):
            made = chain(choices=choices, local_manifests=wanted)
            for layer in made:
                self.assertEqual(
                    wanted and layer is made[DATASTORE],
                    "trove-local-manifests" in layer.elements,
                )

    def test_no_hook_of_an_element_below_runs_again(self) -> None:
        made = chain()
        for layer in made[1:]:
            for name in ("debian-minimal", "trove-guest", "cloud-init"):
                self.assertIn(name, layer.below)
                self.assertNotIn(f"element {name}", layer.inputs)
        self.assertIn("trove-guest-agent-venv", made[AGENT].below)

    def test_what_elements_work_with_runs_in_each_layer(self) -> None:
        for layer in chain():
            for name in ("dpkg", "package-installs", "trove-guest-clean"):
                self.assertIn(f"element {name}", layer.inputs)
        made = chain()
        self.assertIn("element install-static", made[DATASTORE].inputs)
        self.assertIn("element trove-pip", made[RUNTIME].inputs)
        self.assertIn("element trove-pip", made[AGENT].inputs)

    def test_a_disk_is_made_once(self) -> None:
        made = chain(partition_table="gpt")
        for layer in made[:AGENT]:
            self.assertNotIn("element vm", layer.inputs)
        self.assertIn("block-device-trove-gpt", made[AGENT].elements)

    def test_refresh(self) -> None:
        made = chain(refresh_packages=True)
        self.assertIn("trove-refresh", made[AGENT].elements)
        self.assertEqual(chain()[DATASTORE], made[DATASTORE])

    def test_a_users_element_is_with_the_datastore(self) -> None:
        made = chain(
            further_elements=("extra",), library=samples.changed("extra")
        )
        self.assertIn("extra", made[DATASTORE].elements)
        self.assertIn("extra", made[AGENT].below)


class ChangeTest(base.TestCase):
    """Which layers a change makes new; those above them are new, too."""

    def assert_new(
        self, first: int, changes: dict[str, typing.Any], **common: typing.Any
    ) -> None:
        before = chain(**common)
        after = chain(**{**common, **changes})
        self.assertEqual(
            [number < first for number in range(4)],
            [
                one.digest == other.digest
                for one, other in zip(before, after, strict=True)
            ],
            changes,
        )

    def test_nothing(self) -> None:
        self.assert_new(NOTHING, {})
        self.assert_new(NOTHING, {"elements_path": ("/elsewhere",)})
        self.assert_new(NOTHING, {"name": "mine"})

    def test_an_element(self) -> None:
        for first, name in (
            (BASE, "trove-guest"),
            (BASE, "debootstrap"),
            (BASE, "dpkg"),
            (RUNTIME, "trove-guest-agent-venv"),
            (DATASTORE, "trove-mariadb"),
            (AGENT, "trove-guest-agent"),
            (AGENT, "bootloader"),
            (NOTHING, "trove-docker"),
        ):
            self.assert_new(first, {"library": samples.changed(name)})

    def test_the_agent(self) -> None:
        def checkout(state: str, needs: str = "x") -> dict[str, typing.Any]:
            return {
                "agent": agent.Agent(
                    "checkout", f"/{state}", state=state, dependencies=needs
                )
            }

        self.assert_new(AGENT, checkout("2"), **checkout("1"))
        self.assert_new(RUNTIME, checkout("2", "y"), **checkout("1"))

    def test_a_checkout_that_was_moved(self) -> None:
        one = agent.Agent("checkout", "/one", state="1")
        two = agent.Agent("checkout", "/two", state="1")
        self.assert_new(NOTHING, {"agent": two}, agent=one)

    def test_constraints(self) -> None:
        def limits(place: str, digest: str) -> dict[str, typing.Any]:
            return {
                "agent": agent.Agent(
                    "pypi", "trove", constraints=place,
                    constraints_digest=digest,
                )
            }  # fmt: skip

        self.assert_new(RUNTIME, limits("/1", "2"), **limits("/1", "1"))
        self.assert_new(NOTHING, limits("/2", "1"), **limits("/1", "1"))

    def test_the_disk(self) -> None:
        self.assert_new(AGENT, {"disk_size": 9})
        self.assert_new(AGENT, {"partition_table": "gpt"})

    def test_the_rest(self) -> None:
        self.assert_new(BASE, {"dib_version": "4"})
        self.assert_new(BASE, {"arch": "arm64"})
        self.assert_new(BASE, {"guest_user": "ann"})
        self.assert_new(BASE, {"mirrors": debian.Mirrors("http://b")})

    def test_second_datastore(self) -> None:
        one = {"choices": (samples.a_choice("mariadb"),)}
        other = {"choices": (samples.a_choice("postgresql"),)}
        self.assert_new(DATASTORE, other, **one)

    def test_where_an_archive_lies(self) -> None:
        def archive(path: str, digest: str) -> dict[str, typing.Any]:
            choice = samples.a_choice(
                "mysql", source="archive", path=path, digest=digest
            )
            return {"choices": (choice,)}

        self.assert_new(NOTHING, archive("/b", "1"), **archive("/a", "1"))
        self.assert_new(DATASTORE, archive("/a", "2"), **archive("/a", "1"))


class EnvironmentTest(base.TestCase):
    def test_a_layer_has_what_its_elements_name(self) -> None:
        made = chain(
            agent=agent.Agent("pypi", "trove==1", dependencies="trove"),
            guest_user="ann",
        )
        with_variable = [
            layer.name
            for layer in made
            if "DIB_TROVE_AGENT_REQUIREMENT" in layer.environment
        ]
        self.assertEqual(["agent"], with_variable)
        self.assertEqual(
            ["agent"],
            [
                layer.name
                for layer in made
                if "DIB_IMAGE_SIZE" in layer.environment
            ],
        )
        for layer in made:
            self.assertEqual("trixie", layer.environment["DIB_RELEASE"])
            # set in an element's environment.d, which all layers see
            self.assertEqual("ann", layer.environment["DIB_TROVE_GUEST_USER"])

    def test_what_diskimage_builder_itself_reads_is_everywhere(self) -> None:
        for layer in chain(inherited={"DIB_CHECKSUM": "1"}):
            self.assertEqual("1", layer.environment["DIB_CHECKSUM"])

    def test_names_that_elements_put_together(self) -> None:
        source = {"variables": frozenset({"DIB_REPOREF_"})}
        made = chain(
            further_elements=("extra",),
            library=samples.changed("extra", **source),
            inherited={"DIB_REPOREF_x": "main"},
        )
        self.assertNotIn("DIB_REPOREF_x", made[BASE].environment)
        self.assertEqual("main", made[DATASTORE].environment["DIB_REPOREF_x"])

    def test_what_does_not_touch_the_content(self) -> None:
        one = chain(inherited={"DIB_IMAGE_CACHE": "/one"})
        two = chain(inherited={"DIB_IMAGE_CACHE": "/two"})
        self.assertEqual("/one", one[BASE].environment["DIB_IMAGE_CACHE"])
        self.assertEqual(one[AGENT].digest, two[AGENT].digest)

    def test_users_variables_cannot_contradict(self) -> None:
        made = chain(inherited={"DIB_RELEASE": "sid"})
        self.assertEqual("trixie", made[BASE].environment["DIB_RELEASE"])

    def test_unknown_mirrors_are_left_to_dib(self) -> None:
        made = chain(mirrors=debian.Mirrors())
        for layer in made:
            self.assertNotIn("DIB_DISTRIBUTION_MIRROR", layer.environment)
            self.assertNotIn("DIB_DEBIAN_SECURITY_MIRROR", layer.environment)

    def test_agent_from_git(self) -> None:
        made = chain(
            agent=agent.Agent(
                "git", "http://g/trove", "main", constraints="/uc"
            )
        )
        self.assertEqual(
            ("http://g/trove", "main", "/uc"),
            tuple(
                made[AGENT].environment[f"DIB_TROVE_AGENT_{name}"]
                for name in ("GIT_URL", "GIT_REF", "CONSTRAINTS")
            ),
        )
