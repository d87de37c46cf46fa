# SPDX-License-Identifier: Apache-2.0
"""Raises the quotas of the project that Trove creates instances in.

A limit is never lowered, because an administrator may have raised it on
purpose.
"""

import collections.abc
import dataclasses

from trove_tools import errors
from trove_tools.cloud import connection


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A service that has quotas.

    :param title: its name, for messages.
    :param kind: its type in the catalog.
    :param path: the path of a project's quotas.
    :param key: the key in requests and answers.
    :param names: the supported limits.
    """

    title: str
    kind: str
    path: str
    key: str
    names: tuple[str, ...]


_KINDS = (
    _Kind("Nova", "compute", "/os-quota-sets/{}", "quota_set",
          ("instances", "cores", "ram")),
    _Kind("Cinder", "block-storage", "/os-quota-sets/{}", "quota_set",
          ("volumes", "gigabytes", "snapshots", "backups",
           "backup_gigabytes")),
    _Kind("Neutron", "network", "/quotas/{}", "quota",
          ("network", "subnet", "port", "router", "floatingip",
           "security_group", "security_group_rule")),
)  # fmt: skip

_UNLIMITED = -1

Limits = collections.abc.Mapping[str, int]


def parse(words: collections.abc.Iterable[str]) -> dict[str, int]:
    """Parse limits from ``NAME=NUMBER`` words.

    :raises UsageError: a word has another form, or the limit does not exist.
    """
    known = [name for kind in _KINDS for name in kind.names]
    limits = {}
    for word in words:
        name, _, number = word.partition("=")
        if name not in known:
            raise errors.UsageError(
                f"--quota {word}: there is no quota {name!r}",
                hint=errors.nearest(name, known, "quotas"),
            )
        try:
            limits[name] = int(number)
        except ValueError as exc:
            raise errors.UsageError(
                f"--quota {word}: {number!r} is not a number",
                hint="for example: --quota instances=30",
            ) from exc
    return limits


def ensure(
    login: connection.Login, project: str, limits: Limits
) -> dict[str, int]:
    """Raise the limits of a project.

    Services that the cloud does not have are skipped.

    :param project: the project's id.
    :returns: the limits that were raised.
    :raises CloudError: a service refused.
    """
    raised: dict[str, int] = {}
    for kind in _KINDS:
        wanted = {name: limits[name] for name in kind.names if name in limits}
        if not wanted or not login.has(kind.kind):
            continue
        service = login.service(kind.title, kind.kind)
        path = kind.path.format(project)
        answer = service.read(path, "reading quotas")
        higher = _higher(answer[kind.key], wanted)
        if higher:
            service.call(
                "PUT", path, "raising quotas", json={kind.key: higher}
            )
        raised |= higher
    return raised


def _higher(current: Limits, wanted: Limits) -> dict[str, int]:
    return {
        name: limit
        for name, limit in wanted.items()
        if current[name] != _UNLIMITED
        and (limit == _UNLIMITED or current[name] < limit)
    }
