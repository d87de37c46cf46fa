# SPDX-License-Identifier: Apache-2.0
"""The files of zuul.d that are made of the catalog and the rules.

The texts are written out line by line, rather than dumped, because people
read them: each list of files says why, and appears once.
"""

import collections.abc
import json
import pathlib

from gate import guests
from gate import rules
from gate import selection
from trove_tools.catalog import model
from trove_tools.catalog import native

#: Where they are, below the tree's top.
DIRECTORY = "zuul.d"

_HEAD = """\
# Made by `tools/gate-jobs --write` from the catalog, the elements and
# tools/lib/gate/rules.yaml.  Change those; a test fails while this is old.
---
"""

_TEMPLATES = (
    "check-requirements",
    "openstack-cover-jobs",
    "publish-openstack-docs-pti",
    "release-notes-jobs-python3",
)

_SWIFT = ("s-account", "s-container", "s-object", "s-proxy")

#: The modules of trove-tempest-plugin's tests.
_TESTS = {
    "basic": "test_instance_basic",
    "backup": "test_backup",
    "replication": "test_replication",
}

# jobs with a secret run for merged code only; only this playbook gets it
_SHARE = (
    "secrets:",
    "  - name: trove_image_registry",
    "    secret: trove-tools-registry",
    "post-run: playbooks/image/share.yaml",
)

Lines = list[str]


def files(catalog: model.Catalog) -> dict[str, str]:
    """Return the content of each file, by its name in ``zuul.d``."""
    return {
        "images.yaml": _file(
            *map(_image, guests.images(catalog)),
            *map(_published, published(catalog)),
            *map(_shared, guests.images(catalog)),
        ),
        "scenarios.yaml": _file(
            *map(_scenario, guests.scenarios(catalog)),
            *(_cross(catalog, name) for name in catalog.series.previous),
        ),
        "projects.yaml": _file(_project(catalog)),
    }


def write(catalog: model.Catalog, top: pathlib.Path) -> list[str]:
    """Bring the files of a tree up to date.

    :returns: the names of those that were changed.
    """
    changed = []
    for name, text in files(catalog).items():
        file = top / DIRECTORY / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            changed.append(f"{DIRECTORY}/{name}")
    return changed


def published(catalog: model.Catalog) -> list[guests.Guest]:
    """Return the images that are published.

    Those that Trove starts, in the guest system that is supported, one for
    each datastore.
    """
    found: dict[str, guests.Guest] = {}
    for image in guests.images(catalog):
        store = image.datastore
        if store.tier == image.system.tier == "supported":
            found.setdefault(store.name, image)
    return list(found.values())


def publishing(image: guests.Guest) -> str:
    """Return the name of the job that publishes an image."""
    return image.name.replace("-image-", "-publish-", 1)


def sharing(image: guests.Guest) -> str:
    """Return the name of the job that writes an image's layers."""
    return image.name.replace("-image-", "-share-", 1)


def _file(*stanzas: Lines) -> str:
    return _HEAD + "\n".join("\n".join(lines) + "\n" for lines in stanzas)


def _job(name: str, parent: str, description: str, *further: str) -> Lines:
    return [
        "- job:",
        f"    name: {name}",
        f"    parent: {parent}",
        "    description: >-",
        f"      {description}",
        *(f"    {line}" for line in further),
    ]


def _build(image: guests.Guest) -> Lines:
    """Return what the role is told."""
    store = image.datastore
    lines = [
        f"nodeset: trove-tools-{image.system.distribution}",
        "vars:",
        f"  trove_image_datastore: {store.name}:{image.version}",
        f"  trove_image_runtime: {image.runtime}",
        f"  trove_image_guest: {image.system.name}",
    ]
    if image.kind == native.FILE:
        lines.append("  trove_image_stand_in: true")
    return lines


def _image(image: guests.Guest) -> Lines:
    what = f"{image.datastore.title} {image.version} ({image.runtime})"
    if image.kind == native.FILE:
        what += ", from a stand-in of the vendor's package,"
    return _job(
        image.name, "trove-tools-image",
        f"Build an image of {what} for {image.system.name}, boot and ask it.",
        *_build(image),
    )  # fmt: skip


