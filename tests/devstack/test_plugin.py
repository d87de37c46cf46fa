# SPDX-License-Identifier: Apache-2.0
"""The devstack plugin: what it calls in which phase, word by word."""

import os
import pathlib
import signal
import subprocess
import threading

from tests import base
from tests.devstack import stack

#: A background job in which nobody looks before it is waited for.
_BACKGROUND = (
    'async_runfunc() { "$@" || echo $? >"$DEST/async-status"; }'
)

_MYSQL = ("mysql", "8.4", "mysql")
_MARIADB = ("mariadb", "11.8", "mariadb")


class PhasesTest(stack.StackCase):
    def test_all(self) -> None:
        self.requirements()
        self.builds((_MYSQL,))
        ran = self.stack()
        self.assertEqual(0, ran.status, ran.stderr)
        dest = str(self.dest)
        quotas = [
            word
            for quota in (
                "instances=30", "cores=60", "ram=61440", "volumes=30",
                "snapshots=30", "backups=30", "security_group=50",
                "security_group_rule=300",
            )
            for word in ("--quota", quota)
        ]  # fmt: skip
        options = [
            "--output-dir", f"{dest}/trove-guest-images",
            "--agent", f"{dest}/trove", "--constraints",
            f"{dest}/data/trove-tools/upper-constraints.txt", "mysql",
        ]  # fmt: skip
        self.assertEqual(
            [["define_plugin", "trove-tools"],
             ["plugin_requires", "trove-tools", "trove"],
             ["phase", "stack", "pre-install"],
             ["echo_summary", "Installing trove-tools"],
             ["setup_develop", "-bindep", str(base.ROOT)],
             ["trove-devstack", "settings", "--volumes", "mysql"],
             ["trove-devstack", "validate", *quotas, "--"],
             ["trove-image-builder", "plan", "--format", "json", *options],
             ["async_runfunc", "build_trove_guest_images"],
             ["trove-image-builder", "build", "--format", "json",
              "--pid-file", f"{dest}/data/trove-tools/build.pid", *options],
             ["xtrace", "kept"],
             ["phase", "stack", "install"],
             ["xtrace", "kept"],
             ["phase", "stack", "post-config"]],
            ran.calls[:14],
        )  # fmt: skip
        after = [
            call for call in ran.calls[14:]
            if call[0] not in ("iniset", "phase", "xtrace", "echo_summary")
        ]  # fmt: skip
        self.assertEqual(
            [["trove-devstack", "settings", "--volumes", "mysql"],
             ["trove-devstack", "prepare", "--os-cloud", "devstack-admin",
              "--user-cloud", "devstack", "--service-project", "service",
              *quotas],
             ["async_wait", "build_trove_guest_images"],
             ["trove-devstack", "images",
              f"{dest}/data/trove-tools/built.json"],
             ["load-trove-image", "--os-cloud", "trove", "--activate",
              f"{dest}/image 0.qcow2"],
             ["trove-devstack", "check", "--os-cloud", "devstack",
              "mysql:8.4"],
             ["trove-devstack", "tempest", "--os-cloud", "devstack-admin",
              "--network", "private", "--build-timeout", "3600"]],
            after,
        )  # fmt: skip

    def test_constraints_are_those_that_are_committed(self) -> None:
        self.requirements()
        ran = self.stack("stack pre-install")
        self.assertEqual(0, ran.status, ran.stderr)
        file = self.dest / "data/trove-tools/upper-constraints.txt"
        self.assertEqual("kombu===5.6.2\n", file.read_text())

    def test_options_are_kept_for_the_next_agent(self) -> None:
        ran = self.stack(
            "stack pre-install",
            TROVE_GUEST_DEV_KEY="/my keys/id.pub",
            TROVE_GUEST_BUILD_OPTIONS="--partition-table gpt",
        )
        self.assertEqual(0, ran.status, ran.stderr)
        kept = self.dest / "data/trove-tools/build-options"
        options = kept.read_text().splitlines()
        (build,) = ran.builds()
        self.assertEqual(
            ["build", "--format", "json",
             "--pid-file", str(kept.with_name("build.pid")),
             *options, "mysql"],
            build,
        )  # fmt: skip
        self.assertIn("/my keys/id.pub", options)
        self.assertEqual(["--partition-table", "gpt"], options[-2:])

    def test_what_colleagues_have_built(self) -> None:
        ran = self.stack(
            "stack pre-install",
            TROVE_GUEST_CACHE_FROM="r.example/a, http://10.0.0.1:5000/b",
            TROVE_GUEST_IMAGE_FROM="r.example/images",
            TROVE_GUEST_BUILD_OPTIONS="--trusted-key /k.pub",
        )
        self.assertEqual(0, ran.status, ran.stderr)
        (build,) = ran.builds()
        text = " ".join(build)
        for words in (
            "--cache-from r.example/a --cache-from http://10.0.0.1:5000/b",
            "--image-from r.example/images", "--trusted-key /k.pub",
        ):  # fmt: skip
            self.assertIn(words, text)

    def test_configuration(self) -> None:
        ran = self.stack("stack post-config")
        self.assertEqual(0, ran.status, ran.stderr)
        trove, guest = "trove.conf", "trove-guestagent.conf"
        self.assertEqual(
            {
                (trove, "DEFAULT", "default_datastore"): "mysql",
                (guest, "mysql", "docker_image"): "mysql",
                (trove, "DEFAULT", "usage_timeout"): "3600",
                (trove, "DEFAULT", "resize_time_out"): "3600",
                (trove, "DEFAULT", "state_change_wait_time"): "1200",
                (guest, "DEFAULT", "state_change_wait_time"): "1200",
                (trove, "DEFAULT", "command_process_timeout"): "120",
                (guest, "DEFAULT", "command_process_timeout"): "120",
                (trove, "DEFAULT", "max_instances_per_tenant"): "20",
                (trove, "DEFAULT", "max_volumes_per_tenant"): "100",
                (trove, "network", "network_isolation"): "True",
            },
            ran.ini(),
        )  # fmt: skip
        # Trove's own files, and no other service's
        files = {call[0] for call in ran.named("iniset")}
        self.assertEqual(
            {f"{self.dest}/{trove}", f"{self.dest}/{guest}"}, files
        )

    def test_configuration_as_the_user_wants_it(self) -> None:
        ran = self.stack(
            "stack post-config",
            TROVE_USAGE_TIMEOUT="99",
            TROVE_RESIZE_TIME_OUT="88",
            TROVE_STATE_CHANGE_WAIT_TIME="77",
            TROVE_MAX_INSTANCES_PER_TENANT="5",
            TROVE_GUEST_NETWORK_ISOLATION="no",
            TROVE_GUEST_DATASTORES="postgresql, mariadb:10.11",
            services="trove,key",
        )
        ini = ran.ini()
        for section, option, value in (
            ("DEFAULT", "usage_timeout", "99"),
            ("DEFAULT", "resize_time_out", "88"),
            ("DEFAULT", "state_change_wait_time", "77"),
            ("DEFAULT", "max_instances_per_tenant", "5"),
            ("DEFAULT", "default_datastore", "postgresql"),
            ("network", "network_isolation", "False"),
            # there is no cinder
            ("postgresql", "volume_support", "False"),
            ("mariadb", "volume_support", "False"),
        ):
            self.assertEqual(value, ini["trove.conf", section, option])

    def test_several_datastores(self) -> None:
        self.builds((_MYSQL,), (("mysql", "8.0", "mysql"),), (_MARIADB,))
        ran = self.stack(
            "stack pre-install", "stack extra",
            TROVE_GUEST_DATASTORES="mysql:8.4,mysql:8.0, mariadb",
        )  # fmt: skip
        self.assertEqual(0, ran.status, ran.stderr)
        (build,) = ran.builds()
        self.assertEqual(["mysql:8.4", "mysql:8.0", "mariadb"], build[-3:])
        images = [f"{self.dest}/image {number}.qcow2" for number in range(3)]
        self.assertEqual(
            [["--os-cloud", "trove", "--activate", images[0], images[2]],
             ["--os-cloud", "trove", images[1]]],
            ran.named("load-trove-image"),
        )  # fmt: skip
        (check,) = [
            words for words in ran.named("trove-devstack")
            if words[0] == "check"
        ]  # fmt: skip
        self.assertEqual(["mysql:8.4", "mariadb:11.8"], check[-2:])

    def test_parameters_of_the_trove_that_runs_here(self) -> None:
        (self.dest / "trove/trove/templates").mkdir(parents=True)
        self.builds((_MYSQL,))
        ran = self.stack(
            "stack pre-install", "stack extra",
            TROVE_GUEST_LOAD_OPTIONS="--parameters none",
        )  # fmt: skip
        self.assertEqual(0, ran.status, ran.stderr)
        (load,) = ran.named("load-trove-image")
        # the user's word is the last one
        self.assertEqual(
            ["--parameters", f"{self.dest}/trove", "--parameters", "none"],
            load[3:7],
        )

    def test_one_image_of_several_datastores(self) -> None:
        self.builds((_MYSQL, _MARIADB))
        ran = self.stack(
            "stack pre-install", "stack extra",
            TROVE_GUEST_DATASTORES="mysql mariadb",
            TROVE_GUEST_IMAGE_TOGETHER="yes",
        )  # fmt: skip
        self.assertIn("--together", ran.builds()[0])
        self.assertEqual(1, len(ran.named("load-trove-image")))
        (check,) = [
            words for words in ran.named("trove-devstack")
            if words[0] == "check"
        ]  # fmt: skip
        self.assertEqual(["mysql:8.4", "mariadb:11.8"], check[-2:])

    def test_datastore_without_a_manager(self) -> None:
        self.builds((("redis", "7", None),))
        ran = self.stack("stack pre-install", "stack extra")
        self.assertEqual(0, ran.status, ran.stderr)
        self.assertEqual([], ran.named("load-trove-image"))
        told = [words[0] for words in ran.named("echo_summary")]
        self.assertIn(
            f"No manager in this Trove for redis:7 {self.dest}/image 0.qcow2",
            told,
        )

    def test_tempest_without_a_datastore(self) -> None:
        """tempest, on by default, has nothing to test without a datastore."""
        self.builds((("redis", "7", None),))
        self.scripts["trove-devstack"] = "[[ $1 != tempest ]] || exit 4"
        ran = self.stack()
        self.assertEqual(0, ran.status, ran.stderr)
        words = [call[0] for call in ran.named("trove-devstack")]
        self.assertNotIn("tempest", words)

    def test_every_option_of_a_build(self) -> None:
        options = (
            ("SYSTEM", "debian-12", ["--guest", "debian-12"]),
            ("RUNTIME", "native", ["--runtime", "native"]),
            ("AGENT", "trove>=26", ["--agent", "trove>=26"]),
            ("DEV_KEY", "/k.pub", ["--dev", "/k.pub"]),
            ("CONSTRAINTS", "/c.txt", ["--constraints", "/c.txt"]),
            ("CONTAINER_SOURCE", "mysql=registry,oci:/a",
             ["--container-source", "mysql=registry",
              "--container-source", "oci:/a"]),
            ("REGISTRY_MIRROR", "r:5000", ["--registry-mirror", "r:5000"]),
            ("CACHE_DIR", "/c", ["--cache-dir", "/c"]),
            ("MIRROR", "http://m", ["--mirror", "http://m"]),
            ("SECURITY_MIRROR", "http://s",
             ["--security-mirror", "http://s"]),
            ("IMAGE_DIR", "there", ["--output-dir", "there"]),
            ("BUILD_OPTIONS", "--force --quiet", ["--force", "--quiet"]),
        )  # fmt: skip
        ran = self.stack(
            "stack pre-install",
            **{f"TROVE_GUEST_{name}": value for name, value, _ in options},
        )
        (build,) = ran.builds()
        for _, _, words in options:
            where = build.index(words[0])
            self.assertEqual(words, build[where : where + len(words)])

    def test_odd_values_arrive_as_they_are(self) -> None:
        odd = "/a  'b\" * $HOME `x` \\ é"
        names = (
            "IMAGE_DIR", "AGENT", "DEV_KEY", "CONSTRAINTS", "CACHE_DIR",
            "MIRROR", "SECURITY_MIRROR", "REGISTRY_MIRROR", "SYSTEM",
            "RUNTIME",
        )  # fmt: skip
        # mkdir must not fail for who may not write to /
        values = {f"TROVE_GUEST_{name}": f"{self.dest}{odd}" for name in names}
        ran = self.stack(
            "stack pre-install",
            TROVE_GUEST_BUILD_OPTIONS="--name  * --extra\n$x 'a",
            TROVE_GUEST_LOAD_OPTIONS="--property *=1",
            TROVE_GUEST_CONTAINER_SOURCE="oci:/*,archive:/$x",
            TROVE_GUEST_QUOTAS="cores=1,\n  ram=2",
            **values,
        )
        self.assertEqual(0, ran.status, ran.stderr)
        (build,) = ran.builds()
        self.assertEqual(len(names), build.count(f"{self.dest}{odd}"))
        self.assertEqual(
            ["--container-source", "oci:/*", "--container-source",
             "archive:/$x", "--name", "*", "--extra", "$x", "'a", "mysql"],
            build[-10:],
        )  # fmt: skip
        (validate,) = [
            words for words in ran.named("trove-devstack")
            if words[0] == "validate"
        ]  # fmt: skip
        self.assertEqual(
            ["--quota", "cores=1", "--quota", "ram=2", "--", "--property",
             "*=1"],
            validate[1:],
        )  # fmt: skip

    def test_ready_made_image(self) -> None:
        ran = self.stack(
            TROVE_GUEST_IMAGE_URL="https://host/mysql.qcow2",
            TROVE_GUEST_IMAGE_SHA256="ab12",
            TROVE_GUEST_DATASTORES="mysql:8.4",
            TROVE_GUEST_LOAD_OPTIONS="--os debian-13",
        )
        self.assertEqual(0, ran.status, ran.stderr)
        self.assertEqual([], ran.named("trove-image-builder"))
        self.assertNotIn("async_wait", ran.order)
        self.assertEqual(
            [["--os-cloud", "trove", "--activate", "--os", "debian-13",
              "--datastore", "mysql", "--version", "8.4",
              "--sha256", "ab12", "https://host/mysql.qcow2"]],
            ran.named("load-trove-image"),
        )  # fmt: skip

    def test_no_image_at_all(self) -> None:
        ran = self.stack(TROVE_GUEST_IMAGE_BUILD="False")
        self.assertEqual(0, ran.status, ran.stderr)
        for name in ("trove-image-builder", "load-trove-image",
                     "async_runfunc"):  # fmt: skip
            self.assertNotIn(name, ran.order)
        commands = {words[0] for words in ran.named("trove-devstack")}
        self.assertEqual({"settings", "validate", "prepare"}, commands)

    def test_no_trove_on_this_host(self) -> None:
        ran = self.stack(services="key,n-cpu")
        self.assertEqual(0, ran.status, ran.stderr)
        self.assertEqual(
            {"define_plugin", "plugin_requires", "phase", "xtrace"},
            set(ran.order),
        )

    def test_no_nova_here(self) -> None:
        ran = self.stack("stack extra", services="key,trove",
                         TROVE_GUEST_IMAGE_BUILD="False")  # fmt: skip
        (words,) = ran.named("trove-devstack")
        self.assertIn("--no-flavors", words)
        self.assertNotIn("--quota", words)

    def test_no_test_flavors(self) -> None:
        ran = self.stack("stack extra", TROVE_GUEST_TEST_FLAVORS="no",
                         TROVE_GUEST_QUOTAS="cores=1",
                         TROVE_GUEST_IMAGE_BUILD="False")  # fmt: skip
        (words,) = ran.named("trove-devstack")
        self.assertEqual(["--no-flavors", "--quota", "cores=1"], words[-3:])

    def test_tempest(self) -> None:
        self.builds((_MYSQL,))
        self.scripts["trove-devstack"] = (
            "[[ $1 != tempest ]] || echo database enabled_datastores a,b"
        )
        ran = self.stack()
        self.assertEqual(0, ran.status, ran.stderr)
        setting = ("tempest.conf", "database", "enabled_datastores")
        self.assertEqual("a,b", ran.ini()[setting])
        ran = self.stack(services="key,n-api,trove")
        self.assertEqual(0, ran.status, ran.stderr)
        words = [call[0] for call in ran.named("trove-devstack")]
        self.assertNotIn("tempest", words)

    def test_where_the_panels_are(self) -> None:
        """Trove's plugin copies them from there, and stops without it."""
        shown = 'record shown "$TROVE_DASHBOARD_DIR"'
        ran = self.stack("unstack", after_settings=shown)
        self.assertEqual(
            [[f"{self.dest}/trove-dashboard"]], ran.named("shown")
        )
        ran = self.stack(
            "unstack", after_settings=shown, TROVE_DASHBOARD_DIR="/mine"
        )
        self.assertEqual([["/mine"]], ran.named("shown"))

    def test_what_trove_and_glance_are_told_before(self) -> None:
        shown = 'record shown "$TROVE_ENABLE_IMAGE_BUILD" ' \
            '"$GLANCE_LIMIT_IMAGE_SIZE_TOTAL"'  # fmt: skip
        ran = self.stack("unstack", after_settings=shown)
        self.assertEqual([["false", "20000"]], ran.named("shown"))
        ran = self.stack(
            "unstack", after_settings=shown, TROVE_ENABLE_IMAGE_BUILD="true",
            GLANCE_LIMIT_IMAGE_SIZE_TOTAL="1",
        )  # fmt: skip
        self.assertEqual([["true", "1"]], ran.named("shown"))


