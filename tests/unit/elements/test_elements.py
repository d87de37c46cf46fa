# SPDX-License-Identifier: Apache-2.0
"""What diskimage-builder does not say, or says only in the middle of a build.

A hook that is not executable, or has a dot in its name, is skipped without a
word; two hooks of one name stop the build; a static file of the same path
silently overwrites another.
"""

import os
import pathlib
import re
import typing

from tests import base
from tests.unit.elements import resolved
from trove_tools.catalog import loader

OURS = base.ROOT / "trove_tools" / "elements"
DIBS = resolved.DIBS

#: The phases of a build; dib-run-parts runs what lies in these.
PHASES = {
    "root.d", "extra-data.d", "pre-install.d", "install.d", "post-install.d",
    "post-root.d", "block-device.d", "pre-finalise.d", "finalise.d",
    "cleanup.d",
}  # fmt: skip
HOOK_NAME = re.compile(r"[0-9]{2}-trove-[0-9a-z-]+")
VARIABLE = re.compile(r"\bDIB_TROVE_[A-Z_]+\b")

#: Files that each element may have; others lie beside all elements' files.
KNOWN_FILES = {
    "README.rst", "block-device-default.yaml", "element-deps",
    "element-provides", "package-installs.yaml", "pkg-map",
}  # fmt: skip


