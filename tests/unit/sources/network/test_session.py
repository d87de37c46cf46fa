# SPDX-License-Identifier: Apache-2.0
"""What a build's programs are told about the network."""

import os
import pathlib
import shutil
import tempfile
import urllib.error

from tests import base
from tests.standins import authority
from tests.standins import proxy
from tests.standins import repository
from trove_tools import errors
from trove_tools.build import dib
from trove_tools.host import process
from trove_tools.sources.network import authorities
from trove_tools.sources.network import session

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class SessionCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in (*_PROXIES, *authorities.VARIABLES):
            self.set_env(**{name: None, name.upper(): None})
        self.apt("")
        self.files = self.temp_dir()
        (self.files / "file").write_text("served")
        self.server = repository.Server(self.files)
        self.addCleanup(self.server.close)

    def apt(self, dump: str) -> None:
        self.fake_program("apt-config", f"cat <<'END'\n{dump}\nEND")

    def standin(self, *names: str, login: str = "") -> proxy.Proxy:
        place = self.server.url.removeprefix("http://")
        made = proxy.Proxy(dict.fromkeys(names, place), login)
        self.addCleanup(made.close)
        return made

    def conf(self) -> str:
        place = pathlib.Path(os.environ[session.DIRECTORY])
        return (place / "apt.conf").read_text()


class ProxyTest(SessionCase):
    def setUp(self) -> None:
        super().setUp()
        self.packages = self.standin("mirror.invalid", login="me:secret")
        self.others = self.standin("index.invalid")
        self.apt(
            'Acquire::http::Proxy "http://me:secret@127.0.0.1:'
            f'{self.packages.port}";'
        )
        self.set_env(ALL_PROXY=self.others.url)

    def test_each_goes_its_way(self) -> None:
        with session.open_session():
            for url, packages in (
                ("http://mirror.invalid/file", True),
                ("http://index.invalid/file", False),
            ):
                answer = session.open_url(url, 10, packages=packages)
                with answer:
                    self.assertEqual(b"served", answer.read())
            self.assertRaises(
                urllib.error.HTTPError, session.open_url,
                "http://mirror.invalid/file", 10,
            )  # fmt: skip
        self.assertEqual(
            ["http://mirror.invalid/file"], [u for _, u in self.packages.asked]
        )

    def test_children_are_told(self) -> None:
        with session.open_session():
            done = process.run(
                ["curl", "--silent", "--show-error", "--fail",
                 "http://index.invalid/file"],
            )  # fmt: skip
            self.assertEqual("served", done.stdout)
            environment = process.run(["env"]).stdout
            conf = self.conf()
        self.assertNotIn("secret", environment + conf)
        self.assertNotIn(self.others.url, environment)
        self.assertNotIn(self.packages.url, environment + conf)
        self.assertNotIn("ALL_PROXY", environment)
        self.assertIn('Acquire::https::Proxy "http://127.0.0.1:', conf)

    def test_afterwards_all_is_as_before(self) -> None:
        before = dict(os.environ)
        with session.open_session():
            place = os.environ[session.DIRECTORY]
        self.assertEqual(before, dict(os.environ))
        self.assertFalse(os.path.exists(place))

    def test_what_a_killed_build_leaves(self) -> None:
        place = pathlib.Path(tempfile.mkdtemp(prefix=session._PREFIX))
        self.addCleanup(shutil.rmtree, place, ignore_errors=True)
        with session.open_session():
            used = pathlib.Path(os.environ[session.DIRECTORY])
            self.assertIn(place, session.abandoned(self.fail))
            self.assertTrue(used.is_dir())
        self.assertFalse(place.exists())

    def test_a_child_has_what_its_parent_has(self) -> None:
        with session.open_session():
            before = dict(os.environ)
            with session.open_session(pathlib.Path("/nonexistent")):
                self.assertEqual(before, dict(os.environ))

    def test_the_base_is_made_by_mmdebstrap(self) -> None:
        self.assertFalse(session.needs_mmdebstrap())
        with session.open_session():
            self.assertTrue(session.needs_mmdebstrap())
            (option,) = session.bootstrap_options()
        self.assertTrue(option.startswith("--setup-hook=upload /tmp/"))


class AuthorityTest(SessionCase):
    def setUp(self) -> None:
        super().setUp()
        self.authority = authority.Authority(self.temp_dir())
        self.tls = repository.Server(
            self.files, self.authority.server("localhost")
        )
        self.addCleanup(self.tls.close)
        port = self.tls.place.rpartition(":")[2]
        self.url = f"https://localhost:{port}/file"

    def test_unknown(self) -> None:
        with session.open_session():
            error = self.assertRaises(
                urllib.error.URLError, session.open_url, self.url, 10
            )
            self.assertIn("certificate verify failed", str(error))
            self.assertNotIn("SSL_CERT_FILE", os.environ)
            self.assertFalse(session.needs_mmdebstrap())

    def test_given(self) -> None:
        with session.open_session(self.authority.file):
            with session.open_url(self.url, 10) as answer:
                self.assertEqual(b"served", answer.read())
            for argv in (
                ["curl", "--silent", "--show-error", "--fail", self.url],
                ["python3", "-c", "import sys, urllib.request as r;"
                 " print(r.urlopen(sys.argv[1]).read().decode(), end='')",
                 self.url],
            ):  # fmt: skip
                self.assertEqual("served", process.run(argv).stdout)
            self.assertTrue(session.needs_mmdebstrap())
            self.assertIn("Acquire::https::CaInfo", self.conf())

    def test_what_only_apt_trusts(self) -> None:
        self.apt(f'Acquire::https::CaInfo "{self.authority.file}";')
        with session.open_session():
            trusted = pathlib.Path(os.environ[session.DIRECTORY], "ca.crt")
            self.assertIn(self.authority.body, trusted.read_text())
            self.assertTrue(session.needs_mmdebstrap())

    def test_wrong_file(self) -> None:
        def begin() -> None:
            with session.open_session(self.files / "file"):
                self.fail("not reached")

        self.assertRaises(errors.UsageError, begin)


class BootstrapTest(SessionCase):
    def test_a_shell_hands_it_on_as_it_is(self) -> None:
        """diskimage-builder puts it into the text of a ``sh -c``."""
        certificate = authority.Authority(self.temp_dir()).file

        class Layer:
            environment = {"DIB_MMDEBSTRAP_EXTRA_ARGS": "--verbose"}

        with session.open_session(certificate):
            (value,) = dib._bootstrap(Layer()).values()  # type: ignore[arg-type]
            wanted = ["--verbose", dib._LISTS, *session.bootstrap_options()]
        done = process.run(["sh", "-c", f"printf '%s\\n' {value}"])
        self.assertEqual(wanted, done.stdout.splitlines())

    def test_no_network_without_a_session(self) -> None:
        class Layer:
            environment: dict[str, str] = {}

        (value,) = dib._bootstrap(Layer()).values()  # type: ignore[arg-type]
        self.assertEqual([dib._LISTS], value.split())
