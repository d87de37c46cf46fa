# SPDX-License-Identifier: Apache-2.0
"""Rebuilds the instances of a datastore version that run another image.

Trove's rebuild keeps the data volume, the address, the users and the
configuration of an instance. It stops the database, has Nova replace the
system disk, and starts the database again.

Nothing is stored about the progress: Trove and Nova know which instances still
run another image, and which ones are being rebuilt. So a run that was
interrupted can be repeated. It first waits for the rebuilds under way.
"""

import collections.abc
import dataclasses
import time
import typing

from trove_tools import console
from trove_tools.cloud import instances as _instances
from trove_tools.cloud.image import Image
from trove_tools.cloud.instances import Instance

#: Seconds between two looks at the instances that are being rebuilt.
PAUSE = 5.0

#: Seconds within which Trove shows that it has begun a rebuild.
_BEGUN_WITHIN = 30.0

#: The results of an instance.
REBUILT, FAILED, SKIPPED, WAITING, DELETED = (
    "rebuilt", "failed", "skipped", "waiting", "deleted",
)  # fmt: skip

#: The results of instances that still run another image, or do not serve.
LEFT = (FAILED, SKIPPED, WAITING)

Row = dict[str, typing.Any]


@dataclasses.dataclass
class _Work:
    """An instance that is being rebuilt.

    :param began: the time when it was begun, or when this run found it.
    :param ours: whether this run has begun it.
    """

    instance: Instance
    began: float
    ours: bool


def list_behind(
    instances: collections.abc.Iterable[Instance], image: Image
) -> list[Instance]:
    """Return the instances that do not run an image.

    :param instances: the instances of one datastore version.
    :param image: its current image.
    :returns: replicas before their sources.
    """
    behind = [each for each in instances if each.image_id != image.id]
    return sorted(behind, key=lambda each: (not each.replica, each.id))


