# SPDX-License-Identifier: Apache-2.0
"""The scripts of the elements trove-guest-agent and trove-pip.

They run on their own, some of them by the guest's Python, and are loaded
from their files here.
"""

import importlib
import importlib.util
import json
import os
import pathlib
import py_compile
import shlex
import subprocess
import sys
import types
import typing

from tests import base

ELEMENTS = pathlib.Path(base.ROOT, "trove_tools", "elements")
AGENT = ELEMENTS / "trove-guest-agent" / "trove-agent"
PIP = ELEMENTS / "trove-pip" / "trove-pip"


def load(name: str, directory: pathlib.Path = AGENT) -> typing.Any:
    """Return a script as a module."""
    file = directory / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class UnitTest(base.TestCase):
    def test_network_plugin_starts_with_network_isolation(self) -> None:
        """Only in a guest with Docker and a second port."""
        unit = AGENT.parent / "static/etc/systemd/system"
        (line,) = (
            line
            for line in (unit / "trove-guestagent.service")
            .read_text()
            .splitlines()
            if line.startswith("ExecStartPre=")
        )
        place = self.temp_dir()
        calls = place / "calls"
        self.fake_program("systemctl", f'echo "$@" >>{calls}')
        port, docker = place / "eth1.json", place / "docker"
        _, *command = shlex.split(line)
        command[-1] = (
            command[-1]
            .replace("/etc/trove/eth1.json", str(port))
            .replace("/etc/docker", str(docker))
        )
        for made, called in ((None, False), (port, False), (docker, True)):
            if made is not None:
                made.mkdir()
            done = subprocess.run(["sh", *command], check=False)
            self.assertEqual(0, done.returncode)
            self.assertEqual(called, calls.exists())
        name = calls.read_text().split()[-1]
        self.assertTrue((unit / name).is_file())


class SettingsCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pip = load("pip_settings", PIP)
        self.home = self.temp_dir()
        self.out = self.temp_dir()

    def read(self, **environ: str) -> dict[str, str]:
        environ.setdefault("HOME", str(self.home))
        settings = self.pip.read_settings(environ, prefix=str(self.home / "v"))
        return typing.cast(dict[str, str], settings)

    def user_file(self, text: str) -> None:
        directory = self.home / ".config" / "pip"
        directory.mkdir(parents=True)
        (directory / "pip.conf").write_text(text)


class ReadSettingsTest(SettingsCase):
    def test_files_and_sections_in_the_order_of_pip(self) -> None:
        self.user_file(
            "[install]\nindex-url = https://two.example.org/simple\n"
            "[global]\nindex-url = https://one.example.org/simple\n"
            "no_index = true\n"
        )
        settings = self.read()
        self.assertEqual(
            "https://two.example.org/simple", settings["index-url"]
        )
        self.assertEqual("true", settings["no-index"])

    def test_variables_are_stronger_than_files(self) -> None:
        self.user_file("[global]\nindex-url = https://one.example.org/\n")
        settings = self.read(PIP_INDEX_URL="https://three.example.org/")
        self.assertEqual("https://three.example.org/", settings["index-url"])

    def test_no_files_at_all(self) -> None:
        self.user_file("[global]\nindex-url = https://one.example.org/\n")
        self.assertEqual({}, self.read(PIP_CONFIG_FILE="/dev/null"))

    def test_a_file_that_is_named(self) -> None:
        named = self.home / "named.conf"
        named.write_text("[global]\nproxy = http://proxy.example.org:3128\n")
        settings = self.read(PIP_CONFIG_FILE=str(named))
        self.assertEqual("http://proxy.example.org:3128", settings["proxy"])

    def test_what_does_not_concern_the_source_is_left_out(self) -> None:
        settings = self.read(PIP_TARGET="/somewhere", PIP_USER="1")
        self.assertNotIn("target", settings)
        self.assertNotIn("user", settings)

    def test_the_short_name_of_the_timeout(self) -> None:
        settings = self.read(PIP_DEFAULT_TIMEOUT="90", PIP_CONFIG_FILE="")
        self.assertEqual("90", settings["timeout"])