def _published(image: guests.Guest) -> Lines:
    return _job(
        publishing(image), "trove-tools-publish",
        f"Publish an image of {image.datastore.title} {image.version} for"
        f" {image.system.name}.",
        *_SHARE, *_build(image),
    )  # fmt: skip


def _shared(image: guests.Guest) -> Lines:
    return _job(
        sharing(image), image.name,
        f"The same as {image.name}, whose layers a registry gets.", *_SHARE,
    )  # fmt: skip


def _scenario(job: guests.Guest) -> Lines:
    swift = job.kind != "basic"
    return _job(
        job.name, "trove-tools-scenario",
        f"Trove's {job.kind} tests with {job.datastore.title}.",
        "vars:",
        "  devstack_localrc:",
        f"    TROVE_GUEST_DATASTORES: {job.datastore.name}:{job.version}",
        "  devstack_services:",
        *(f"    {name}: {str(swift).lower()}" for name in _SWIFT),
        "  tempest_test_regex: "
        rf"^trove_tempest_plugin\.tests\.scenario\.{_TESTS[job.kind]}",
    )  # fmt: skip


def _cross(catalog: model.Catalog, series: str) -> Lines:
    """Return the job with guests of a series before this one.

    Clouds are upgraded before their guests.
    """
    basic = guests.representatives(guests.scenarios(catalog))["basic"]
    trove = "src/opendev.org/openstack/trove"
    return _job(
        selection.cross_series(series), basic.name,
        f"Guests with Trove {series} in a cloud with Trove"
        f" {catalog.series.name}, as in an upgrade.",
        "vars:",
        "  devstack_localrc:",
        "    TROVE_GUEST_AGENT: >-",
        f"      git+file://{{{{ ansible_user_dir }}}}/{trove}@stable/{series}",
        "    TROVE_GUEST_CONSTRAINTS: >-",
        f"      https://releases.openstack.org/constraints/upper/{series}",
    )  # fmt: skip


def _project(catalog: model.Catalog) -> Lines:
    listed = _Lists()
    images = guests.images(catalog)
    lines = [
        "- project:", "    queue: trove", "    templates:",
        *(f"      - {name}" for name in _TEMPLATES),
    ]  # fmt: skip
    for pipeline in selection.PIPELINES:
        lines += [f"    {pipeline}:", "      jobs:"]
        for job in selection.jobs(catalog, pipeline):
            lines += listed.job(job, pipeline)
    # daily, on what the mirrors have that day
    lines += ["    periodic:", "      jobs:"]
    lines += [f"        - {publishing(each)}" for each in published(catalog)]
    lines += ["    periodic-weekly:", "      jobs:"]
    lines += [f"        - {sharing(each)}" for each in images]
    lines += ["    experimental:", "      jobs:"]
    lines += [f"        - {each.name}" for each in images if not each.voting]
    return lines


class _Lists:
    """Lists of files: the first time as they are, then by their anchor."""

    def __init__(self) -> None:
        self._anchors: dict[tuple[rules.Matcher, ...], str] = {}

    def job(self, job: selection.Job, pipeline: str) -> Lines:
        """Return a job's entry in a pipeline."""
        if not job.matchers and job.voting:
            return [f"        - {job.name}"]
        lines = [f"        - {job.name}:"]
        if not job.voting:
            lines.append("            voting: false")
        known = self._anchors.get(job.matchers)
        if known:
            return [*lines, f"            files: *{known}"]
        anchor = f"{pipeline}-{job.name.removeprefix('trove-tools-')}"
        # a name of YAML has no dots in all parsers
        anchor = anchor.replace(".", "-")
        self._anchors[job.matchers] = anchor
        lines.append(f"            files: &{anchor}")
        for matcher in job.matchers:
            lines += [
                f"              # {matcher.why}",
                f"              - {_scalar(matcher.pattern)}",
            ]
        return lines


def _scalar(text: str) -> str:
    """Return a text as YAML has it."""
    special: collections.abc.Collection[str] = (": ", " #", "'", '"')
    return json.dumps(text) if any(s in text for s in special) else text