def elements(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(
        path
        for path in directory.iterdir()
        if path.is_dir() and path.name != "__pycache__"
    )


def files(element: pathlib.Path) -> typing.Iterator[pathlib.Path]:
    """Yield an element's own files, without what Python left there."""
    for path in sorted(element.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def lines_of(element: pathlib.Path, name: str) -> list[str]:
    path = element / name
    return path.read_text().splitlines() if path.exists() else []


class HooksTest(base.TestCase):
    def test_there_are_elements(self) -> None:
        names = {element.name for element in elements(OURS)}
        ours = {
            "block-device-trove-gpt", "block-device-trove-mbr",
            "trove-guest", "trove-guest-agent", "trove-mariadb",
        }  # fmt: skip
        self.assertLessEqual(ours, names)

    def test_every_hook_is_run(self) -> None:
        for element in elements(OURS):
            for path in files(element):
                inside = path.relative_to(element)
                if inside.parts[0] not in PHASES:
                    continue
                self.assertEqual(2, len(inside.parts), path)
                self.assertTrue(HOOK_NAME.fullmatch(path.name), path)
                self.assertTrue(os.access(path, os.X_OK), path)

    def test_environment_files_are_sourced(self) -> None:
        for element in elements(OURS):
            for path in element.glob("environment.d/*"):
                self.assertRegex(path.name, r"^[0-9]{2}-trove-[a-z-]+\.bash$")
                self.assertFalse(os.access(path, os.X_OK), path)

    def test_no_two_elements_have_the_same_file(self) -> None:
        owners: dict[pathlib.Path, str] = {}
        for element in elements(DIBS) + elements(OURS):
            ours = element.parent == OURS
            for path in files(element):
                inside = path.relative_to(element)
                if inside.parts[0] in {"tests", "test-elements"}:
                    continue
                if len(inside.parts) == 1 and inside.name in KNOWN_FILES:
                    continue
                if ours and inside in owners:
                    self.fail(
                        f"{element.name} and {owners[inside]} have {inside}"
                    )
                owners[inside] = element.name

    def test_phases_are_the_ones_diskimage_builder_has(self) -> None:
        known = {
            path.name
            for element in elements(DIBS)
            for path in element.iterdir()
            if path.is_dir()
        } | PHASES
        for element in elements(OURS):
            for path in element.iterdir():
                if path.suffix == ".d":
                    self.assertIn(path.name, known)

    def test_dependencies_exist(self) -> None:
        known = {element.name for element in elements(DIBS)}
        known |= {element.name for element in elements(OURS)}
        for element in elements(OURS):
            wanted = lines_of(element, "element-deps")
            self.assertEqual(sorted(wanted), wanted, element.name)
            self.assertEqual(set(), set(wanted) - known, element.name)


class TrustTest(base.TestCase):
    """Nothing that an image of ours must not have or do."""

    def test_no_address_of_a_mirror(self) -> None:
        for element in elements(OURS):
            for path in files(element):
                found = re.findall(r"\bhttps?://([^/\s\"]+)", path.read_text())
                self.assertEqual(
                    set(),
                    set(found) - {
                        "docs.openstack.org",
                        "distribution.github.io",
                        # the guest itself
                        "127.0.0.1:5999",
                        # in READMEs only
                        *({"mirror.example.org", "opendev.org"}
                          if path.name == "README.rst" else ()),
                    },
                    path,
                )  # fmt: skip

    def test_no_unsigned_packages(self) -> None:
        forbidden = re.compile(
            r"apt-key|allow-unauthenticated|trusted=yes|--no-check-gpg"
            r"|--force-yes|--nogpgcheck"
        )
        for element in elements(OURS):
            for path in files(element):
                self.assertIsNone(forbidden.search(path.read_text()), path)

    def test_no_key_and_no_password(self) -> None:
        forbidden = re.compile(
            r"PRIVATE KEY|chpasswd|passwd --stdin|useradd.*(-p|--password)\b"
        )
        for element in elements(OURS):
            for path in files(element):
                self.assertIsNone(forbidden.search(path.read_text()), path)

    def test_packages_are_installed_by_package_installs(self) -> None:
        installs = re.compile(r"(apt(-get)?|dnf|yum).*\binstall\b")
        for element in elements(OURS):
            for path in files(element):
                if path.name != "README.rst":
                    self.assertIsNone(installs.search(path.read_text()), path)


class ReadmeTest(base.TestCase):
    def variables(self, element: pathlib.Path) -> dict[str, str]:
        """Return the documented variables and what is said about each."""
        text = (element / "README.rst").read_text()
        found = {}
        for block in re.finditer(
            r"^(DIB_[A-Z_]+)\n((?:  .*\n|\n)+)", text, re.MULTILINE
        ):
            found[block[1]] = block[2]
        return found

    def test_form(self) -> None:
        for element in elements(OURS):
            lines = lines_of(element, "README.rst")
            self.assertEqual(element.name, lines[1])
            self.assertEqual("=" * len(element.name), lines[0])
            self.assertEqual(".. element_deps::", lines[-1])

    def test_each_variable_is_described(self) -> None:
        for element in elements(OURS):
            for name, text in self.variables(element).items():
                for field in ("Required", "Default", "Description", "Example"):
                    self.assertIn(f"  :{field}: ", text, name)

    def test_variables_with_a_default_are_documented(self) -> None:
        for element in elements(OURS):
            documented = set(self.variables(element))
            for path in element.glob("environment.d/*"):
                exported = re.findall(
                    r"^export (\w+)=", path.read_text(), re.M
                )
                own = {name for name in exported if name != "DIB_BLOCK_DEVICE"}
                self.assertEqual(set(), own - documented, path)

    def test_no_variable_is_undocumented(self) -> None:
        documented: set[str] = set()
        used: dict[str, pathlib.Path] = {}
        for element in elements(OURS):
            documented |= set(self.variables(element))
            for path in files(element):
                for name in VARIABLE.findall(path.read_text()):
                    used[name] = path
        self.assertEqual(set(), set(used) - documented)

    def test_no_documented_variable_is_unused(self) -> None:
        for element in elements(OURS):
            code = "".join(
                path.read_text()
                for path in files(element)
                if path.name != "README.rst"
            )
            for name in self.variables(element):
                if name.startswith("DIB_TROVE_"):
                    self.assertIn(name, code, element.name)


class PackagesTest(base.TestCase):
    """Package names, as diskimage-builder's own resolvers find them."""

    #: Names that are the same in the redhat family; others are mapped.
    SAME = {
        "ca-certificates", "chrony", "dbus", "iptables", "openssh-server",
        "sudo", "dialog", "sysstat", "systemd-resolved", "gcc",
        "e2fsprogs", "logrotate", "xfsprogs",
    }  # fmt: skip

    def resolve(self, system: str) -> dict[str, tuple[set[str], set[str]]]:
        catalog = loader.load()
        guest = catalog.guest(system)
        return resolved.packages(
            resolved.all_elements(catalog, guest), guest, self.temp_dir()
        )

    def names(self, system: str) -> set[str]:
        return {
            name
            for _, found in self.resolve(system).values()
            for name in found
        }

    def test_names_differ_where_they_must(self) -> None:
        for system in loader.load().guests:
            found = self.names(system)
            self.assertLessEqual({"chrony", "openssh-server", "sudo"}, found)
            redhat = system.startswith("rocky")
            self.assertEqual(redhat, "systemd-pam" in found)
            self.assertEqual(not redhat, "libpam-systemd" in found)
            # part of the package systemd there
            self.assertEqual(
                system != "ubuntu-22.04", "systemd-resolved" in found
            )

    def test_a_name_without_a_mapping(self) -> None:
        for element, (asked, found) in self.resolve("rocky-9").items():
            self.assertEqual(set(), asked & found - self.SAME, element)

    def test_an_element_with_a_map_asks_for_it(self) -> None:
        for element in elements(OURS):
            if (element / "pkg-map").exists():
                wanted = self.closure(element.name)
                self.assertIn("pkg-map", wanted, element.name)
            if (element / "package-installs.yaml").exists():
                wanted = self.closure(element.name)
                self.assertIn("package-installs", wanted, element.name)

    def closure(self, name: str) -> set[str]:
        """Return an element's dependencies, theirs, and so on."""
        found: set[str] = set()
        todo = [name]
        while todo:
            here = todo.pop()
            ours, dibs = OURS / here, DIBS / here
            element = ours if ours.exists() else dibs
            for wanted in lines_of(element, "element-deps"):
                if wanted and wanted not in found:
                    found.add(wanted)
                    todo.append(wanted)
        return found