class TranslateTest(SettingsCase):
    def test_certificates_are_copied(self) -> None:
        bundle = self.home / "ca.pem"
        bundle.write_text("certificate")
        settings, mounts = self.pip.translate({"cert": str(bundle)}, self.out)
        self.assertEqual(
            {"cert": "/tmp/in_target.d/trove-pip/cert"}, settings
        )
        self.assertEqual("certificate", (self.out / "cert").read_text())
        self.assertEqual({}, mounts)

    def test_a_missing_certificate_is_left_out(self) -> None:
        settings, _ = self.pip.translate({"cert": "/no/such.pem"}, self.out)
        self.assertEqual({}, settings)

    def test_directories_are_mounted(self) -> None:
        wheels = self.home / "wheels"
        wheels.mkdir()
        settings, mounts = self.pip.translate(
            {"find-links": f"{wheels} https://example.org/links"}, self.out
        )
        inside = f"/tmp/trove-pip-host{wheels}"
        self.assertEqual(
            {"find-links": f"{inside} https://example.org/links"}, settings
        )
        self.assertEqual({wheels: pathlib.Path(inside)}, mounts)

    def test_an_index_brings_the_files_beside_it(self) -> None:
        simple = self.home / "index" / "simple"
        simple.mkdir(parents=True)
        settings, mounts = self.pip.translate(
            {"index-url": simple.as_uri()}, self.out
        )
        self.assertEqual(
            {"index-url": f"file:///tmp/trove-pip-host{simple}"}, settings
        )
        self.assertEqual([simple.parent], list(mounts))

    def test_a_directory_that_is_not_there_is_left_out(self) -> None:
        settings, mounts = self.pip.translate(
            {"extra-index-url": "file:///no/such/place"}, self.out
        )
        self.assertEqual(({}, {}), (settings, mounts))


class CertificatesTest(SettingsCase):
    def test_what_the_host_trusts(self) -> None:
        bundle = self.home / "ca.pem"
        bundle.write_text("certificate")
        system = self.home / "system.pem"
        self.patch_object(self.pip, "SYSTEM_CERTIFICATES", (str(system),))
        self.assertIsNone(self.pip.certificates({}))
        system.write_text("certificate")
        self.assertEqual(str(system), self.pip.certificates({}))
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            self.assertEqual(
                str(bundle), self.pip.certificates({name: str(bundle)})
            )
        self.assertEqual(
            str(system), self.pip.certificates({"SSL_CERT_FILE": "/no/such"})
        )


class UvTest(SettingsCase):
    def test_names(self) -> None:
        self.assertEqual(
            {
                "UV_INDEX_STRATEGY": "unsafe-best-match",
                "UV_DEFAULT_INDEX": "https://example.org/simple",
                "UV_INDEX": "https://a.example.org https://b.example.org",
                "UV_FIND_LINKS": "/one,/two",
                "UV_NO_INDEX": "1",
                "UV_INSECURE_HOST": "example.org",
                "SSL_CERT_FILE": "/ca.pem",
                "https_proxy": "http://proxy",
                "HTTPS_PROXY": "http://proxy",
                "http_proxy": "http://proxy",
                "HTTP_PROXY": "http://proxy",
            },
            self.pip.uv_environment(
                {
                    "index-url": "https://example.org/simple",
                    "extra-index-url": (
                        "https://a.example.org https://b.example.org"
                    ),
                    "find-links": "/one /two",
                    "no-index": "true",
                    "trusted-host": "example.org",
                    "cert": "/ca.pem",
                    "proxy": "http://proxy",
                    "retries": "7",
                }
            ),
        )

    def test_an_index_that_is_wanted(self) -> None:
        self.assertNotIn(
            "UV_NO_INDEX", self.pip.uv_environment({"no-index": "false"})
        )


class MainTest(SettingsCase):
    def test_credentials_are_for_the_owner_only(self) -> None:
        self.set_env(
            HOME=str(self.home),
            PIP_CONFIG_FILE="/dev/null",
            PIP_INDEX_URL="https://user:secret@example.org/simple",
        )
        self.addCleanup(os.umask, os.umask(0o022))
        out, err = self.capture()
        self.pip.main(str(self.out))
        for name in ("pip.conf", "uv.env", "uv-host.env"):
            path = self.out / name
            self.assertIn("user:secret@example.org", path.read_text())
            self.assertEqual(0o600, path.stat().st_mode & 0o777)
        for stream in (out, err):
            stream.seek(0)
            self.assertNotIn("secret", stream.read())


