# SPDX-License-Identifier: Apache-2.0
"""trove-image-builder cache: lists, checks, prunes and shares the cache."""

import collections.abc
import dataclasses
import datetime
import time
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.artifact import signature
from trove_tools.build import cache as _cache
from trove_tools.build import cache_maintenance
from trove_tools.build import remote_cache
from trove_tools.build import remote_images
from trove_tools.build import workspace
from trove_tools.cli import common
from trove_tools.config import options
from trove_tools.host import paths
from trove_tools.sources.network import session
from trove_tools.sources.registry import address
from trove_tools.sources.registry import client

_GIB = 1024**3
_DAY = 24 * 60 * 60

# fields that would make a table too wide
_IN_JSON = ("origin", "signed_by", "unsigned")


def open_cache(
    settings: options.Settings,
    key: signature.SigningKey | None = None,
    *,
    fresh: bool = False,
) -> _cache.Cache:
    """Return the cache that the options select.

    :param key: the signing key; layers that it has signed are trusted.
    :param fresh: ignore all entries that are older than this moment.
    :raises UsageError: the cache or the file of a key cannot be used.
    """
    now = time.time()
    return _cache.Cache(
        settings.cache_dir or paths.user_cache(),
        now if fresh else now - settings.max_age * _DAY,
        settings.allow_unsigned,
        trusted_keys(settings, key),
    )


def open_remote(
    settings: options.Settings,
    screen: console.Console,
    key: signature.SigningKey | None,
) -> remote_cache.RemoteCache | None:
    """Return the layers in a registry, if the options name one.

    :param key: the signing key; layers that it has signed are trusted.
    :raises UsageError: a repository or a key cannot be used, or no key is
        given and unsigned layers are not allowed.
    """
    if not settings.cache_from and not settings.cache_to:
        return None
    trusted = trusted_keys(settings, key)
    unsigned = settings.allow_unsigned
    if settings.cache_from:
        _require_trust("--cache-from", settings, trusted)
    if settings.cache_to and key is None and not unsigned:
        raise errors.UsageError(
            "--cache-to: there is no key to sign the layers with",
            hint="name one: --sign-key KEYFILE; or use --allow-unsigned",
        )
    return remote_cache.RemoteCache(
        [
            client.Repository(address.parse(text, "--cache-from"))
            for text in dict.fromkeys(settings.cache_from)
        ],
        client.Repository(address.parse(settings.cache_to, "--cache-to"))
        if settings.cache_to
        else None,
        trusted=trusted,
        key=key,
        allow_unsigned=unsigned,
        screen=screen,
    )


def open_images(
    settings: options.Settings,
    screen: console.Console,
    key: signature.SigningKey | None,
) -> remote_images.SharedImages | None:
    """Return the images in a registry, if the options name one.

    :param key: as for :func:`open_remote`.
    :raises UsageError: as for :func:`open_remote`.
    """
    if not settings.image_from:
        return None
    trusted = trusted_keys(settings, key)
    _require_trust("--image-from", settings, trusted)
    return remote_images.SharedImages(
        address.parse(settings.image_from, "--image-from"),
        None if settings.allow_unsigned else trusted,
        screen,
    )


def trusted_keys(
    settings: options.Settings, key: signature.SigningKey | None
) -> signature.TrustedKeys | None:
    """Return the keys whose layers and images a build uses.

    :param key: the signing key, which is trusted, too.
    :returns: None if there are none.
    :raises UsageError: the file of a key cannot be used.
    """
    trusted = signature.read_trusted_keys(settings.trusted_key)
    keys = trusted.keys if trusted else ()
    if key is not None:
        keys = (*keys, key.public)
    return signature.TrustedKeys(keys) if keys else None