class FailuresTest(stack.StackCase):
    """Whatever fails: stack.sh stops there and then, with the reason."""

    def assert_stopped(self, ran: stack.Ran, *reasons: str) -> None:
        self.assertNotEqual(0, ran.status)
        for reason in reasons:
            self.assertIn(reason, ran.stderr)

    def test_no_trove_plugin(self) -> None:
        ran = self.stack(
            plugins="enable_plugin trove-tools;"
            f" GITDIR[trove-tools]={base.ROOT}"
        )
        self.assert_stopped(ran, "needs Trove's plugin", "enable_plugin trove")
        self.assertEqual(1, ran.order.count("phase"))

    def test_wrong_order(self) -> None:
        ran = self.stack(
            plugins="enable_plugin tt; enable_plugin trove;"
            f" GITDIR[tt]={base.ROOT}"
        )
        self.assert_stopped(ran, "before Trove's plugin", "enable_plugin tt")

    def test_image_url_without_digest(self) -> None:
        ran = self.stack(TROVE_GUEST_IMAGE_URL="https://host/x.qcow2")
        self.assert_stopped(ran, "TROVE_GUEST_IMAGE_SHA256")

    def test_image_url_of_what(self) -> None:
        for words in ("mysql", "mysql:8.4 mariadb:11.8"):
            ran = self.stack(
                TROVE_GUEST_IMAGE_URL="https://host/x.qcow2",
                TROVE_GUEST_IMAGE_SHA256="ab",
                TROVE_GUEST_DATASTORES=words,
            )
            self.assert_stopped(ran, "TROVE_GUEST_DATASTORES")

    def test_unknown_datastore(self) -> None:
        for phase in ("stack pre-install", "stack post-config"):
            ran = self.stack(phase, TROVE_GUEST_DATASTORES="mysq")
            self.assert_stopped(ran, "did you mean mysql?",
                                "TROVE_GUEST_DATASTORES")  # fmt: skip
            self.assertEqual([], ran.named("iniset"))
            self.assertEqual([], ran.named("async_runfunc"))

    def test_values_that_cannot_work(self) -> None:
        """They are refused before a service is installed."""
        self.plans = True
        self.trove()
        for name, value, said in (
            ("DATASTORES", "mysql mariadb:9", "mariadb has no version 9"),
            ("SYSTEM", "debian-99", "debian-13"),
            ("RUNTIME", "nativ", "native"),
            ("AGENT", "/no/checkout", "--agent /no/checkout"),
            ("DEV_KEY", "/no/key.pub", "--dev /no/key.pub"),
            ("CONSTRAINTS", "/no/file", "--constraints /no/file"),
            ("CONTAINER_SOURCE", "mysql=registri", "registri"),
            ("BUILD_OPTIONS", "--partition-tabel gpt", "--partition-table"),
            ("LOAD_OPTIONS", "--keeep 3", "did you mean --keep?"),
            ("QUOTAS", "core=3", "there is no quota 'core'"),
        ):
            ran = self.stack(**{f"TROVE_GUEST_{name}": value})
            self.assert_stopped(ran, said, "TROVE_GUEST_")
            phases = [words[-1] for words in ran.named("phase")]
            self.assertEqual(["pre-install"], phases, name)
            self.assertEqual([], ran.builds(), name)
            self.assertIn("[ERROR]", ran.stderr.splitlines()[-1])

    def test_build_fails(self) -> None:
        self.scripts["trove-image-builder"] = (
            "echo 'error: a warning' >&2; echo 'error: no space left' >&2;"
            "echo 'hint: make room' >&2; exit 1"
        )
        # whichever phase is the first after the failure
        for phase in ("stack install", "stack post-config", "stack extra"):
            ran = self.stack(
                "stack pre-install", phase, after_settings=_BACKGROUND
            )
            self.assert_stopped(ran, "no guest image of mysql")
            # the reason follows all that devstack prints of the failure
            self.assertEqual(
                ["error: no space left", "hint: make room"],
                ran.stderr.splitlines()[-2:],
            )
            self.assertEqual([], ran.named("iniset"))
            self.assertEqual([], ran.named("load-trove-image"))
        # nothing is left that unstack would look for
        state = self.dest / "data/trove-tools"
        self.assertFalse((state / "build.pid").exists())

    def test_build_fails_later(self) -> None:
        # while it is waited for
        self.scripts["trove-image-builder"] = "exit 3"
        ran = self.stack(
            after_settings='async_runfunc() { :; }; async_wait() { "$@"; }'
        )
        self.assert_stopped(ran, "no guest image of mysql")
        self.assertEqual([], ran.named("load-trove-image"))

    def test_any_command_fails(self) -> None:
        self.builds((_MYSQL,))
        for name, script, reason, not_called in (
            ("trove-devstack", "[[ $1 != prepare ]]", "not ready",
             "load-trove-image"),
            ("load-trove-image", "echo 'error: 413' >&2; exit 4",
             "could not be loaded", "check"),
            ("trove-devstack", "[[ $1 != check ]]", "a user cannot have",
             "tempest"),
            ("trove-devstack", "[[ $1 != tempest ]]",
             "tempest could not be configured", "iniset"),
        ):  # fmt: skip
            good = dict(self.scripts)
            self.scripts[name] = script
            phases = [
                "stack pre-install", "stack extra", "stack test-config",
            ]  # fmt: skip
            ran = self.stack(*phases)
            self.scripts = good
            self.assert_stopped(ran, reason)
            words = [word for call in ran.calls for word in call[:2]]
            self.assertNotIn(not_called, words)

    def test_values_that_are_no_single_line(self) -> None:
        for name in ("IMAGE_DIR", "AGENT", "DEV_KEY", "MIRROR"):
            ran = self.stack(**{f"TROVE_GUEST_{name}": "/a\n--dev\n/b"})
            self.assert_stopped(ran, f"TROVE_GUEST_{name} has a line break")
            self.assertEqual([], ran.named("setup_develop"), name)

    def test_values_that_are_no_numbers(self) -> None:
        for value in ("1\n[DEFAULT]", "x", "$(true)"):
            ran = self.stack(TROVE_USAGE_TIMEOUT=value)
            self.assert_stopped(ran, "TROVE_USAGE_TIMEOUT is not a number")

    def test_what_is_no_name_of_a_datastore(self) -> None:
        # in the directory that stack.sh is in, * would be names of files
        for value in ("*", "mysql *", "--force", "a'b", "$x", "mysql/8"):
            ran = self.stack(TROVE_GUEST_DATASTORES=value)
            self.assert_stopped(ran, "TROVE_GUEST_DATASTORES has '")
            self.assertNotIn("functions", ran.stderr)
            self.assertEqual([], ran.named("setup_develop"), value)

    def test_a_setting_of_an_unknown_file(self) -> None:
        self.scripts["trove-devstack"] = (
            "[[ $1 != settings ]] || echo PATH DEFAULT a b"
        )
        self.real = "validate|images"
        ran = self.stack("stack post-config")
        self.assert_stopped(ran, "there is no file PATH of Trove's")
        self.assertEqual([], ran.named("iniset"))

    def test_build_that_says_nothing(self) -> None:
        self.scripts["trove-image-builder"] = ""
        ran = self.stack("stack pre-install", "stack extra")
        self.assert_stopped(ran, "the build did not say what it built")


