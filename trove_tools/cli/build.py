# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder build``: builds one or several images.

If several images are built at a time, each is built by a process of
:mod:`trove_tools.cli.build_job`.
"""

import collections.abc
import contextlib
import functools
import os
import pathlib
import time
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.artifact import manifest
from trove_tools.artifact import signature
from trove_tools.build import build as _build
from trove_tools.build import cache as _cache
from trove_tools.build import cache_maintenance
from trove_tools.build import jobs
from trove_tools.build import previous
from trove_tools.build import remote_cache
from trove_tools.catalog import model
from trove_tools.cli import build_job
from trove_tools.cli import cache as caching
from trove_tools.cli import common
from trove_tools.cli import plan as plan_command
from trove_tools.config import options
from trove_tools.host import files
from trove_tools.host import paths
from trove_tools.host import requirements
from trove_tools.plan import plan as _plan
from trove_tools.sources.container import lock
from trove_tools.sources.network import session

Row = dict[str, typing.Any]

_DAY = 24 * 60 * 60

_SUMMARY = ("image", "guest", "size", "seconds", "result", "verified")


def build_images(call: common.Call) -> int:
    """Build the images that the command line names.

    :returns: the exit status.
    :raises TroveToolsError: see :func:`build`.
    """
    settings = call.settings
    with (
        _pid_file(settings.pid_file),
        session.open_session(settings.ca_certificate),
    ):
        plans = plan_command.make_plans(call)
        return build(plans, settings, call.screen, call.catalog)


@contextlib.contextmanager
def _pid_file(path: pathlib.Path | None) -> collections.abc.Iterator[None]:
    """Keep this process's id in a file while the context lasts."""
    if path is None:
        yield
        return
    path = path.parent.resolve() / path.name
    try:
        files.write_file(path, f"{os.getpid()}\n")
    except OSError as exc:
        raise errors.UsageError(
            f"--pid-file {path} cannot be written: {exc.strerror}",
            hint="name a file in a directory that you may write to",
        ) from exc
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def build(
    plans: collections.abc.Sequence[_plan.Plan],
    settings: options.Settings,
    screen: console.Console,
    catalog: model.Catalog,
) -> int:
    """Build images, and verify them if the settings say so.

    Several images are built at a time if the host has enough memory. A failed
    build does not stop the others.

    :returns: the exit status.
    :raises TroveToolsError: the only image could not be built.
    :raises BuildError: some of several images could not be built or
        verified.
    """
    _require_for_later(plans, settings)
    key = signature.open_signing_key(settings.sign_key)
    cache = caching.open_cache(settings, key, fresh=settings.fresh)
    remote = caching.open_remote(settings, screen, key)
    shared = caching.open_images(settings, screen, key)
    fetched = {}
    if shared is not None and not _forced(settings):
        fetched = shared.fetch_all(plans, settings.output_dir, cache)
    outcomes = _build_in_parallel(
        [plan for plan in plans if plan.name not in fetched],
        settings, cache, screen, key, remote,
    )  # fmt: skip
    rows = []
    for plan in plans:
        try:
            result = fetched.get(plan.name) or _build_one(
                plan, settings, cache, screen, outcomes.get(plan.name), key,
                remote,
            )  # fmt: skip
            rows.append(_row(plan, result, settings, screen, catalog, key))
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
    _print(rows, settings.format)
    if remote is not None and remote.target is not None:
        # the images can be used meanwhile
        cache_maintenance.push_layers(
            (layer.digest for plan in plans for layer in plan.layers[:-1]),
            cache,
            remote,
            screen,
        )
    caching.evict(settings, cache, screen)
    return _status(rows)


def _require_for_later(
    plans: collections.abc.Iterable[_plan.Plan], settings: options.Settings
) -> None:
    """Check the requirements of the steps after the builds.

    :raises MissingToolError: this host cannot verify.
    :raises UsageError: the lock file cannot be written.
    """
    if settings.lock:
        paths.make_directory(settings.lock.absolute().parent, "--lock")
    if settings.verify:
        for plan in plans:
            requirements.require_tools("verify", plan.guest["arch"])


