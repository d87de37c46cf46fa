# SPDX-License-Identifier: Apache-2.0
"""Writes the report about an image: ``NAME.d/report.html``.

The report is one self-contained file, rendered from the files beside the
image with the template ``report.html`` and the style sheet ``report.css``.
Its charts are bars of sizes, and the build's timeline.
"""

import collections.abc
import dataclasses
import datetime
import os
import pathlib
import typing

from trove_tools import console
from trove_tools.artifact import manifest
from trove_tools.artifact import sbom
from trove_tools.artifact import verification
from trove_tools.host import credentials
from trove_tools.host import files
from trove_tools.host import trust
from trove_tools.inspection import contents
from trove_tools.inspection import package

#: A directory with a smaller share of the whole is not shown.
LEAST_SHARE = 0.01
#: How many packages are shown.
MOST_PACKAGES = 30
#: The kinds of content, which decide the colour of a bar.
KINDS = {
    "system": "guest system",
    "agent": "guest agent",
    "container": "containers",
}
_AGENT = f"/{package.AGENT_VENV}"
_STORE = "/var/lib/docker"
#: The number of slowest hooks to show.
_SLOWEST = 8
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)

Span = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True)
class Bar:
    """A row of the bar chart.

    :param name: the name; for a directory, relative to its parent's row.
    :param kind: one of :data:`KINDS`.
    :param size: bytes.
    :param depth: the nesting depth of the row.
    """

    name: str
    kind: str
    size: int
    depth: int = 0


def directory_bars(image: contents.Contents) -> list[Bar]:
    """Return the largest directories, as a tree.

    Every directory is followed by its subdirectories, the largest first. The
    image store is shown by containers, because the names of its directories
    have no meaning.
    """
    total = image.directories.get("/", 0)
    sizes = {
        path: size
        for path, size in image.directories.items()
        if size >= LEAST_SHARE * total
        and path != "/"
        and not path.startswith(f"{_STORE}/")
    }
    shown = [path for path in sizes if not _is_passed(path, sizes)]
    return list(_bars_below("", shown, sizes, image, 0))


def _is_passed(path: str, sizes: collections.abc.Mapping[str, int]) -> bool:
    """Return whether one subdirectory contains nearly all of a directory."""
    return path not in (_STORE, _AGENT) and any(
        inner.startswith(f"{path}/") and size > 0.95 * sizes[path]
        for inner, size in sizes.items()
    )


def _bars_below(
    parent: str,
    shown: collections.abc.Sequence[str],
    sizes: collections.abc.Mapping[str, int],
    image: contents.Contents,
    depth: int,
) -> collections.abc.Iterator[Bar]:
    inside = [path for path in shown if path.startswith(f"{parent}/")]
    # only the topmost of these directories
    children = [
        path
        for path in inside
        if not any(path.startswith(f"{other}/") for other in inside)
    ]
    for path in sorted(children, key=lambda path: -sizes[path]):
        name = path.removeprefix(f"{parent}/") if parent else path
        yield Bar(name, _kind(path), sizes[path], depth)
        if path == _STORE:
            for container in sorted(image.containers, key=lambda c: -c.size):
                yield Bar(
                    container.names[0], "container", container.size, depth + 1
                )
        yield from _bars_below(path, shown, sizes, image, depth + 1)


def _kind(path: str) -> str:
    if path == _STORE:
        return "container"
    return "agent" if f"{path}/".startswith(f"{_AGENT}/") else "system"


def package_bars(image: contents.Contents) -> list[Bar]:
    """Return the packages whose size is known, the largest first."""
    bars = [
        Bar(f"{package.name} {package.version}", kind, package.size)
        for kind, packages in (
            ("system", image.packages),
            ("agent", image.python),
            *(("container", c.packages) for c in image.containers),
        )
        for package in packages
        if package.size
    ]
    return sorted(bars, key=lambda bar: (-bar.size, bar.name))


@dataclasses.dataclass(frozen=True)
class Timeline:
    """The timeline of a build.

    :param rows: the spans of the manifest.
    :param end: the duration of the build in seconds.
    :param ticks: the ticks of the axis: seconds and label.
    :param slowest: the slowest hooks with their seconds.
    """

    rows: tuple[Span, ...]
    end: float
    ticks: list[tuple[int, str]]
    slowest: list[tuple[str, float]]


def build_timeline(spans: collections.abc.Iterable[Span]) -> Timeline:
    """Return the timeline of a build."""
    rows = tuple(spans)
    ends = (row["begin"] + row["seconds"] for row in rows)
    end = max(ends, default=0.0) or 1.0
    slowest = sorted(_hooks(rows), key=lambda each: -each[1])[:_SLOWEST]
    return Timeline(rows, end, list(_ticks(end)), slowest)


def _ticks(end: float) -> collections.abc.Iterator[tuple[int, str]]:
    step = next((step for step in _STEPS if end / step <= 8), _STEPS[-1])
    for at in range(0, int(end) + 1, step):
        # the label of a tick at the end would be outside of the axis
        if at / end < 0.97:
            yield at, f"{at // 60}:{at % 60:02d}"


