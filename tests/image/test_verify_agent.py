# SPDX-License-Identifier: Apache-2.0
"""verify with Trove's own guest agent: a good image, and planted defects.

They run in containers, where each takes a minute.  The image has three
datastores, of which two publish the same port.
"""

import concurrent.futures
import os
import pathlib
import signal
import socket
import subprocess
import time

from tests import base as tests_base
from tests import commands
from tests.image import agent
from tests.image import base
from trove_tools.artifact import verification
from trove_tools.host import digests
from trove_tools.host import process
from trove_tools.verify import broker
from trove_tools.verify import defects

_PASSWD = "etc/passwd"
#: What no deployment names: Debian's own, and the ranges of our images.
_UIDS = {*range(100), *range(200, 900), *range(2000, 3000), 65534}
_UNIT = "etc/systemd/system/trove-guestagent.service"


def remedy(name: str) -> str:
    (found,) = [each for each in defects.DEFECTS if each.name == name]
    return found.remedy


def replace(file: pathlib.Path, old: str, new: str) -> None:
    text = file.read_text()
    if old not in text:
        raise AssertionError(f"no {old!r} in {file.name}")
    file.write_text(text.replace(old, new))


class GoodTest(agent.AgentCase):
    def test_with_what_deployments_inject(self) -> None:
        """Several at a time, of which some have the same port.

        tests/deployments/README.rst says what each deployment has.
        """
        before = digests.compute(self.good)
        deployments = {
            "kolla-ansible": "mariadb",
            "openstack-ansible": "mariadb",
            "production-guide": "postgresql",
            "docker-hub": "mysql",
        }

        def look(deployment: str) -> commands.Outcome:
            return self.verify(
                self.good,
                "--guest-config", agent.DEPLOYMENTS / f"{deployment}.conf",
                # four databases start on two processors
                "--timeout", "900",
                datastore=deployments[deployment],
            )  # fmt: skip

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            outcomes = list(pool.map(look, deployments))
        for name, outcome in zip(
            deployments.values(), outcomes, strict=True
        ):
            self.assertEqual(0, outcome.status, outcome.stderr)
            found = outcome.json()
            checks = [check["name"] for check in found["checks"]]
            self.assertEqual(
                [*agent.list_checks(name), "power off"], checks[-6:]
            )
            self.assertIn("boot", found["missing"])
            self.assertGreater(found["facts"][name]["healthy"], 0)
        self.assertEqual(before, digests.compute(self.good))
        kept = verification.read(self.good, before["sha256"])
        if kept is not None:
            self.assertIn("agent (container) without boot", str(kept))


