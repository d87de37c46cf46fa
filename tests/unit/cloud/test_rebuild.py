# SPDX-License-Identifier: Apache-2.0
"""Which instances run another image, and how they are rebuilt."""

import dataclasses
import io
import time
import typing

from tests import base
from tests.unit.cloud import fakes
from trove_tools import console
from trove_tools.cloud import image as _image
from trove_tools.cloud import instances as _instances
from trove_tools.cloud import rebuild

#: Its created_at is 2026-01-01T00:00:30Z.
IMAGE = _image.Image.from_answer(fakes.image("new", 30))
OLD = "2026-01-01T00:00:10Z"


def instance(name: str, **changes: typing.Any) -> _instances.Instance:
    """Return a healthy instance that runs an older image."""
    plain = _instances.Instance(
        id=name,
        name=name,
        project_id="p",
        datastore="mariadb:11.8",
        status="ACTIVE",
        health="HEALTHY",
        group=name,
        replica=False,
        has_volume=True,
        server_id=f"server-{name}",
        image_id="image-1",
        server_created=OLD,
    )
    return dataclasses.replace(plain, **changes)


class Played:
    """Trove, as far as a rebuild needs it.

    :ivar courses: the states that an instance has at each look, by its id,
        as changes of the instance; the last one stays.
    :ivar calls: what was rebuilt, in order.
    :ivar most: how many were in the state BUILD at a time.
    """

    dry = False

    def __init__(self, *listed: _instances.Instance) -> None:
        self.known = {each.id: each for each in listed}
        self.courses: dict[str, list[dict[str, typing.Any] | None]] = {}
        self.calls: list[str] = []
        self.most = 0

    def rebuild(self, instance: _instances.Instance, image_id: str) -> None:
        self.calls.append(instance.id)
        if self.dry:
            return
        self._change(instance.id, {"status": "BUILD", "health": ""})
        done = {"status": "ACTIVE", "health": "HEALTHY", "image_id": image_id}
        self.courses.setdefault(instance.id, [{}, done])
        building = [e for e in self.known.values() if e.status == "BUILD"]
        self.most = max(self.most, len(building))

    def get(self, instance_id: str) -> _instances.Instance | None:
        course = self.courses[instance_id]
        step = course.pop(0) if len(course) > 1 else course[0]
        if step is None:
            return None
        return self._change(instance_id, step)

    def _change(
        self, instance_id: str, changes: dict[str, typing.Any]
    ) -> _instances.Instance:
        now = dataclasses.replace(self.known[instance_id], **changes)
        self.known[instance_id] = now
        return now


class RebuildTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.said = io.StringIO()
        self.clock = 0.0
        self.patch_object(time, "sleep", self.sleep)
        self.patch_object(time, "monotonic", lambda: self.clock)

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def run_rebuild(
        self, trove: Played, limit: int = 1
    ) -> dict[str, dict[str, typing.Any]]:
        rows = rebuild.Rebuild(
            typing.cast(_instances.Instances, trove), IMAGE, limit, 600,
            console.Console(stream=self.said),
        ).run(list(trove.known.values()))  # fmt: skip
        return {row["instance"]: row for row in rows}

    def results(self, trove: Played, limit: int = 1) -> dict[str, str]:
        rows = self.run_rebuild(trove, limit)
        return {name: row["result"] for name, row in rows.items()}

    def test_one_after_the_other(self) -> None:
        trove = Played(*map(instance, "cab"), instance("d", image_id=IMAGE.id))
        done = dict.fromkeys("abc", "rebuilt")
        self.assertEqual(done, self.results(trove))
        self.assertEqual(["a", "b", "c"], trove.calls)
        self.assertEqual(1, trove.most)
        self.assertIn("healthy again after 10 s", self.said.getvalue())

    def test_all_is_said_to_be_current_unless_a_rebuild_is_under_way(
        self,
    ) -> None:
        current = instance("a", image_id=IMAGE.id)
        self.assertEqual({}, self.results(Played(current)))
        self.assertIn("all 1 instances run image", self.said.getvalue())
        self.said.truncate(0)
        building = instance("b", image_id=IMAGE.id, status="BUILD", health="")
        trove = Played(current, building)
        trove.courses["b"] = [{"status": "ACTIVE", "health": "HEALTHY"}]
        self.assertEqual({"b": "rebuilt"}, self.results(trove))
        self.assertNotIn("all 2 instances", self.said.getvalue())

    def test_several_at_a_time(self) -> None:
        trove = Played(*map(instance, "abcde"))
        self.assertEqual({"rebuilt"}, {*self.results(trove, 2).values()})
        self.assertEqual(2, trove.most)

    def test_replicas_first_and_never_two_of_a_group(self) -> None:
        trove = Played(
            instance("a", group="a"),
            instance("b", group="a", replica=True),
            instance("c", group="a", replica=True),
        )
        self.results(trove, 3)
        self.assertEqual(["b", "c", "a"], trove.calls)
        self.assertEqual(1, trove.most)

    def test_the_first_that_does_not_come_back_stops(self) -> None:
        for course, reason in (
            ([{"status": "ERROR", "fault": "no host"}], "no host"),
            ([{"status": "ACTIVE", "health": "HEALTHY"}], "Trove gave up"),
            ([{"status": "BUILD"}], "not healthy after 605 s"),
            (
                [{"status": "ACTIVE", "health": "SHUTDOWN",
                  "image_id": IMAGE.id}],
                "not healthy after 605 s",
            ),
        ):  # fmt: skip
            trove = Played(*map(instance, "abc"))
            trove.courses["a"] = list[typing.Any](course)
            rows = self.run_rebuild(trove)
            self.assertEqual(["a"], trove.calls)
            self.assertIn(reason, rows["a"]["reason"])
            self.assertEqual(
                {"a": "failed", "b": "waiting", "c": "waiting"},
                {name: row["result"] for name, row in rows.items()},
            )

    def test_those_under_way_are_awaited_after_a_failure(self) -> None:
        trove = Played(*map(instance, "abc"))
        trove.courses["a"] = [{"status": "ERROR"}]
        done = {"a": "failed", "b": "rebuilt", "c": "waiting"}
        self.assertEqual(done, self.results(trove, 2))

    def test_a_second_run_continues(self) -> None:
        healthy = {"status": "ACTIVE", "health": "HEALTHY",
                   "image_id": IMAGE.id}  # fmt: skip
        trove = Played(
            instance("a", status="BUILD", health=""),
            instance("b", health="", image_id=IMAGE.id),
            instance("c"),
        )
        trove.courses |= {"a": [{}, healthy], "b": [{}, {}, healthy]}
        done = dict.fromkeys("abc", "rebuilt")
        self.assertEqual(done, self.results(trove))
        self.assertEqual(["c"], trove.calls)
        self.assertEqual({}, self.results(trove))

    def test_a_second_run_does_not_pass_a_broken_instance(self) -> None:
        trove = Played(
            instance("a", status="ERROR", health="", image_id=IMAGE.id),
            instance("b"),
        )
        trove.courses["a"] = [{}]
        done = {"a": "failed", "b": "waiting"}
        self.assertEqual(done, self.results(trove))
        self.assertEqual([], trove.calls)

    def test_a_new_instance_does_not_stop_it(self) -> None:
        new = instance(
            "a", status="ERROR", health="", image_id=IMAGE.id,
            server_created="2026-01-01T00:00:40Z",
        )  # fmt: skip
        trove = Played(new, instance("b"))
        self.assertEqual({"b": "rebuilt"}, self.results(trove))

    def test_an_instance_that_was_just_being_created(self) -> None:
        trove = Played(instance("a", status="BUILD", health=""))
        healthy = {"status": "ACTIVE", "health": "HEALTHY"}
        trove.courses["a"] = [
            {}, healthy, {"status": "BUILD"},
            {**healthy, "image_id": IMAGE.id},
        ]  # fmt: skip
        self.assertEqual({"a": "rebuilt"}, self.results(trove))
        self.assertEqual(["a"], trove.calls)

    def test_deleted_meanwhile(self) -> None:
        trove = Played(*map(instance, "ab"))
        trove.courses["a"] = [None]
        done = {"a": "deleted", "b": "rebuilt"}
        self.assertEqual(done, self.results(trove))

    def test_what_cannot_be_rebuilt_is_left(self) -> None:
        for changes, reason in (
            ({"has_volume": False}, "would erase"),
            ({"boots_from_volume": True}, "boots from a volume"),
            ({"server_created": ""}, "no server"),
            ({"status": "BACKUP"}, "its status is BACKUP"),
            ({"health": "SHUTDOWN"}, "its database SHUTDOWN"),
        ):
            trove = Played(instance("a", **changes), instance("b"))
            rows = self.run_rebuild(trove)
            self.assertEqual(["b"], trove.calls)
            self.assertEqual("skipped", rows["a"]["result"])
            self.assertIn(reason, rows["a"]["reason"])

    def test_a_dry_run_waits_for_nothing(self) -> None:
        trove = Played(
            *map(instance, "ab"), instance("c", status="BUILD", health="")
        )
        trove.dry = True
        self.assertEqual({}, self.results(trove))
        self.assertEqual(["a", "b"], trove.calls)
        self.assertEqual(0.0, self.clock)

    def test_an_interruption_says_what_goes_on(self) -> None:
        trove = Played(*map(instance, "ab"))

        def interrupt(seconds: float) -> None:
            raise KeyboardInterrupt

        self.patch_object(time, "sleep", interrupt)
        raised = self.assertRaises(
            KeyboardInterrupt, self.run_rebuild, trove
        )
        self.assertIn("goes on rebuilding instance a", str(raised))
