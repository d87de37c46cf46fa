# SPDX-License-Identifier: Apache-2.0
"""What goes to people, and what goes to machines."""

import contextlib
import io
import json
import re
import time

import fixtures

from tests import base
from trove_tools import console
from trove_tools import errors
from trove_tools import progress as _progress
from trove_tools import results

DATA = {
    "name": "it's",
    "size": 3,
    "ok": True,
    "none": None,
    "image": {"os-type": "x y"},
    "ports": [1, 2],
    "versions": [{"version": "1"}, {"version": "2"}],
}


class EmitTest(base.TestCase):
    def emitted(self, data: object, form: str, *columns: str) -> str:
        out, _ = self.capture()
        result = results.Result("XS", ("a",), many=True)
        console.emit(data, form, columns, result=result)  # type: ignore
        out.seek(0)
        return str(out.read())

    def test_json_is_the_data(self) -> None:
        self.assertEqual(DATA, json.loads(self.emitted(DATA, "json")))

    def test_shell_is_fit_for_eval(self) -> None:
        out = self.emitted([{"a": "$(x)"}, {}], "shell")
        self.assertEqual("XS_COUNT=2\nXS_0_A='$(x)'\nXS_1_A=''\n", out)

    def test_table_has_the_columns(self) -> None:
        rows = [{"a": 1, "b": "[red]x[/red]", "c": 3}]
        out = self.emitted(rows, "table", "a", "b")
        self.assertIn("[red]x[/red]", out)
        self.assertNotIn("3", out)

    def test_table_of_one_thing(self) -> None:
        out = self.emitted(DATA, "table")
        self.assertIn("os-type: x y", out)
        self.assertIn("1, 2", out)

    def test_fields_are_words_and_have_a_value(self) -> None:
        data = {"build_id": 0, "fetched_from": "", "log": None}
        lines = self.emitted(data, "table").splitlines()[2:]
        self.assertEqual(["build id   0", "log        -"],
                         [line.strip() for line in lines])  # fmt: skip
        self.assertEqual(data, json.loads(self.emitted(data, "json")))

    def test_nothing_in_a_table_steers_the_terminal(self) -> None:
        data = {"a\x1b[2J": "b\x1b]52;c;x\x07", "c": {"d\x9b": ["\x1b[1m"]}}
        for shown in (data, [data]):
            out = self.emitted(shown, "table")
            self.assertNotRegex(out, "[\x00-\x08\x0b-\x1f\x7f-\x9f]")
            self.assertIn("\\x1b]52", out)

    def test_name_of_a_file_that_is_no_text(self) -> None:
        self.assertIn("udcff", self.emitted({"a": "\udcff"}, "shell"))
        self.assertIn("udcff", self.emitted({"a": "\udcff"}, "table"))


class HostileConsoleTest(base.TestCase):
    """What comes from an image or a cloud is printed, and does nothing."""

    def test_messages(self) -> None:
        stream = io.StringIO()
        screen = console.Console(stream=stream)
        screen.say("a\x1b[2J\r\nb\tc")
        screen.warn("\x9b1m")
        screen.error(errors.TroveToolsError("\x07", hint="\u202e"))
        with screen.progress("\x1btitle") as progress:
            progress.state("\x1bstate")
        out = stream.getvalue()
        self.assertIn("a\\x1b[2J\nb\tc\n", out)
        self.assertIn("\\x1bstate", out)
        self.assertNotRegex(out, "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")

    def test_bars(self) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        self.useFixture(fixtures.EnvironmentVariable("TERM", "xterm"))
        stream = Terminal()
        screen = console.Console(stream=stream)
        with screen.progress("\x1b]0;title") as progress:
            progress.state("\x1b]0;state")
        self.assertNotIn("\x1b]", stream.getvalue())
        self.assertIn("\\x1b]0;state", stream.getvalue())

    def test_no_password_of_an_address(self) -> None:
        stream = io.StringIO()
        screen = console.Console(stream=stream)
        screen.error(
            errors.TroveToolsError(
                "GET https://me:s3cr@t@host/x, git://git@host/y",
                hint="http://t0ken@host?a=b@c",
            )
        )
        self.assertEqual(
            "error: GET https://host/x, git://git@host/y\n"
            "hint: http://host\n",
            stream.getvalue(),
        )


