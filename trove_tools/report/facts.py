# SPDX-License-Identifier: Apache-2.0
"""The page's words about an image: what it is, what it was made from."""

import collections.abc
import datetime
import typing

from trove_tools import console
from trove_tools import credentials
from trove_tools import manifest
from trove_tools import verified
from trove_tools.inspection import contents
from trove_tools.report import template


def seconds(number: float) -> str:
    """Return a duration as people read it."""
    if number < 100:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    return f"{minutes} min {rest:02d} s"


def date(text: str) -> str:
    """Return a time of ISO 8601 as people read it; other text as it is."""
    try:
        when = datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return text
    return f"{when:%Y-%m-%d %H:%M} UTC"


def status(record: dict[str, typing.Any] | None) -> template.Html:
    """Return in a word whether the image was verified."""
    if record is None:
        return template.part("status", kind="unknown", text="not verified")
    level, tier = record.get("level"), record.get("tier", "vm")
    if record.get("ok") is True:
        text = f"verified: {level} ({tier})"
        return template.part("status", kind="good", text=text)
    text = f"failed: {level} ({tier})"
    return template.part("status", kind="bad", text=text)


def tiles(
    made: manifest.Manifest, found: contents.Contents | None
) -> template.Html:
    """Return the numbers that matter most."""
    shown = [("image file", console.size(made.image["size"]),
              made.image["format"])]  # fmt: skip
    if found is not None:
        shown += [
            ("in the image", console.size(found.directories["/"]),
             "on a disk of "
             + console.size(made.image.get("virtual_size", 0))),
            ("packages", str(len(found.packages)),
             f"and {len(found.python)} of the agent"),
        ]  # fmt: skip
    shown.append(("guest agent", made.agent.get("version", ""),
                  f"Trove, from {made.agent.get('source', '')}"))  # fmt: skip
    if made.timeline:
        last = made.timeline[-1]
        layers = [each for each in made.timeline if each["kind"] == "layer"]
        cached = sum(bool(each.get("cached")) for each in layers)
        shown.append(
            ("build", seconds(last["begin"] + last["seconds"]),
             f"{cached} of {len(layers)} layers from the cache" if layers
             else "nothing from a cache")
        )  # fmt: skip
    return template.parts(
        "fact",
        (
            {"name": name, "value": value, "note": note}
            for name, value, note in shown
        ),
    )


def datastores(made: manifest.Manifest) -> template.Html:
    """Return a row for each datastore that the image serves."""
    return template.parts(
        "datastore",
        (
            {
                "name": each.name,
                "version": each.version,
                "installed": each.installed,
                "runtime": each.runtime,
                "manager": each.manager or "none in this series",
                "ram": each.min_ram,
                "disk": each.min_disk,
            }
            for each in made.datastores
        ),
    )


def checks(record: dict[str, typing.Any] | None) -> template.Html:
    """Return what verify found, or that nobody has asked it."""
    if record is None:
        return template.part("not-verified")
    found = record.get("checks", [])
    longest = max((_took(each) for each in found), default=0) or 1
    rows = template.parts(
        "check",
        (
            {
                "kind": "good" if each["ok"] else "bad",
                "result": "ok" if each["ok"] else "failed",
                "name": each["name"],
                "detail": each.get("detail") or "",
                "log": template.part("log", text="\n".join(each["log"]))
                if each.get("log") else "",
                "seconds": seconds(_took(each)),
                "share": f"{100 * _took(each) / longest:.2f}",
            }
            for each in found
        ),
    )  # fmt: skip
    note = f"level {record.get('level')}, in " + (
        "a virtual machine" if record.get("tier", "vm") == "vm"
        else "namespaces of the host"
    )  # fmt: skip
    if record.get("accelerator"):
        note += f" ({record['accelerator'].upper()})"
    if record.get("seconds"):
        note += f", {seconds(record['seconds'])}"
    if record.get("unchecked"):
        note += f"; not checked: {record['unchecked']}"
    return template.part("checks", note=note, rows=rows)


def _took(check: dict[str, typing.Any]) -> float:
    """Return the seconds that a check of a record took."""
    return float(check.get("seconds", 0))


def inputs(made: manifest.Manifest) -> template.Html:
    """Return what the image was made from, and the digests of it all."""
    agent = made.agent
    shown: list[tuple[str, str]] = [
        ("image, sha256", made.image.get("sha256", "")),
        ("image, sha512", made.image.get("sha512", "")),
        ("plan", made.plan_digest),
        ("build", made.build_id),
    ]
    shown += list(made.tools.items())
    shown.append(
        ("guest agent", " ".join(
            str(each) for each in (
                agent.get("url") or agent.get("source"), agent.get("ref"),
                agent.get("commit"), agent.get("version"),
            ) if each
        ) + (", with changes not committed" if agent.get("dirty") else ""))
    )  # fmt: skip
    shown += [
        (f"container {container['names'][0]}",
         f"{container['digest']} ({container.get('source', '')})")
        for datastore in made.datastores
        for container in datastore.containers
    ]  # fmt: skip
    return template.part(
        "inputs",
        inputs=_pairs(shown),
        layers=template.join(_layer(each, made) for each in _layers(made)),
    )


def _layers(made: manifest.Manifest) -> list[dict[str, typing.Any]]:
    found: list[dict[str, typing.Any]] = made.plan.get("layers", [])
    return found


def _layer(
    layer: dict[str, typing.Any], made: manifest.Manifest
) -> template.Html:
    """Return one layer's digest, and what that is the digest of."""
    known = {each["digest"]: each for each in made.layers}
    report = known.get(layer["digest"], {})
    notes = ["from the cache" if report.get("cached") else "made for this"]
    if report.get("created"):
        notes.append(f"of {date(report['created'])}")
    if report.get("size"):
        notes.append(f"{console.size(report['size'])} in the cache")
    return template.part(
        "layer",
        name=layer["name"],
        digest=layer["digest"],
        note=", ".join(notes),
        inputs=_pairs(
            (name, str(value))
            for name, value in (
                *layer["environment"].items(), *layer["inputs"].items()
            )
        ),
    )  # fmt: skip


def _pairs(
    shown: collections.abc.Iterable[tuple[str, str]],
) -> template.Html:
    return template.parts(
        "input",
        (
            {"name": name, "value": credentials.hide(value)}
            for name, value in shown
            if value
        ),
    )


def record(
    made: manifest.Manifest, image: typing.Any
) -> dict[str, typing.Any] | None:
    """Return what verify has written about the image of this manifest."""
    return verified.load(image, made.image.get("sha256", ""))
