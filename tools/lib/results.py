#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Count what the tests really did, from their subunit streams.

tools/run-tests leaves one directory for each part that ran::

    NAME/stream    the part's subunit stream, as the test runner wrote it
    NAME/status    the exit status of the runner
    NAME/seconds   how long the part took
    NAME/problem   optional: why the part could not be run as it should
    NAME/*.note    optional: what a test found out, in a line

``results.py part DIR`` prints what is worth reading about one part, and
``results.py total DIR...`` the sum of all, whose last line is
``N passed, N failed, N skipped``.  Both exit with 1 unless all is well.

Nothing is taken on trust: a test that began and did not end has failed, and
so has a part whose runner died, whose stream is cut off, or in which no
test was found.
"""

import argparse
import collections.abc
import dataclasses
import io
import pathlib
import sys
import typing

import subunit
import testtools

SLOWEST = 5
#: Tests below this many seconds are not worth a line.
SLOW = 1.0
#: Failures that the end of a run explains, each by its last lines: of a long
#: run often only the end of the output is kept.
EXPLAINED = 5
LINES = 25

_PASSED = {"success", "xfail"}
_FAILED = {"fail", "uxsuccess", "inprogress"}


@dataclasses.dataclass
class Results:
    """What became of the tests of one part.

    :param name: the part.
    :param passed: tests that did what they should.
    :param failed: tests that did not, and whatever else went wrong.
    :param skipped: tests that this host could not run, with the reasons.
    :param times: the seconds each test took.
    :param seconds: the seconds the whole part took.
    :param notes: what tests found out.
    :param causes: by failed test, the last lines of its traceback.
    """

    name: str
    passed: list[str] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)
    skipped: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    times: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    notes: list[str] = dataclasses.field(default_factory=list)
    causes: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def line(self) -> str:
        """Return the counts in one line."""
        return (
            f"{len(self.passed)} passed, {len(self.failed)} failed,"
            f" {len(self.skipped)} skipped"
        )

    def _add(self, test: dict[str, typing.Any]) -> None:
        name, status = test["id"], test["status"]
        start, stop = test["timestamps"]
        if start and stop:
            self.times[name] = (stop - start).total_seconds()
        if status in _PASSED:
            self.passed.append(name)
        elif status in _FAILED:
            name += " (began and did not end)" * (status == "inprogress")
            self.failed.append(name)
            self.causes[name] = _cause(test)
        elif status == "skip":
            self.skipped.append((name, _reason(test)))


def _reason(test: dict[str, typing.Any]) -> str:
    detail = test["details"].get("reason")
    text = detail.as_text().strip() if detail else ""
    return " ".join(text.split()) or "no reason given"


def _cause(test: dict[str, typing.Any]) -> list[str]:
    detail = test["details"].get("traceback")
    return detail.as_text().splitlines()[-LINES:] if detail else []


def read_stream(stream: typing.BinaryIO, into: Results) -> None:
    """Add up the tests of a subunit stream.

    What the runner printed between the packets is kept in the stream as
    text; when it tells of a module that cannot be imported, the runner's
    exit status is what makes that a failure.
    """
    case = subunit.ByteStreamToStreamResult(stream, non_subunit_name="text")
    tests: list[dict[str, typing.Any]] = []
    result = testtools.StreamToDict(tests.append)
    result.startTestRun()
    try:
        case.run(result)
    finally:
        result.stopTestRun()
    for test in tests:
        # text outside of packets arrives as a test without a status
        if test["id"] != "text":
            into._add(test)


def read_part(directory: pathlib.Path) -> Results:
    """Read the directory that one part has left."""
    results = Results(directory.name)
    data = b""
    try:
        data = (directory / "stream").read_bytes()
        read_stream(io.BytesIO(data), results)
    except Exception as exc:
        results.failed.append(
            f"{results.name}: the stream of results cannot be read: {exc}"
        )
    status = _text(directory / "status") or "missing"
    if status != "0" and not results.failed:
        results.failed.append(
            f"{results.name}: no test failed, but the test runner ended"
            f" with status {status}"
        )
    if problem := _text(directory / "problem"):
        results.failed.append(f"{results.name}: {problem}")
    ran = results.passed or results.failed or results.skipped
    if not ran:
        results.failed.append(f"{results.name}: no test was found")
    results.seconds = float(_text(directory / "seconds") or 0)
    results.notes = [_text(note) for note in sorted(directory.glob("*.note"))]
    return results


def _text(file: pathlib.Path) -> str:
    return file.read_text().strip() if file.exists() else ""


def report(results: Results) -> collections.abc.Iterator[str]:
    """Yield the lines that tell about one part."""
    yield f"{results.name}: {results.line()}, {results.seconds:.0f} s"
    yield from (f"  {note}" for note in results.notes)
    slowest = sorted(results.times.items(), key=lambda item: -item[1])
    slow = [item for item in slowest[:SLOWEST] if item[1] >= SLOW]
    if slow:
        yield "  slowest:"
        yield from (f"    {took:7.1f} s  {name}" for name, took in slow)
    if results.skipped:
        yield "  skipped:"
        yield from (f"    {name}: {why}" for name, why in results.skipped)
    if results.failed:
        yield "  FAILED:"
        yield from (f"    {name}" for name in results.failed)


def total(
    parts: collections.abc.Sequence[Results],
) -> collections.abc.Iterator[str]:
    """Yield the lines that close a run; the last one has the sums."""
    both = Results("all parts")
    for part in parts:
        both.passed += part.passed
        both.failed += part.failed
        both.skipped += part.skipped
        both.causes |= part.causes
    if not both.passed and not both.failed:
        both.failed.append("nothing ran")
    width = max((len(part.name) for part in parts), default=0)
    for part in parts:
        yield f"{part.name:{width}}  {part.seconds:6.0f} s  {part.line()}"
    for index, name in enumerate(both.failed):
        yield f"FAILED {name}"
        if index < EXPLAINED:
            yield from (f"  {line}" for line in both.causes.get(name, ()))
    yield both.line()


def main(argv: collections.abc.Sequence[str] | None = None) -> int:
    """Print the report asked for.

    :returns: 0 when something passed and nothing failed.
    """
    parser = argparse.ArgumentParser(description="Count test results.")
    parser.add_argument("what", choices=("part", "total"))
    parser.add_argument("directories", nargs="*", type=pathlib.Path)
    args = parser.parse_args(argv)
    parts = [read_part(directory) for directory in args.directories]
    if args.what == "part":
        lines = [line for part in parts for line in report(part)]
    else:
        lines = list(total(parts))
    print("\n".join(lines), flush=True)
    failed = any(part.failed for part in parts)
    passed = any(part.passed for part in parts)
    good = not failed and (passed or args.what == "part")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
