# SPDX-License-Identifier: Apache-2.0
"""The table of what :mod:`benchmark_build` has measured."""

import typing

#: The most of the peer's processor time that each may take, and what it is.
TARGETS = {
    "cold": (0.42, "cold build"),
    "second": (0.12, "second datastore"),
    "three": (0.20, "three datastores, of three peers"),
    "agent": (0.10, "agent changed, clean build"),
    "patch": (0.04, "agent changed, ``--patch``"),
}
#: Seconds, MiB, parts of the peer's or the root's size, and the part of the
#: reference's time on the clock.
NOTHING_SECONDS, MEMORY_MIB, IMAGE_PART, CACHE_PART, WALL_PART = (
    0.3, 200, 0.39, 3.0, 0.55,
)  # fmt: skip

_MET = {True: "yes", False: "no", None: ""}


def report(results: dict[str, typing.Any], stores: list[str]) -> str:
    """Return the table, as reStructuredText."""
    peer, reference = results["peer"], results["reference"]
    rows = []
    for name, (target, title) in TARGETS.items():
        times = len(stores) if name == "three" else 1
        ours, other = results[name]["cpu"], times * peer["cpu"]
        rows.append(
            (title, f"{ours:.0f} s / {other:.0f} s", f"{ours / other:.2f}",
             f"{target}", ours <= target * other)
        )  # fmt: skip
    cold, clock = results["cold"], results["cold"]["seconds"]
    rows.append(("cold build, of the other reference",
                 f"{cold['cpu']:.0f} s / {reference['cpu']:.0f} s",
                 f"{cold['cpu'] / reference['cpu']:.2f}", "",
                 None))  # fmt: skip
    part = clock / reference["seconds"]
    rows.append(("the same, on the clock",
                 f"{clock:.0f} s / {reference['seconds']:.0f} s",
                 f"{part:.2f}", f"{WALL_PART}",
                 part <= WALL_PART))  # fmt: skip
    seconds = results["nothing"]["seconds"]
    rows.append(("no change, on the clock", f"{seconds:.1f} s", "",
                 f"{NOTHING_SECONDS} s",
                 seconds <= NOTHING_SECONDS))  # fmt: skip
    size = cold["size"] / peer["size"]
    rows.append(("size of the image", _sizes(cold["size"], peer["size"]),
                 f"{size:.2f}", f"{IMAGE_PART}",
                 size <= IMAGE_PART))  # fmt: skip
    peak = max(results[name]["peak"] for name in ("cold", "second", "three"))
    rows.append(("peak memory of our process", f"{peak} MiB", "",
                 f"{MEMORY_MIB} MiB", peak <= MEMORY_MIB))  # fmt: skip
    root = results["three"]["root"]
    kept = results["cache"]["layers"] + results["cache"]["downloads"]
    part = kept / root
    rows.append(("cache after three datastores", _sizes(kept, root),
                 f"{part:.2f}", f"{CACHE_PART}",
                 part <= CACHE_PART))  # fmt: skip
    lines = [
        f"{results['machine']['date']}: {results['machine']['text']}.",
        f"Datastores: {', '.join(stores)}.",
        "",
        _table(
            ("What", "Ours / peer", "Ratio", "Target", "Met"),
            [(*row[:4], _MET[row[4]]) for row in rows],
        ),
        "",
        "Where the time goes:",
        "",
        _table(("Build", "Step", "Seconds"), list(_steps(results))),
    ]
    return "\n".join(lines)


def _sizes(ours: int, other: int) -> str:
    return f"{ours / 1024**2:.0f} MiB / {other / 1024**2:.0f} MiB"


def _steps(
    results: dict[str, typing.Any],
) -> typing.Iterator[tuple[str, str, str]]:
    for name, (_, title) in TARGETS.items():
        for span in results[name]["timeline"]:
            if span.get("cached"):
                yield title, f"{span['name']}: from the cache", "0"
                continue
            parts = sorted(
                span["spans"], key=lambda each: -float(each["seconds"])
            )
            most = ", ".join(
                f"{each['name']} {each['seconds']:.0f}"
                for each in parts[:4]
                if each["seconds"] >= 1
            )
            text = f"{span['name']}: {most}" if most else span["name"]
            yield title, text, f"{span['seconds']:.0f}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    widths = [
        max(len(row[column]) for row in [head, *rows])
        for column in range(len(head))
    ]
    rule = "  ".join("=" * width for width in widths)

    def line(row: tuple[str, ...]) -> str:
        cells = (
            (cell or "\\").ljust(width)
            for cell, width in zip(row, widths, strict=True)
        )
        return "  ".join(cells).rstrip()

    return "\n".join([rule, line(head), rule, *map(line, rows), rule])
