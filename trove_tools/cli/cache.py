# SPDX-License-Identifier: Apache-2.0
"""trove-image-builder cache: lists, checks and prunes the cache."""

import datetime
import time
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.build import cache as _cache
from trove_tools.build import cache_maintenance
from trove_tools.build import workspace
from trove_tools.cli import common
from trove_tools.config import options
from trove_tools.host import paths

_GIB = 1024**3
_DAY = 24 * 60 * 60


def open_cache(
    settings: options.Settings, *, fresh: bool = False
) -> _cache.Cache:
    """Return the cache that the options select.

    :param fresh: ignore all entries that are older than this moment.
    :raises UsageError: the cache cannot be used.
    """
    now = time.time()
    return _cache.Cache(
        settings.cache_dir or paths.user_cache(),
        now if fresh else now - settings.max_age * _DAY,
    )


def evict(
    settings: options.Settings, cache: _cache.Cache, screen: console.Console
) -> None:
    """Remove the least recently used layers until the limit is met."""
    limit = settings.cache_size * _GIB
    for _ in cache_maintenance.prune(cache, limit, screen.warn):
        pass


def clean(settings: options.Settings, screen: console.Console) -> None:
    """Remove the leftovers of killed builds and verifies.

    Leftovers that cannot be removed cause a warning.
    """
    from trove_tools.verify import workspace as verify_workspace

    cache = open_cache(settings)
    removed = [
        *workspace.take_down_dead(cache.workspaces, screen.warn),
        *cache_maintenance.abandoned(cache, screen.warn),
        *verify_workspace.remove_abandoned(screen.warn),
    ]
    for directory in removed:
        screen.say(f"removed: {directory}")
    if not removed:
        screen.say("there are no leftovers of killed builds")


def run(call: common.Call) -> int:
    """Run the requested action.

    :returns: an exit status.
    """
    cache = open_cache(call.settings)
    actions = {"list": _list, "prune": _prune, "verify": _verify}
    return actions[call.flags.action](call.settings, cache, call.screen)


def _list(
    settings: options.Settings, cache: _cache.Cache, screen: console.Console
) -> int:
    rows = [_row(cache, entry) for entry in cache_maintenance.entries(cache)]
    _emit(rows, settings, results.CACHE["list"])
    layers, downloads = (
        cache_maintenance.size(directory)
        for directory in (cache.layers, cache.downloads)
    )
    screen.say(
        f"{cache.directory}: layers {console.size(layers)} (limit"
        f" {settings.cache_size} GiB), downloads {console.size(downloads)}"
    )
    return errors.EXIT_OK


def _prune(
    settings: options.Settings, cache: _cache.Cache, screen: console.Console
) -> int:
    limit = settings.cache_size * _GIB
    removed = [
        _row(cache, entry)
        for entry in cache_maintenance.prune(
            cache, limit, screen.warn, stale=True
        )
    ]
    _emit(removed, settings, results.CACHE["prune"])
    freed = sum(row["size"] for row in removed)
    screen.say(f"removed {len(removed)} layers, {console.size(freed)}")
    return errors.EXIT_OK


def _verify(
    settings: options.Settings, cache: _cache.Cache, screen: console.Console
) -> int:
    removed = [
        {"digest": digest} for digest in cache_maintenance.damaged(cache)
    ]
    if removed or settings.format != "table":
        console.emit(
            removed, settings.format, ("digest",),
            result=results.CACHE["verify"],
        )  # fmt: skip
    if not removed:
        screen.say("all layers are intact")
        return errors.EXIT_OK
    screen.say(
        f"removed {len(removed)} damaged layers; the next build builds them"
        " again"
    )
    return errors.EXIT_FAILED


def _row(cache: _cache.Cache, entry: _cache.Entry) -> dict[str, typing.Any]:
    record = entry.record
    used = datetime.datetime.fromtimestamp(entry.used, datetime.UTC)
    return {
        "layer": record.name,
        "digest": record.digest,
        "size": record.size,
        "created": record.created,
        "used": used.isoformat(),
        "stale": cache.is_stale(entry),
        "elements": [
            name
            for name in record.inputs.get("elements", ())
            if not name.startswith("trove-layer")
        ],
    }


def _emit(
    rows: list[dict[str, typing.Any]],
    settings: options.Settings,
    result: results.Result,
) -> None:
    if settings.format == "table":
        rows = [
            {
                **row,
                "digest": row["digest"][:12],
                "size": console.size(row["size"]),
                "created": row["created"][:16],
                "used": row["used"][:16],
            }
            for row in rows
        ]
    console.emit(rows, settings.format, result.fields, result=result)
