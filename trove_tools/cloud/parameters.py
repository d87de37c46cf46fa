# SPDX-License-Identifier: Apache-2.0
"""Loads configuration parameters: the database options that users may set.

Trove refuses a configuration group with a parameter that the datastore version
does not have. Trove's source contains the parameters of every manager in
``validation-rules.json``; they must be loaded into the cloud for every
version. Facts of the management API: it accepts integers and strings, although
the rules have other types, too; it requires both bounds of an integer,
although most rules have one or none, and omits a bound of 0 in its answers; a
boolean is sent as 1 or 0.
"""

import collections.abc
import dataclasses
import importlib.metadata
import importlib.util
import pathlib
import typing
import urllib.parse
import zipfile

from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.cloud import connection
from trove_tools.cloud import retry
from trove_tools.host import bounds

AUTO = "auto"
NONE = "none"

_FILE = "validation-rules.json"
_KEY = "configuration-parameter"
_INTEGER = "integer"
_KINDS = (_INTEGER, "string")

#: The value for a missing bound, which the API does not support. Some rules
#: have larger bounds, but Trove's database may not support them.
_LARGEST = 2**63 - 1
_SMALLEST = -_LARGEST


@dataclasses.dataclass(frozen=True)
class Rule:
    """The rule for a parameter.

    :param restart: whether a change requires a restart of the database.
    :param kind: ``integer``, ``string``, ``boolean`` or ``float``.
    :param low: the smallest value of an integer.
    :param high: the largest value of an integer.
    """

    name: str
    restart: bool
    kind: str
    low: int = 0
    high: int = 0

    def body(self) -> dict[str, typing.Any]:
        """Return the body of a request for Trove."""
        body: dict[str, typing.Any] = {
            "name": self.name,
            "restart_required": int(self.restart),
            "data_type": self.kind,
        }
        if self.kind == _INTEGER:
            body |= {"min_size": self.low, "max_size": self.high}
        return {_KEY: body}


def _rule(
    name: str, restart: typing.Any, kind: str, low: typing.Any,
    high: typing.Any,
) -> Rule:  # fmt: skip
    if kind != _INTEGER:
        return Rule(name, bool(restart), kind)
    sizes = (min(int(size or 0), _LARGEST) for size in (low, high))
    return Rule(name, bool(restart), kind, *sizes)


def find(
    source: str, manager: str, series: model.Series
) -> tuple[Rule, ...] | None:
    """Find the parameters of a manager of Trove.

    :param source: ``auto`` for the Trove in this environment, ``none``, or a
        path: of Trove's source, of an installed package or a wheel, or of a
        file of rules.
    :param manager: the name of the manager.
    :param series: the series of Trove.
    :returns: empty if no rules are wanted, or Trove is not installed.
    :raises UsageError: the path contains no such rules.
    """
    if source == NONE:
        return None
    if source == AUTO:
        text = _installed(manager, series)
        return None if text is None else _parse(text, f"Trove's {manager}")
    path = pathlib.Path(source).expanduser()
    text = _from_wheel(path, manager) if path.is_file() else None
    if text is None and path.is_file():
        text = path.read_text()
    for inside in (".", "templates", "trove/templates"):
        file = path / inside / manager / _FILE
        if text is None and file.is_file():
            text = file.read_text()
    if text is None:
        raise errors.UsageError(
            f"there are no rules for the manager {manager} in {path}",
            hint="--parameters takes a source tree, a wheel or the"
            f" installed package of Trove, or a {_FILE}; none loads none",
        )
    return _parse(text, str(path))


def _installed(manager: str, series: model.Series) -> str | None:
    spec = importlib.util.find_spec("trove")
    if spec is None or not spec.submodule_search_locations:
        return None
    try:
        version = importlib.metadata.version("trove")
    except importlib.metadata.PackageNotFoundError:
        return None
    if version.partition(".")[0] != series.trove:
        return None
    package = pathlib.Path(next(iter(spec.submodule_search_locations)))
    file = package / "templates" / manager / _FILE
    return file.read_text() if file.is_file() else None


def _from_wheel(path: pathlib.Path, manager: str) -> str | None:
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as wheel:
        name = f"trove/templates/{manager}/{_FILE}"
        if name not in wheel.namelist():
            return None
        return wheel.read(name).decode()


def _parse(text: str, where: str) -> tuple[Rule, ...]:
    try:
        entries = bounds.decode_json(text)[f"{_KEY}s"]
        return tuple(
            _rule(
                entry["name"], entry["restart_required"], entry["type"],
                entry.get("min", _SMALLEST), entry.get("max", _LARGEST),
            )
            for entry in entries
        )  # fmt: skip
    except (AttributeError, LookupError, TypeError, ValueError) as exc:
        raise errors.UsageError(
            f"{where}: these are not rules for configuration parameters:"
            f" {exc}",
            hint=f"they must look like the {_FILE} of Trove",
        ) from exc


class Parameters:
    """The configuration parameters of datastore versions.

    :param service: Trove.
    """

    def __init__(self, service: connection.Service) -> None:
        self._service = service

    def load(
        self, version_id: str, rules: collections.abc.Iterable[Rule]
    ) -> str:
        """Add parameters to a version; its other parameters stay.

        :param version_id: the version.
        :param rules: the parameters.
        :returns: a summary of the changes.
        """
        rules = list(rules)
        wanted = {rule.name: rule for rule in rules if rule.kind in _KINDS}
        done = {"added": set[str](), "changed": set[str]()}

        def once() -> None:
            # an attempt without an answer may have made the change
            known = self.known(version_id)
            for name, rule in wanted.items():
                if name not in known:
                    done["added"].add(name)
                    self._send("POST", version_id, "", rule)
                elif known[name] != rule:
                    done["changed"].add(name)
                    self._send("PUT", version_id, f"/{_quoted(name)}", rule)
            if any(done.values()) and not self._service.dry:
                retry.confirm(
                    lambda: self.known(version_id),
                    lambda shown: _not_done(shown, wanted),
                    "loading configuration parameters",
                    "Trove",
                )

        retry.attempts(self._service.notify)(once)
        words = [f"{len(v)} {k}" for k, v in done.items() if v]
        words = words or ["unchanged"]
        if left := len(rules) - len(wanted):
            words.append(f"{left} of a kind that Trove's API does not take")
        return ", ".join(words)

    def known(self, version_id: str) -> dict[str, Rule]:
        """Return the parameters of a version, by name."""
        if self._service.dry and version_id.startswith("<"):
            return {}
        answer = self._service.read(
            _path(version_id), "listing configuration parameters"
        )
        return {
            entry["name"]: _rule(
                entry["name"], entry["restart_required"], entry["type"],
                entry.get("min_size"), entry.get("max_size"),
            )
            for entry in answer[f"{_KEY}s"]
        }  # fmt: skip

    def _send(
        self, method: str, version_id: str, path: str, rule: Rule
    ) -> None:
        self._service.call(
            method,
            _path(version_id) + path,
            f"loading the configuration parameter {rule.name}",
            json=rule.body(),
        )


def _not_done(
    known: collections.abc.Mapping[str, Rule],
    wanted: collections.abc.Mapping[str, Rule],
) -> str | None:
    """Return a message about missing parameters, if any."""
    missing = [n for n, rule in wanted.items() if known.get(n) != rule]
    return f"{', '.join(missing)} is missing or differs" if missing else None


def _path(version_id: str) -> str:
    return f"/mgmt/datastores/versions/{version_id}/parameters"


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