class Rebuild:
    """Rebuilds instances, a few at a time.

    :param instances: the instances of the cloud.
    :param image: the image that they are to run.
    :param limit: how many are rebuilt at a time.
    :param timeout: seconds that an instance may take to be healthy again.
    :param screen: the console for messages.
    """

    def __init__(
        self,
        instances: _instances.Instances,
        image: Image,
        limit: int,
        timeout: float,
        screen: console.Console,
    ) -> None:
        self._instances = instances
        self._image = image
        self._limit = limit
        self._timeout = timeout
        self._screen = screen
        self._rows: list[Row] = []
        self._running: list[_Work] = []
        self._failed = False

    def run(self, listed: collections.abc.Sequence[Instance]) -> list[Row]:
        """Rebuild the instances that run another image.

        After the first instance that does not become healthy again, no other
        rebuild is begun; those under way are awaited.

        :param listed: the instances of one datastore version.
        :returns: one entry for each instance that did not run the image.
        :raises CloudError: a service did not answer; rebuilds go on.
        """
        waiting: list[Instance] = []
        behind = list_behind(listed, self._image)
        for instance in behind:
            if self._is_under_way(instance):
                self._await(instance)
            elif obstacle := instance.find_obstacle():
                self._screen.warn(f"{instance} is left as it is: {obstacle}")
                self._add_row(instance, SKIPPED, reason=obstacle)
            else:
                waiting.append(instance)
        for instance in listed:
            if instance.image_id == self._image.id and self._is_under_way(
                instance
            ):
                self._await(instance)
        if not behind and not self._running:
            self._screen.say(
                f"all {len(listed)} instances run image {self._image.id}"
            )
        try:
            self._work_off(waiting)
        except KeyboardInterrupt as exc:
            if not self._running:
                raise
            running = ", ".join(str(work.instance) for work in self._running)
            raise KeyboardInterrupt(
                f"Trove goes on rebuilding {running}; the same command waits"
                " for it"
            ) from exc
        if waiting:
            self._screen.warn(
                f"{len(waiting)} instances were not begun, because one before"
                " them did not come back"
            )
        for instance in waiting:
            self._add_row(instance, WAITING)
        return self._rows

    def _is_under_way(self, instance: Instance) -> bool:
        """Return whether an earlier run has begun to rebuild an instance.

        A server that is older than its image was rebuilt. A new instance may
        also be unhealthy, but its server is newer.
        """
        old = (
            instance.server_created
            and instance.server_created < self._image.created_at
        )
        if instance.image_id == self._image.id:
            return bool(old) and not instance.healthy
        return bool(old) and instance.status == _instances.BUILDING

    def _await(self, instance: Instance) -> None:
        if self._instances.dry:
            return
        self._screen.say(f"{instance} is being rebuilt already")
        self._running.append(_Work(instance, time.monotonic(), False))

    def _work_off(self, waiting: list[Instance]) -> None:
        """Rebuild instances, and remove them from the list."""
        while self._running or waiting:
            while not self._failed and len(self._running) < self._limit:
                instance = self._choose(waiting)
                if instance is None:
                    break
                waiting.remove(instance)
                self._begin(instance, len(waiting))
            if not self._running:
                return
            time.sleep(PAUSE)
            for work in list(self._running):
                self._look(work, waiting)

    def _choose(self, waiting: list[Instance]) -> Instance | None:
        """Return the next instance.

        Trove restarts the replicas of a source that is rebuilt, so only one
        instance of a group is rebuilt at a time.
        """
        busy = {work.instance.group for work in self._running}
        return next((each for each in waiting if each.group not in busy), None)

    def _begin(self, instance: Instance, left: int) -> None:
        self._screen.say(
            f"rebuilding {instance} from image {self._image.id};"
            f" {left} more to do"
        )
        self._instances.rebuild(instance, self._image.id)
        if not self._instances.dry:
            self._running.append(_Work(instance, time.monotonic(), True))

    def _look(self, work: _Work, waiting: list[Instance]) -> None:
        """Read an instance, and remove it from the work if it is done.

        :param waiting: gets an instance whose creation, and not its rebuild,
            was under way.
        """
        seconds = time.monotonic() - work.began
        now = self._instances.get(work.instance.id)
        reason = None
        if now is None:
            self._screen.say(f"{work.instance} was deleted")
            self._end(work, DELETED, seconds)
            return
        ours = now.image_id == self._image.id
        if not ours and not work.ours and now.find_obstacle() is None:
            self._running.remove(work)
            waiting.append(now)
            return
        if ours and now.healthy:
            self._screen.say(f"{now} is healthy again after {seconds:.0f} s")
            self._end(work, REBUILT, seconds)
            return
        if now.status in ("ERROR", "FAILED"):
            reason = now.fault or f"its status is {now.status}"
        elif (
            work.ours
            and not ours
            and now.status != _instances.BUILDING
            and seconds > _BEGUN_WITHIN
        ):
            reason = "Trove gave up, and the instance runs the image before"
        elif seconds > self._timeout:
            reason = f"it was not healthy after {seconds:.0f} s"
        if reason:
            self._failed = True
            self._screen.warn(f"{now} did not come back: {reason}")
            self._end(work, FAILED, seconds, reason)

    def _end(
        self, work: _Work, result: str, seconds: float, reason: str = ""
    ) -> None:
        self._running.remove(work)
        self._add_row(work.instance, result, round(seconds), reason)

    def _add_row(
        self,
        instance: Instance,
        result: str,
        seconds: int | None = None,
        reason: str = "",
    ) -> None:
        self._rows.append(
            {
                **describe(instance),
                "image_before": instance.image_id,
                "image_id": self._image.id,
                "result": result,
                "seconds": seconds,
                "reason": reason or None,
            }
        )


def describe(instance: Instance) -> Row:
    """Return the columns that every table of instances has."""
    datastore, _, version = instance.datastore.partition(":")
    return {
        "datastore": datastore,
        "version": version,
        "instance": instance.id,
        "name": instance.name,
        "project_id": instance.project_id,
        "replica": instance.replica,
        "status": instance.status,
        "health": instance.health or None,
    }
