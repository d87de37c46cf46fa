# SPDX-License-Identifier: Apache-2.0
"""Where the guest agent's code comes from."""

import pathlib

import ddt

from tests import base
from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.host import process
from trove_tools.plan import agent

SERIES = model.Series("x", "1", "http://git/trove", "stable/x", "trove>=1")


@ddt.ddt
class ParseTest(base.TestCase):
    def parse(self, text: str | None) -> agent.Agent:
        return agent.parse_agent(text, None, SERIES)

    @ddt.data(
        (None, "pypi", "trove>=1", ""),
        ("trove==2.0", "pypi", "trove==2.0", ""),
        ("git+http://h/trove", "git", "http://h/trove", "stable/x"),
        ("git+http://h/trove@v1", "git", "http://h/trove", "v1"),
        ("git+ssh://me@h/t@refs/changes/1", "git", "ssh://me@h/t",
         "refs/changes/1"),
    )  # fmt: skip
    @ddt.unpack
    def test_sources(
        self, text: str | None, source: str, location: str, ref: str
    ) -> None:
        found = self.parse(text)
        self.assertEqual(
            (source, location, ref),
            (found.source, found.location, found.ref),
        )

    @ddt.data(
        (None, "trove>=1"),
        ("trove==2.0", "trove==2.0"),
        ("git+http://h/trove@v1", "trove>=1"),
    )
    @ddt.unpack
    def test_what_it_needs(self, text: str | None, needed: str) -> None:
        self.assertEqual(
            needed,
            self.parse(text).environment()["DIB_TROVE_AGENT_DEPENDENCIES"],
        )

    @ddt.data("mariadb", "torve==1", "/nowhere", "http://h/trove")
    def test_neither(self, text: str) -> None:
        error = self.assertRaises(errors.UsageError, self.parse, text)
        self.assertIn("for example", error.hint or "")

    @ddt.data(
        ("git+https://me:secret@h/trove", None),
        (None, "https://me:secret@h/upper-constraints.txt"),
    )
    @ddt.unpack
    def test_no_passwords(self, text: str | None, limits: str | None) -> None:
        error = self.assertRaises(
            errors.UsageError, agent.parse_agent, text, limits, SERIES
        )
        self.assertNotIn("secret", f"{error.message}{error.hint}")


class CheckoutTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = self.temp_dir()
        (self.directory / "trove" / "guestagent").mkdir(parents=True)
        self.file = self.directory / "trove" / "x.py"
        self.file.write_text("1\n")
        (self.directory / "setup.cfg").touch()

    def state(self) -> str:
        return agent.parse_agent(str(self.directory), None, SERIES).state

    def git(self, *words: str) -> None:
        process.run(
            ["git", "-C", self.directory, "-c", "user.name=x",
             "-c", "user.email=x@example.org", *words]
        )  # fmt: skip

    def test_state_follows_the_content(self) -> None:
        self.git("init")
        self.git("add", ".")
        self.git("commit", "-m", "one")
        clean = self.state()
        self.assertRegex(clean, "^[0-9a-f]{40}$")
        self.file.write_text("2\n")
        changed = self.state()
        self.assertRegex(changed, rf"^{clean}\+[0-9a-f]+$")
        (self.directory / "new").write_text("1")
        new = self.state()
        (self.directory / "new").write_text("2")
        newer = self.state()
        self.assertEqual(4, len({clean, changed, new, newer}))

    def test_state_without_a_repository(self) -> None:
        one = self.state()
        self.assertEqual(one, self.state())
        self.file.write_text("2\n")
        self.assertNotEqual(one, self.state())

    def test_what_it_needs(self) -> None:
        def needed() -> str:
            found = agent.parse_agent(str(self.directory), None, SERIES)
            return found.dependencies

        self.assertEqual("", needed())
        requirements = self.directory / "requirements.txt"
        requirements.write_text("# all\npbr>=2 # one\n\nx;os_name=='a'\n")
        self.assertEqual("pbr>=2\nx;os_name=='a'", needed())

    def test_not_trove(self) -> None:
        error = self.assertRaises(
            errors.UsageError,
            agent.parse_agent,
            str(pathlib.Path(__file__).parent),
            None,
            SERIES,
        )
        self.assertIn("not a checkout of Trove", error.message)

    def test_not_a_whole_checkout(self) -> None:
        (self.directory / "setup.cfg").unlink()
        error = self.assertRaises(errors.UsageError, self.state)
        self.assertIn("setup.cfg", error.message)

    def test_checkout_without_a_commit(self) -> None:
        self.git("init")
        error = self.assertRaises(errors.UsageError, self.state)
        self.assertIn("git cannot read this checkout", error.message)


@ddt.ddt
class ConstraintsTest(base.TestCase):
    def parse(self, content: bytes) -> agent.Agent:
        file = self.temp_dir() / "constraints.txt"
        file.write_bytes(content)
        return agent.parse_agent(None, str(file), SERIES)

    def test_as_pip_reads_them(self) -> None:
        found = self.parse(
            b"# all\n\noslo.log===1.2;python_version=='3.11'  # one\n"
            b"a_b[c] >= 1, <2\nx @ https://h/x.whl\n-c other.txt\nn~=1\n"
        )
        self.assertTrue(found.constraints_digest)

    @ddt.data(b"<html>\n", b"\xff\xfe", b"a==1\nhttps://h/x\n", b"trove\n")
    def test_something_else(self, content: bytes) -> None:
        error = self.assertRaises(errors.UsageError, self.parse, content)
        self.assertIn("not a file of constraints", error.message)
        self.assertIn("NAME==VERSION", error.hint or "")
