# SPDX-License-Identifier: Apache-2.0
"""Make a cloud have images, and the datastore versions in them.

Each step looks at what is there and does what is missing.  So a load that
is run again, after any failure, begins where the last one ended; and Trove
takes the image before until, in one update, it takes the new one.
"""

import collections.abc
import dataclasses
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.cloud import connection
from trove_tools.cloud import glance
from trove_tools.cloud import parameters
from trove_tools.cloud import pruning
from trove_tools.cloud import rehearsal
from trove_tools.cloud import sending
from trove_tools.cloud import series
from trove_tools.cloud import serving
from trove_tools.cloud import sources
from trove_tools.cloud import trove
from trove_tools.cloud import upload


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
    """

    pin: bool = False
    activate: bool = False
    keep: int = 2
    keep_in_use: bool = True
    way: sending.Way = sending.Way()
    rules: str = parameters.AUTO
    strict: bool = False


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
        self._images = rehearsal.images(cloud)
        self._uploads = upload.Uploads(self._images, wishes.way, screen)
        self._versions = trove.Versions(cloud.databases)

    def load(
        self, found: collections.abc.Sequence[sources.Source]
    ) -> list[dict[str, typing.Any]]:
        """Make the cloud have the images and the datastore versions.

        :param found: what :func:`sources.prepare` found.
        :returns: what is there now, one entry a datastore version.
        :raises CloudError: the cloud refused, or could not be reached.
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
        for source in found:
            self._check(source, registered)
        rows = []
        for source in found:
            rows += self._load(source, registered, rules)
            # the next one may be of the same version
            registered = self._versions.all()
        names = [t.name for source in found for t in source.targets]
        pruning.Pruning(
            self._cloud, self._images, registered, self._screen
        ).prune(names, self._wishes.keep, self._wishes.keep_in_use)
        return rows

    def _check(
        self,
        source: sources.Source,
        registered: collections.abc.Sequence[trove.Record],
    ) -> None:
        """Warn of what is amiss with an image, or refuse it."""
        file = source.content.file.path.name
        if source.proof is None:
            self._screen.say(f"{file} has not been verified")
        elif not source.proof.ok:
            self._screen.warn(f"{file} is not verified: {source.proof}")
        serving.check_clashes(
            source.description.tags, source.targets, registered
        )
        current = {}
        for target in source.targets:
            record = target.among(registered)
            image = record and trove.image(self._images, record)
            if image:
                current[target.name] = image
        problems = series.problems(
            source.description.fields, self._series, current
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
        image, how = self._provide(source)
        rows = []
        for target in source.targets:
            record, registration = self._versions.register(
                target, image["id"] if self._wishes.pin else None, registered
            )
            self._screen.say(
                f"datastore version {target.name}: {registration}"
            )
            told = self._parameters(record, rules[target.manager])
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

    def _provide(self, source: sources.Source) -> tuple[glance.Record, str]:
        """Have an image in Glance, sent only if it must be, and served.

        :returns: the image; and ``sent``, ``changed`` or ``unchanged``.
        """
        name = source.description.fields["name"]
        image, sent = self._uploads.provide(source.content, source.description)
        changed = not sent and self._images.update(image, source.description)
        try:
            changed |= self._serve(source, image)
        except serving.Foreign as exc:
            if sent:
                raise
            self._screen.say(f"{exc.message}: {name} is sent again, too")
            image = self._uploads.send(source.content, source.description)
            self._serve(source, image)
            sent = True
        if sent:
            self._screen.say(
                f"image {name} is in Glance, complete: {image['id']}"
            )
            return image, "sent"
        told = "its description was updated" if changed else "nothing to send"
        self._screen.say(f"image {name} is in Glance already: {told}")
        return image, "changed" if changed else "unchanged"

    def _serve(self, source: sources.Source, image: glance.Record) -> bool:
        if self._wishes.pin:
            return False
        done = [
            serving.serve(self._images, image, target.name, target.tags)
            for target in source.targets
        ]
        return any(done)

    def _parameters(
        self,
        record: trove.Record,
        rules: tuple[parameters.Rule, ...] | None,
    ) -> str:
        if rules is None:
            if self._wishes.rules == parameters.AUTO:
                self._screen.say(
                    "configuration parameters: none, as no Trove"
                    f" {self._series.trove} is installed here; --parameters"
                    " names one"
                )
            return "none"
        told = parameters.Parameters(self._cloud.databases).load(
            record["id"], rules
        )
        self._screen.say(f"configuration parameters: {told}")
        return told