class ConsoleTest(base.TestCase):
    def test_error_and_hint(self) -> None:
        stream = io.StringIO()
        console.Console(stream=stream).error(
            errors.TroveToolsError("it broke", hint="mend it")
        )
        self.assertEqual("error: it broke\nhint: mend it\n", stream.getvalue())

    def test_quiet_still_warns(self) -> None:
        stream = io.StringIO()
        screen = console.Console(quiet=True, stream=stream)
        screen.say("nothing")
        screen.warn("something")
        with screen.progress("work", 2) as progress:
            progress.state("busy")
            progress.advance()
        self.assertEqual("warning: something\n", stream.getvalue())

    def test_progress_in_lines(self) -> None:
        stream = io.StringIO()
        screen = console.Console(stream=stream)
        with screen.progress("send", 100, "bytes") as progress:
            for _ in range(100):
                progress.advance()
        lines = stream.getvalue().splitlines()
        self.assertEqual(10, len(lines))
        self.assertRegex(lines[-1], r"send: \[ +0 s\] 100 %")

    def test_a_state_that_stays_is_said_again_now_and_then(self) -> None:
        self.patch_object(_progress, "_SILENCE", 0.2)
        self.patch_object(_progress, "_BEAT", 0.05)
        stream = io.StringIO()
        with console.Console(stream=stream).progress("boot") as progress:
            time.sleep(0.3)
            progress.state("waiting")
            time.sleep(1)
        lines = stream.getvalue().splitlines()
        self.assertIn(len(lines), (3, 4, 5))
        self.assertEqual({"waiting"}, {line.split()[-1] for line in lines})
        time.sleep(0.3)
        self.assertEqual(len(lines), len(stream.getvalue().splitlines()))

    def test_state_is_said_once(self) -> None:
        stream = io.StringIO()
        with console.Console(stream=stream).progress("wait") as progress:
            progress.state("booting")
            progress.state("booting")
        self.assertEqual(1, len(stream.getvalue().splitlines()))


class Terminal(io.StringIO):
    """A terminal that remembers what it was sent."""

    def isatty(self) -> bool:
        return True


class WidthTest(base.TestCase):
    def test_a_pipe_is_as_wide_as_columns_says(self) -> None:
        rows = [{"name": "word " * 30}]
        for columns, lines in ((None, 3), ("40", 6)):
            self.set_env(COLUMNS=columns)
            with contextlib.redirect_stdout(io.StringIO()) as out:
                console.emit(rows, "table")
            self.assertEqual(lines, len(out.getvalue().splitlines()))


class TerminalTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(TERM="xterm", COLUMNS="80", LINES="24", NO_COLOR="1")
        self.stream = Terminal()

    def lines(self) -> list[str]:
        """Return what stands in the terminal, without control sequences."""
        text = re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", self.stream.getvalue())
        return [line.rstrip() for line in re.split(r"[\r\n]+", text)]

    def test_finished_states_are_lines(self) -> None:
        screen = console.Console(stream=self.stream)
        with screen.progress("an-image", 3) as progress:
            progress.state("base: install [packages]")
            screen.warn("in between")
            progress.advance()
            progress.state("convert")
        lines = self.lines()
        finished = "[   0 s] base: install [packages]"
        self.assertEqual(1, lines.count(finished))
        self.assertIn("[   0 s] convert", lines)
        self.assertIn("warning: in between", lines)
        self.assertLess(
            lines.index("warning: in between"), lines.index(finished)
        )

    def test_time_and_state_come_before_bar_and_name(self) -> None:
        title = "trove-mariadb-11.8-postgresql-17-debian-13-amd64"
        with console.Console(stream=self.stream).progress(title) as progress:
            progress.state("install packages")
        bar = next(line for line in self.lines() if "━" in line)
        self.assertRegex(
            bar, r"^\[   0 s\] (install packages)? *[━╸╺ ]+ trove-mariadb.*"
        )
        shown = [line for line in self.lines() if "trove-" in line]
        self.assertLessEqual(max(map(len, shown)), 80)

    def test_several_are_told_apart(self) -> None:
        with console.Console(stream=self.stream).several() as begin:
            for name in ("one", "two"):
                begin(name).state("done")
        for name in ("one", "two"):
            self.assertIn(f"{name}: [   0 s] done", self.lines())

    def test_a_terminal_without_a_cursor_gets_lines(self) -> None:
        self.set_env(TERM="dumb")
        with console.Console(stream=self.stream).progress("x") as progress:
            progress.state("busy")
        self.assertEqual("x: [   0 s] busy\n", self.stream.getvalue())

    def test_no_colour(self) -> None:
        screen = console.Console(stream=self.stream)
        screen.warn("x")
        self.set_env(NO_COLOR=None)
        screen.warn("x")
        self.assertEqual(
            "warning: x\n\033[1;33mwarning: \033[0mx\n",
            self.stream.getvalue(),
        )
