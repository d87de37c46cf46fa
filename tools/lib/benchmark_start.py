# SPDX-License-Identifier: Apache-2.0
"""Time the commands beside the interpreter that has nothing to do.

A number of milliseconds says as much about the machine as about the
program.  So each command is run in turn with ``python -c pass``, again and
again, and what counts is how many times as long it takes: the median of the
runs, in one run of this script.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

#: What is measured, by the names of the commands.
COMMANDS = (
    ("trove-image-builder", "--help"),
    ("trove-image-builder", "list"),
    ("trove-image-builder", "plan", "mariadb"),
    ("load-trove-image", "--help"),
    ("activate-trove-image", "--help"),
)


def seconds(argv: list[str]) -> tuple[float, float]:
    """Run a program that must succeed.

    :returns: the seconds that passed, and those of processor time.
    """
    before = os.times()
    begin = time.perf_counter()
    subprocess.run(
        argv, check=True, stdin=subprocess.DEVNULL, capture_output=True
    )
    passed = time.perf_counter() - begin
    after = os.times()
    spent = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    return passed, spent


def measure(
    commands: list[list[str]], runs: int
) -> list[tuple[float, float]]:
    """Return the medians of time and processor time of each command.

    The commands take turns, so that a machine that is busy for a moment is
    busy for all of them; the first turn, which fills the caches, does not
    count.
    """
    samples: list[list[tuple[float, float]]] = [[] for _ in commands]
    for turn in range(runs + 1):
        for number, argv in enumerate(commands):
            sample = seconds(argv)
            if turn:
                samples[number].append(sample)
    return [
        (
            statistics.median(passed for passed, _ in each),
            statistics.median(spent for _, spent in each),
        )
        for each in samples
    ]


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        prog="tools/benchmark start", description="Time the commands' start."
    )
    parser.add_argument(
        "--runs", type=int, default=15, metavar="N",
        help="how often each command is run (default: %(default)s)",
    )  # fmt: skip
    args = parser.parse_args()
    if args.runs < 1:
        parser.error("--runs: at least 1")
    programs = pathlib.Path(sys.executable).parent
    reference = [sys.executable, "-c", "pass"]
    commands = [
        [os.fspath(programs / name), *rest] for name, *rest in COMMANDS
    ]
    results = measure([reference, *commands], args.runs)
    names = ["python -c pass", *(" ".join(words) for words in COMMANDS)]
    width = max(map(len, names))
    base, _ = results[0]
    print(f"median of {args.runs} runs, Python {sys.version.split()[0]}\n")
    print(f"{'':{width}}  time      processor  ratio")
    for name, (passed, spent) in zip(names, results, strict=True):
        print(
            f"{name:{width}}  {1000 * passed:5.0f} ms  {1000 * spent:6.0f} ms"
            f"  {passed / base:5.1f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
