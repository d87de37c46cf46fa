# SPDX-License-Identifier: Apache-2.0
"""The facts about an image that the report shows."""

import collections.abc
import datetime
import typing

from trove_tools import console
from trove_tools.artifact import manifest
from trove_tools.artifact import verification
from trove_tools.host import credentials
from trove_tools.inspection import contents

Pairs = list[tuple[str, str]]


def seconds(number: float) -> str:
    """Return a duration in a readable form."""
    if number < 100:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    return f"{minutes} min {rest:02d} s"


def date(text: str) -> str:
    """Return an ISO 8601 time in a readable form; other text is returned
    unchanged."""
    try:
        when = datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return text
    return f"{when:%Y-%m-%d %H:%M} UTC"


def status(record: dict[str, typing.Any] | None) -> dict[str, str]:
    """Return the verification status of the image as one word."""
    if record is None:
        return {"kind": "unknown", "text": "not verified"}
    how = f"{record.get('level')} ({', '.join(record['machines'])})"
    if record.get("ok") is True:
        return {"kind": "good", "text": f"verified: {how}"}
    return {"kind": "bad", "text": f"failed: {how}"}


def numbers(
    made: manifest.Manifest, found: contents.Contents | None
) -> list[tuple[str, str, str]]:
    """Return the most important numbers, each with name, value and note."""
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
    return shown


def checks(
    record: dict[str, typing.Any] | None,
) -> dict[str, typing.Any] | None:
    """Return the results of verify; empty if the image was not verified."""
    if record is None:
        return None
    rows = [
        {"detail": "", "log": [], "machine": "", "proves": "", **each,
         "seconds": float(each.get("seconds", 0))}
        for each in record.get("checks", [])
    ]  # fmt: skip
    note = (
        f"level {record.get('level')}, in {' and '.join(record['machines'])}"
    )
    if record.get("accelerator"):
        note += f" (QEMU with {record['accelerator'].upper()})"
    if record.get("seconds"):
        note += f", {seconds(record['seconds'])}"
    for name, why in record["missing"].items():
        note += f"; not checked: {name}, because {why}"
    for name, why in record.get("unsupported", {}).items():
        note += f"; unsupported: {name}, {why}"
    longest = max((each["seconds"] for each in rows), default=0.0)
    return {"note": note, "rows": rows, "longest": longest}


def inputs(made: manifest.Manifest) -> Pairs:
    """Return the inputs of the build with their digests."""
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
         f"{container['digest']} ({container.get('source', '')}"
         + (f", {console.size(container['size'])}"
            if "size" in container else "") + ")")
        for datastore in made.datastores
        for container in datastore.containers
    ]  # fmt: skip
    return _pairs(shown)


def layers(made: manifest.Manifest) -> list[dict[str, typing.Any]]:
    """Return the digest of each layer, and the inputs that it covers."""
    known = {each["digest"]: each for each in made.layers}
    return [
        {
            "name": layer["name"],
            "digest": layer["digest"],
            "note": _note(known.get(layer["digest"], {})),
            "inputs": _pairs(
                [*layer["environment"].items(), *layer["inputs"].items()]
            ),
        }
        for layer in made.plan.get("layers", [])
    ]


def _note(entry: dict[str, typing.Any]) -> str:
    """Return a note about a layer's cache entry."""
    notes = ["from the cache" if entry.get("cached") else "made for this"]
    if entry.get("created"):
        notes.append(f"of {date(entry['created'])}")
    if entry.get("size"):
        notes.append(f"{console.size(entry['size'])} in the cache")
    return ", ".join(notes)


def _pairs(
    shown: collections.abc.Iterable[tuple[str, typing.Any]],
) -> Pairs:
    return [
        (name, credentials.hide(str(value))) for name, value in shown if value
    ]


def record(
    made: manifest.Manifest, image: typing.Any
) -> dict[str, typing.Any] | None:
    """Return the verification record of the image that this manifest
    describes."""
    return verification.load(image, made.image.get("sha256", ""))
