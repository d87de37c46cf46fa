# SPDX-License-Identifier: Apache-2.0

import datetime
import importlib.util
import io
import pathlib
import typing

import subunit

from tests import base

_spec = importlib.util.spec_from_file_location(
    "results", base.ROOT / "tools" / "lib" / "results.py"
)
assert _spec is not None and _spec.loader is not None
results: typing.Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(results)

_BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Stream:
    """Writes a subunit stream as a test runner does."""

    def __init__(self) -> None:
        self.raw = io.BytesIO()
        self.out = subunit.StreamResultToBytes(self.raw)
        self.out.startTestRun()

    def test(
        self,
        name: str,
        status: str | None,
        seconds: float = 0.5,
        **details: str,
    ) -> "Stream":
        self.out.status(name, "inprogress", timestamp=_BEGIN)
        for detail, text in details.items():
            self.out.status(
                name, file_name=detail, file_bytes=text.encode(),
                mime_type="text/plain; charset=utf8", eof=True,
            )  # fmt: skip
        if status is not None:
            end = _BEGIN + datetime.timedelta(seconds=seconds)
            self.out.status(name, status, timestamp=end)
        return self

    @property
    def data(self) -> bytes:
        return self.raw.getvalue()


class ResultsTest(base.TestCase):
    def part(
        self,
        data: bytes | None,
        status: str | None = "0",
        problem: str = "",
        name: str = "unit",
    ) -> pathlib.Path:
        directory = self.temp_dir() / name
        directory.mkdir()
        if data is not None:
            (directory / "stream").write_bytes(data)
        if status is not None:
            (directory / "status").write_text(f"{status}\n")
        if problem:
            (directory / "problem").write_text(f"{problem}\n")
        (directory / "seconds").write_text("12\n")
        return directory

    def total(self, *parts: pathlib.Path) -> tuple[int, list[str]]:
        stdout, _ = self.capture()
        status = results.main(["total", *map(str, parts)])
        stdout.seek(0)
        return status, stdout.read().splitlines()

    def test_parts_are_added_up(self) -> None:
        one = Stream().test("a", "success").test("b", "skip", reason="no x")
        two = Stream().test("c", "success").test("d", "xfail")
        status, lines = self.total(
            self.part(one.data), self.part(two.data, name="image")
        )
        self.assertEqual(0, status)
        self.assertEqual("3 passed, 0 failed, 1 skipped", lines[-1])

    def test_failure(self) -> None:
        stream = Stream().test("a", "success").test("b", "fail")
        status, lines = self.total(self.part(stream.data, "1"))
        self.assertEqual(1, status)
        self.assertEqual("1 passed, 1 failed, 0 skipped", lines[-1])
        self.assertIn("FAILED b", lines)

    def test_the_end_of_a_run_tells_why_a_test_failed(self) -> None:
        text = "\n".join(f"line {number}" for number in range(99))
        stream = Stream().test("b", "fail", traceback=text)
        _, lines = self.total(self.part(stream.data, "1"))
        where = lines.index("FAILED b")
        self.assertEqual(
            [f"  line {number}" for number in range(74, 99)],
            lines[where + 1 : -1],
        )

    def test_unexpected_success_is_a_failure(self) -> None:
        stream = Stream().test("a", "success").test("b", "uxsuccess")
        status, lines = self.total(self.part(stream.data, "1"))
        self.assertEqual("1 passed, 1 failed, 0 skipped", lines[-1])
        self.assertEqual(1, status)

    def test_a_test_that_does_not_end_has_failed(self) -> None:
        stream = Stream().test("a", "success").test("b", None)
        status, lines = self.total(self.part(stream.data, "0"))
        self.assertEqual(1, status)
        self.assertIn("FAILED b (began and did not end)", lines)

    def test_a_runner_that_died_is_a_failure(self) -> None:
        # such as a module that cannot be imported: no test of it appears
        stream = Stream().test("a", "success")
        status, lines = self.total(self.part(stream.data, "100"))
        self.assertEqual(1, status)
        self.assertEqual("1 passed, 1 failed, 0 skipped", lines[-1])
        self.assertIn("status 100", lines[-2])

    def test_a_runner_that_never_ran_is_a_failure(self) -> None:
        status, lines = self.total(self.part(None, None))
        self.assertEqual(1, status)
        self.assertEqual("0 passed, 1 failed, 0 skipped", lines[-1])

    def test_a_stream_cut_off_is_a_failure(self) -> None:
        data = Stream().test("a", "success").test("b", "success").data
        status, lines = self.total(self.part(data[:-7]))
        self.assertEqual(1, status)
        self.assertRegex(lines[-1], r"^\d+ passed, [1-9]\d* failed, ")

    def test_no_test_is_a_failure(self) -> None:
        status, lines = self.total(
            self.part(Stream().test("a", "success").data),
            self.part(b"", name="image"),
        )
        self.assertEqual(1, status)
        self.assertEqual("1 passed, 1 failed, 0 skipped", lines[-1])
        self.assertIn("FAILED image: no test was found", lines)

    def test_a_part_may_be_skipped_but_not_all(self) -> None:
        ran = self.part(Stream().test("a", "success").data)
        skipped = self.part(
            Stream().test("b", "skip", reason="no KVM").data, name="image"
        )
        status, lines = self.total(ran, skipped)
        self.assertEqual(0, status)
        self.assertEqual("1 passed, 0 failed, 1 skipped", lines[-1])
        status, lines = self.total(skipped)
        self.assertEqual(1, status)

    def test_a_problem_of_the_part_is_a_failure(self) -> None:
        stream = Stream().test("a", "success")
        status, lines = self.total(
            self.part(stream.data, problem="no cloud could be started")
        )
        self.assertEqual(1, status)
        self.assertIn("FAILED unit: no cloud could be started", lines)

    def test_no_part_at_all(self) -> None:
        status, lines = self.total()
        self.assertEqual(1, status)
        self.assertEqual("0 passed, 1 failed, 0 skipped", lines[-1])

    def test_text_between_packets_is_no_test(self) -> None:
        one = Stream().test("a", "success").data
        two = Stream().test("b", "success").data
        status, lines = self.total(
            self.part(one + b"something was printed\n" + two)
        )
        self.assertEqual("2 passed, 0 failed, 0 skipped", lines[-1])
        self.assertEqual(0, status)

    def test_report_of_a_part(self) -> None:
        stream = (
            Stream()
            .test("quick", "success", 0.01)
            .test("slow", "success", 90)
            .test("gone", "skip", reason="there is\n no KVM here")
        )
        stdout, _ = self.capture()
        directory = self.part(stream.data)
        (directory / "x.note").write_text("9 faults tried\n")
        self.assertEqual(0, results.main(["part", str(directory)]))
        stdout.seek(0)
        self.assertEqual(
            [
                "unit: 2 passed, 0 failed, 1 skipped, 12 s",
                "  9 faults tried",
                "  slowest:",
                "       90.0 s  slow",
                "  skipped:",
                "    gone: there is no KVM here",
            ],
            stdout.read().splitlines(),
        )
