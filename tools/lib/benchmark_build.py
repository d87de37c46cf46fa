# SPDX-License-Identifier: Apache-2.0
"""Measure our builds beside two references.

The peer is Trove's own script with Trove's own elements, see
:mod:`benchmark_peer`; its image is the same for all datastores.  The other
reference is one run of diskimage-builder over all of our elements, with an
empty cache, tracing (``-x``) and a qcow2 compressed with zlib.  It gets the
same packages, the same agent, and containers made by the same code, whose
making counts there as it does here.

All are measured in turn on this host in one run.  What counts is the processor
time of all programs that a build starts and waits for, since the time on the
clock depends on what else the host does.

What was measured is kept in ``DIR/results.json`` step by step, so a run that
was ended goes on where it was.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import shutil
import subprocess
import sys
import time
import typing

import benchmark_peer
import benchmark_report

from trove_tools import console
from trove_tools.build import cache_maintenance
from trove_tools.build import containers
from trove_tools.build import dib
from trove_tools.build import lower_layers
from trove_tools.build import timeline
from trove_tools.build import workspace
from trove_tools.catalog import loader
from trove_tools.cli import builder
from trove_tools.config import table
from trove_tools.host import cleanup
from trove_tools.plan import layers
from trove_tools.plan import plan
from trove_tools.plan import request

#: The peer's image has no containers, ours that of the datastore.
OPTIONS = ("--no-with-backup",)


class Benchmark:
    """One run, in a directory of its own.

    :param place: the directory; what was measured before stays.
    :param agent: a checkout of Trove; a copy of it is changed.
    :param stores: three datastores.
    :param constraints: OpenStack's upper constraints, for the peer.
    """

    def __init__(
        self,
        place: pathlib.Path,
        agent: pathlib.Path,
        stores: list[str],
        constraints: pathlib.Path,
    ) -> None:
        self.place = place
        self.stores = stores
        self.trove = agent.resolve()
        self.constraints = constraints.resolve()
        place.mkdir(parents=True, exist_ok=True)
        self.agent = place / "trove"
        if not self.agent.exists():
            shutil.copytree(agent, self.agent)
        self.file = place / "results.json"
        self.results: dict[str, typing.Any] = {}
        if self.file.exists():
            self.results = json.loads(self.file.read_text())

    def step(
        self, name: str, work: typing.Callable[[], dict[str, typing.Any]]
    ) -> None:
        """Measure one step, unless it was measured before."""
        if name in self.results:
            return
        print(f"{time.strftime('%H:%M:%S')} {name} ...", flush=True)
        load, before = os.getloadavg()[0], _processor()
        begin = time.monotonic()
        result = work()
        result.setdefault("seconds", time.monotonic() - begin)
        result["cpu"] = _processor() - before
        result["load"] = round(load, 1)
        self.results[name] = result
        self.file.write_text(json.dumps(self.results, indent=1))
        print(
            f"    {result['cpu']:.1f} s of a processor,"
            f" {result['seconds']:.1f} s on the clock",
            flush=True,
        )

    def run(self) -> None:
        """Measure everything."""
        one, two, _ = self.stores
        self.step("machine", _machine)
        self.step("peer", self.peer)
        self.step("cold", lambda: self.ours("a", one))
        self.step("nothing", lambda: self.ours("a", one))
        self.step("reference", lambda: self.reference(one))
        self.step("second", lambda: self.ours("a", two))
        self.step("agent", self.changed)
        self.step("patch", lambda: self.changed("--patch"))
        self.step("three", lambda: self.ours("b", *self.stores))
        self.step("cache", lambda: self.cache("b"))

    def ours(self, cache: str, *words: str) -> dict[str, typing.Any]:
        """Build images with our command, as a process of its own."""
        output = self.place / f"out-{cache}"
        begin = time.monotonic()
        child = subprocess.Popen(
            [
                sys.executable, "-m", "trove_tools.cli.builder", "build",
                *words, *OPTIONS, "--agent", self.agent,
                "--output-dir", output,
                "--cache-dir", self.place / f"cache-{cache}",
                "--format", "json",
            ],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        peak = _watch(child)
        seconds = time.monotonic() - begin
        assert child.stdout is not None
        found = json.loads(child.stdout.read() or "null")
        if child.returncode != 0:
            raise SystemExit(f"the build of {' '.join(words)} failed")
        first = found[0] if isinstance(found, list) else found
        made = json.loads(pathlib.Path(first["manifest"]).read_text())
        return {
            "seconds": seconds,
            "peak": peak,
            "size": first["size"],
            "root": made["contents"]["directories"].get("/", 0),
            "timeline": made["timeline"],
        }

    def changed(self, *options: str) -> dict[str, typing.Any]:
        """Change the agent's code, and build the first image again."""
        file = self.agent / "trove" / "guestagent" / "__init__.py"
        with open(file, "a") as stream:
            stream.write("# changed\n")
        return self.ours("a", self.stores[0], *options)

    def peer(self) -> dict[str, typing.Any]:
        """Build what Trove's own script does."""
        work = self.place / "peer"
        cleanup.remove(work)
        work.mkdir()
        made = self.plan(self.stores[0])
        size = benchmark_peer.build(
            self.trove, self.constraints, work, made.guest["release"],
            {
                name: value
                for name, value in made.layers[0].environment.items()
                if name in (layers.MIRROR, layers.SECURITY_MIRROR)
            },
        )  # fmt: skip
        cleanup.remove(work)
        return {"size": size}

    def cache(self, name: str) -> dict[str, typing.Any]:
        """Tell how much the cache has after three datastores."""
        cache = self.place / f"cache-{name}"
        return {
            "seconds": 0.0,
            "layers": cache_maintenance.size(cache / "layers"),
            "downloads": cache_maintenance.size(cache / "downloads"),
        }

    def reference(self, store: str) -> dict[str, typing.Any]:
        """Run diskimage-builder once over all of our elements."""
        work = self.place / "reference"
        cleanup.remove(work)
        for name in ("tmp", "cache", "containers", "natives"):
            (work / name).mkdir(parents=True)
        made = self.plan(store)
        run = dib.Run(
            arch=made.guest["arch"],
            distribution=made.guest["distribution"],
            elements_path=made.elements_path,
            work=work / "tmp",
            log=work / "log",
            progress=console.Progress(),
            timeline=timeline.Timeline(),
            downloads=work / "cache",
            containers=work / "containers",
            natives=work / "natives",
        )
        begin = time.monotonic()
        layer = made.layers[2]
        lower_layers.prepare_natives(layer.natives, run, made.mirror or "")
        containers.prepare(
            layer.containers,
            run,
            lower_layers.read_conditions(made.layers[0], run),
            containers.Lanes(run.progress),
            1,
        )
        prepared = time.monotonic() - begin
        variables: dict[str, str] = {}
        wanted: list[str] = []
        for each in made.layers:
            variables.update(run.environment(each, None))
            wanted += [
                name
                for name in each.elements
                if name not in wanted and not name.startswith("trove-layer")
            ]
        variables["ELEMENTS_PATH"] = ":".join(made.elements_path)
        # it takes memory by itself
        del variables[workspace.NO_TMPFS]
        image = work / "image"
        with open(run.log, "a") as log:
            subprocess.run(
                [
                    pathlib.Path(sys.prefix, "bin", "disk-image-create"),
                    "-x", "-n", "-a", run.arch, "-t", "qcow2", "-o", image,
                    *wanted,
                ],
                env={**os.environ, **variables}, check=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        seconds = time.monotonic() - begin
        size = image.with_suffix(".qcow2").stat().st_size
        cleanup.remove(work)
        return {"seconds": seconds, "prepared": prepared, "size": size}

    def plan(self, store: str) -> plan.Plan:
        """Return the plan that our command would make of an image."""
        flags = builder.parser().parse_args(
            ["plan", store, *OPTIONS, "--agent", str(self.agent)]
        )
        declared = builder.PROGRAM.command("plan").declared()
        settings = table.settings(declared, flags)
        return plan.make(request.make([store], settings, loader.load()))


def _watch(child: subprocess.Popen[str]) -> int:
    """Wait for a child; return the peak of its own memory, MiB."""
    peak = 0
    while child.poll() is None:
        try:
            text = pathlib.Path(f"/proc/{child.pid}/status").read_text()
        except OSError:
            break
        for line in text.splitlines():
            if line.startswith("VmHWM:"):
                peak = max(peak, int(line.split()[1]) // 1024)
        time.sleep(0.1 if peak else 0.01)
    child.wait()
    return peak


def _processor() -> float:
    """Return the processor time of this process and of its children."""
    return sum(
        each.ru_utime + each.ru_stime
        for each in map(
            resource.getrusage,
            (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN),
        )
    )


def _machine() -> dict[str, typing.Any]:
    """Describe the host."""
    model = "processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "seconds": 0.0,
        "date": time.strftime("%Y-%m-%d"),
        "text": f"{os.cpu_count()} x {model}, {memory / 1024**3:.0f} GiB of"
        f" memory, {platform.freedesktop_os_release()['PRETTY_NAME']},"
        f" Linux {platform.release()}",
    }


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        prog="tools/benchmark build",
        description="Compare builds with those of Trove's own script.",
    )
    parser.add_argument(
        "agent", type=pathlib.Path, metavar="DIR",
        help="a checkout of Trove; a copy of it is changed",
    )  # fmt: skip
    parser.add_argument(
        "constraints", type=pathlib.Path, metavar="FILE",
        help="upper-constraints.txt of OpenStack, for the peer",
    )  # fmt: skip
    parser.add_argument(
        "--work-dir", type=pathlib.Path, required=True, metavar="DIR",
        help="some GiB; what was measured is kept there",
    )  # fmt: skip
    parser.add_argument(
        "--datastores", nargs=3, metavar="NAME",
        default=["mariadb", "postgresql", "redis"],
        help="three of them (default: %(default)s)",
    )  # fmt: skip
    args = parser.parse_args()
    bench = Benchmark(
        args.work_dir.resolve(), args.agent, args.datastores,
        args.constraints,
    )  # fmt: skip
    bench.run()
    print(benchmark_report.report(bench.results, args.datastores))
    return 0


if __name__ == "__main__":
    sys.exit(main())
