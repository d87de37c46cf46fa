# SPDX-License-Identifier: Apache-2.0
"""Time builders that share a registry beside builders that do not.

A registry runs on loopback (``docker-registry``).  One builder with an empty
cache builds an image and pushes the layers; others, with empty caches, fetch
them.  Then an image is fetched beside ``skopeo copy``, and loaded from the
registry beside curl, which sends the same file to the same Glance.  All are
measured one after the other in one run, and only ratios are promised.
"""

import argparse
import collections.abc
import contextlib
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import typing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import benchmark_load

from tests import registry
from tests import signing
from trove_tools.host import cleanup

#: The most that each may take of its reference, and what it is.
TARGETS = {
    "warm": (0.35, "cold", "empty cache, warm registry"),
    "second": (0.35, "cold second", "second datastore, warm registry"),
    "fetch": (1.3, "skopeo", "image there: build fetches it, of skopeo copy"),
    "load": (1.3, "curl", "load oci://, of curl's PUT"),
}
MEMORY = 150

_MIB = 1024 * 1024


def _processor_seconds() -> float:
    """Return the processor time of all programs that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Benchmark:
    """One run.

    :param place: a directory for all files.
    :param port: the registry's port.
    :param stores: two datastores.
    """

    def __init__(
        self, place: pathlib.Path, port: int, stores: list[str]
    ) -> None:
        self.place = place
        self.stores = stores
        self.address = f"127.0.0.1:{port}/trove"
        self.key = signing.make_key(place / "key")
        self.seconds: dict[str, float] = {}
        self.bytes: dict[str, int] = {}
        self.memory = 0

    def build(
        self, name: str, store: str, *words: object
    ) -> dict[str, typing.Any]:
        """Build an image with an empty cache.

        :param name: the name of the step.
        """
        sent = self._received()
        used = _processor_seconds()
        begin = time.perf_counter()
        child = subprocess.Popen(
            [
                sys.executable, "-m", "trove_tools.cli.builder", "build",
                store, "--output-dir", self.place / name, "--cache-dir",
                self.place / f"cache-{name}", "--sign-key", self.key,
                "--format", "json", *map(str, words),
            ],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        text, said = child.communicate()
        seconds = time.perf_counter() - begin
        if child.returncode:
            raise SystemExit(f"{name}: status {child.returncode}\n{said}")
        row: dict[str, typing.Any] = json.loads(text)
        # the time that the user waits for the image
        self.seconds[name] = row["seconds"]
        self.bytes[name] = self._received() - sent
        print(f"    {name}: {row['seconds']:.1f} s, until the end"
              f" {seconds:.1f} s, {_processor_seconds() - used:.0f} s of"
              f" processor time, {self.bytes[name] / _MIB:.0f} MiB on"
              " loopback", flush=True)  # fmt: skip
        self._print_steps(pathlib.Path(row["manifest"]))
        return row

    @staticmethod
    def _print_steps(file: pathlib.Path) -> None:
        """Print where the time of a build went."""
        steps: list[str] = []

        def add(spans: list[dict[str, typing.Any]]) -> None:
            for span in spans:
                if span["kind"] != "phase" and span["seconds"] >= 2:
                    steps.append(f"{span['name']} {span['seconds']:.0f} s")
                add(span["spans"])

        add(json.loads(file.read_text())["timeline"])
        print(f"        {', '.join(steps)}", flush=True)

    def _received(self) -> int:
        for line in pathlib.Path("/proc/net/dev").read_text().splitlines():
            if line.strip().startswith("lo:"):
                return int(line.partition(":")[2].split()[0])
        return 0

    def layers(self) -> None:
        """Measure builds with an empty and with a warm registry."""
        one, two = self.stores
        cache = f"{self.address}/layers"
        self.build("cold", one, "--cache-to", cache)
        self.build("warm", one, "--cache-from", cache)
        self.build("cold second", two)
        self.build("second", two, "--cache-from", cache)

    def images(self, runs: int) -> None:
        """Measure the fetch of an image beside ``skopeo copy``."""
        (image,) = (self.place / "cold").glob("*.qcow2")
        where = f"{self.address}/images"
        subprocess.run(
            [sys.executable, "-m", "trove_tools.cli.builder", "push", image,
             f"{where}:x", "--quiet"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        fetches, copies = [], []
        for number in range(runs):
            os.sync()
            copies.append(self._copy(f"{where}:x", number))
            row = self.build(
                f"fetch {number}", self.stores[0], "--image-from", where
            )
            if not row["fetched_from"]:
                raise SystemExit("the image was not fetched")
            fetches.append(self.seconds.pop(f"fetch {number}"))
        self.seconds["fetch"] = statistics.median(fetches)
        self.seconds["skopeo"] = statistics.median(copies)
        self.bytes["fetch"] = self.bytes[f"fetch {runs - 1}"]

    def _copy(self, source: str, number: int) -> float:
        begin = time.perf_counter()
        subprocess.run(
            ["skopeo", "--insecure-policy", "copy", "--quiet",
             "--src-tls-verify=false", f"docker://{source}",
             f"dir:{self.place / f'copy-{number}'}"],
            check=True,
        )  # fmt: skip
        return time.perf_counter() - begin

    def loads(self, runs: int, size: int) -> None:
        """Measure loads from the registry beside curl's PUT.

        :param size: the size of the image, in MiB.
        """
        file = self.place / "benchmark.raw"
        benchmark_load.make(file, size * _MIB)
        where = f"{self.address}/images:load"
        curls, loads = [], []
        with benchmark_load.minicloud(self.place / "cloud") as env:
            secret, glance = benchmark_load.token(env)
            for _ in range(runs):
                benchmark_load.renew(file)
                # what was written before must not slow down what follows
                os.sync()
                curls.append(
                    benchmark_load.curl(
                        file, [f"X-Auth-Token: {secret}"], glance
                    )
                )
                subprocess.run(
                    [sys.executable, "-m", "trove_tools.cli.builder", "push",
                     file, where, "--quiet"],
                    check=True, stdout=subprocess.DEVNULL,
                )  # fmt: skip
                os.sync()
                seconds, most = benchmark_load.load(
                    f"oci+http://{where}", env
                )
                loads.append(seconds)
                self.memory = max(self.memory, most)
        self.seconds["load"] = statistics.median(loads)
        self.seconds["curl"] = statistics.median(curls)

    def report(self) -> bool:
        """Print the ratios.

        :returns: whether all promises are kept.
        """
        kept = not self.memory or self.memory <= MEMORY
        for name, (target, reference, text) in TARGETS.items():
            if name not in self.seconds:
                continue
            ratio = self.seconds[name] / self.seconds[reference]
            kept &= ratio <= target
            print(f"{text:48} {self.seconds[name]:6.1f} s of"
                  f" {self.seconds[reference]:6.1f} s {ratio:5.2f}"
                  f" (at most {target})")  # fmt: skip
        if self.memory:
            print(f"memory of load oci:// {self.memory} MiB"
                  f" (at most {MEMORY})")  # fmt: skip
        return kept


def main(argv: collections.abc.Sequence[str]) -> int:
    """Measure and print.

    :returns: 1 when a promise is not kept.
    """
    parser = argparse.ArgumentParser(
        prog="tools/benchmark fleet",
        description="Time builders that share a registry.",
    )
    parser.add_argument(
        "--stores", nargs=2, default=["mariadb", "postgresql"],
        help="two datastores (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--runs", type=int, default=3, metavar="N",
        help="how often copies are measured (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=int, default=1024, metavar="MIB",
        help="size of the image that is loaded (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--part", choices=("layers", "images", "loads"), action="append",
        help="measure this only; images needs layers",
    )  # fmt: skip
    args = parser.parse_args(argv)
    parts = args.part or ["layers", "images", "loads"]
    lacking = registry.missing()
    if lacking:
        print(f"{lacking} is not installed", file=sys.stderr)
        return 3
    with contextlib.ExitStack() as stack:
        place = pathlib.Path(tempfile.mkdtemp(prefix="trove-tools-"))
        # a build that was interrupted leaves this host's /dev mounted in it
        stack.callback(cleanup.remove, place)
        (place / "registry").mkdir()
        with registry.registry(place / "registry") as running:
            benchmark = Benchmark(place, running.port, args.stores)
            if "layers" in parts:
                benchmark.layers()
            if "images" in parts:
                benchmark.images(args.runs)
            if "loads" in parts:
                benchmark.loads(args.runs, args.size)
            return 0 if benchmark.report() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
