# SPDX-License-Identifier: Apache-2.0
"""Where the logs of a failed verify are, and how long."""

import pathlib
import stat

from tests import base
from trove_tools.artifact import verification
from trove_tools.host import paths
from trove_tools.verify import outcome
from trove_tools.verify import workspace


class LogsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        self.set_env(XDG_STATE_HOME=str(self.place / "state"))
        self.image = self.place / "name.qcow2"
        self.beside = self.place / "name.d" / "verify"
        self.beside.parent.mkdir()
        self.report = outcome.Report(image="i", level="boot")

    def verify(self, ok: bool, *words: str) -> None:
        with workspace.open_workspace(self.report, self.image) as work:
            for word in words:
                (work / f"{word}.log").write_text(word)
            (work / "guest-0").mkdir()
            (work / "guest-0" / "journal.log").write_text("more words")
            (work / "overlay.qcow2").write_text("data")
            (work / "empty.log").touch()
            self.report.checks[:] = [verification.Check("boot", ok=ok)]

    def test_all_logs_of_a_failure_are_kept_beside_the_image(self) -> None:
        self.verify(False, "console")
        self.assertEqual(str(self.beside), self.report.logs)
        self.assertEqual(
            {
                "console.log": "console",
                "guest-0/journal.log": "more words",
            },
            {
                str(file.relative_to(self.beside)): file.read_text()
                for file in self.beside.rglob("*.log")
            },
        )
        self.assertEqual(0o700, stat.S_IMODE(self.beside.stat().st_mode))

    def test_another_failure_replaces_them(self) -> None:
        self.verify(False, "old")
        self.verify(False, "new")
        self.assertTrue((self.beside / "new.log").exists())
        self.assertFalse((self.beside / "old.log").exists())
        self.assertEqual(["verify"], self.names(self.beside.parent))

    def test_a_success_removes_them(self) -> None:
        self.verify(False, "old")
        self.report.logs = None
        self.verify(True, "new")
        self.assertIsNone(self.report.logs)
        self.assertEqual([], self.names(self.beside.parent))

    def names(self, directory: pathlib.Path) -> list[str]:
        return [file.name for file in directory.iterdir()]

    def test_an_image_without_a_sidecar(self) -> None:
        self.beside.parent.rmdir()
        self.verify(False, "console")
        kept = paths.user_state() / "verify" / "name"
        self.assertEqual(str(kept), self.report.logs)
        self.assertTrue((kept / "console.log").exists())
        self.verify(True)
        self.assertFalse(kept.exists())

    def test_there_are_none(self) -> None:
        with workspace.open_workspace(self.report, self.image):
            pass
        self.assertIsNone(self.report.logs)
        self.assertFalse(self.beside.exists())

    def test_an_interrupted_one_leaves_none(self) -> None:
        def interrupt() -> None:
            with workspace.open_workspace(self.report, self.image) as work:
                (work / "console.log").write_text("words")
                raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, interrupt)
        self.assertFalse(self.beside.exists())
