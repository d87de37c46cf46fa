# SPDX-License-Identifier: Apache-2.0
"""Builds one of several images in a process of its own.

The process reads the plan and all settings, as its parent has resolved them,
from standard input: so no option can be lost or resolved differently, and no
command line contains a secret.
"""

import json
import sys
import typing

from trove_tools.artifact import signature
from trove_tools.build import build as _build
from trove_tools.build import jobs
from trove_tools.catalog import loader
from trove_tools.cli import cache as caching
from trove_tools.cli import exit_status
from trove_tools.config import options
from trove_tools.plan import plan as _plan
from trove_tools.plan import request


def argv(name: str) -> list[str]:
    """Return the command line of a job.

    :param name: the image's name, which identifies the process in lists.
    """
    return [sys.executable, "-m", "trove_tools.cli.build_job", name]


def to_data(
    plan: _plan.Plan, settings: options.Settings
) -> dict[str, typing.Any]:
    """Return the input of a job as plain data.

    :param plan: the plan of the image.
    :param settings: the settings that the plan was made with.
    """
    return {
        "datastores": [
            f"{datastore['name']}:{datastore['version']}"
            for datastore in plan.datastores
        ],
        "settings": settings.to_data(),
    }


def from_data(
    data: dict[str, typing.Any],
) -> tuple[_plan.Plan, options.Settings]:
    """Restore the plan and the settings from the data of :func:`to_data`.

    :raises TroveToolsError: the plan cannot be made.
    """
    settings = options.Settings.from_data(data["settings"])
    catalog = loader.load(settings.catalog)
    plan = _plan.make(request.make(data["datastores"], settings, catalog))
    return plan, settings


def main() -> int:
    """Build the image that standard input describes.

    :returns: an exit status.
    """
    screen = jobs.EventConsole()
    end = exit_status.Ending(screen)
    with end.reported():
        data = json.load(sys.stdin)
        end.debug = data["settings"]["debug"]
        plan, settings = from_data(data)
        key = signature.open_signing_key(settings.sign_key)
        result = _build.build(
            plan,
            output=settings.output_dir,
            work=settings.work_dir,
            cache=caching.open_cache(settings, key),
            force=settings.force,
            screen=screen,
            key=key,
            remote=caching.open_remote(settings, screen, key),
            patch=settings.patch,
        )
        screen.result(result.as_dict())
    return end.status


if __name__ == "__main__":
    sys.exit(main())
