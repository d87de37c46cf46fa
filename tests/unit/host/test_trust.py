# SPDX-License-Identifier: Apache-2.0
"""Root trusts no file that another user can have written."""

import grp
import os
import pathlib
import pwd
import types

from tests import base
from trove_tools import errors
from trove_tools.host import trust

_IS_PRIVATE = trust._is_private


class TrustTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(SUDO_UID=None)
        # this user's own group is no other user
        self.patch_object(trust, "_is_private", lambda status: False)
        self.place = self.temp_dir()
        self.file = self.place / "file"
        self.file.write_text("x")
        self.file.chmod(0o644)

    def refused(self, path: pathlib.Path) -> errors.UsageError:
        self.assertFalse(trust.is_own(path))
        error = self.assertRaises(
            errors.UsageError, trust.require_own, path, "the cache"
        )
        self.assertIn(f"the cache {path} is not used", error.message)
        self.assertTrue(error.hint)
        return error

    def open(self, path: pathlib.Path, flags: int = os.O_RDONLY) -> str:
        descriptor = trust.open_own(path, flags, "the lock")
        with open(descriptor) as stream:
            return stream.read()

    def test_own(self) -> None:
        for path in (self.place, self.file):
            trust.require_own(path, "the cache")
            self.assertTrue(trust.is_own(path))
        self.assertEqual("x", self.open(self.file))

    def test_what_others_may_write(self) -> None:
        for path in (self.place, self.file):
            for mode in (0o775, 0o757, 0o777):
                path.chmod(mode)
                error = self.refused(path)
                self.assertIn(f"mode is {mode:o}", error.message)
                self.assertIn(f"chmod -R go-w {path}", error.hint or "")
            path.chmod(0o700)
            trust.require_own(path, "the cache")

    def test_what_belongs_to_another_user(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("giving a file to another user needs root")
        os.chown(self.file, 65534, 65534)
        self.assertIn("belongs to", self.refused(self.file).message)
        self.assertRaises(errors.UsageError, self.open, self.file)
        os.chown(self.file, 54321, 0)
        self.assertIn("id 54321", self.refused(self.file).message)

    def test_links_are_not_followed(self) -> None:
        link = self.place / "link"
        link.symlink_to(self.file)
        self.assertIn("link", self.refused(link).message)
        # nor is the file made that one leads to
        link.unlink()
        link.symlink_to(self.place / "elsewhere")
        error = self.assertRaises(
            errors.UsageError, self.open, link, os.O_RDWR | os.O_CREAT
        )
        self.assertIn("it is a link", error.message)
        self.assertFalse((self.place / "elsewhere").exists())

    def test_a_fifo_is_not_waited_for(self) -> None:
        fifo = self.place / "fifo"
        os.mkfifo(fifo, 0o600)
        self.assertRaises(errors.UsageError, self.open, fifo)

    def test_directories_above(self) -> None:
        inner = self.place / "above/inner"
        inner.mkdir(parents=True, mode=0o755)
        trust.require_own_place(inner, "the cache")
        above = inner.parent
        for mode, is_safe in ((0o777, False), (0o1777, True), (0o755, True)):
            above.chmod(mode)
            if is_safe:
                trust.require_own_place(inner, "the cache")
                continue
            error = self.assertRaises(
                errors.UsageError, trust.require_own_place, inner, "the cache"
            )
            self.assertIn(f"because of {above}", error.message)
            self.assertIn(str(above), error.hint or "")

    def test_who_called_sudo(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("giving a file to another user needs root")
        os.chown(self.file, 54321, 54321)
        for caller in (None, "", "x", "\u0661", "54322"):
            self.set_env(SUDO_UID=caller)
            self.assertFalse(trust.is_own(self.file))
        self.set_env(SUDO_UID="54321")
        self.assertTrue(trust.is_own(self.file))

    def test_a_group_of_one_user(self) -> None:
        self.patch_object(trust, "_is_private", _IS_PRIVATE)
        user = types.SimpleNamespace(pw_uid=54321, pw_gid=7, pw_name="ann")
        self.patch_object(pwd, "getpwuid", lambda uid: user)
        self.file.chmod(0o664)
        for name, members, is_safe in (
            ("ann", [], True), ("ann", ["ann"], True),
            ("ann", ["ann", "bob"], False), ("users", [], False),
        ):  # fmt: skip
            group = types.SimpleNamespace(
                gr_gid=7, gr_name=name, gr_mem=members
            )
            self.patch_object(grp, "getgrgid", lambda gid, found=group: found)
            self.assertEqual(is_safe, trust.is_own(self.file))
        # root's group has members that nobody lists
        user.pw_uid = 0
        self.assertFalse(trust.is_own(self.file))

    def test_no_file(self) -> None:
        path = self.place / "nothing"
        self.assertFalse(trust.is_own(path))
        self.assertRaises(FileNotFoundError, trust.require_own, path, "x")
        self.assertRaises(FileNotFoundError, self.open, path)
