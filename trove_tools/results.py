# SPDX-License-Identifier: Apache-2.0
"""Defines the shell variables that represent the results of commands.

``--format shell`` prints them as ``NAME='value'`` lines for ``eval``. A name
begins with a prefix of its command, so that it never replaces a variable of
bash, of the environment or of another command's result. All names are always
printed; a value that does not apply is empty.
"""

import collections.abc
import dataclasses
import json
import shlex
import typing

Row = collections.abc.Mapping[str, typing.Any]


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a command.

    :param prefix: the prefix of its variables' names.
    :param fields: the keys of one entry, as in JSON.
    :param many: there may be several entries: ``PREFIX_COUNT`` is their
        number, and ``PREFIX_0_FIELD`` is a field of the first entry.
    """

    prefix: str
    fields: tuple[str, ...]
    many: bool = False

    def names(self) -> list[str]:
        """Return the variables' names, with N for the number of an entry."""
        if not self.many:
            return [self._name(field) for field in self.fields]
        names = [self._name(field, "N_") for field in self.fields]
        return [f"{self.prefix}_COUNT", *names]

    def variables(
        self, data: Row | collections.abc.Sequence[Row]
    ) -> collections.abc.Iterator[tuple[str, str]]:
        """Yield the names and the values of the variables.

        :param data: one entry, or a list of entries if ``many`` is set.
        """
        rows = [data] if isinstance(data, collections.abc.Mapping) else data
        if self.many:
            yield f"{self.prefix}_COUNT", str(len(rows))
        for number, row in enumerate(rows):
            for field in self.fields:
                name = self._name(field, f"{number}_" if self.many else "")
                yield name, _text(row.get(field))

    def _name(self, field: str, number: str = "") -> str:
        return f"{self.prefix}_{number}{field.upper()}"


_LAYER = (
    "layer", "digest", "size", "created", "used", "stale", "repository",
    "origin", "signed_by", "unsigned", "elements",
)  # fmt: skip
_VERSION = (
    "datastore", "version", "version_id", "active", "default", "image",
    "image_id",
)  # fmt: skip
_INSTANCE = (
    "datastore", "version", "instance", "name", "project_id", "replica",
    "status", "health",
)  # fmt: skip
_FINDING = ("check", "ok", "found", "remedy")

BUILD = Result(
    "BUILT",
    ("image", "guest", "result", "error", "verified", "built", "size",
     "sha256", "seconds", "log", "manifest", "report", "signed_by",
     "fetched_from"),
    many=True,
)  # fmt: skip
VERIFY = Result(
    "VERIFIED",
    ("image", "ok", "level", "machines", "accelerator", "missing",
     "unsupported", "seconds", "build_id", "sha256", "checks", "facts",
     "console", "logs", "asked", "report_version"),
)  # fmt: skip
PUSH = Result(
    "PUSHED", ("image", "repository", "tags", "digest", "size", "signed")
)
INSPECT = Result(
    "INSPECTED",
    ("image", "safe", "findings", "allowed", "datastores", "agent", "system",
     "packages", "python", "containers", "directories", "configuration"),
)  # fmt: skip
DIFF = Result("COMPARED", ("old", "new", "source", "same", "differences"))
OUTDATED = Result(
    "OUTDATED",
    ("image", "outdated", "security", "other", "packages", "created",
     "sha256", "updates", "unknown", "notes", "error"),
    many=True,
)  # fmt: skip
LIST = Result(
    "LISTED",
    ("datastore", "version", "default", "runtime", "guest_systems", "tier",
     "manager", "from", "gate"),
    many=True,
)  # fmt: skip
SHOW = Result(
    "SHOWN",
    ("name", "title", "summary", "tier", "manager", "default_version",
     "ports", "min_ram", "min_disk", "versions", "runtimes", "scenarios",
     "licence", "series", "gate"),
)  # fmt: skip
PLAN = Result(
    "PLANNED",
    ("name", "file", "digest", "datastores", "guest", "series", "agent",
     "layers", "elements_path", "output", "dev", "local_manifests", "guest_ca",
     "unattended_upgrades", "allow", "unread", "reasons", "image_in",
     "layers_in", "seconds", "needs"),
    many=True,
)  # fmt: skip
CACHE = {
    "list": Result("CACHED", _LAYER, many=True),
    "prune": Result("PRUNED", _LAYER, many=True),
    "verify": Result("DAMAGED", ("digest",), many=True),
    "push": Result("SHARED", _LAYER, many=True),
    "pull": Result("PULLED", _LAYER, many=True),
}
DOCTOR = Result("DOCTOR", _FINDING, many=True)
BACKUP = Result("ARCHIVED", ("archive", "image", "size", "digest", "trove"))
LOAD = Result(
    "LOADED",
    (*_VERSION, "manager", "registration", "parameters", "live",
     "image_before", "undo", "upload", "pinned", "size", "sha256",
     "verified"),
    many=True,
)  # fmt: skip
ACTIVATE = Result("ACTIVATED", (*_VERSION, "changed", "instead_of"))
REGISTERED = Result(
    "REGISTERED",
    (*_VERSION, "pinned", "created", "age", "agent_version", "previous",
     "previous_id", "previous_age", "images", "instances",
     "instances_behind", "instances_by_image"),
    many=True,
)  # fmt: skip
INSTANCES = Result(
    "INSTANCE", (*_INSTANCE, "image", "image_id", "obstacle"), many=True
)
REBUILT = Result(
    "REBUILT",
    (*_INSTANCE, "image_before", "image_id", "result", "seconds", "reason"),
    many=True,
)
CALLS = Result("CALL", ("service", "method", "url", "body"), many=True)
PREPARE = Result("PREPARED", ("flavors", "raised", "checks"))
CHECK = Result("CHECKED", _FINDING, many=True)
SERVICES = Result("SERVICE", ("name", "state", "url", "pid", "log"), many=True)
JOBS = Result("JOB", ("job", "voting", "because"), many=True)


def _text(value: typing.Any) -> str:
    """Return a value as the text of a shell variable.

    A list of words is quoted for a shell, a list of mappings and a mapping are
    JSON, and None is empty.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, collections.abc.Mapping):
        return json.dumps(value, default=str)
    if isinstance(value, list | tuple):
        plain = all(isinstance(each, str | int | float) for each in value)
        if plain:
            return shlex.join(map(str, value))
        return json.dumps(value, default=str)
    # a shell variable cannot contain a null character
    return str(value).replace("\0", "")
