# SPDX-License-Identifier: Apache-2.0
"""One line of progress for several things at a time."""

import concurrent.futures
import typing

from tests import base
from tests.unit.build import test_dib
from trove_tools import errors
from trove_tools.build import containers
from trove_tools.build import dib
from trove_tools.build import parallel
from trove_tools.build import timeline


class LanesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.shown = test_dib.Recorder()
        self.lanes = parallel.Lanes(self.shown)

    def test_what_is_made_beside_is_named_as_long_as_it_is(self) -> None:
        one, two = self.lanes.beside(), self.lanes.beside()
        one.state("container of mariadb")
        self.lanes.state("base: install packages")
        two.state("container of mysql")
        self.lanes.state("datastore: clean up")
        one.end()
        two.end()
        self.assertEqual(
            [
                "container of mariadb",
                "base: install packages; in the making: container of mariadb",
                "base: install packages; in the making: container of mariadb,"
                " container of mysql",
                "datastore: clean up; in the making: container of mariadb,"
                " container of mysql",
                "datastore: clean up; in the making: container of mysql",
                "datastore: clean up",
            ],
            self.shown.states,
        )

    def test_steps_of_all_are_counted(self) -> None:
        self.lanes.advance()
        self.lanes.beside().advance(2)
        self.assertEqual(3, self.shown.steps)


class BesideTest(base.TestCase):
    """A layer that waits for a container says so."""

    def setUp(self) -> None:
        super().setUp()
        place = self.temp_dir()
        self.shown = test_dib.Recorder()
        self.lanes = parallel.Lanes(self.shown)
        self.run_ = dib.Run(
            arch="amd64", distribution="debian", elements_path=(),
            work=place, log=place / "log", progress=self.lanes,
            timeline=timeline.Timeline(), downloads=place, containers=place,
            natives=place,
        )  # fmt: skip
        self.begun: concurrent.futures.Future[None] = (
            concurrent.futures.Future()
        )
        self.may_end: concurrent.futures.Future[None] = (
            concurrent.futures.Future()
        )

    def make(self, run: dib.Run) -> list[dict[str, typing.Any]]:
        lane = self.lanes.beside()
        lane.state("container of mariadb")
        self.begun.set_result(None)
        self.may_end.result(10)
        lane.end()
        return [{}]

    def test_while_the_layer_waits(self) -> None:
        with containers.beside(self.run_, self.make) as future:
            self.begun.result(10)
            log = dib.Log("datastore", self.lanes, self.run_.timeline)
            log.line("dib-run-parts Running /x/cleanup.d/10-first")
            log.line(
                "dib-run-parts Running /x/cleanup.d/"
                "85-trove-datastore-containers"
            )
            waiting = self.shown.states[-1]
            self.may_end.set_result(None)
            self.assertEqual([{}], future.result(10))
        self.assertEqual(
            "datastore: put the containers into the image;"
            " in the making: container of mariadb",
            waiting,
        )
        self.assertEqual(
            "datastore: put the containers into the image",
            self.shown.states[-1],
        )

    def test_a_container_that_fails(self) -> None:
        def fail(run: dib.Run) -> list[dict[str, typing.Any]]:
            raise errors.BuildError("no such package")

        with containers.beside(self.run_, fail) as future:
            self.assertRaises(errors.BuildError, future.result, 10)
        self.assertTrue((self.run_.containers / ".failed").exists())