def _build_one(
    plan: _plan.Plan,
    settings: options.Settings,
    cache: _cache.Cache,
    screen: console.Console,
    outcome: jobs.Outcome | None,
    key: signature.SigningKey | None,
    remote: remote_cache.RemoteCache | None,
) -> _build.Result:
    """Build an image, unless a child process has built it.

    :param outcome: what the child process reported; None if there was none.
    :raises TroveToolsError: the image could not be built.
    """
    if outcome is None:
        return _build.build(
            plan,
            output=settings.output_dir,
            work=settings.work_dir,
            cache=cache,
            force=_forced(settings),
            screen=screen,
            key=key,
            remote=remote,
            patch=settings.patch,
        )
    for text in outcome.warnings:
        screen.warn(f"{plan.name}: {text}")
    if outcome.result is None:
        if settings.debug and outcome.text:
            screen.say(outcome.text)
        assert outcome.error is not None
        raise outcome.error
    return _build.read_result(
        settings.output_dir / plan.file,
        outcome.result["seconds"],
        outcome.result["built"],
    )


def _row(
    plan: _plan.Plan,
    result: _build.Result,
    settings: options.Settings,
    screen: console.Console,
    catalog: model.Catalog,
    key: signature.SigningKey | None,
) -> Row:
    """Run the steps that follow a build, and return the row to print."""
    if result.fetched_from:
        screen.say(f"{result.image} was fetched from {result.fetched_from}")
    elif not result.built:
        screen.say(f"{result.image} is up to date; nothing to do")
    if settings.lock:
        lock.write(settings.lock, result.pinned())
    row: Row = {**result.as_dict(), "guest": _guest(plan), "result": "ok"}
    signer = signature.find_signer(manifest.path(result.image))
    if signer is not None:
        row["signed_by"] = signer.fingerprint
    if settings.verify:
        from trove_tools.cli import verify

        record, _ = verify.examine(
            result.image, settings, screen, catalog, key=key
        )
        row["verified"] = "ok" if record["ok"] else "FAILED"
        if not record["ok"]:
            wrong = next(c for c in record["checks"] if not c["ok"])
            row["error"] = f"{wrong['name']}: {wrong['detail']}"
            screen.warn(f"{result.image}: {row['error']}")
    return row


def _forced(settings: options.Settings) -> bool:
    return bool(
        settings.force or settings.fresh or settings.refresh_packages
    )


def _build_in_parallel(
    plans: collections.abc.Sequence[_plan.Plan],
    settings: options.Settings,
    cache: _cache.Cache,
    screen: console.Console,
    key: signature.SigningKey | None,
    remote: remote_cache.RemoteCache | None,
) -> dict[str, jobs.Outcome]:
    """Build the images that are not current, several at a time.

    :returns: the report of each child process, by the image's name; empty if
        only one image can be built at a time.
    """
    if settings.jobs is not None and settings.jobs < 1:
        raise errors.UsageError(
            f"--jobs {settings.jobs} would build nothing",
            hint="write 1 or more, or leave it out",
        )
    wanted = {
        plan.name: plan
        for plan in plans
        if _forced(settings)
        or previous.find_current(
            plan,
            settings.output_dir,
            key.trusted if key else None,
            settings.patch,
        )
        is None
    }
    limit = min(settings.jobs or jobs.default(), len(wanted))
    if limit < 2:
        return {}
    for plan in wanted.values():
        # report what the host lacks once, not once per job
        _build.require(
            plan, settings.output_dir, settings.work_dir, cache, remote
        )
    begin = time.time()

    def data(plan: _plan.Plan) -> dict[str, typing.Any]:
        age = settings.max_age
        if settings.fresh:
            # a layer that another job of this build has built is fresh
            age = (time.time() - begin) / _DAY
        return build_job.to_data(
            plan,
            settings.replaced(
                force=_forced(settings),
                fresh=False,
                max_age=age,
                # a repository that fails is reported once
                cache_from=remote.usable_sources() if remote else [],
            ),
        )

    return jobs.run(
        [
            jobs.Job(name, functools.partial(data, plan), build_job.argv(name))
            for name, plan in wanted.items()
        ],
        limit,
        screen,
    )


def _guest(plan: _plan.Plan) -> str:
    return "{distribution}-{version} {arch}".format(**plan.guest)


def _print(rows: list[Row], form: str) -> None:
    if form != "table":
        data = rows[0] if len(rows) == 1 else rows
        console.emit(data, form, result=results.BUILD)
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
        f"{len(failed)} of {len(rows)} images failed to build or verify:"
        f"{listed}",
        hint="remove the cause and run the command again: finished images are"
             " not built again",
    )
