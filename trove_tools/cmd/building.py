# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder build``: one image, or many and a summary."""

import collections.abc
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import options
from trove_tools.catalog import model
from trove_tools.cmd import caching
from trove_tools.container import lock
from trove_tools.image import build as _build
from trove_tools.image import cache as _cache
from trove_tools.image import plan as _plan

Row = dict[str, typing.Any]

_SUMMARY = ("image", "guest", "size", "seconds", "result", "verified")


def build(
    plans: collections.abc.Sequence[_plan.Plan],
    settings: options.Settings,
    screen: console.Console,
    catalog: model.Catalog,
) -> int:
    """Build images one after the other, and verify them if that is wanted.

    Of several images, one that fails keeps the others from nothing.

    :returns: the command's exit status.
    :raises TroveToolsError: the only one could not be built.
    :raises BuildError: some of several could not be built, or verified.
    """
    cache = caching.open_cache(settings, fresh=settings.fresh)
    rows = []
    for plan in plans:
        try:
            rows.append(_one(plan, settings, cache, screen, catalog))
        except errors.TroveToolsError as exc:
            if len(plans) == 1:
                raise
            screen.error(exc)
            rows.append(
                {
                    "image": plan.name,
                    "guest": _guest(plan),
                    "result": "FAILED",
                    "error": exc.message.splitlines()[0],
                }
            )
    caching.evict(settings, cache)
    _print(rows, settings.format)
    return _status(rows)


def _one(
    plan: _plan.Plan,
    settings: options.Settings,
    cache: _cache.Cache,
    screen: console.Console,
    catalog: model.Catalog,
) -> Row:
    result = _build.build(
        plan,
        output=settings.output_dir,
        work=settings.work_dir,
        cache=cache,
        force=settings.force or settings.fresh,
        screen=screen,
    )
    if not result.built:
        screen.say(f"{result.image} is current; nothing to do")
    if settings.lock:
        lock.write(settings.lock, result.pinned())
    row: Row = {**result.as_dict(), "guest": _guest(plan), "result": "ok"}
    if settings.verify:
        from trove_tools.cmd import verifying

        found, _ = verifying.examine(result.image, settings, screen, catalog)
        row["verified"] = "ok" if found["ok"] else "FAILED"
        if not found["ok"]:
            wrong = next(c for c in found["checks"] if not c["ok"])
            row["error"] = f"{wrong['name']}: {wrong['detail']}"
            screen.warn(f"{result.image}: {row['error']}")
    return row


def _guest(plan: _plan.Plan) -> str:
    return "{distribution}-{version} {arch}".format(**plan.guest)


def _print(rows: list[Row], form: str) -> None:
    if form != "table":
        console.emit(rows[0] if len(rows) == 1 else rows, form)
    elif len(rows) == 1:
        size = f"{console.size(rows[0]['size'])} ({rows[0]['size']} bytes)"
        console.emit({**rows[0], "size": size}, form)
    else:
        shown = [
            {
                **row,
                "size": console.size(row["size"]) if "size" in row else "-",
                "image": row["image"].rpartition("/")[2],
            }
            for row in rows
        ]
        known = [name for name in _SUMMARY if any(name in r for r in shown)]
        console.emit(
            [{name: row.get(name) for name in known} for row in shown], form
        )


def _status(rows: list[Row]) -> int:
    failed = [row for row in rows if "error" in row]
    if not failed:
        return errors.EXIT_OK
    listed = "".join(f"\n  {row['image']}: {row['error']}" for row in failed)
    raise errors.BuildError(
        f"{len(failed)} of {len(rows)} images are not as they should be:"
        f"{listed}",
        hint="run the same again once the cause is removed: what is there"
        " is not built again",
    )