def _require_trust(
    flag: str,
    settings: options.Settings,
    trusted: signature.TrustedKeys | None,
) -> None:
    """Check that something from a registry can be used at all.

    :raises UsageError: no key is trusted, and unsigned content is not allowed.
    """
    if trusted is None and not settings.allow_unsigned:
        raise errors.UsageError(
            f"{flag}: no key is trusted, so nothing there can be used",
            hint="name the public key of the builder that signs:"
            " --trusted-key KEYFILE.pub; or use --allow-unsigned if nobody"
            " else can write to that registry",
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


@dataclasses.dataclass(frozen=True)
class _Work:
    """What an action works with.

    :param remote: the layers in a registry, if the options name one.
    """

    settings: options.Settings
    screen: console.Console
    cache: _cache.Cache
    remote: remote_cache.RemoteCache | None


def run(call: common.Call) -> int:
    """Run the requested action.

    :returns: an exit status.
    """
    settings, screen = call.settings, call.screen
    actions = {
        "list": _list, "prune": _prune, "verify": _verify, "push": _push,
        "pull": _pull,
    }  # fmt: skip
    with session.open_session():
        key = signature.open_signing_key(settings.sign_key)
        remote = open_remote(settings, screen, key)
        work = _Work(settings, screen, open_cache(settings, key), remote)
        return actions[call.flags.action](work)


def _list(work: _Work) -> int:
    cache, remote = work.cache, work.remote
    rows = [_row(cache, entry) for entry in cache_maintenance.entries(cache)]
    if remote is not None:
        target = [remote.target] if remote.target is not None else []
        # a repository that is read and written is listed once
        repositories = {str(one): one for one in (*remote.sources, *target)}
        rows += [
            _remote_row(cache, layer)
            for repository in repositories.values()
            for layer in remote.list_layers(repository)
        ]
    _emit(rows, work.settings, results.CACHE["list"])
    layers, downloads = (
        cache_maintenance.size(directory)
        for directory in (cache.layers, cache.downloads)
    )
    work.screen.say(
        f"{cache.directory}: layers {console.size(layers)} (limit"
        f" {work.settings.cache_size} GiB), downloads"
        f" {console.size(downloads)}"
    )
    return errors.EXIT_OK


def _push(work: _Work) -> int:
    remote = work.remote
    if remote is None or remote.target is None:
        raise errors.UsageError(
            "cache push: no repository was named",
            hint="name one: --cache-to HOST[:PORT]/REPOSITORY",
        )
    written = cache_maintenance.push_layers(
        (e.record.digest for e in cache_maintenance.entries(work.cache)),
        work.cache,
        remote,
        work.screen,
    )
    return _report(written, "push", "written to", work, remote.target)


def _pull(work: _Work) -> int:
    remote = work.remote
    if remote is None or not remote.sources:
        raise errors.UsageError(
            "cache pull: no repository was named",
            hint="name one: --cache-from HOST[:PORT]/REPOSITORY",
        )
    fetched = cache_maintenance.fetch_layers(work.cache, remote, work.screen)
    return _report(fetched, "pull", "fetched from", work, *remote.sources)


def _report(
    entries: collections.abc.Iterable[_cache.Entry],
    action: str,
    done: str,
    work: _Work,
    *repositories: client.Repository,
) -> int:
    """Print the layers that were copied.

    :param done: what was done with them, such as ``written to``.
    :returns: the exit status: whether all repositories have answered.
    """
    assert work.remote is not None
    rows = [_row(work.cache, entry) for entry in entries]
    _emit(rows, work.settings, results.CACHE[action])
    if all(map(work.remote.is_usable, repositories)):
        named = ", ".join(map(str, repositories))
        work.screen.say(f"{len(rows)} layers were {done} {named}")
        return errors.EXIT_OK
    return errors.EXIT_FAILED


def _prune(work: _Work) -> int:
    cache, screen = work.cache, work.screen
    limit = work.settings.cache_size * _GIB
    removed = [
        _row(cache, entry)
        for entry in cache_maintenance.prune(
            cache, limit, screen.warn, stale=True
        )
    ]
    if work.remote is not None:
        removed += [
            _remote_row(cache, layer)
            for layer in cache_maintenance.prune_target(cache, work.remote)
        ]
    _emit(removed, work.settings, results.CACHE["prune"])
    freed = sum(row["size"] for row in removed)
    screen.say(f"removed {len(removed)} layers, {console.size(freed)}")
    return errors.EXIT_OK


def _verify(work: _Work) -> int:
    removed = [
        {"digest": digest}
        for digest in cache_maintenance.remove_damaged(work.cache)
    ]
    form = work.settings.format
    if removed or form != "table":
        result = results.CACHE["verify"]
        console.emit(removed, form, ("digest",), result=result)
    if not removed:
        work.screen.say("all layers are intact")
        return errors.EXIT_OK
    work.screen.say(
        f"removed {len(removed)} damaged layers; the next build builds them"
        " again"
    )
    return errors.EXIT_FAILED


def _row(cache: _cache.Cache, entry: _cache.Entry) -> dict[str, typing.Any]:
    used = datetime.datetime.fromtimestamp(entry.used, datetime.UTC)
    return _describe(cache, entry.record, used.isoformat(), "")


def _remote_row(
    cache: _cache.Cache, layer: remote_cache.RemoteLayer
) -> dict[str, typing.Any]:
    return _describe(cache, layer.record, "", str(layer.repository))


def _describe(
    cache: _cache.Cache, record: _cache.Record, used: str, repository: str
) -> dict[str, typing.Any]:
    """Return a layer as a row.

    :param used: the time of the last use; empty if unknown.
    :param repository: the repository that has it; empty for the local cache.
    """
    return {
        "layer": record.name,
        "digest": record.digest,
        "size": record.size,
        "created": record.created,
        "used": used,
        "stale": cache.is_stale(record),
        "repository": repository,
        "origin": record.origin,
        "signed_by": record.signed_by,
        "unsigned": record.unsigned,
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
    columns = [
        name
        for name in result.fields
        if name not in _IN_JSON
        and (name != "repository" or any(row[name] for row in rows))
    ]
    console.emit(rows, settings.format, columns, result=result)
