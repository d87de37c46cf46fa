# SPDX-License-Identifier: Apache-2.0
"""Loads images into a cloud and registers their datastore versions.

Every step compares the cloud with the wanted state and makes missing changes.
So a load that is repeated after a failure continues where the last one ended.
Trove uses the previous image until one update switches it to the new one.
"""

import collections.abc
import contextlib
import dataclasses
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.cloud import compatibility
from trove_tools.cloud import connection
from trove_tools.cloud import failures
from trove_tools.cloud import glance
from trove_tools.cloud import history
from trove_tools.cloud import image as _image
from trove_tools.cloud import parameters
from trove_tools.cloud import removal
from trove_tools.cloud import sources
from trove_tools.cloud import transfer
from trove_tools.cloud import trove
from trove_tools.cloud import upload
from trove_tools.cloud.image import Image

#: The JSON patch for an image that may be removed.
_UNPROTECT = [{"op": "replace", "path": "/protected", "value": False}]

Versions = collections.abc.Sequence[trove.DatastoreVersion]
Rules = collections.abc.Mapping[str, tuple[parameters.Rule, ...] | None]
Row = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True)
class Request:
    """The options of a load.

    :param pin: register the versions by image id instead of tags.
    :param activate: also make them active and the defaults of their
        datastores.
    :param keep: the number of images of a version to keep in Glance.
    :param keep_in_use: keep images that are still in use.
    :param route: how images are uploaded.
    :param rules: the source of the configuration parameters.
    :param strict: refuse an image that does not fit the cloud.
    :param members: the projects that images are shared with, by name or id.
    """

    pin: bool = False
    activate: bool = False
    keep: int = 2
    keep_in_use: bool = True
    route: transfer.Route = transfer.Route()
    rules: str = parameters.AUTO
    strict: bool = False
    members: tuple[str, ...] = ()


