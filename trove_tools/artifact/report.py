# SPDX-License-Identifier: Apache-2.0
"""Writes the report about an image: ``NAME.d/report.html``.

The report is one self-contained file, rendered from the files beside the
image with the template ``report.html`` and the style sheet ``report.css``.
"""

import collections.abc
import datetime
import os
import pathlib
import typing

from trove_tools import console
from trove_tools.artifact import charts
from trove_tools.artifact import manifest
from trove_tools.artifact import sbom
from trove_tools.artifact import verification
from trove_tools.host import credentials
from trove_tools.host import files
from trove_tools.host import trust
from trove_tools.inspection import contents

_DIRECTORY = pathlib.Path(__file__).parent
Pairs = list[tuple[str, str]]


def path(image: pathlib.Path) -> pathlib.Path:
    """Return the path of an image's report."""
    return manifest.sidecar(image) / "report.html"


def write(image: pathlib.Path) -> pathlib.Path | None:
    """Write the report of an image, from the files beside it.

    :returns: its path; None if the image has no manifest, or if this user may
        not write there.
    :raises ImageError: one of those files is damaged.
    """
    made = manifest.read(image)
    file = path(image)
    writable = trust.is_own(file.parent) and os.access(file.parent, os.W_OK)
    if made is None or not writable:
        return None
    files.write_file(file, render(image, made))
    return file


def render(image: pathlib.Path, made: manifest.Manifest) -> str:
    """Return the HTML text of an image's report."""
    # imported here because only builds and verify write a report
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_DIRECTORY),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "seconds": format_seconds,
        "share": _share,
        "size": console.size,
    }
    style = (_DIRECTORY / "report.css").read_text()
    found = sbom.read_stated(image, made)
    record = verification.read(image, made.image.get("sha256", ""))
    guest = made.guest
    return environment.get_template("report.html").render(
        style=environment.filters["safe"](style),
        name=manifest.sidecar(pathlib.Path(made.image["file"])).stem,
        status=describe_status(record),
        about=f"Guest image for OpenStack Trove {made.series['name']}: "
        f"{guest['distribution'].capitalize()} {guest['version']}"
        f" {guest.get('arch', '')}, built {format_date(made.created)}",
        dev=made.dev,
        facts=list_numbers(made, found),
        datastores=made.datastores,
        checks=list_checks(record),
        timeline=charts.build_timeline(made.timeline),
        sizes=_sizes(found),
        inputs=list_inputs(made),
        layers=list_layers(made),
    )


def _sizes(found: contents.Contents | None) -> dict[str, typing.Any] | None:
    if found is None:
        return None
    total = found.directories["/"]
    packages = charts.package_bars(found)
    return {
        "kinds": charts.KINDS,
        "total": total,
        "least": round(charts.LEAST_SHARE * total),
        "directories": charts.directory_bars(found),
        "packages": packages[: charts.MOST_PACKAGES],
        "smaller": max(0, len(packages) - charts.MOST_PACKAGES),
    }


def _share(part: float, whole: float) -> str:
    """Return a fraction as a percentage for CSS."""
    return f"{100 * part / whole if whole else 0:.3f}"


def format_seconds(number: float) -> str:
    """Return a duration in a readable form."""
    if number < 100:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    return f"{minutes} min {rest:02d} s"


def format_date(text: str) -> str:
    """Return an ISO 8601 time in a readable form.

    Other text is returned unchanged.
    """
    try:
        when = datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return text
    return f"{when:%Y-%m-%d %H:%M} UTC"


def describe_status(record: verification.Record | None) -> dict[str, str]:
    """Return the verification status of the image as one word."""
    if record is None:
        return {"kind": "unknown", "text": "not verified"}
    if record.ok:
        return {"kind": "good", "text": f"verified: {record.how}"}
    return {"kind": "bad", "text": f"failed: {record.how}"}


def list_numbers(
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
            ("build", format_seconds(last["begin"] + last["seconds"]),
             f"{cached} of {len(layers)} layers from the cache" if layers
             else "nothing from a cache")
        )  # fmt: skip
    return shown


def list_checks(
    record: verification.Record | None,
) -> dict[str, typing.Any] | None:
    """Return the results of verify; empty if the image was not verified."""
    if record is None:
        return None
    note = f"level {record.level}, in {' and '.join(record.machines)}"
    if record.accelerator:
        note += f" (QEMU with {record.accelerator.upper()})"
    if record.seconds:
        note += f", {format_seconds(record.seconds)}"
    for name, why in record.missing.items():
        note += f"; not checked: {name}, because {why}"
    for name, why in record.unsupported.items():
        note += f"; unsupported: {name}, {why}"
    longest = max((each.seconds for each in record.checks), default=0.0)
    return {"note": note, "rows": record.checks, "longest": longest}


def list_inputs(made: manifest.Manifest) -> Pairs:
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
        (f"container {container.names[0]}",
         f"{container.digest} ({container.source}"
         + (f", {console.size(container.size)}" if container.size else "")
         + ")")
        for datastore in made.datastores
        for container in datastore.containers
    ]  # fmt: skip
    return _pairs(shown)


def list_layers(made: manifest.Manifest) -> list[dict[str, typing.Any]]:
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
        notes.append(f"of {format_date(entry['created'])}")
    if entry.get("size"):
        notes.append(f"{console.size(entry['size'])} in the cache")
    return ", ".join(notes)


def _pairs(
    shown: collections.abc.Iterable[tuple[str, typing.Any]],
) -> Pairs:
    return [
        (name, credentials.hide(str(value))) for name, value in shown if value
    ]
