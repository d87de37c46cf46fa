# SPDX-License-Identifier: Apache-2.0
import concurrent.futures
import os
import pathlib
import threading
import typing

from tests import base
from tests.unit.build import test_dib
from tests.unit.plan import samples
from trove_tools import errors
from trove_tools.build import cache as _cache
from trove_tools.build import cache_maintenance
from trove_tools.build import containers
from trove_tools.build import dib
from trove_tools.build import lower_layers
from trove_tools.build import timeline
from trove_tools.plan import plan
from trove_tools.sources.container import prepare
from trove_tools.sources.container import rootfs
from trove_tools.sources.container import sources

_PREPARED = prepare.Prepared(
    sources.Container("mariadb", "11.8", "X", "archive", ("mariadb:11.8",)),
    "sha256:1",
    1,
    "11.8.2",
)


class KeepTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cache = _cache.Cache(self.temp_dir())
        self.made = 0

    def make(self, file: pathlib.Path) -> None:
        self.made += 1
        file.write_text(f"archive {self.made}")

    def keep(self, state: str) -> str:
        inputs = {"states": [state]}
        archives = containers.Archives(self.cache)
        with archives.keep("a", inputs, self.make) as file:
            (digest,) = archives.used
            self.assertEqual(digest, file.parent.name)
            return file.read_text()

    def test_made_once_for_the_same_inputs(self) -> None:
        self.assertEqual("archive 1", self.keep("x"))
        self.assertEqual("archive 1", self.keep("x"))
        self.assertEqual("archive 2", self.keep("y"))

    def test_a_damaged_one_is_made_again(self) -> None:
        self.keep("x")
        (entry,) = cache_maintenance.entries(self.cache)
        entry.archive.write_text("damaged!!")
        self.assertEqual("archive 2", self.keep("x"))

    def test_not_removed_while_it_is_read(self) -> None:
        archives = containers.Archives(self.cache)
        with archives.keep("a", {}, self.make) as file:
            pruned = cache_maintenance.prune(self.cache, 0, self.fail)
            self.assertEqual([], list(pruned))
            self.assertTrue(file.exists())

    def test_nothing_is_kept_of_a_failure(self) -> None:
        def fail(file: pathlib.Path) -> None:
            file.touch()
            raise errors.BuildError("no")

        def keep() -> None:
            with containers.Archives(self.cache).keep("a", {}, fail):
                self.fail("there is an archive that was not made")

        self.assertRaises(errors.BuildError, keep)
        self.assertEqual([], list(self.cache.layers.iterdir()))


class RunCase(base.TestCase):
    """Containers that a build makes beside its layers."""

    def setUp(self) -> None:
        super().setUp()
        place = self.temp_dir()
        self.shown = test_dib.Recorder()
        self.lanes = containers.Lanes(self.shown)
        self.run_ = dib.Run(
            arch="amd64", distribution="debian", elements_path=(),
            work=place, log=place / "log", progress=self.lanes,
            timeline=timeline.Timeline(), downloads=place, containers=place,
            natives=place,
        )  # fmt: skip


class SeveralTest(RunCase):
    """The containers of an image are made at the same time."""

    def setUp(self) -> None:
        super().setUp()
        self.containers = [
            sources.Container(
                "mariadb", "11.8", "X", "archive", (f"db{number}:1",),
                backup=bool(number),
            )
            for number in range(2)
        ]  # fmt: skip
        self.patch_object(prepare, "write_archives", lambda found, *_: [
            prepare.Prepared(each.container, "sha256:1", 1, each.installed)
            for each in found
        ])  # fmt: skip

    def prepare(
        self, obtain: typing.Callable[..., prepare.Obtained]
    ) -> list[prepare.Prepared]:
        self.patch_object(prepare, "obtain", obtain)
        return containers.prepare(
            self.containers,
            self.run_,
            rootfs.Conditions("debian", "amd64"),
            self.lanes,
            2,
        )

    def test_at_the_same_time(self) -> None:
        both = threading.Barrier(2)

        def obtain(
            container: sources.Container, *_: object, **__: object
        ) -> prepare.Obtained:
            # each waits for the other
            both.wait(10)
            return prepare.Obtained(container, container.names[0])

        self.assertEqual(
            ["db0:1", "db1:1"],
            [one.installed for one in self.prepare(obtain)],
        )
        self.assertEqual(2, self.shown.steps)
        # the progress line names both
        named = [text.count("container of") for text in self.shown.states]
        self.assertIn(2, named)

    def test_one_fails(self) -> None:
        def obtain(
            container: sources.Container, *_: object, **__: object
        ) -> prepare.Obtained:
            if container.backup:
                raise errors.BuildError("no such package")
            return prepare.Obtained(container, "1")

        self.assertRaises(errors.BuildError, self.prepare, obtain)

    def test_a_processor_for_the_layers_below(self) -> None:
        self.patch_object(os, "cpu_count", lambda: 4)
        cache = _cache.Cache(self.temp_dir())
        chain = plan.make(samples.a_request()).layers
        stack = lower_layers.Stack(chain, cache, self.run_, self.lanes)
        self.assertEqual(3, stack._count_containers(2))
        below = chain[1]
        with cache.partial() as place:
            (place / _cache.ARCHIVE).write_bytes(b"x")
            cache.put(
                place, name=below.name, digest=below.digest, inputs={},
                facts={}, timeline={},
            )  # fmt: skip
        self.assertEqual(4, stack._count_containers(2))
        self.patch_object(os, "cpu_count", lambda: 1)
        self.assertEqual(1, stack._count_containers(2))


class LanesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.shown = test_dib.Recorder()
        self.lanes = containers.Lanes(self.shown)

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


class BesideTest(RunCase):
    """A layer that waits for a container says so."""

    def setUp(self) -> None:
        super().setUp()
        self.begun: concurrent.futures.Future[None] = (
            concurrent.futures.Future()
        )
        self.may_end: concurrent.futures.Future[None] = (
            concurrent.futures.Future()
        )

    def make(self, run: dib.Run) -> list[prepare.Prepared]:
        lane = self.lanes.beside()
        lane.state("container of mariadb")
        self.begun.set_result(None)
        self.may_end.result(10)
        lane.end()
        return [_PREPARED]

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
            self.assertEqual([_PREPARED], future.result(10))
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
