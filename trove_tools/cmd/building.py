# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder build``: one image, or many and a summary."""

import collections.abc
import dataclasses
import functools
import sys
import time
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import options
from trove_tools.catalog import model
from trove_tools.cmd import caching
from trove_tools.container import lock
from trove_tools.image import build as _build
from trove_tools.image import cache as _cache
from trove_tools.image import jobs
from trove_tools.image import plan as _plan

Row = dict[str, typing.Any]

#: Groups of options that a job of several is given as they were.
PASSED_ON = ("common", "arch", "plan", "name", "place", "cache")
_DAY = 24 * 60 * 60

_SUMMARY = ("image", "guest", "size", "seconds", "result", "verified")


def build(
    plans: collections.abc.Sequence[_plan.Plan],
    settings: options.Settings,
    screen: console.Console,
    catalog: model.Catalog,
    passed: collections.abc.Sequence[str] = (),
) -> int:
    """Build images, and verify them if that is wanted.

    Several are built at a time where there is room.  One that fails keeps
    the others from nothing.

    :param passed: flags for the commands that build one of several.
    :returns: the command's exit status.
    :raises TroveToolsError: the only one could not be built.
    :raises BuildError: some of several could not be built, or verified.
    """
    cache = caching.open_cache(settings, fresh=settings.fresh)
    done = _at_a_time(plans, settings, cache, screen, passed)
    rows = []
    for plan in plans:
        try:
            rows.append(_one(plan, settings, cache, screen, catalog, done))
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
    done: collections.abc.Mapping[str, str],
) -> Row:
    """Build an image, or take what a job of :func:`_at_a_time` has made."""
    failure = done.get(plan.name)
    if failure:
        raise errors.BuildError(failure)
    result = _build.build(
        plan,
        output=settings.output_dir,
        work=settings.work_dir,
        cache=cache,
        force=_forced(settings) and plan.name not in done,
        screen=screen,
    )
    if plan.name in done:
        result = dataclasses.replace(result, built=True)
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


def _forced(settings: options.Settings) -> bool:
    return bool(
        settings.force or settings.fresh or settings.refresh_packages
    )


def _at_a_time(
    plans: collections.abc.Sequence[_plan.Plan],
    settings: options.Settings,
    cache: _cache.Cache,
    screen: console.Console,
    passed: collections.abc.Sequence[str],
) -> dict[str, str]:
    """Build what has to be built, as many at a time as there is room for.

    :returns: by name, what those said that failed; nothing of those that
        did not; no name at all where one at a time has to do.
    """
    if settings.jobs is not None and settings.jobs < 1:
        raise errors.UsageError(
            f"--jobs {settings.jobs}: at least 1", hint="leave it out"
        )
    wanted = {
        each.name: each
        for each in plans
        if _forced(settings)
        or _build.current(each, settings.output_dir) is None
    }
    limit = min(settings.jobs or jobs.default(), len(wanted))
    if limit < 2:
        return {}
    for each in wanted.values():
        # told once instead of by every job
        _build.require(each, settings.output_dir, settings.work_dir, cache)
    begin = time.time()

    def argv(plan: _plan.Plan) -> list[str]:
        age = settings.max_age
        if settings.fresh:
            # what another job has built meanwhile is fresh
            age = (time.time() - begin) / _DAY
        return [
            sys.executable, "-m", "trove_tools.cmd.builder", "build",
            *passed, f"--max-age={age:.6f}", "--jobs=1", "--format=json",
            *(["--force"] if _forced(settings) else []),
            *(["--refresh-packages"] if settings.refresh_packages else []),
            *(f"{each['name']}:{each['version']}"
              for each in plan.datastores),
        ]  # fmt: skip

    return jobs.run(
        [
            jobs.Job(name, functools.partial(argv, each))
            for name, each in wanted.items()
        ],
        limit,
        screen,
    )


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
