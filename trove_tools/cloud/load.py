# SPDX-License-Identifier: Apache-2.0
"""Make a cloud have images, and the datastore versions in them.

Each step looks at what is there and does what is missing.  So a load that
is run again, after any failure, begins where the last one ended; and Trove
takes the image before until, in one update, it takes the new one.
"""

import collections.abc
import contextlib
import dataclasses
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.cloud import assignment
from trove_tools.cloud import connection
from trove_tools.cloud import dry_run
from trove_tools.cloud import effect
from trove_tools.cloud import failures
from trove_tools.cloud import glance
from trove_tools.cloud import parameters
from trove_tools.cloud import projects
from trove_tools.cloud import properties
from trove_tools.cloud import prune
from trove_tools.cloud import series
from trove_tools.cloud import sources
from trove_tools.cloud import transfer
from trove_tools.cloud import trove
from trove_tools.cloud import upload

#: The JSON patch for an image that may be removed.
_BARE = [{"op": "replace", "path": "/protected", "value": False}]


@dataclasses.dataclass(frozen=True)
class Wishes:
    """How images are loaded.

    :param pin: register the versions by image id and not by tags.
    :param activate: also make them active and their datastores' default.
    :param keep: how many images of a version stay in Glance.
    :param keep_in_use: keep what somebody may still need.
    :param way: how the bytes are sent.
    :param rules: where the configuration parameters come from.
    :param strict: refuse an image that does not fit the cloud.
    :param members: the projects that images are shared with, by name or id.
    """

    pin: bool = False
    activate: bool = False
    keep: int = 2
    keep_in_use: bool = True
    way: transfer.Way = transfer.Way()
    rules: str = parameters.AUTO
    strict: bool = False
    members: tuple[str, ...] = ()


