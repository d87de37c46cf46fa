# SPDX-License-Identifier: Apache-2.0
import dataclasses
import pathlib

from tests import base
from tests.standins import authority
from tests.unit.plan import samples
from trove_tools import errors
from trove_tools.build import inputs
from trove_tools.catalog import loader
from trove_tools.plan import agent
from trove_tools.plan import elements
from trove_tools.plan import layers
from trove_tools.plan import plan
from trove_tools.sources.network import authorities


class ElementsTest(base.TestCase):
    def test_changed_after_the_plan(self) -> None:
        layer = plan.make(samples.a_request()).layers[0]
        place = self.temp_dir() / "elements"
        inputs.copy_elements(
            layer, (elements.DIRECTORY, elements.shipped_path()), place
        )
        inputs.require_elements(layer, place)
        (place / "trove-guest" / "README.rst").write_text("another")
        error = self.assertRaises(
            errors.BuildError, inputs.require_elements, layer, place
        )
        self.assertIn("the element trove-guest ", error.message)
        self.assertIn(layer.element("trove-guest"), error.message)


class FilesTest(base.TestCase):
    def require_noticed(
        self, chain: tuple[layers.Layer, ...], changed: pathlib.Path
    ) -> None:
        """Make sure that a file that changes after the plan is noticed."""
        for layer in chain:
            inputs.require_files(layer)
        content = changed.read_bytes()
        changed.write_bytes(b"# another\n" + content)
        raised = []
        for layer in chain:
            try:
                inputs.require_files(layer)
            except errors.BuildError as exc:
                raised.append(exc.message)
        self.assertNotEqual([], raised)
        self.assertIn("and the plan says", raised[0])

    def agent(self, text: str | None, constraints: str | None) -> agent.Agent:
        return agent.parse_agent(text, constraints, loader.load().series)

    def test_constraints(self) -> None:
        file = self.temp_dir() / "constraints"
        file.write_text("a==1\n")
        request = samples.a_request(agent=self.agent(None, str(file)))
        self.require_noticed(plan.make(request).layers, file)

    def test_checkout(self) -> None:
        place = self.temp_dir()
        (place / "trove" / "guestagent").mkdir(parents=True)
        (place / "setup.py").touch()
        request = samples.a_request(agent=self.agent(str(place), None))
        self.require_noticed(plan.make(request).layers, place / "setup.py")

    def test_authorities(self) -> None:
        first, second = (
            authority.Authority(self.temp_dir(), name) for name in "ab"
        )
        request = samples.a_request(
            guest_ca=authorities.read_guest_authorities([first.file])
        )
        chain = plan.make(request).layers
        for layer in chain:
            inputs.require_files(layer)
        first.file.write_bytes(second.file.read_bytes())
        (layer,) = (
            each for each in chain if authorities.VARIABLE in each.places
        )
        error = self.assertRaises(
            errors.BuildError, inputs.require_files, layer
        )
        self.assertIn(str(first.file), error.message)

    def test_constraints_of_a_url(self) -> None:
        request = samples.a_request(
            agent=dataclasses.replace(
                self.agent(None, None), constraints="http://127.0.0.1:1/"
            )
        )
        for layer in plan.make(request).layers:
            inputs.require_files(layer)
