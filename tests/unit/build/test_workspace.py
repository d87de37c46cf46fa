# SPDX-License-Identifier: Apache-2.0
"""The workspace: published whole, or gone."""

import os
import pathlib
import subprocess
import sys
import tempfile
import typing

from tests import base
from trove_tools import errors
from trove_tools.build import workspace
from trove_tools.host import cleanup
from trove_tools.host import process

NAME = "image-1.0.qcow2"
GIB = 1024**3


class WorkspaceTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # what takes things down runs as root by way of sudo otherwise
        self.patch_object(cleanup, "_is_root", lambda: True)
        self.output = self.temp_dir() / "out"
        self.register = self.temp_dir() / "register"
        self.warnings: list[str] = []

    def listing(self) -> list[str]:
        return sorted(path.name for path in self.output.iterdir())

    def open(self, work: pathlib.Path | None = None):  # type: ignore
        return workspace.open_workspace(
            self.output, NAME, work, self.register, self.warnings.append
        )

    def make(self, text: str) -> None:
        with self.open() as space:
            space.image.write_text(text)
            space.log.write_text(text)
            space.publish(self.output)

    def test_publish(self) -> None:
        self.make("one")
        self.assertEqual(["image-1.0.d", NAME], self.listing())
        self.make("two")
        self.assertEqual(["image-1.0.d", NAME], self.listing())
        self.assertEqual("two", (self.output / NAME).read_text())
        log = self.output / "image-1.0.d" / "build.log"
        self.assertEqual("two", log.read_text())

    def test_failure_leaves_nothing(self) -> None:
        class Oh(Exception):
            pass

        self.make("one")
        try:
            with self.open() as space:
                space.image.write_text("two")
                raise Oh
        except Oh:
            pass
        self.assertEqual(["image-1.0.d", NAME], self.listing())
        self.assertEqual("one", (self.output / NAME).read_text())

    def test_kept_log(self) -> None:
        with self.open() as space:
            space.log.write_text("why")
            kept = space.keep_log(self.output)
        self.assertEqual("why", kept.read_text())
        self.assertEqual(["image-1.0.d"], self.listing())

    def test_two_at_a_time(self) -> None:
        with self.open():
            error = self.assertRaises(errors.BuildError, self.make, "x")
        self.assertIn("another build of image-1.0", error.message)
        self.make("x")

    def test_what_a_killed_build_left(self) -> None:
        left = self.output / ".image-1.0.partial" / "work" / "x"
        left.mkdir(parents=True)
        with self.open() as space:
            self.assertFalse(left.exists())
            self.assertTrue(space.work.is_dir())

    def test_work_elsewhere(self) -> None:
        elsewhere = self.temp_dir()
        with self.open(elsewhere) as space:
            (space.work / "file").touch()
            self.assertEqual(elsewhere, space.work.resolve().parent)
        self.assertEqual([], list(elsewhere.iterdir()))

    def test_work_elsewhere_of_a_killed_build(self) -> None:
        elsewhere = self.temp_dir() / "trove-image-x"
        elsewhere.mkdir()
        self.leave_link(elsewhere)
        with self.open():
            self.assertFalse(elsewhere.exists())

    def leave_link(self, target: pathlib.Path) -> None:
        (self.output / ".image-1.0.partial").mkdir(parents=True)
        link = self.output / ".image-1.0.partial" / "work"
        link.symlink_to(target)

    def test_link_to_what_is_not_ours(self) -> None:
        precious = self.temp_dir()
        self.leave_link(precious)
        with self.open():
            self.assertTrue(precious.is_dir())

    def test_workspace_of_another_user(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("giving a directory to another user needs root")
        place = self.output / ".image-1.0.partial"
        (place / "x").mkdir(parents=True)
        os.chown(place, 54321, 54321)
        for _ in range(2):
            error = self.assertRaises(errors.UsageError, self.make, "x")
            self.assertIn("belongs to", error.message)
            # also where there is nothing in it
            if (place / "x").exists():
                (place / "x").rmdir()

    def test_output_that_cannot_be_written(self) -> None:
        file = self.temp_dir() / "file"
        file.touch()
        self.output = file / "out"
        error = self.assertRaises(errors.UsageError, self.make, "x")
        self.assertIn("--output-dir", error.hint or "")

    def test_dead_ones_are_found_by_the_register(self) -> None:
        dead = self.output / ".other.partial"
        (dead / "work").mkdir(parents=True)
        workspace.enter(self.register, dead)
        workspace.enter(self.register, self.output / ".gone.partial")
        with self.open() as alive:
            self.assertEqual(
                [dead],
                workspace.take_down_dead(self.register, self.warnings.append),
            )
            self.assertTrue(alive.directory.is_dir())
            self.assertEqual(1, len(list(self.register.iterdir())))
        self.assertFalse(dead.exists())
        self.assertEqual([], list(self.register.iterdir()))

    def test_one_that_cannot_be_taken_down_is_a_warning(self) -> None:
        for name in ("one", "two"):
            dead = self.output / f".{name}.partial"
            dead.mkdir(parents=True)
            workspace.enter(self.register, dead)
        remove = cleanup.remove

        def refuse(directory: pathlib.Path) -> list[str]:
            if directory.name == ".one.partial":
                raise errors.BuildError("cannot unmount /x")
            return remove(directory)

        self.patch_object(cleanup, "remove", refuse)
        taken = workspace.take_down_dead(self.register, self.warnings.append)
        self.assertEqual([self.output / ".two.partial"], taken)
        (warning,) = self.warnings
        self.assertIn(".one.partial", warning)
        self.assertIn("cannot unmount /x", warning)
        # the next build tries again
        (entry,) = self.register.iterdir()
        self.assertEqual(self.output / ".one.partial", entry.readlink())

    def test_what_is_no_entry_of_the_register(self) -> None:
        precious = self.output / ".precious.partial"
        (precious / "data").mkdir(parents=True)
        elsewhere = self.temp_dir()
        workspace.enter(self.register, elsewhere)
        (self.register / "0123456789abcdef").symlink_to(precious)
        (self.register / "a file").touch()
        # a workspace is a directory, and never a link to one
        link = self.output / ".link.partial"
        link.symlink_to(elsewhere)
        workspace.enter(self.register, link)
        dead = self.output / ".dead.partial"
        dead.mkdir()
        workspace.enter(self.register, dead)
        self.assertEqual(
            [dead],
            workspace.take_down_dead(self.register, self.warnings.append),
        )
        self.assertEqual(4, len(self.warnings))
        self.assertTrue((precious / "data").is_dir())
        self.assertTrue(elsewhere.is_dir())

    def test_a_workspace_that_others_may_write(self) -> None:
        dead = self.output / ".dead.partial"
        dead.mkdir(parents=True)
        dead.chmod(0o777)
        workspace.enter(self.register, dead)
        self.assertEqual(
            [], workspace.take_down_dead(self.register, self.warnings.append)
        )
        self.assertIn("other users may write", str(self.warnings))

    def test_what_stays_does_not_spoil_the_image(self) -> None:
        def refuse(directory: pathlib.Path) -> list[str]:
            raise errors.BuildError("cannot unmount /x")

        with self.open() as space:
            space.image.write_text("one")
            space.publish(self.output)
            self.patch_object(cleanup, "remove", refuse)
        self.assertEqual("one", (self.output / NAME).read_text())
        (warning,) = self.warnings
        self.assertIn("cannot unmount /x", warning)
        self.assertEqual(1, len(list(self.register.iterdir())))

    def test_temporary_files_go_with_it(self) -> None:
        with self.open() as space:
            self.assertEqual(str(space.temporary), tempfile.gettempdir())
        self.assertNotEqual(str(space.temporary), tempfile.gettempdir())

    def test_other_names_of_a_directory(self) -> None:
        mounted: list[list[str]] = []

        def run(argv: list[typing.Any], **_: typing.Any) -> process.Completed:
            mounted.append([os.fspath(word) for word in argv])
            return process.Completed(0, "", "")

        self.patch_object(process, "run", run)
        self.patch_object(process, "as_root", list)
        self.output = self.temp_dir() / "a b"
        with self.open(self.temp_dir() / "c'd") as space:
            for place in (space.work, space.containers, space.temporary):
                self.assertTrue(workspace.is_plain(place), place)
            names = {
                name: os.readlink(space.directory / name)
                for name in ("plain", "work-plain", "work")
            }
            self.assertEqual(names["work-plain"], str(space.work))
            sources = [words[-2] for words in mounted if "--bind" in words]
            self.assertEqual([str(space.directory), names["work"]], sources)
            cache = self.temp_dir() / "e;f"
            link = space.plain(cache)
            self.assertTrue(workspace.is_plain(link))
            self.assertEqual(str(cache), os.readlink(link))
            self.assertEqual(self.register, space.plain(self.register))
        for name in names.values():
            self.assertFalse(os.path.exists(name))
        self.assertEqual([], self.listing())


class LeftoversTest(base.TestCase):
    def test_processes_are_ended_and_only_those(self) -> None:
        self.patch_object(cleanup, "_is_root", lambda: True)
        inside, outside = self.temp_dir() / "inside", self.temp_dir()
        inside.mkdir()
        sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
        ours = subprocess.Popen(sleep, cwd=inside)
        other = subprocess.Popen(sleep, cwd=outside)
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        cleanup.remove(inside)
        self.assertIsNone(other.poll())
        self.assertEqual(-9, ours.wait())
        self.assertFalse(inside.exists())

    def test_nothing_there(self) -> None:
        cleanup.remove(self.temp_dir() / "nothing")


class MemoryTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(DIB_NO_TMPFS=None)
        self.free = 6 * GIB
        self.ran: list[str] = []
        self.patch_object(
            process, "run", lambda argv: self.ran.extend(map(str, argv))
        )
        self.patch_object(process, "measure_free_memory", lambda: self.free)

    def mount(self) -> list[str]:
        directory = pathlib.Path("/x")
        workspace.Workspace(
            directory, NAME, directory, directory / "work"
        ).mount_memory()
        return self.ran

    def test_enough(self) -> None:
        ran = self.mount()
        self.assertEqual("/x/work", ran[-1])
        options = ran[ran.index("-o") + 1].split(",")
        self.assertIn(f"size={6 * GIB}", options)
        self.assertIn(f"uid={os.geteuid()}", options)

    def test_too_little(self) -> None:
        self.free = 3 * GIB
        self.assertEqual([], self.mount())

    def test_not_wanted(self) -> None:
        self.set_env(DIB_NO_TMPFS="1")
        self.assertEqual([], self.mount())
        self.set_env(DIB_NO_TMPFS="0")
        self.assertNotEqual([], self.mount())