class EndTest(stack.StackCase):
    def test_unstack_without_anything(self) -> None:
        for phase in ("unstack", "clean"):
            self.assertEqual(0, self.stack(phase).status)

    def build_under_way(self) -> "subprocess.Popen[bytes]":
        """Start what looks like a build that an earlier run has left."""
        program = self.temp_dir() / "trove-image-builder"
        program.write_text("#!/bin/bash\nread -r <&3\n")
        program.chmod(0o755)
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)
        build = subprocess.Popen(
            ["/bin/bash", "-c", f'exec 3<&{reading}; exec "$0"', program],
            pass_fds=[reading], stdin=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(reading)
        self.addCleanup(build.wait)
        self.addCleanup(build.kill)
        self.remember(build.pid)
        return build

    def remember(self, pid: int) -> pathlib.Path:
        file = self.dest / "data/trove-tools/build.pid"
        file.parent.mkdir(parents=True)
        file.write_text(f"{pid}\n")
        return file

    def test_unstack_ends_the_build(self) -> None:
        build = self.build_under_way()
        file = self.dest / "data/trove-tools/build.pid"
        # a process that nobody waits for would stay as a zombie of ours
        waiting = threading.Thread(target=build.wait)
        waiting.start()
        ran = self.stack("unstack")
        waiting.join()
        self.assertEqual(0, ran.status, ran.stderr)
        self.assertEqual(-signal.SIGTERM, build.returncode)
        self.assertFalse(file.exists())

    def test_unstack_leaves_other_processes(self) -> None:
        file = self.remember(os.getpid())
        self.assertEqual(0, self.stack("unstack").status)
        self.assertFalse(file.exists())

    def made(self) -> pathlib.Path:
        images = self.dest / "trove-guest-images"
        for name in ("trove-a.d/manifest.json", "trove-a.qcow2",
                     "theirs.qcow2", "other.d/file"):  # fmt: skip
            path = images / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        self.remember(1)
        return images

    def test_clean(self) -> None:
        images = self.made()
        self.assertEqual(0, self.stack("clean").status)
        self.assertFalse((self.dest / "data/trove-tools").exists())
        self.assertTrue((images / "trove-a.qcow2").exists())

    def test_clean_images_when_asked(self) -> None:
        images = self.made()
        self.assertEqual(0, self.stack("clean", TROVE_GUEST_CLEAN="1").status)
        left = sorted(each.name for each in images.iterdir())
        self.assertEqual(["other.d", "theirs.qcow2"], left)

    def test_clean_empties_the_cache_when_asked(self) -> None:
        ran = self.stack("clean", TROVE_GUEST_CLEAN="1",
                         TROVE_GUEST_CACHE_DIR="/c")  # fmt: skip
        self.assertEqual(
            [["cache", "prune", "--cache-size", "0", "--quiet",
              "--cache-dir", "/c"]],
            ran.named("trove-image-builder"),
        )  # fmt: skip
        self.scripts["trove-image-builder"] = "exit 1"
        self.assertEqual(0, self.stack("clean", TROVE_GUEST_CLEAN="1").status)
