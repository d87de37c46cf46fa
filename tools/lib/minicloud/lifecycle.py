# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping a minicloud.

``start`` brings any state to "all three run": nothing there yet, a start
that was interrupted, a cloud that was stopped, one that lost a service or
all of them to a crash or a reboot.  The three services come up side by
side, each as soon as its own database is ready.
"""

import collections.abc
import concurrent.futures
import contextlib
import dataclasses
import pathlib
import threading
import time

from minicloud import conffiles
from minicloud import databases
from minicloud import http
from minicloud import identity
from minicloud import layout as layouts
from minicloud import ports
from minicloud import processes
from minicloud import services
from minicloud import state as states
from trove_tools import errors
from trove_tools.host import files
from trove_tools.host import liveness
from trove_tools.host import process
from trove_tools.verify import venv as venvs

_READY = 120.0
_PAUSE = 0.1
_LOG_LINES = 10

Report = collections.abc.Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Status:
    """How one service is.

    :param name: of the service.
    :param state: ``running``, ``stopped``, or ``silent`` for one whose
        process lives and does not answer.
    :param url: its endpoint.
    :param pid: its process, when it lives.
    :param log: its log.
    """

    name: str
    state: str
    url: str
    pid: int | None
    log: str


def status(layout: layouts.Layout) -> list[Status]:
    """Return how the services of a cloud are."""
    state = states.load(layout)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(
            pool.map(lambda one: _status(layout, state, one), services.ALL)
        )


def _status(
    layout: layouts.Layout, state: states.State, service: services.Service
) -> Status:
    port = state.ports.get(service.name, 0)
    running = _process(layout, service)
    word = "stopped"
    if running is not None:
        answers = http.answers(service.health_url(port))
        word = "running" if answers else "silent"
    pid = None if running is None else running.pid
    url = service.url(port) if port else ""
    return Status(service.name, word, url, pid, str(layout.log(service.name)))


def _process(
    layout: layouts.Layout, service: services.Service
) -> liveness.Process | None:
    known = processes.recall(layout.record(service.name))
    return known if known and liveness.alive(known) else None


def _alone(
    layout: layouts.Layout, report: Report
) -> contextlib.AbstractContextManager[None]:
    return files.hold_lock(
        layout.lock,
        lambda: report("waiting for another start or stop of this cloud"),
    )


def stop(
    layout: layouts.Layout,
    report: Report,
    names: collections.abc.Collection[str] = (),
) -> list[str]:
    """End the services of a cloud.

    :param names: the services to end; all when none is given.
    :returns: the names of those that ran.
    """
    with _alone(layout, report):
        chosen = [
            one for one in services.ALL if not names or one.name in names
        ]
        return _end(layout, chosen)


def _end(
    layout: layouts.Layout,
    chosen: collections.abc.Iterable[services.Service],
) -> list[str]:
    known = {}
    for service in chosen:
        found = processes.recall(layout.record(service.name))
        if found and processes.session(found, layout.run):
            known[service.name] = found
    processes.end(list(known.values()), layout.run)
    for service in chosen:
        layout.record(service.name).unlink(missing_ok=True)
    return list(known)


def start(
    layout: layouts.Layout,
    report: Report,
    *,
    venv: pathlib.Path | None = None,
    wanted: collections.abc.Mapping[str, int] | None = None,
) -> list[str]:
    """Bring a cloud up.

    :param venv: where the services are or will be installed.
    :param wanted: ports by service; free ones for the others.
    :returns: the names of the services that had to be started.
    :raises TroveToolsError: a service does not come up.  Those that this
        call started are ended again.
    """
    with _alone(layout, report):
        layout.make()
        if layout.state.exists():
            state = states.load(layout)
        else:
            # from here on the directory is known to be a minicloud's
            state = states.new()
            states.save(layout, state)
        place = venv or _remembered(state) or venvs.default_path()
        place = place.expanduser().absolute()
        if venv and state.venv not in ("", str(place)) and _runs(layout):
            raise errors.UsageError(
                f"the cloud is running with the services in {state.venv}",
                hint="stop the cloud, then start it with others",
            )
        venvs.ensure(place, report)
        state.venv = str(place)
        return _Start(layout, state, report).run(wanted or {})


def _runs(layout: layouts.Layout) -> bool:
    return any(_process(layout, service) for service in services.ALL)


def _remembered(state: states.State) -> pathlib.Path | None:
    # not when it holds other versions than those wanted now
    if state.prepared.split(" ")[0] == venvs.digest():
        return pathlib.Path(state.venv)
    return None


class _Start:
    """One start: what has to be done, and what was begun."""

    def __init__(
        self, layout: layouts.Layout, state: states.State, report: Report
    ) -> None:
        self._layout = layout
        self._state = state
        self._report = report
        self._given_up = threading.Event()
        self._begun: list[services.Service] = []

    def run(self, wanted: collections.abc.Mapping[str, int]) -> list[str]:
        layout, state = self._layout, self._state
        missing = self._missing()
        self._choose_ports(wanted, missing)
        stamp = states.stamp(venvs.digest(), state.ports)
        fresh = state.prepared != stamp
        if fresh:
            missing = list(services.ALL)
        if not missing:
            return []
        _end(layout, missing)
        states.save(layout, state)
        conffiles.write(layout, state)
        try:
            self._bring_up(missing, fresh)
            identity.probe(state)
        except BaseException:
            _end(layout, self._begun)
            raise
        state.prepared = stamp
        states.save(layout, state)
        layouts.write_private(layout.clouds, conffiles.clouds(state))
        return [service.name for service in missing]

    def _missing(self) -> list[services.Service]:
        how = {one.name: one.state for one in status(self._layout)}
        return [one for one in services.ALL if how[one.name] != "running"]

    def _choose_ports(
        self,
        wanted: collections.abc.Mapping[str, int],
        missing: collections.abc.Collection[services.Service],
    ) -> None:
        chosen = self._state.ports
        for service in services.ALL:
            name = service.name
            port = wanted.get(name, chosen.get(name))
            if service not in missing and port != chosen[name]:
                raise errors.UsageError(
                    f"{name} is running on port {chosen[name]}, not {port}",
                    hint="stop the cloud, then start it with other ports",
                )
            if service in missing:
                # what is left of a service that crashed would hold it
                _end(self._layout, [service])
                if port is None or not ports.is_free(port):
                    if name in wanted:
                        raise errors.UsageError(
                            f"port {port} for {name} is in use",
                            hint="name another one, or none: then a free"
                            " one is found",
                        )
                    port = ports.choose(chosen.values())
            assert port is not None
            chosen[name] = port

    def _bring_up(
        self,
        missing: collections.abc.Sequence[services.Service],
        fresh: bool,
    ) -> None:
        if fresh:
            self._report("preparing the databases")
        names = ", ".join(service.name for service in missing)
        self._report(f"starting {names}")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            jobs = [
                pool.submit(self._bring_up_one, service, fresh)
                for service in missing
            ]
            try:
                for job in concurrent.futures.as_completed(jobs):
                    job.result()
            except BaseException:
                self._given_up.set()
                raise

    def _bring_up_one(self, service: services.Service, fresh: bool) -> None:
        layout, state = self._layout, self._state
        if fresh:
            databases.prepare(service, layout, state, self._given_up)
        if self._given_up.is_set():
            return
        self._begun.append(service)
        port = state.ports[service.name]
        child = process.start(
            services.serve(service, pathlib.Path(state.venv), layout, port),
            env=services.environment(layout),
            cwd=layout.run,
            log=layout.log(service.name),
        )
        known = liveness.identify(child.pid)
        if known is not None:
            processes.remember(layout.record(service.name), known)
        self._wait(service, child)
        if fresh and service is services.KEYSTONE:
            identity.populate(state)

    def _wait(self, service: services.Service, child: process.Child) -> None:
        url = service.health_url(self._state.ports[service.name])
        begin = time.monotonic()
        while not self._given_up.is_set():
            if child.poll() is not None:
                raise self._failed(service, "ended at once")
            if http.answers(url):
                return
            waited = time.monotonic() - begin
            if waited > process.scale_timeout(_READY):
                raise self._failed(service, f"is silent after {waited:.0f} s")
            time.sleep(_PAUSE)

    def _failed(
        self, service: services.Service, how: str
    ) -> errors.TroveToolsError:
        log = self._layout.log(service.name)
        lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        shown = "".join(f"\n  {line}" for line in lines)
        return errors.TroveToolsError(
            f"{service.name} {how}; its log ends with:{shown}",
            hint=f"the whole log is {log}",
        )
