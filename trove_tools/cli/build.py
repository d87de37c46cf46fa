# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder build``: builds one or several images.

If several images are built at a time, each is built by a child process, which
runs this module.  It reads the plan and all settings, as the parent has
resolved them, from standard input: so no option can be lost or resolved
differently, and no command line contains a secret.
"""

import collections.abc
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import sys
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
from trove_tools.build import preflight
from trove_tools.build import previous
from trove_tools.build import remote_cache
from trove_tools.catalog import loader
from trove_tools.catalog import model
from trove_tools.cli import cache as caching
from trove_tools.cli import common
from trove_tools.cli import exit_status
from trove_tools.config import options
from trove_tools.host import files
from trove_tools.host import paths
from trove_tools.host import requirements
from trove_tools.plan import plan as _plan
from trove_tools.plan import request
from trove_tools.sources.container import lock
from trove_tools.sources.network import session

Row = dict[str, typing.Any]

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
        plans = _plan.make_all(
            call.flags.datastores, settings, call.catalog, call.screen.warn
        )
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


@dataclasses.dataclass(frozen=True)
class _Work:
    """What the builds of a command have in common.

    :param key: the key that signs the images.
    :param remote: the layers in a registry, if it is used.
    """

    settings: options.Settings
    screen: console.Console
    catalog: model.Catalog
    key: signature.SigningKey | None
    cache: _cache.Cache
    remote: remote_cache.RemoteCache | None


def _open_work(
    settings: options.Settings, screen: console.Console, catalog: model.Catalog
) -> _Work:
    key = signature.open_signing_key(settings.sign_key)
    return _Work(
        settings,
        screen,
        catalog,
        key,
        caching.open_cache(settings, key, fresh=settings.fresh),
        caching.open_remote(settings, screen, key),
    )


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
    work = _open_work(settings, screen, catalog)
    shared = caching.open_images(settings, screen, work.key)
    fetched = {}
    if shared is not None and not _forced(settings):
        fetched = shared.fetch_all(plans, settings.output_dir, work.cache)
    outcomes = _build_in_parallel(
        [plan for plan in plans if plan.name not in fetched], work
    )
    rows = []
    for plan in plans:
        try:
            result = fetched.get(plan.name) or _build_one(
                plan, work, outcomes.get(plan.name)
            )
            rows.append(_row(plan, result, work))
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
    if work.remote is not None and work.remote.target is not None:
        # the images can be used meanwhile
        cache_maintenance.push_layers(
            (layer.digest for plan in plans for layer in plan.layers[:-1]),
            work.cache,
            work.remote,
            screen,
        )
    caching.evict(settings, work.cache, screen)
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


def _build_here(plan: _plan.Plan, work: _Work) -> _build.Result:
    """Build an image in this process.

    :raises TroveToolsError: the image could not be built.
    """
    return _build.build(
        plan,
        output=work.settings.output_dir,
        work=work.settings.work_dir,
        cache=work.cache,
        force=_forced(work.settings),
        screen=work.screen,
        key=work.key,
        remote=work.remote,
        patch=work.settings.patch,
    )


def _build_one(
    plan: _plan.Plan, work: _Work, outcome: jobs.Outcome | None
) -> _build.Result:
    """Build an image, unless a child process has built it.

    :param outcome: what the child process reported; None if there was none.
    :raises TroveToolsError: the image could not be built.
    """
    if outcome is None:
        return _build_here(plan, work)
    for text in outcome.warnings:
        work.screen.warn(f"{plan.name}: {text}")
    if outcome.result is None:
        if work.settings.debug and outcome.text:
            work.screen.say(outcome.text)
        assert outcome.error is not None
        raise outcome.error
    return _build.read_result(
        work.settings.output_dir / plan.file,
        outcome.result["seconds"],
        outcome.result["built"],
    )


def _row(plan: _plan.Plan, result: _build.Result, work: _Work) -> Row:
    """Run the steps that follow a build, and return the row to print."""
    settings, screen = work.settings, work.screen
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
            result.image, settings, screen, work.catalog, key=work.key
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
    plans: collections.abc.Iterable[_plan.Plan], work: _Work
) -> dict[str, jobs.Outcome]:
    """Build the images that are not current, several at a time.

    :returns: the report of each child process, by the image's name; empty if
        only one image can be built at a time.
    """
    settings, remote = work.settings, work.remote
    if settings.jobs is not None and settings.jobs < 1:
        raise errors.UsageError(
            f"--jobs {settings.jobs} would build nothing",
            hint="write 1 or more, or leave it out",
        )
    trusted = work.key.trusted if work.key else None
    wanted = {
        plan.name: plan
        for plan in plans
        if _forced(settings)
        or not previous.find_current(
            plan, settings.output_dir, trusted, settings.patch
        )
    }
    limit = min(settings.jobs or jobs.default(), len(wanted))
    if limit < 2:
        return {}
    for plan in wanted.values():
        # report what the host lacks once, not once per job
        preflight.require(
            plan, settings.output_dir, settings.work_dir, work.cache, remote
        )
    begin = time.time()

    def data(plan: _plan.Plan) -> dict[str, typing.Any]:
        age = settings.max_age
        if settings.fresh:
            # a layer that another job of this build has built is fresh
            age = (time.time() - begin) / 86400
        return to_data(
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
            jobs.Job(name, functools.partial(data, plan), make_argv(name))
            for name, plan in wanted.items()
        ],
        limit,
        work.screen,
    )


def make_argv(name: str) -> list[str]:
    """Return the command line of a child process.

    :param name: the image's name, which identifies the process in lists.
    """
    return [sys.executable, "-m", "trove_tools.cli.build", name]


def to_data(
    plan: _plan.Plan, settings: options.Settings
) -> dict[str, typing.Any]:
    """Return the input of a child process as plain data.

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
) -> tuple[_plan.Plan, options.Settings, model.Catalog]:
    """Restore the plan and the settings from the data of :func:`to_data`.

    :returns: also the catalog that the plan was made with.
    :raises TroveToolsError: the plan cannot be made.
    """
    settings = options.Settings.from_data(data["settings"])
    catalog = loader.load(settings.catalog)
    plan = _plan.make(request.make(data["datastores"], settings, catalog))
    return plan, settings, catalog


def main() -> int:
    """Build the image that standard input describes, and report events.

    :returns: an exit status.
    """
    screen = jobs.EventConsole()
    end = exit_status.Ending(screen)
    with end.reported():
        data = json.load(sys.stdin)
        end.debug = data["settings"]["debug"]
        plan, settings, catalog = from_data(data)
        result = _build_here(plan, _open_work(settings, screen, catalog))
        screen.result(result.as_dict())
    return end.status


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


if __name__ == "__main__":
    sys.exit(main())
