# SPDX-License-Identifier: Apache-2.0
"""Hooks of the element trove-guest, and scripts that stand in for programs."""

import os
import pathlib
import re
import subprocess
import time

import ddt

from tests import base

ELEMENTS = base.ROOT / "trove_tools/elements"
GUEST = ELEMENTS / "trove-guest"
CLEAN = ELEMENTS / "trove-guest-clean"
AGENT = ELEMENTS / "trove-guest-agent"


class ScriptCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.temp_dir()

    def run_script(
        self, script: pathlib.Path, *words: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script, with the paths that it writes to in our root."""
        text = script.read_text()
        for place in ("/etc/cloud", "/etc/adduser.conf", "/usr/sbin"):
            text = text.replace(place, f"{self.root}{place}")
        copy = self.temp_dir() / script.name
        copy.write_text(text)
        copy.chmod(0o755)
        return subprocess.run(
            [copy, *words],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
        )


class IdsTest(ScriptCase):
    def run_hook(self) -> None:
        self.fake_program("sudo", 'exec "$@"')
        done = self.run_script(
            GUEST / "root.d/62-trove-guest-ids", TARGET_ROOT=str(self.root)
        )
        self.assertEqual(0, done.returncode, done.stderr)

    def write(self, name: str, text: str) -> pathlib.Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def test_ranges(self) -> None:
        useradd = self.write(
            "etc/login.defs",
            "# UID_MIN is\nUID_MIN\t\t1000\n#SYS_UID_MAX  999\nUMASK 022\n",
        )
        self.run_hook()
        lines = useradd.read_text().splitlines()
        self.assertEqual(["# UID_MIN is", "UMASK 022"], lines[:2])
        found = dict(line.split() for line in lines[2:])
        self.assertEqual("2000", found["UID_MIN"])
        self.assertEqual("899", found["SYS_UID_MAX"])

    def test_adduser(self) -> None:
        hook = GUEST / "pre-install.d/07-trove-guest-ids"
        (self.root / "etc").mkdir()
        # a guest system without it
        self.assertEqual(0, self.run_script(hook).returncode)
        self.assertEqual([], os.listdir(self.root / "etc"))
        file = self.write(
            "etc/adduser.conf", "#FIRST_SYSTEM_UID=100\nUSERS_GID=100\n"
        )
        self.assertEqual(0, self.run_script(hook).returncode)
        found = dict(
            line.split("=") for line in file.read_text().splitlines()
        )
        self.assertEqual("200", found["FIRST_SYSTEM_UID"])
        self.assertEqual("100", found["USERS_GID"])

    def test_sysusers_is_told_our_range(self) -> None:
        self.write("etc/login.defs", "")
        (self.root / "etc/apt/apt.conf.d").mkdir(parents=True)
        self.run_hook()
        (file,) = (self.root / "etc/apt/apt.conf.d").iterdir()
        self.assertIn(":/usr/local/bin:", file.read_text())
        ours = (self.root / "etc/sysusers.d/trove-guest.conf").read_text()
        self.assertIn("r - 200-899\n", ours)
        script = self.root / "usr/local/bin/systemd-sysusers"
        real = self.fake_program("real-sysusers", 'echo "$@"')
        script.write_text(
            script.read_text().replace(
                "/usr/bin/systemd-sysusers", os.fspath(real)
            )
        )
        for words, called in (
            # a package's
            (["dbus.conf"], "dbus.conf trove-guest.conf"),
            (["--replace=/a", "-"], "--replace=/a - trove-guest.conf"),
            # the boot's, which reads all files
            ([], ""),
            (["--dry-run"], "--dry-run"),
        ):
            done = subprocess.run(
                [script, *words], capture_output=True, text=True
            )
            self.assertEqual(called, done.stdout.strip())


class OnceTest(ScriptCase):
    """What packages ask for again and again."""

    def setUp(self) -> None:
        super().setUp()
        for place in (
            "boot", "etc/apt/apt.conf.d", "run", "usr/bin", "usr/sbin",
            "var/lib/apt/lists",
        ):  # fmt: skip
            (self.root / place).mkdir(parents=True)
        self.fake_program("sudo", 'exec "$@"')
        self.lists = self.temp_dir() / "lists"
        self.run_hook("root.d/65-trove-guest-once")
        self.calls = self.root / "calls"

    def run_hook(self, name: str, **variables: str) -> None:
        done = self.run_in_root(CLEAN / name, **variables)
        self.assertEqual(0, done.returncode, done.stderr)

    def run_in_root(
        self, script: pathlib.Path, *words: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script that sees our root in the place of its own."""
        text = re.sub(
            r"(?<![\w/}$T])/(?=(boot|etc|usr|var)/)",
            f"{self.root}/",
            script.read_text().replace("$TARGET_ROOT/", f"{self.root}/"),
        )
        copy = self.temp_dir() / script.name
        copy.write_text(text)
        copy.chmod(0o755)
        return subprocess.run(
            [copy, *words],
            env={
                **os.environ,
                "TARGET_ROOT": str(self.root),
                "TMP_HOOKS_PATH": str(CLEAN),
                "DIB_TROVE_LISTS": str(self.lists),
                **variables,
            },
            capture_output=True, text=True,
        )  # fmt: skip

    def call(
        self, name: str, *words: str, place: str = "sbin"
    ) -> list[str]:
        """Call a program as a package does; return what the real one got."""
        self.calls.unlink(missing_ok=True)
        real = self.root / "usr" / place / name
        real.write_text(f'#!/bin/sh\necho "$@" >> {self.calls}\n')
        real.chmod(0o755)
        done = self.run_in_root(self.root / "usr/local" / place / name, *words)
        self.assertEqual(0, done.returncode, done.stderr)
        return self.called()

    def called(self) -> list[str]:
        if not self.calls.exists():
            return []
        return self.calls.read_text().splitlines()

    def test_one_initramfs(self) -> None:
        hook = "post-install.d/98-trove-guest-initramfs"
        self.run_hook(hook)
        for words in (["-c", "-k", "6.12"], ["-u"]):
            self.assertEqual([], self.call("update-initramfs", *words))
        (self.root / "boot/vmlinuz-6.12").touch()
        first = {"DIB_TROVE_LAYER_KEPT": "/kept", "DIB_TROVE_LAYER": ""}
        self.run_hook(hook, **first)
        self.assertEqual([], self.called())
        later = {**first, "DIB_TROVE_LAYER": "/below"}
        self.run_hook(hook, **later)
        self.run_hook(hook, **later)
        self.assertEqual(["-c -k 6.12"], self.called())

    def test_an_initramfs_for_a_later_layer(self) -> None:
        self.call("update-initramfs", "-u")
        (self.root / "boot/vmlinuz-6.12").touch()
        (self.root / "boot/initrd.img-6.12").touch()
        self.run_hook("post-install.d/98-trove-guest-initramfs")
        self.assertEqual(["-u -k 6.12"], self.called())

    def test_a_kernel_that_goes(self) -> None:
        words = ["-d", "-k", "6.12"]
        self.assertEqual(
            [" ".join(words)], self.call("update-initramfs", *words)
        )

    def test_certificates(self) -> None:
        bundle = self.root / "etc/ssl/certs/ca-certificates.crt"
        bundle.parent.mkdir(parents=True)
        own = self.root / "usr/local/share/ca-certificates"
        for place in (self.root / "usr/share/ca-certificates", own):
            place.mkdir(parents=True)
        (self.root / "etc/ca-certificates.conf").touch()
        program = "update-ca-certificates"
        self.assertEqual([""], self.call(program))
        bundle.write_text("all of them")
        future = time.time() + 60
        os.utime(bundle, (future, future))
        self.assertEqual([], self.call(program))
        self.assertEqual(["--fresh"], self.call(program, "--fresh"))
        os.utime(bundle, (1, 1))
        self.assertEqual([""], self.call(program))

    def apt(self, *words: str, name: str = "apt-get") -> list[str]:
        return self.call(name, *words, place="bin")

    def test_lists_that_nothing_needs(self) -> None:
        """diskimage-builder asks for them, and for what is there."""
        self.fake_program("dpkg-query", "echo 'ii '; echo 'ii '")
        marked = self.root / "marked"
        self.fake_program("apt-mark", f'echo "$@" > {marked}')
        self.assertEqual([], self.apt("-y", "update"))
        self.assertEqual(
            [],
            self.apt("--option", "Dpkg::Options::=--force-confold",
                     "--assume-yes", "install", "rsync", "sudo"),
        )  # fmt: skip
        self.assertEqual("manual rsync sudo\n", marked.read_text())
        self.assertEqual(["-y autoremove"], self.apt("-y", "autoremove"))

    def test_lists_that_something_needs(self) -> None:
        for states in ("echo 'ii '; echo 'un '", "echo 'ii '; exit 1"):
            self.fake_program("dpkg-query", states)
            self.apt("-y", "update")
            self.assertEqual(
                ["-y update", "install -y rsync x"],
                self.apt("install", "-y", "rsync", "x"),
            )
            # once
            self.assertEqual(["install y"], self.apt("install", "y"))
        self.apt("-y", "update")
        self.assertEqual(["update"], self.apt("update"))
        self.apt("-y", "update")
        self.assertEqual(["-y update", "dist-upgrade"],
                         self.apt("dist-upgrade"))  # fmt: skip
        self.assertEqual(["policy x"], self.apt("policy", "x",
                                                name="apt-cache"))  # fmt: skip

    def test_lists_of_the_layer_below(self) -> None:
        self.fake_program("dpkg-query", "exit 1")
        (self.root / "etc/apt/sources.list.d").mkdir()
        self.lists.mkdir()
        (self.lists / "example_main_Packages").touch()
        self.run_hook("root.d/65-trove-guest-once")
        self.assertFalse(self.lists.exists())
        for _ in range(2):
            self.apt("-y", "update")
            self.assertEqual(["install y"], self.apt("install", "y"))
        # a source that they are not of
        time.sleep(0.01)
        (self.root / "etc/apt/sources.list.d/x.sources").touch()
        self.apt("-y", "update")
        self.assertEqual(["-y update", "install y"],
                         self.apt("install", "y"))  # fmt: skip

    def test_lists_for_the_layer_above(self) -> None:
        known = self.root / "var/lib/apt/lists"
        listed = known / "example_main_Packages"
        for kept in ("", "/kept"):
            listed.parent.mkdir(parents=True, exist_ok=True)
            listed.touch()
            for place in ("machine-id", "shadow"):
                (self.root / "etc" / place).touch()
            subprocess.run(
                [CLEAN / "cleanup.d/95-trove-guest-clean"],
                env={
                    **os.environ,
                    "TARGET_ROOT": str(self.root),
                    "TMP_HOOKS_PATH": str(CLEAN),
                    "DIB_TROVE_LISTS": str(self.lists),
                    "DIB_TROVE_LAYER_KEPT": kept,
                    "DIB_MANIFEST_IMAGE_DIR": "etc/dib-manifests",
                },
                check=True,
            )
            self.assertEqual([], os.listdir(known))
            self.assertEqual(kept != "", self.lists.exists())
        self.assertEqual([listed.name], os.listdir(self.lists))

    def test_lists_that_cannot_be_had(self) -> None:
        self.apt("-y", "update")
        real = self.root / "usr/bin/apt-get"
        real.write_text("#!/bin/sh\nexit 100\n")
        done = self.run_in_root(
            self.root / "usr/local/bin/apt-get", "install", "no-such-package"
        )
        self.assertEqual(100, done.returncode)

    def test_nothing_of_it_stays(self) -> None:
        places = [self.root / "usr/local" / name for name in ("bin", "sbin")]
        for place in places:
            self.assertTrue(os.listdir(place))
        self.run_hook("cleanup.d/93-trove-guest-once")
        self.assertEqual([[], []], list(map(os.listdir, places)))


@ddt.ddt
class DataSourcesTest(ScriptCase):
    def run_hook(self, names: str) -> subprocess.CompletedProcess[str]:
        (self.root / "etc").mkdir()
        return self.run_script(
            GUEST / "install.d/21-trove-guest-datasources",
            DIB_CLOUD_INIT_DATASOURCES=names,
        )

    @ddt.data(
        ("ConfigDrive, OpenStack", "NoCloud, ConfigDrive, OpenStack, None"),
        ("OpenStack", "NoCloud, OpenStack, None"),
        ("Ec2,NoCloud None", "NoCloud, Ec2, None"),
    )
    @ddt.unpack
    def test_list(self, names: str, listed: str) -> None:
        done = self.run_hook(names)
        self.assertEqual(0, done.returncode, done.stderr)
        (file,) = self.root.glob("etc/cloud/cloud.cfg.d/*")
        self.assertEqual(f"datasource_list: [{listed}]\n", file.read_text())

    def test_what_would_be_no_list(self) -> None:
        done = self.run_hook("[Ec2]")
        self.assertEqual(1, done.returncode)
        self.assertIn("[Ec2] is no data source", done.stderr)


class XfsTest(ScriptCase):
    def program(self, name: str, text: str) -> None:
        file = self.root / "usr/sbin" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def call(self, name: str, *words: str) -> tuple[int, str]:
        script = AGENT / "static/usr/local/sbin" / name
        done = self.run_script(script, *words)
        return done.returncode, done.stdout.strip()

    def test_a_volume_that_is_not_formatted(self) -> None:
        said = "xfs_admin: /dev/vdb is not a valid XFS filesystem"
        self.program("xfs_admin", f"echo '{said}' >&2; exit 1")
        # as check_format of Trove 26 wants it
        self.assertEqual((0, said), self.call("xfs_admin", "-l", "/dev/vdb"))
        # whoever asks something else gets what the program says
        self.assertEqual((1, ""), self.call("xfs_admin", "-u", "/dev/vdb"))

    def test_a_volume_that_is_formatted(self) -> None:
        self.program("xfs_admin", "echo 'label = \"\"'")
        self.assertEqual(
            (0, 'label = ""'), self.call("xfs_admin", "-l", "/dev/vdb")
        )

    def test_a_volume_that_cannot_be_read(self) -> None:
        self.program("xfs_admin", "echo no such device >&2; exit 2")
        self.assertEqual(
            (2, "no such device"), self.call("xfs_admin", "-l", "/dev/vdb")
        )

    def test_options_of_another_file_system(self) -> None:
        self.program("mkfs.xfs", 'echo "$@"')
        self.assertEqual(
            (0, "-f /dev/vdb"),
            self.call("mkfs.xfs", "-m", "5", "-f", "/dev/vdb"),
        )
        self.assertEqual(
            (0, "-m crc=1 /dev/vdb"),
            self.call("mkfs.xfs", "-m", "crc=1", "/dev/vdb"),
        )


class UpgradesTest(ScriptCase):
    """What guests that install security updates leave as it is."""

    def configure(self) -> str:
        element = ELEMENTS / "trove-unattended-upgrades"
        script = element / "post-install.d/65-trove-unattended-upgrades"
        (self.root / "etc/apt/apt.conf.d").mkdir(parents=True)
        services = self.root / "usr/share/trove/datastores/redis/services"
        services.parent.mkdir(parents=True)
        services.write_text("redis-server\ntrove-own\n")
        self.fake_program(
            "dpkg-query",
            'case "$*" in'
            " *redis-server.service) echo redis-server: /lib/x ;;"
            " *docker.service) echo docker.io: /lib/x ;;"
            " *--search*) exit 1 ;;"
            " *' ${Package}'*)"
            " printf '%s\\n' 'redis redis-server' 'redis redis-tools'"
            " 'docker.io docker.io' 'openssl libssl3' 'redis libredis++1' ;;"
            " *) printf 'docker.io\\nredis\\n' ;; esac",
        )
        self.fake_program("systemctl", "exit 0")
        self.fake_program("apt-config", "exit 0")
        text = script.read_text()
        for place in ("/etc/apt", "/usr/share/trove"):
            text = text.replace(place, f"{self.root}{place}")
        copy = self.temp_dir() / script.name
        copy.write_text(text)
        done = subprocess.run(
            ["bash", copy], capture_output=True, text=True
        )
        self.assertEqual(0, done.returncode, done.stderr)
        (file,) = (self.root / "etc/apt/apt.conf.d").iterdir()
        return file.read_text()

    def test_the_datastore_and_docker_stay(self) -> None:
        text = self.configure()
        _, _, kept = text.partition("Package-Blacklist {")
        kept, _, _ = kept.partition("};")
        self.assertEqual(
            [r'"docker\.io$";', r'"libredis\+\+1$";', '"redis-server$";',
             '"redis-tools$";'],
            sorted(kept.split()),
        )  # fmt: skip
        self.assertIn("codename=${distro_codename}-security", text)
        self.assertIn('Automatic-Reboot "false"', text)