class Loader:
    """Loads images into a cloud.

    :param cloud: the cloud.
    :param request: the options of the load.
    :param series: the series that this tree serves.
    :param screen: the console for messages.
    """

    def __init__(
        self,
        cloud: connection.Cloud,
        request: Request,
        series: model.Series,
        screen: console.Console,
    ) -> None:
        self._cloud = cloud
        self._request = request
        self._series = series
        self._screen = screen
        self._images = glance.open_images(cloud)
        self._versions = trove.Versions(cloud.databases)

    def load_images(
        self, prepared: collections.abc.Sequence[sources.Source]
    ) -> list[Row]:
        """Load the images and register their datastore versions.

        :param prepared: the result of :func:`sources.prepare`.
        :returns: the resulting state, one entry per datastore version.
        :raises CloudError: the cloud refused, or could not be reached.
        :raises UsageError: an option names a resource that the cloud does not
            have.
        """
        request = self._request
        # without permission to register, nothing is uploaded
        registered = self._versions.list_all()
        rules = {
            target.manager: parameters.find(
                request.rules, target.manager, self._series
            )
            for source in prepared
            for target in source.targets
        }
        members = tuple(
            self._cloud.login.find_project(name, "--member")
            for name in request.members
        )
        if any(source.chosen for source in prepared):
            fields = self._images.list_fields()
            for source in prepared:
                history.refuse_fields(source.chosen, fields)
        for source in prepared:
            self._check(source, registered)
        rows = []
        for source in prepared:
            description = dataclasses.replace(
                source.description, members=members
            )
            source = dataclasses.replace(source, description=description)
            rows += self._load_image(source, registered, rules)
            # the next image may be of the same version
            registered = self._versions.list_all()
        names = [t.name for source in prepared for t in source.targets]
        removal.Removal(
            self._cloud, self._images, registered, self._screen
        ).remove_old(names, request.keep, request.keep_in_use)
        return rows

    def _find_current(
        self, source: sources.Source, registered: Versions
    ) -> dict[str, Image]:
        """Return the current image of each version of a source, by name."""
        current = {}
        for target in source.targets:
            version = target.among(registered)
            image = version and trove.find_image(self._images, version)
            if image:
                current[target.name] = image
        return current

    def _check(self, source: sources.Source, registered: Versions) -> None:
        """Warn about problems of an image, or refuse it."""
        file = source.content.file.path.name
        fields = source.description.fields
        active = {version.name for version in registered if version.active}
        at_once = [
            target.name
            for target in source.targets
            if self._request.activate or target.name in active
        ]
        if doubts := " and ".join(compatibility.find_doubts(fields)):
            if at_once:
                doubts = (
                    f"goes live at once for new instances of"
                    f" {', '.join(at_once)}, and {doubts}"
                )
            tell = self._screen.warn if at_once else self._screen.say
            tell(f"{file} {doubts}")
        compatibility.check_clashes(
            source.description.tags, source.targets, registered
        )
        differences = compatibility.find_differences(
            fields, self._series, self._find_current(source, registered)
        )
        if differences and self._request.strict:
            raise errors.ImageError(
                f"{file} does not fit this cloud: {'; '.join(differences)}",
                hint="load an image of the cloud's series; or leave out"
                " --strict",
            )
        for difference in differences:
            self._screen.warn(f"{file}: {difference}")

    def _load_image(
        self, source: sources.Source, registered: Versions, rules: Rules
    ) -> list[Row]:
        request = self._request
        current = self._find_current(source, registered)
        image, how = self._upload(source, current)
        rows: list[Row] = []
        for target in source.targets:
            with self._removal_on_refusal(image, how == "sent" and not rows):
                version, registration = self._versions.register(
                    target, image.id if request.pin else None, registered
                )
            self._screen.say(
                f"datastore version {target.name}: {registration}"
            )
            loaded = self._load_parameters(
                target, version, registration, rules[target.manager]
            )
            # users see this change, so it is made last
            if request.activate:
                version, changed = self._versions.activate(version)
                if changed and registration == "unchanged":
                    registration = "changed"
            if not version.default:
                self._screen.say(
                    "to make it the default: activate-trove-image"
                    f" {target.name}"
                )
            elif request.activate:
                self._screen.say(f"{target.name} is the default")
            switch = history.Switch(
                target,
                target.among(registered),
                version,
                current.get(target.name),
                image,
            )
            undo = switch.undo(self._images, request.keep)
            if switch.happened:
                self._screen.say(switch.describe(undo))
            rows.append(
                {
                    **version.as_row(),
                    "manager": version.manager,
                    "registration": registration,
                    "parameters": loaded,
                    "live": version.active,
                    "image_before": switch.before and switch.before.id,
                    "undo": undo,
                    "image": source.description.fields["name"],
                    "image_id": image.id,
                    "upload": how,
                    "pinned": version.image_id == image.id,
                    "size": source.content.file.size,
                    "sha256": source.content.sha256,
                    "verified": str(source.proof or "no"),
                }
            )
        return rows

    @contextlib.contextmanager
    def _removal_on_refusal(
        self, image: Image, new: bool
    ) -> collections.abc.Iterator[None]:
        """Remove a new image if the cloud refuses to register its versions.

        :param new: this load uploaded the image, and no version uses it.
        """
        try:
            yield
        except errors.CloudError as exc:
            lasting = isinstance(exc, failures.Refused) and (
                exc.status == 500 or not failures.may_pass(exc)
            )
            if not new or not lasting:
                self._screen.warn(f"{image} stays in Glance")
                raise
            try:
                self._images.patch(
                    image, lambda now: _UNPROTECT if now.protected else []
                )
                self._images.delete(image.id)
            except errors.CloudError as failure:
                problem = failure.message
                self._screen.warn(f"{image} stays in Glance: {problem}")
            else:
                self._screen.say(f"removed {image} again")
            raise

    def _upload(
        self,
        source: sources.Source,
        current: collections.abc.Mapping[str, Image],
    ) -> tuple[Image, str]:
        """Upload an image if necessary, and make Trove serve it.

        :param current: the current image of each version, by name.
        :returns: the image; and ``sent``, ``changed`` or ``unchanged``.
        """
        images, route = self._images, self._request.route
        description, content = source.description, source.content
        name = description.fields["name"]
        new = history.succeed(
            images,
            description,
            {
                version: image
                for version, image in current.items()
                if image.fields.get(_image.SHA256) != content.sha256
            },
        )
        image, sent = upload.upload_image(
            images, content, new.description, route, self._screen
        )
        changed = False
        if not sent:
            changed = images.update(image, description)
            changed |= images.share(image.id, description.members)
        try:
            changed |= self._serve(source, image)
        except history.ForeignImageError as exc:
            if sent:
                raise
            self._screen.say(f"{exc.message}: {name} is uploaded again, too")
            image, sent = upload.upload_image(
                images, content, new.description, route, self._screen,
                reuse=False,
            )  # fmt: skip
            self._serve(source, image)
        if sent:
            self._screen.say(
                f"image {name} is now complete in Glance: {image.id}"
            )
            self._report_succession(new)
            return image, "sent"
        done = "its description was updated" if changed else "nothing to send"
        self._screen.say(f"image {name} is already in Glance: {done}")
        return image, "changed" if changed else "unchanged"

    def _report_succession(self, new: history.Succession) -> None:
        """Print what a new image inherits from the previous one."""
        if new.carried:
            carried = [f"{k}={v}" for k, v in sorted(new.carried.items())]
            self._screen.say(
                "it inherits the properties of the previous image:"
                f" {', '.join(carried)}"
            )
        if new.description.members:
            self._screen.say(
                "each project that it is shared with has to accept it:"
                " openstack image set --accept ID"
            )
        if new.left:
            self._screen.warn(
                "it does not inherit everything from the previous image; to"
                f" set the same: {', '.join(new.left)}"
            )

    def _serve(self, source: sources.Source, image: Image) -> bool:
        """Make Trove serve an image for its versions, unless it is pinned."""
        targets = [] if self._request.pin else source.targets
        changes = [
            history.serve_image(self._images, image, target.name, target.tags)
            for target in targets
        ]
        return any(changes)

    def _load_parameters(
        self,
        target: trove.Target,
        version: trove.DatastoreVersion,
        registration: str,
        rules: tuple[parameters.Rule, ...] | None,
    ) -> str:
        """Load a version's configuration parameters, and return a summary."""
        service = parameters.Parameters(self._cloud.databases)
        if rules is not None:
            loaded = service.load(version.id, rules)
            self._screen.say(f"configuration parameters: {loaded}")
            return loaded
        if self._request.rules != parameters.AUTO:
            return "none"
        known = service.known(version.id)
        if known:
            return f"{len(known)} there already"
        # users of an existing version already know this
        if registration == "created" or self._request.activate:
            self._screen.say(
                f"{target.name} has no configuration parameters, so users"
                " cannot create configuration groups for it; to load them,"
                f" name a Trove {self._series.trove}: --parameters SOURCE"
            )
        return "none"