class Loader:
    """Loads images into a cloud.

    :param cloud: the cloud.
    :param wishes: how.
    :param series_: the series that this tree serves.
    :param screen: is told what is done.
    """

    def __init__(
        self,
        cloud: connection.Cloud,
        wishes: Wishes,
        series_: model.Series,
        screen: console.Console,
    ) -> None:
        self._cloud = cloud
        self._wishes = wishes
        self._series = series_
        self._screen = screen
        self._images = dry_run.images(cloud)
        self._uploads = upload.Uploads(self._images, wishes.way, screen)
        self._versions = trove.Versions(cloud.databases)

    def load(
        self, found: collections.abc.Sequence[sources.Source]
    ) -> list[dict[str, typing.Any]]:
        """Make the cloud have the images and the datastore versions.

        :param found: what :func:`sources.prepare` found.
        :returns: what is there now, one entry a datastore version.
        :raises CloudError: the cloud refused, or could not be reached.
        :raises UsageError: an option names what the cloud does not have.
        """
        # without the right to register, nothing is sent either
        registered = self._versions.all()
        rules = {
            target.manager: parameters.find(
                self._wishes.rules, target.manager, self._series
            )
            for source in found
            for target in source.targets
        }
        members = tuple(map(self._project, self._wishes.members))
        if any(source.chosen for source in found):
            fields = self._images.fields()
            for source in found:
                properties.refuse_fields(source.chosen, fields)
        for source in found:
            self._check(source, registered)
        rows = []
        for source in found:
            described = dataclasses.replace(
                source,
                description=dataclasses.replace(
                    source.description, members=members
                ),
            )
            rows += self._load(described, registered, rules)
            # the next one may be of the same version
            registered = self._versions.all()
        names = [t.name for source in found for t in source.targets]
        prune.Pruning(
            self._cloud, self._images, registered, self._screen
        ).prune(names, self._wishes.keep, self._wishes.keep_in_use)
        return rows

    def _project(self, name: str) -> str:
        found = self._cloud.find_projects(name)
        if len(found) != 1:
            raise projects.not_found(name, found, "--member")
        return found[0]

    def _current(
        self,
        source: sources.Source,
        registered: collections.abc.Sequence[trove.Record],
    ) -> dict[str, glance.Record]:
        """Return the image that each version of a source has now, by name."""
        current = {}
        for target in source.targets:
            record = target.among(registered)
            image = record and trove.image(self._images, record)
            if image:
                current[target.name] = image
        return current

    def _check(
        self,
        source: sources.Source,
        registered: collections.abc.Sequence[trove.Record],
    ) -> None:
        """Warn of what is amiss with an image, or refuse it."""
        file = source.content.file.path.name
        at_once = [
            target.name
            for target in source.targets
            if self._wishes.activate
            or (target.among(registered) or {}).get("active")
        ]
        if doubts := " and ".join(effect.doubts(source.description.fields)):
            if at_once:
                doubts = (
                    f"goes live at once for new instances of"
                    f" {', '.join(at_once)}, and {doubts}"
                )
            tell = self._screen.warn if at_once else self._screen.say
            tell(f"{file} {doubts}")
        assignment.check_clashes(
            source.description.tags, source.targets, registered
        )
        problems = series.problems(
            source.description.fields,
            self._series,
            self._current(source, registered),
        )
        if problems and self._wishes.strict:
            raise errors.ImageError(
                f"{file} does not fit this cloud: {'; '.join(problems)}",
                hint="load an image of the cloud's series; or leave out"
                " --strict",
            )
        for problem in problems:
            self._screen.warn(f"{file}: {problem}")

    def _load(
        self,
        source: sources.Source,
        registered: collections.abc.Sequence[trove.Record],
        rules: collections.abc.Mapping[
            str, tuple[parameters.Rule, ...] | None
        ],
    ) -> list[dict[str, typing.Any]]:
        current = self._current(source, registered)
        image, how = self._provide(source, current)
        rows: list[dict[str, typing.Any]] = []
        for target in source.targets:
            known = target.among(registered)
            with self._taken_back(image, how, rows):
                record, registration = self._versions.register(
                    target,
                    image["id"] if self._wishes.pin else None,
                    registered,
                )
            self._screen.say(
                f"datastore version {target.name}: {registration}"
            )
            told = self._parameters(
                target, record, registration, rules[target.manager]
            )
            # what users see comes last, when all else is there
            if self._wishes.activate:
                record, changed = self._versions.activate(record)
                if changed and registration == "unchanged":
                    registration = "changed"
            if record["default"]:
                if self._wishes.activate:
                    self._screen.say(f"{target.name} is the default")
            else:
                self._screen.say(
                    "to make it the default: activate-trove-image"
                    f" {target.name}"
                )
            switch = effect.Switch(
                target, known, record, current.get(target.name), image
            )
            undo = switch.undo(self._images, self._wishes.keep)
            if switch.happened:
                self._screen.say(switch.describe(undo))
            rows.append(
                {
                    "datastore": target.datastore,
                    "version": target.version,
                    "version_id": record["id"],
                    "manager": record["datastore_manager"],
                    "registration": registration,
                    "parameters": told,
                    "active": record["active"],
                    "default": record["default"],
                    "live": record["active"],
                    "image_before": switch.before and switch.before["id"],
                    "undo": undo,
                    "image": source.description.fields["name"],
                    "image_id": image["id"],
                    "upload": how,
                    "pinned": record.get("image") == image["id"],
                    "size": source.content.file.size,
                    "sha256": source.content.sha256,
                    "verified": str(source.proof or "no"),
                }
            )
        return rows

    @contextlib.contextmanager
    def _taken_back(
        self,
        image: glance.Record,
        how: str,
        rows: collections.abc.Sized,
    ) -> collections.abc.Iterator[None]:
        """Remove a new image that nothing could be registered with.

        :param how: what :meth:`_provide` did.
        :param rows: the versions that are registered with it already.
        """
        try:
            yield
        except errors.CloudError as exc:
            name = f"image {image['name']} ({image['id']})"
            lasting = isinstance(exc, failures.Refused) and (
                exc.status == 500 or not failures.may_pass(exc)
            )
            if how != "sent" or rows or not lasting:
                self._screen.warn(f"{name} stays in Glance")
                raise
            self._remove(image, name)
            raise

    def _remove(self, image: glance.Record, name: str) -> None:
        try:
            self._images.patch(
                image, lambda now: [] if not now.get("protected") else _BARE
            )
            self._images.delete(image["id"])
        except errors.CloudError as exc:
            self._screen.warn(f"{name} stays in Glance: {exc.message}")
        else:
            self._screen.say(f"removed {name} again")

    def _provide(
        self,
        source: sources.Source,
        current: collections.abc.Mapping[str, glance.Record],
    ) -> tuple[glance.Record, str]:
        """Have an image in Glance, sent only if it must be, and served.

        :param current: the image that each version has now.
        :returns: the image; and ``sent``, ``changed`` or ``unchanged``.
        """
        name = source.description.fields["name"]
        new = properties.succeed(
            self._images,
            source.description,
            {
                version: record
                for version, record in current.items()
                if record.get(glance.SHA256) != source.content.sha256
            },
        )
        image, sent = self._uploads.provide(source.content, new.description)
        changed = False
        if not sent:
            changed = self._images.update(image, source.description)
            members = source.description.members
            changed |= self._images.share(image["id"], members)
        try:
            changed |= self._serve(source, image)
        except assignment.Foreign as exc:
            if sent:
                raise
            self._screen.say(f"{exc.message}: {name} is sent again, too")
            image = self._uploads.send(source.content, new.description)
            self._serve(source, image)
            sent = True
        if sent:
            self._screen.say(
                f"image {name} is now complete in Glance: {image['id']}"
            )
            self._tell(new)
            return image, "sent"
        told = "its description was updated" if changed else "nothing to send"
        self._screen.say(f"image {name} is in Glance already: {told}")
        return image, "changed" if changed else "unchanged"

    def _tell(self, new: properties.Succession) -> None:
        """Say what a new image took over from the one before."""
        if new.carried:
            carried = [f"{k}={v}" for k, v in sorted(new.carried.items())]
            self._screen.say(
                "it has the properties of the image before:"
                f" {', '.join(carried)}"
            )
        if new.description.members:
            self._screen.say(
                "each project that it is shared with has to accept it:"
                " openstack image set --accept ID"
            )
        if new.left:
            self._screen.warn(
                "it has not what the image before has; to give it the same:"
                f" {', '.join(new.left)}"
            )

    def _serve(self, source: sources.Source, image: glance.Record) -> bool:
        if self._wishes.pin:
            return False
        done = [
            assignment.serve(self._images, image, target.name, target.tags)
            for target in source.targets
        ]
        return any(done)

    def _parameters(
        self,
        target: trove.Target,
        record: trove.Record,
        registration: str,
        rules: tuple[parameters.Rule, ...] | None,
    ) -> str:
        service = parameters.Parameters(self._cloud.databases)
        if rules is not None:
            told = service.load(record["id"], rules)
            self._screen.say(f"configuration parameters: {told}")
            return told
        if self._wishes.rules != parameters.AUTO:
            return "none"
        known = service.known(record["id"])
        if known:
            return f"{len(known)} there already"
        # who has used the version without them knows it
        if registration == "created" or self._wishes.activate:
            self._screen.say(
                f"{target.name} has no configuration parameters, so users"
                " cannot create configuration groups for it; to load them,"
                f" name a Trove {self._series.trove}: --parameters SOURCE"
            )
        return "none"