def _hooks(
    spans: collections.abc.Iterable[Span], where: str = ""
) -> collections.abc.Iterator[tuple[str, float]]:
    """Yield the hooks of all layers, each with the layer's name."""
    between = {"layer": ": ", "phase": ".d/"}
    for span in spans:
        name = where + span["name"]
        if span["kind"] == "hook":
            yield name, span["seconds"]
        inside = name + between.get(span["kind"], " ")
        yield from _hooks(span.get("spans") or (), inside)


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
    image_manifest = manifest.read(image)
    file = path(image)
    writable = trust.is_own(file.parent) and os.access(file.parent, os.W_OK)
    if image_manifest is None or not writable:
        return None
    files.write_file(file, render(image, image_manifest))
    return file


def render(image: pathlib.Path, image_manifest: manifest.Manifest) -> str:
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
    described = sbom.read_stated(image, image_manifest)
    record = verification.read(image, image_manifest.image.sha256)
    guest = image_manifest.guest
    return environment.get_template("report.html").render(
        style=environment.filters["safe"](style),
        name=manifest.sidecar(pathlib.Path(image_manifest.image.file)).stem,
        status=describe_status(record),
        about="Guest image for OpenStack Trove"
        f" {image_manifest.series['name']}:"
        f" {guest['distribution'].capitalize()} {guest['version']}"
        f" {guest.get('arch', '')}, built"
        f" {format_date(image_manifest.created)}",
        dev=image_manifest.dev,
        facts=list_numbers(image_manifest, described),
        datastores=image_manifest.datastores,
        checks=list_checks(record),
        timeline=build_timeline(image_manifest.timeline),
        sizes=_sizes(described),
        inputs=list_inputs(image_manifest),
        layers=list_layers(image_manifest),
    )


def _sizes(image: contents.Contents | None) -> dict[str, typing.Any] | None:
    if image is None:
        return None
    total = image.directories["/"]
    packages = package_bars(image)
    return {
        "kinds": KINDS,
        "total": total,
        "least": round(LEAST_SHARE * total),
        "directories": directory_bars(image),
        "packages": packages[: MOST_PACKAGES],
        "smaller": max(0, len(packages) - MOST_PACKAGES),
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
    image_manifest: manifest.Manifest, image: contents.Contents | None
) -> list[tuple[str, str, str]]:
    """Return the most important numbers, each with name, value and note."""
    shown = [("image file", console.size(image_manifest.image.size),
              image_manifest.image.format)]  # fmt: skip
    if image is not None:
        shown += [
            ("in the image", console.size(image.directories["/"]),
             "on a disk of "
             + console.size(image_manifest.image.virtual_size)),
            ("packages", str(len(image.packages)),
             f"and {len(image.python)} of the agent"),
        ]  # fmt: skip
    agent = image_manifest.agent
    shown.append(("guest agent", agent.get("version", ""),
                  f"Trove, from {agent.get('source', '')}"))  # fmt: skip
    if image_manifest.timeline:
        last = image_manifest.timeline[-1]
        layers = [
            span for span in image_manifest.timeline if span["kind"] == "layer"
        ]
        cached = sum(bool(layer.get("cached")) for layer in layers)
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
    longest = max((check.seconds for check in record.checks), default=0.0)
    return {"note": note, "rows": record.checks, "longest": longest}


def list_inputs(image_manifest: manifest.Manifest) -> Pairs:
    """Return the inputs of the build with their digests."""
    agent = image_manifest.agent
    shown: list[tuple[str, str]] = [
        ("image, sha256", image_manifest.image.sha256),
        ("image, sha512", image_manifest.image.sha512),
        ("plan", image_manifest.plan_digest),
        ("build", image_manifest.build_id),
    ]
    shown += list(image_manifest.tools.items())
    shown.append(
        ("guest agent", " ".join(
            str(text) for text in (
                agent.get("url") or agent.get("source"), agent.get("ref"),
                agent.get("commit"), agent.get("version"),
            ) if text
        ) + (", with changes not committed" if agent.get("dirty") else ""))
    )  # fmt: skip
    shown += [
        (f"container {container.names[0]}",
         f"{container.digest} ({container.source}"
         + (f", {console.size(container.size)}" if container.size else "")
         + ")")
        for datastore in image_manifest.datastores
        for container in datastore.containers
    ]  # fmt: skip
    return _pairs(shown)


def list_layers(
    image_manifest: manifest.Manifest,
) -> list[dict[str, typing.Any]]:
    """Return the digest of each layer, and the inputs that it covers."""
    known = {layer.digest: layer for layer in image_manifest.layers}
    unknown = manifest.Layer("", "", cached=False)
    return [
        {
            "name": layer["name"],
            "digest": layer["digest"],
            "note": _note(known.get(layer["digest"], unknown)),
            "inputs": _pairs(
                [*layer["environment"].items(), *layer["inputs"].items()]
            ),
        }
        for layer in image_manifest.plan.get("layers", [])
    ]


def _note(layer: manifest.Layer) -> str:
    """Return a note about a layer's cache entry."""
    notes = ["from the cache" if layer.cached else "made for this"]
    if layer.created:
        notes.append(f"of {format_date(layer.created)}")
    if layer.size:
        notes.append(f"{console.size(layer.size)} in the cache")
    return ", ".join(notes)


def _pairs(
    shown: collections.abc.Iterable[tuple[str, typing.Any]],
) -> Pairs:
    return [
        (name, credentials.hide(str(value))) for name, value in shown if value
    ]
