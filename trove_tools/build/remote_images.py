# SPDX-License-Identifier: Apache-2.0
"""Fetches images that other builders have built from the same plan."""

import collections.abc
import datetime
import pathlib
import time

from trove_tools import console
from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import remote_image
from trove_tools.artifact import signature
from trove_tools.build import build as _build
from trove_tools.build import cache as _cache
from trove_tools.build import previous
from trove_tools.build import workspace
from trove_tools.plan import plan as _plan
from trove_tools.sources.registry import address
from trove_tools.sources.registry import client


class SharedImages:
    """The images in a repository of a registry.

    A build needs none of them: a problem of the registry is shown once, and
    the images are built.

    :param repository: the repository.
    :param trusted: the keys whose images are used; None if images need not be
        signed.
    :param screen: shows progress and warnings.
    """

    def __init__(
        self,
        repository: address.Reference,
        trusted: signature.TrustedKeys | None,
        screen: console.Console,
    ) -> None:
        self.repository = repository
        self._trusted = trusted
        self._screen = screen
        self._broken = False

    def find(self, plan: _plan.Plan) -> remote_image.RemoteImage | None:
        """Return the image of a plan, if the repository has one."""
        if self._broken:
            return None
        tag = remote_image.plan_tag(plan.digest())
        try:
            found = remote_image.find(self.repository, tag)
        except client.RegistryError as exc:
            if exc.status != 404:
                self._give_up(exc)
            return None
        return found if found.file == plan.file else None

    def fetch(
        self, plan: _plan.Plan, output: pathlib.Path, cache: _cache.Cache
    ) -> pathlib.Path | None:
        """Fetch the image of a plan, and what lies beside it.

        :param output: the directory of the image.
        :param cache: decides which images are too old, and knows the
            workspaces.
        :returns: the image; None if there is none, or it cannot be used.
        :raises UsageError: the directory cannot be used.
        :raises BuildError: another build of this image runs.
        """
        found = self.find(plan)
        if found is None:
            return None
        with workspace.open_workspace(
            output, plan.file, None, cache.workspaces, self._screen.warn
        ) as space:
            try:
                if self._fetch(found, plan, space, cache):
                    return space.publish(output)
            except client.RegistryError as exc:
                self._give_up(exc)
            except errors.ImageError as exc:
                self._screen.warn(
                    f"the image {found} is not used: {exc.message}"
                )
            except OSError as exc:
                self._screen.warn(
                    f"the image {found} cannot be stored: {exc.strerror}"
                )
        return None

    def fetch_all(
        self,
        plans: collections.abc.Iterable[_plan.Plan],
        output: pathlib.Path,
        cache: _cache.Cache,
    ) -> dict[str, _build.Result]:
        """Fetch the images of plans that are not up to date.

        Images that were fetched earlier are up to date although this host has
        not signed them.

        :param output: the directory of the images.
        :param cache: as for :meth:`fetch`.
        :returns: the results of the images that need not be built, by name.
        """
        results = {}
        for plan in plans:
            begin, origin = time.monotonic(), ""
            if not previous.find_current(plan, output, self._trusted):
                if self.fetch(plan, output, cache) is None:
                    continue
                origin = str(self.repository)
            results[plan.name] = _build.read_result(
                output / plan.file, time.monotonic() - begin, False, origin
            )
        return results

    def _fetch(
        self,
        found: remote_image.RemoteImage,
        plan: _plan.Plan,
        space: workspace.Workspace,
        cache: _cache.Cache,
    ) -> bool:
        """Fetch an image into a workspace.

        :returns: whether it can be used; if not, it is too old.
        :raises ImageError: it is not trusted, or was built from another plan.
        """
        space.sidecar.rmdir()
        found.fetch_files(space.directory)
        made = manifest.read(space.image, self._trusted)
        if made is None or made.plan_digest != plan.digest():
            raise errors.ImageError("it was built from another plan")
        found.require_described(made)
        created = datetime.datetime.fromisoformat(made.created)
        if created.timestamp() < cache.not_before:
            return False
        with (
            self._screen.progress(
                f"fetching {plan.file}", found.image.size, "bytes"
            ) as progress,
            open(space.image, "wb") as stream,
        ):
            for block in found.read_blocks():
                stream.write(block)
                progress.advance(len(block))
        return True

    def _give_up(self, exc: client.RegistryError) -> None:
        self._broken = True
        hint = f" ({exc.hint})" if exc.hint else ""
        self._screen.warn(
            f"the images in {self.repository} are not used: {exc.message}"
            f"{hint}"
        )