class SourceTest(base.TestCase):
    def record(self, *words: str) -> dict[str, typing.Any]:
        path = self.temp_dir() / "source.json"
        load("source").main(str(path), *words)
        found = json.loads(path.read_text())
        assert isinstance(found, dict)
        return found

    def test_a_release(self) -> None:
        self.assertEqual(
            {
                "source": "pypi",
                "url": None,
                "ref": None,
                "commit": None,
                "dirty": False,
            },
            self.record("pypi", "", "", "", "no"),
        )

    def test_a_dirty_checkout(self) -> None:
        found = self.record("checkout", "", "", "abc123", "yes")
        self.assertEqual(("abc123", True), (found["commit"], found["dirty"]))

    def test_credentials_are_not_recorded(self) -> None:
        found = self.record(
            "git", "https://me:secret@example.org/trove", "HEAD", "abc", "no"
        )
        self.assertEqual("https://example.org/trove", found["url"])

    def test_an_address_of_git_is_no_url(self) -> None:
        found = self.record("git", "git@example.org:trove", "HEAD", "a", "no")
        self.assertEqual("git@example.org:trove", found["url"])


class ModulesTest(base.TestCase):
    def agent(self, managers: dict[str, str]) -> None:
        """Put a package ``trove`` of these managers where it is imported."""
        self.set_env(EVENTLET_NO_GREENDNS=None)
        dbaas = types.ModuleType("trove.guestagent.dbaas")
        vars(dbaas)["datastore_registry"] = lambda: managers
        manager = types.ModuleType("trove.manager")
        vars(manager)["Manager"] = object
        modules = {
            "trove": types.ModuleType("trove"),
            "trove.cmd": types.ModuleType("trove.cmd"),
            "trove.cmd.guest": types.ModuleType("trove.cmd.guest"),
            "trove.guestagent": types.ModuleType("trove.guestagent"),
            "trove.guestagent.dbaas": dbaas,
            "trove.manager": manager,
        }
        self.patch_object(sys, "modules", {**sys.modules, **modules})

    def test_managers_are_imported(self) -> None:
        self.agent({"mariadb": "trove.manager.Manager"})
        self.assertEqual(["mariadb"], load("agent_modules", PIP).managers())

    def test_a_manager_that_the_registry_names_in_vain(self) -> None:
        self.agent(
            {
                "mariadb": "trove.manager.Manager",
                "db2": "trove.guestagent.db2.manager.Manager",
            }
        )
        self.assertEqual(["mariadb"], load("agent_modules", PIP).managers())

    def test_a_manager_that_needs_what_is_not_there(self) -> None:
        self.agent({"mariadb": "trove.guestagent.broken.Manager"})
        place = self.temp_dir()
        (place / "broken.py").write_text("import trove_nothing\n")
        vars(sys.modules["trove.guestagent"])["__path__"] = [str(place)]
        self.assertRaises(ImportError, load("agent_modules", PIP).managers)

    def test_a_manager_without_its_class(self) -> None:
        self.agent({"mariadb": "trove.manager.Nothing"})
        self.assertRaises(AttributeError, load("agent_modules", PIP).managers)

    def test_what_is_imported(self) -> None:
        root = self.temp_dir()
        for name in ("trove_used", "trove_unused"):
            (root / f"{name}.py").write_text("x = 1\n")
            py_compile.compile(str(root / f"{name}.py"))
        self.patch_object(sys, "modules", dict(sys.modules))
        self.patch_object(sys, "path", [str(root), *sys.path])
        importlib.import_module("trove_used")
        found = load("agent_modules", PIP).imported(str(root))
        self.assertEqual([str(root / "trove_used.py")], found)
        (left,) = (root / "__pycache__").iterdir()
        self.assertTrue(left.name.startswith("trove_used."))
