# SPDX-License-Identifier: Apache-2.0
"""The sample localrc files: read as devstack reads them."""

import pathlib
import re
import shlex
import subprocess

from tests import base
from tests.devstack import stack
from tests.devstack import variables
from trove_tools.catalog import loader
from trove_tools.cli import builder
from trove_tools.devstack import datastores

SAMPLES = base.ROOT / "samples" / "localrc"

#: devstack's own variables that samples set.
_DEVSTACK = {
    "ADMIN_PASSWORD",
    "DATABASE_PASSWORD",
    "DOWNLOAD_DEFAULT_IMAGES",
    "GIT_BASE",
    "LOGFILE",
    "LOG_COLOR",
    "RABBIT_PASSWORD",
    "SERVICE_PASSWORD",
    "SWIFT_HASH",
    "SWIFT_REPLICAS",
    "TEMPEST_PLUGINS",
    "VERBOSE",
}

#: Those of Trove's own plugin.
_TROVE = {"TROVE_DASHBOARD_BRANCH"}

#: Functions of devstack's that a localrc may call.
_FUNCTIONS = ("enable_plugin", "enable_service", "disable_service")


def samples() -> list[pathlib.Path]:
    """Return the sample files."""
    return [path for path in sorted(SAMPLES.iterdir()) if not path.suffix]


def section(local_conf: str, group: str, file: str) -> str:
    """Return a section of a local.conf, cut out as devstack does.

    A section begins with ``[[group|file]]`` at the begin of a line, and ends
    with the next such line.
    """
    lines: list[str] = []
    inside = False
    for line in local_conf.splitlines():
        if re.match(r"\[\[.+\|.*\]\]", line):
            name, _, place = line.split()[0].strip("[]").partition("|")
            inside = (name, place) == (group, file)
        elif inside:
            lines.append(line)
    return "\n".join(lines) + "\n"


class SamplesTest(stack.StackCase):
    def read(self, sample: pathlib.Path) -> tuple[dict[str, str], list[str]]:
        """Source a sample as stackrc does.

        :returns: what it sets, and the functions that it calls.
        """
        local_conf = (
            "[[local|localrc]]\n" + sample.read_text()
            + "[[post-config|$TROVE_CONF]]\n[DEFAULT]\nx = y\n"
        )  # fmt: skip
        text = section(local_conf, "local", "localrc")
        self.assertEqual(sample.read_text(), text)
        names = re.findall(r"(?m)^(\w+)=", text)
        record = "\n".join(
            f"{name}() {{ echo \"called {name} $*\"; }}"
            for name in _FUNCTIONS
        )  # fmt: skip
        show = "\n".join(
            f"printf 'set {name} %s\\n' \"${name}\"" for name in names
        )
        done = subprocess.run(
            ["/bin/bash", "-euc",
             f"DEST=/opt/stack\n{record}\n{text}\n{show}"],
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.assertEqual((0, ""), (done.returncode, done.stderr), sample)
        values, called = {}, []
        for line in done.stdout.splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "set":
                name, _, value = rest.partition(" ")
                values[name] = value
            else:
                called.append(rest)
        return values, called

    def test_plain_lines_only(self) -> None:
        calls = "|".join(_FUNCTIONS)
        for sample in samples():
            for line in sample.read_text().splitlines():
                self.assertRegex(
                    line, rf"^(#.*|[A-Z_0-9]+=\S.*|({calls}) .*|)$", sample
                )

    def test_variables_exist(self) -> None:
        known = _DEVSTACK | _TROVE | set(variables.ours())
        for sample in samples():
            commented = re.findall(r"(?m)^#(\w+)=", sample.read_text())
            values, _ = self.read(sample)
            unknown = {*values, *commented} - known
            self.assertEqual(set(), unknown, sample)

    def test_datastores_are_in_the_catalog(self) -> None:
        catalog = loader.load([])
        for sample in samples():
            values, _ = self.read(sample)
            datastores.parse([values["TROVE_GUEST_DATASTORES"]], catalog)

    def test_every_supported_datastore_has_one(self) -> None:
        names = {sample.name for sample in samples()}
        for datastore in loader.load([]).datastores.values():
            if datastore.tier == "supported":
                self.assertIn(datastore.name, names)

    def test_plugins_in_order(self) -> None:
        for sample in samples():
            _, called = self.read(sample)
            plugins = [
                line.split()[1] for line in called
                if line.startswith("enable_plugin")
            ]  # fmt: skip
            self.assertEqual(
                ["trove", "trove-tools", "trove-tempest-plugin"],
                plugins,
                sample,
            )

    def test_head_says_what_it_takes(self) -> None:
        for sample in samples():
            head = sample.read_text().partition("\n\n")[0]
            for word in ("Gives:", "Takes:", "Needs:"):
                self.assertIn(f"# {word} ", head, sample)

    def test_first_sentences_say_what_no_kvm_costs(self) -> None:
        for sample in samples():
            title = sample.read_text().partition("\n#\n")[0]
            text = " ".join(line.lstrip("# ") for line in title.splitlines())
            self.assertRegex(
                text, r"^\S.*\. {1,2}Without KVM .*(takes|costs)", sample
            )

    def test_list_is_complete(self) -> None:
        listed = re.findall(r"``(\S+)``", (SAMPLES / "README.rst").read_text())
        self.assertEqual(
            sorted(sample.name for sample in samples()), sorted(listed)
        )

    def test_instances_can_start(self) -> None:
        """A guest agent pulls a container that its own guest knows.

        Trove's agent pulls always with network isolation, which is Trove's
        own default; a name with a host would be asked of that host.
        """
        catalog = loader.load([])
        managed = []
        for sample in samples():
            values, _ = self.read(sample)
            chosen = datastores.parse(
                [values["TROVE_GUEST_DATASTORES"]], catalog
            )
            if not any(each.datastore.manager for each in chosen):
                continue
            managed.append(sample.name)
            ours = {
                name: value
                for name, value in values.items()
                if name.startswith("TROVE_")
            }
            ran = self.stack("stack post-config", **ours)
            self.assertEqual(0, ran.status, ran.stderr)
            isolation = ran.ini().get(
                ("trove.conf", "network", "network_isolation")
            )
            self.assertEqual("True", isolation, sample)
            for (_, _, option), value in ran.ini().items():
                if option.endswith("docker_image"):
                    self.assertRegex(value, r"^[a-z-]+$", sample)
        self.assertIn("mysql", managed)

    def test_build_takes_them(self) -> None:
        """What the plugin makes of a sample is a build that can be planned."""
        self.trove()
        self.plans = True
        # what the user of a sample carries in
        (self.dest / "mysql-8.4.tar").touch()
        for sample in samples():
            values, _ = self.read(sample)
            ours = {
                name: value.replace("/srv/images", str(self.dest))
                for name, value in values.items()
                if name.startswith("TROVE_")
            }
            ran = self.stack("stack pre-install", **ours)
            self.assertEqual(0, ran.status, ran.stderr)
            (argv,) = ran.builds()
            flags = builder.parser().parse_args(argv)
            self.assertEqual("build", flags.command, shlex.join(argv))


class VariablesTest(base.TestCase):
    """devstack/settings and its documentation say the same."""

    def test_table(self) -> None:
        self.assertEqual(variables.settings(), variables.documented())

    def test_users_settings_are_left_alone(self) -> None:
        for name, line in variables.lines().items():
            if name == "TROVE_TOOLS_DIR":
                continue
            self.assertRegex(
                line,
                rf"^{name}=(\$\{{{name}:-.*\}}|"
                rf"\$\(trueorfalse (True|False) {name}\))$",
            )
