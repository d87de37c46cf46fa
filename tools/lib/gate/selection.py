# SPDX-License-Identifier: Apache-2.0
"""Which jobs a change runs in which pipeline, and why.

- What is about one datastore runs that datastore's jobs.
- An element runs the jobs of the datastores that ask for it.
- What many images share runs one job of each kind in ``check``, and all
  that share it in ``gate``.
"""

import collections.abc
import dataclasses

from gate import guests
from gate import rules
from trove_tools.catalog import model

CHECK, GATE = "check", "gate"
PIPELINES = (CHECK, GATE)

#: Linters look at everything, so this job runs for every change.
LINT = "openstack-tox-pep8"

#: The jobs of the tree's own tests, by the rules' words.
TESTS = {
    rules.UNIT: ("openstack-tox-py311", "openstack-tox-py313"),
    rules.DOCS: ("openstack-tox-docs",),
    rules.FUNCTIONAL: ("trove-tools-functional",),
    rules.IMAGE_TESTS: ("trove-tools-image-tests",),
}


@dataclasses.dataclass(frozen=True)
class Job:
    """A job in a pipeline.

    :param matchers: the files that make it run; none for any file.
    """

    name: str
    matchers: tuple[rules.Matcher, ...] = ()
    voting: bool = True

    def reason(self, files: collections.abc.Iterable[str]) -> str | None:
        """Return why it runs for some files; nothing when it does not."""
        for file in files:
            if not self.matchers:
                return "runs for every change"
            for matcher in self.matchers:
                if matcher.matches(file):
                    return f"{file}: {matcher.why}"
        return None


def jobs(catalog: model.Catalog, pipeline: str) -> tuple[Job, ...]:
    """Return all jobs of a pipeline."""
    found = [Job(LINT)]
    for word, names in TESTS.items():
        found += [Job(name, rules.of({word})) for name in names]
    for group in (guests.images(catalog), guests.scenarios(catalog)):
        found += _chosen(group, pipeline)
    found += _cross_series(catalog)
    return tuple(found)


def run(
    catalog: model.Catalog,
    pipeline: str,
    files: collections.abc.Sequence[str],
) -> list[tuple[Job, str]]:
    """Return the jobs that a change runs, each with the reason."""
    return [
        (job, why)
        for job in jobs(catalog, pipeline)
        if (why := job.reason(files)) is not None
    ]


def explained(catalog: model.Catalog, file: str) -> bool:
    """Tell whether it is known what a file has to do with the jobs."""
    return rules.covers(file) or len(run(catalog, GATE, [file])) > 1


def _chosen(
    group: collections.abc.Sequence[guests.Guest], pipeline: str
) -> collections.abc.Iterator[Job]:
    representatives = guests.representatives(group)
    shared = _shared(group, representatives)
    for each in group:
        if pipeline == GATE and not each.voting:
            continue
        first = representatives[each.kind] == each
        everything = pipeline == GATE or first
        looked = each.elements if pipeline == GATE else shared[each.name]
        yield Job(
            each.name,
            (
                *each.own(),
                *_elements(each.named, f"{each.datastore.name} asks for it"),
                *_elements(
                    looked - each.named,
                    "images share this element"
                    if pipeline == GATE
                    else f"images share this element; one of {each.kind}",
                ),
                *(rules.of(each.touched) if everything else ()),
            ),
            each.voting,
        )


def _shared(
    group: collections.abc.Sequence[guests.Guest],
    representatives: collections.abc.Mapping[str, guests.Guest],
) -> dict[str, frozenset[str]]:
    """Return for each job the elements that it tries for all of its kind.

    The kind's representative does so for all that it has; another one only
    for what the representative does not have.
    """
    found: dict[str, set[str]] = {each.name: set() for each in group}
    for kind, first in representatives.items():
        found[first.name].update(first.elements)
        tried = set(first.elements)
        for each in group:
            if each.kind == kind and each.voting:
                found[each.name].update(each.elements - tried)
                tried.update(each.elements)
    return {name: frozenset(names) for name, names in found.items()}


def _elements(
    names: collections.abc.Collection[str], why: str
) -> tuple[rules.Matcher, ...]:
    """Return the files of elements, without their READMEs."""
    if not names:
        return ()
    words = "|".join(sorted(names))
    if len(names) > 1:
        words = f"({words})"
    return (rules.Matcher(f"^trove_tools/elements/{words}/[^R]", why),)


#: What decides about the agent of another series in a guest.
_AGENT = ("trove-guest-agent", "trove-guest-agent-venv", "trove-pip")


def cross_series(series: str) -> str:
    """Return the name of the job with guests of another series."""
    return f"trove-tools-scenario-cross-{series}"


def _cross_series(catalog: model.Catalog) -> list[Job]:
    matchers = (
        rules.Matcher(
            r"^trove_tools/catalog/series\.yaml$", "the series that is served"
        ),
        rules.Matcher(
            r"^trove_tools/plan/agent\.py$", "where the agent comes from"
        ),
        *_elements(_AGENT, "installs the agent of any series"),
    )
    return [
        Job(cross_series(name), matchers) for name in catalog.series.previous
    ]