class LifeTest(agent.AgentCase):
    """What happens when a verify ends early."""

    def end(self, sign: signal.Signals) -> int:
        child = subprocess.Popen(
            commands.command_line(
                "trove-image-builder", "verify", self.good, "--level",
                "agent", "--machine", "container", "--datastore", "mariadb",
                "--force",
            ),
            env={**os.environ, "PYTHONPATH": str(tests_base.ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        self.pid = child.pid
        while not any(self.scratch.glob("*/container-1/journal.log")):
            self.assertIsNone(child.poll())
            time.sleep(0.2)
        # broker, conductor, Trove's own code, the guest
        self.assertGreater(len(self.running()), 4)
        self.assertNotEqual([], self.cgroups())
        child.send_signal(sign)
        return child.wait(60)

    def test_interrupted(self) -> None:
        self.assertEqual(130, self.end(signal.SIGTERM))

    def test_killed(self) -> None:
        self.end(signal.SIGKILL)
        self.wait_for_end()
        # only files can stay, and control groups without a process
        cleaned = base.builder(
            "doctor", "--clean", "--cache-dir", self.place / "cache"
        )
        self.assertIn(f"removed: {self.scratch}", cleaned.stderr)
        self.assertEqual([], self.cgroups())

    def cgroups(self) -> list[pathlib.Path]:
        """Return the control groups that this test's killed verify made."""
        return [
            group
            for above in ("", "*/")
            for group in pathlib.Path("/sys/fs/cgroup").glob(
                f"{above}trove-verify-{self.pid}-*"
            )
        ]


class PlantedTest(agent.AgentCase):
    def uids(self, root: pathlib.Path) -> set[int]:
        """Return the uids that an image occupies."""
        lines = (root / _PASSWD).read_text().splitlines()
        return {int(line.split(":")[2]) for line in lines}

    def plant_user(self, root: pathlib.Path) -> None:
        """Give somebody the uid that Trove's database user has."""
        with open(root / _PASSWD, "a") as stream:
            stream.write("planted:x:1001:100::/:/usr/sbin/nologin\n")

    def of_the_container(self, root: pathlib.Path, name: str) -> None:
        """Remove files from the containers in the image.

        :param name: a pattern of their paths.
        """
        found = list(root.glob(f"var/lib/docker/overlay2/*/diff/{name}"))
        self.assertNotEqual([], found)
        process.run(["rm", "-r", *found])

    def test_what_the_guest_itself_knows(self) -> None:
        """Five defects in one image, so that each is named beside others."""
        with self.planted() as root:
            self.assertEqual(set(), self.uids(root) - _UIDS)
            self.plant_user(root)
            conf = root / "etc/nsswitch.conf"
            lines = [
                "hosts: files" if line.startswith("hosts:") else line
                for line in conf.read_text().splitlines()
            ]
            conf.write_text("\n".join(lines) + "\n")
            # cloud-init would write the name into /etc/hosts
            replace(
                root / "etc/cloud/cloud.cfg.d/90-trove-guest.cfg",
                "manage_etc_hosts: localhost", "manage_etc_hosts: false",
            )  # fmt: skip
            for parser in root.glob("usr/sbin/apparmor_parser"):
                parser.unlink()
            # it would only be degraded for that
            for unit in root.glob("usr/lib/systemd/system/apparmor.service"):
                unit.unlink()
            unit = root / _UNIT
            kept = [
                line
                for line in unit.read_text().splitlines()
                if not line.startswith(("After=", "StartLimit", "RestartSec"))
            ]
            unit.write_text("\n".join(kept) + "\n")
            process.run(["rm", "-r", root / "etc/docker"])
        last = self.fails()
        self.assertEqual("mariadb: agent answers", last["name"])
        for name in ("uid", "hostname", "apparmor", "order", "etc-docker"):
            self.assertIn(remedy(name), last["hint"])
        said = "\n".join(last["log"])
        self.assertIn("UID 1001 is not unique", said)

    def test_what_prepare_meets(self) -> None:
        """Three guests at a time: each waits for most of its life."""
        with self.planted("health") as root:
            self.of_the_container(root, "usr/local/bin/healthcheck.sh")
        with self.planted("locale") as root:
            self.of_the_container(root, "usr/lib/locale/[!C]*")
        with self.planted("no-image") as root:
            process.run(["rm", "-r", root / "var/lib/docker/image"])
        met = {
            "health": "mariadb", "locale": "postgresql", "no-image": "mariadb",
        }  # fmt: skip
        with concurrent.futures.ThreadPoolExecutor(len(met)) as pool:
            found = {
                defect: pool.submit(
                    # on a busy host, too, what is wrong shows before the end
                    self.fails, "--timeout", "900",
                    defect=defect, datastore=datastore,
                )  # fmt: skip
                for defect, datastore in met.items()
            }
        for defect, datastore in met.items():
            last = found[defect].result()
            self.assertEqual(f"{datastore}: prepare", last["name"])
            self.assertIn(remedy(defect), last["hint"] or "", last)

    def test_no_engine(self) -> None:
        with self.planted() as root:
            (root / "usr/sbin/dockerd").unlink()
        last = self.fails("--timeout", "40")
        self.assertEqual("mariadb: agent answers", last["name"])
        self.assertIn(remedy("no-docker"), last["hint"])

    def test_an_agent_that_never_answers(self) -> None:
        with self.planted() as root:
            replace(root / _UNIT, "ExecStart=", "ExecStart=/usr/bin/true ")
        last = self.fails("--timeout", "40")
        self.assertEqual("mariadb: agent answers", last["name"])
        self.assertIn("answers no ping within 40 s", last["detail"])
        self.assertIn("trove-guestagent.service", "\n".join(last["log"]))


class HostTest(agent.AgentCase):
    """What is wrong is not the image."""

    def test_the_brokers_port_is_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            outcome = self.verify(self.good, "--broker-port", port)
        self.assertEqual(1, outcome.status)
        self.assertIn(f"port {port} of 127.0.0.1 is in use", outcome.stderr)
        self.assertIn("hint: ", outcome.stderr)

    def test_no_rabbitmq(self) -> None:
        tools = self.temp_dir()
        for directory in os.environ["PATH"].split(os.pathsep):
            for program in pathlib.Path(directory).glob("*"):
                link = tools / program.name
                if program.name != broker.EPMD and not link.exists():
                    link.symlink_to(program)
        self.set_env(PATH=str(tools))
        outcome = self.verify(self.good)
        self.assertEqual(3, outcome.status, outcome.stderr)
        self.assertIn("rabbitmq-server", outcome.stderr)
