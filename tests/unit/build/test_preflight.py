# SPDX-License-Identifier: Apache-2.0
"""What is asked before a build begins, and what is said when it is not so."""

import dataclasses
import http.server
import pathlib
import subprocess
import threading
import typing

import ddt

from tests import base
from tests.unit.plan import samples
from trove_tools import errors
from trove_tools.build import preflight
from trove_tools.host import debian
from trove_tools.plan import agent
from trove_tools.plan import layers
from trove_tools.plan import plan
from trove_tools.sources.container import skopeo


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves what the server has, by path."""

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)  # type: ignore
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *words: object) -> None:
        pass


@ddt.ddt
class PreflightTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.files: dict[str, bytes] = {
            "/debian/dists/trixie/InRelease": b"",
            "/security/dists/trixie-security/Release": b"",
        }
        server.files = self.files  # type: ignore
        device = self.temp_dir() / "loop-control"
        device.touch()
        self.patch_object(preflight, "LOOP_CONTROL", device)

    def a_plan(self, **changes: typing.Any) -> plan.Plan:
        checkout = agent.Agent("checkout", "/opt/trove", state="1")
        values = {
            "agent": checkout,
            "mirrors": debian.Mirrors(
                f"{self.url}/debian", f"{self.url}/security/"
            ),
            **changes,
        }
        return plan.make(samples.a_request(**values))

    def check(
        self, missing: tuple[layers.Layer, ...] = (), **changes: typing.Any
    ) -> None:
        preflight.check(self.a_plan(**changes), missing)

    def refused(self, **changes: typing.Any) -> errors.TroveToolsError:
        error = self.assertRaises(errors.BuildError, self.check, **changes)
        self.assertTrue(error.hint)
        return error

    def test_all_is_there(self) -> None:
        self.check()

    def test_release_that_a_mirror_does_not_have(self) -> None:
        self.files.clear()
        error = self.refused()
        self.assertIn("/debian does not have trixie", error.message)
        self.assertIn("does not have trixie-security", error.message)
        self.assertIn("--mirror", error.hint or "")
        self.assertIn("--security-mirror", error.hint or "")

    def test_mirror_that_does_not_answer(self) -> None:
        with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as server:
            url = f"http://127.0.0.1:{server.server_port}/debian"
        error = self.refused(mirrors=debian.Mirrors(url))
        self.assertIn("cannot be reached", error.message)
        self.assertIn("--mirror", error.hint or "")

    def test_other_servers_that_do_not_answer(self) -> None:
        """The hint is about this server, not about a package mirror."""
        with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as server:
            url = f"http://127.0.0.1:{server.server_port}"
        self.set_env(
            PIP_INDEX_URL=f"{url}/simple", PIP_EXTRA_INDEX_URL=None,
            PIP_CONFIG_FILE="/dev/null", PIP_FIND_LINKS=None,
        )  # fmt: skip
        constrained = agent.Agent(
            "checkout", "/opt/trove", state="1", constraints=f"{url}/c.txt"
        )
        for source, word in (
            (constrained, "--constraints"),
            (agent.Agent("git", f"{url}/trove", ref="main"), "git"),
            (agent.Agent("pypi", "trove==26.0.0"), "PIP_INDEX_URL"),
        ):
            error = self.refused(agent=source)
            self.assertIn(word, error.hint or "", error.message)
            self.assertNotIn("mirror", error.hint or "", error.message)

    def test_suite_of_a_container(self) -> None:
        choices = (
            samples.a_choice("mysql", source="packages", suite="sid"),
            samples.a_choice("mariadb", source="packages", suite="trixie"),
        )
        made = self.a_plan(choices=choices)
        missing = made.layers[2:3]
        error = self.assertRaises(
            errors.BuildError, self.check, missing, choices=choices
        )
        self.assertIn("/debian does not have sid", error.message)
        self.files["/debian/dists/sid/InRelease"] = b""
        self.check(missing, choices=choices)

    def test_nothing_is_asked_offline(self) -> None:
        self.files.clear()
        self.check(inherited={"DIB_OFFLINE": "1"})

    def test_constraints_behind_a_url(self) -> None:
        place = f"{self.url}/upper-constraints.txt"
        source = agent.Agent(
            "checkout", "/opt/trove", state="1", constraints=place
        )
        self.assertIn(place, self.refused(agent=source).message)
        self.files["/upper-constraints.txt"] = b"oslo.log===1.2\n"
        self.check(agent=source)
        self.files["/upper-constraints.txt"] = b"<html>"
        error = self.assertRaises(
            errors.UsageError, self.check, agent=source
        )
        self.assertIn("not a file of constraints", error.message)

    def test_git(self) -> None:
        place = self.temp_dir()
        for words in (
            ["init", "--quiet", "--initial-branch", "main"],
            ["-c", "user.name=x", "-c", "user.email=x", "commit", "--quiet",
             "--allow-empty", "--message", "x"],
            ["tag", "v1"],
        ):  # fmt: skip
            subprocess.run(["git", "-C", place, *words], check=True)
        url = f"file://{place}"
        for ref in ("main", "v1", "refs/tags/v1", "0123abcd"):
            self.check(agent=agent.Agent("git", url, ref=ref))
        error = self.refused(agent=agent.Agent("git", url, ref="mian"))
        self.assertIn("no branch and no tag mian", error.message)
        nowhere = agent.Agent("git", f"file://{place}/no", ref="main")
        error = self.refused(agent=nowhere)
        self.assertIn(f"git+file://{place}/no", error.message)
        self.assertIn("not appear to be a git repo", error.message)

    def test_requirement(self) -> None:
        # an index as pip knows it, with nothing else in reach
        self.files["/simple/trove/"] = (
            b'<a href="trove-26.0.0-py3-none-any.whl">'
            b"trove-26.0.0-py3-none-any.whl</a>"
        )
        self.set_env(
            PIP_INDEX_URL=f"{self.url}/simple", PIP_EXTRA_INDEX_URL=None,
            PIP_CONFIG_FILE="/dev/null", PIP_FIND_LINKS=None,
        )  # fmt: skip
        error = self.refused(agent=agent.Agent("pypi", "trove==999"))
        self.assertIn("trove==999", error.message)
        self.assertIn("26.0.0", error.message)
        self.assertIn("--agent", error.hint or "")

    def test_container_that_is_none(self) -> None:
        file = self.temp_dir() / "x.tar"
        file.write_text("no archive")
        choice = samples.a_choice("mariadb")
        assert choice.container is not None
        container = dataclasses.replace(
            choice.container, source="archive", path=str(file)
        )
        choices = (dataclasses.replace(choice, container=container),)
        made = self.a_plan(choices=choices)
        error = self.assertRaises(
            errors.BuildError, preflight.check, made, made.layers
        )
        self.assertIn(str(file), error.message)
        # what is in a layer that is there is not needed any more
        preflight.check(made, ())

    def test_registry_is_asked(self) -> None:
        asked: list[typing.Any] = []
        self.patch_object(skopeo, "find", lambda *words: asked.append(words))
        choice = samples.a_choice("mariadb")
        assert choice.container is not None
        container = dataclasses.replace(choice.container, source="registry")
        choices = (dataclasses.replace(choice, container=container),)
        made = self.a_plan(choices=choices)
        preflight.check(made, made.layers)
        self.assertEqual([(container, "amd64")], asked)

    def test_host_without_loop_devices(self) -> None:
        self.patch_object(
            preflight, "LOOP_CONTROL", pathlib.Path("/nowhere/loop-control")
        )
        error = self.assertRaises(errors.MissingToolError, self.check)
        self.assertIn("modprobe loop", error.hint or "")

    def test_where_diskimage_builder_cannot_run(self) -> None:
        self.patch_object(
            preflight.elements, "shipped_path", lambda: "/my venv/elements"
        )
        error = self.assertRaises(errors.MissingToolError, self.check)
        self.assertIn("/my venv", error.message)
