# SPDX-License-Identifier: Apache-2.0
"""Load zuul.d with Zuul's own code, and ask it what runs for which file.

To be run with a Python that has Zuul.  Reads JSON from stdin: ``top``, the
tree's top; ``files``, for each of which it is asked.  Writes JSON: ``errors``,
all that Zuul has found wrong; ``playbooks``, those that jobs name, and whether
they get a secret; ``runs``, by pipeline and file the jobs that Zuul would run
for a change of it.

What other projects have is in parents.yaml.  There is no ZooKeeper and no
connection, so the parts of Zuul that talk to them are passed by: the tenant
is put together here, and everything that reads, checks and selects is Zuul's.
"""

import json
import logging
import pathlib
import sys
import types
import typing

from zuul import configloader
from zuul import model
from zuul import model_api
from zuul.zk import components

HOST, BRANCH = "opendev.org", "master"
CONFIG, OURS = "openstack/project-config", "openstack/trove-tools"
#: Projects that jobs require.
OTHERS = ("openstack/tempest", "openstack/trove",
          "openstack/trove-tempest-plugin")  # fmt: skip


class Source:
    """Where the projects are; nothing is ever fetched."""

    name = "gerrit"
    canonical_hostname = HOST
    connection = types.SimpleNamespace(connection_name="gerrit")

    def getProjectDefaultMergeMode(  # noqa: N802
        self, project: typing.Any, valid_modes: typing.Any = None
    ) -> str:
        return "merge"

    def getProjectDefaultBranch(  # noqa: N802
        self, project: typing.Any, tenant: typing.Any
    ) -> str:
        return BRANCH


def tenant() -> typing.Any:
    """Return a tenant with all projects."""
    result = model.Tenant("openstack")
    result.default_base_job = "base"
    result.allowed_labels = result.disallowed_labels = None
    source = Source()
    for name in (CONFIG, OURS, *OTHERS):
        project = model.TenantProjectConfig(model.Project(name, source))
        project.trusted = name == CONFIG
        project.load_classes = set(configloader.TenantParser.all_classes)
        project.branches = [BRANCH]
        result.addTPC(project)
    return result


class Loaded:
    """A layout, and what Zuul has found wrong with it."""

    def __init__(self, top: pathlib.Path) -> None:
        self.tenant = tenant()
        connections = types.SimpleNamespace(connections={})
        globals_ = types.SimpleNamespace()
        self._context = configloader.ParseContext(
            connections, globals_, None, None
        )
        self._parser = configloader.TenantParser(
            connections, None, _Scheduler(), None, None, globals_, None, None
        )
        parsed = model.ParsedConfig()
        here = pathlib.Path(__file__).parent
        self._add(parsed, CONFIG, here / "parents.yaml", here)
        for file in sorted((top / "zuul.d").glob("*.yaml")):
            self._add(parsed, OURS, file, top)
        self.layout = self._parser._parseLayout(
            self.tenant, parsed, self._context
        )
        self.tenant.layout = self.layout

    def _add(
        self,
        parsed: typing.Any,
        name: str,
        file: pathlib.Path,
        top: pathlib.Path,
    ) -> None:
        source = model.SourceContext(
            f"{HOST}/{name}", name, "gerrit", BRANCH,
            str(file.relative_to(top)),
        )  # fmt: skip
        project = self.tenant.getTPC(name)
        with self._context.errorContext(source_context=source):
            found = self._parser.loadProjectYAML(
                file.read_text(), source, self._context
            )
        self._parser.addProjectBranchConfig(
            self._context, parsed, self.tenant, project, found,
            trusted=name == CONFIG,
        )  # fmt: skip

    def errors(self) -> list[str]:
        """Return all that is wrong."""
        return [
            str(error.error) for error in self.layout.loading_errors.errors
        ]

    def playbooks(self) -> dict[str, bool]:
        """Return the playbooks that our jobs name.

        :returns: whether a job gives them a secret, by path.
        """
        found: dict[str, bool] = {}
        for variants in self.layout.jobs.values():
            for job in variants:
                # Zuul's own job "noop" comes from nowhere
                if (
                    job.source_context
                    and job.source_context.project_name == OURS
                ):
                    for playbook in job.all_playbooks:
                        secret = bool(playbook.secrets)
                        secret |= found.get(playbook.path, False)
                        found[playbook.path] = secret
        return found

    def runs(self, pipeline: str, file: str | None) -> list[str]:
        """Return the jobs that a change of a file runs.

        :param file: none for what no change starts, such as periodic jobs.
        """
        item = self._item(pipeline, file)
        answer = self.layout.createJobGraph(
            None, item, set(), file is None, False, old=True
        )
        return sorted(job.name for job in answer["job_graph"].getJobs())

    def matches(
        self, pipeline: str, files: list[str]
    ) -> dict[str, list[str]]:
        """Return for each file the jobs whose lists of files match.

        That is quicker by far than putting jobs together for each file.
        """
        first = self._item(pipeline, None)
        listed = self.layout.getProjectPipelineConfig(first, first.changes[0])
        found = {}
        for file in files:
            (change,) = self._item(pipeline, file).changes
            found[file] = sorted(
                name
                for name, variants in listed.job_list.jobs.items()
                if any(each.changeMatchesFiles(change) for each in variants)
            )
        return found

    def _item(self, pipeline: str, file: str | None) -> "_Item":
        _, project = self.tenant.getProject(OURS)
        change = model.Change(project)
        change.branch = BRANCH
        change.files = [file] if file else []
        change.cache_stat = types.SimpleNamespace(
            key=types.SimpleNamespace(reference="change")
        )
        return _Item(self, pipeline, change)


class _Scheduler:
    """What makes a pipeline's manager content."""

    statsd = sched = None

    def __getattr__(self, name: str) -> typing.Any:
        return None


class _Item:
    """A change in a pipeline."""

    debug = False
    event = None
    parameters: typing.ClassVar[dict[str, str]] = {}
    uuid = "item"

    def __init__(
        self, loaded: Loaded, pipeline: str, change: typing.Any
    ) -> None:
        self.manager = loaded.layout.pipeline_managers[pipeline]
        self.changes = [change]
        self.current_build_set = types.SimpleNamespace(
            fail_fast=False, debug_messages=[], _old_jobs={}
        )

    def annotateLogger(  # noqa: N802
        self, logger: logging.Logger
    ) -> logging.Logger:
        return logger

    def updatesJobConfig(self, *what: typing.Any) -> bool:  # noqa: N802
        return False


def main() -> None:
    """Answer."""
    wanted = json.load(sys.stdin)
    logging.disable(logging.CRITICAL)
    # how Zuul's processes pass secrets on depends on the oldest of them
    components.COMPONENT_REGISTRY.registry = types.SimpleNamespace(
        model_api=model_api.MODEL_API
    )
    loaded = Loaded(pathlib.Path(wanted["top"]))
    answer: dict[str, typing.Any] = {
        "errors": loaded.errors(),
        "playbooks": loaded.playbooks(),
        "runs": {},
    }
    if not answer["errors"]:
        for pipeline in ("check", "gate"):
            found = loaded.matches(pipeline, wanted["files"])
            # the jobs are really put together once for each set of them
            sample = {tuple(names): file for file, names in found.items()}
            for file in sample.values():
                found[file] = loaded.runs(pipeline, file)
            answer["runs"][pipeline] = found
        for pipeline in ("periodic", "periodic-weekly", "experimental"):
            answer["runs"][pipeline] = loaded.runs(pipeline, None)
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
