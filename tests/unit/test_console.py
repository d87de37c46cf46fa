# SPDX-License-Identifier: Apache-2.0
"""What goes to people, and what goes to machines."""

import io
import json
import shlex

from tests import base
from trove_tools import console
from trove_tools import errors

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
        console.emit(data, form, columns)  # type: ignore[arg-type]
        out.seek(0)
        return str(out.read())

    def test_json_is_the_data(self) -> None:
        self.assertEqual(DATA, json.loads(self.emitted(DATA, "json")))

    def test_shell_is_fit_for_eval(self) -> None:
        script = self.emitted(DATA, "shell")
        names = dict(word.split("=", 1) for word in shlex.split(script))
        self.assertEqual(
            {
                "NAME": "it's",
                "SIZE": "3",
                "OK": "true",
                "NONE": "",
                "IMAGE_OS_TYPE": "x y",
                "PORTS": "1 2",
                "VERSIONS_COUNT": "2",
                "VERSIONS_0_VERSION": "1",
                "VERSIONS_1_VERSION": "2",
            },
            names,
        )

    def test_shell_list(self) -> None:
        out = self.emitted([{"a": "$(x)"}], "shell")
        self.assertEqual("COUNT=1\nITEM_0_A='$(x)'\n", out)

    def test_table_has_the_columns(self) -> None:
        rows = [{"a": 1, "b": "[red]x[/red]", "c": 3}]
        out = self.emitted(rows, "table", "a", "b")
        self.assertIn("[red]x[/red]", out)
        self.assertNotIn("3", out)

    def test_table_of_one_thing(self) -> None:
        out = self.emitted(DATA, "table")
        self.assertIn("os-type: x y", out)
        self.assertIn("1, 2", out)


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

    def test_state_is_said_once(self) -> None:
        stream = io.StringIO()
        with console.Console(stream=stream).progress("wait") as progress:
            progress.state("booting")
            progress.state("booting")
        self.assertEqual(1, len(stream.getvalue().splitlines()))
