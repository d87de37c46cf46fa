# SPDX-License-Identifier: Apache-2.0
"""The known defects, by the lines and facts that guests really gave."""

import typing

import ddt

from tests import base
from trove_tools.verify import defects

GOOD: dict[str, typing.Any] = {
    "database_user": "database",
    "database_uid": "1001",
    "database_uid_owner": "",
    "volume_fstype": "ext4",
    "volume_programs_missing": [],
    "hostname": "trove-verify",
    "hostname_resolves": True,
    "apparmor": True,
    "apparmor_parser": True,
    "docker": True,
    "etc_docker": True,
    "after": ["cloud-config.service", "docker.service"],
    "start_limit": "0",
    "restart_sec": "5",
    "listeners": ["tcp/22 sshd", "udp/68 systemd-network"],
    "exposed": [],
    "core_pattern": "|/bin/false",
}

_LINES = {
    "uid": (
        "useradd: UID 1001 is not unique",
        "Failed to add user mysql, error: useradd: UID 999 is not unique\n",
    ),
    "volume-programs": (
        "Stderr: 'sudo: mkfs.xfs: command not found\\n'",
        "sudo: xfs_admin: command not found",
    ),
    "format-options": ("Stderr: 'unknown option -m 5\\nUsage: mkfs.xfs",),
    "state-directory": (
        "PermissionError: [Errno 13] Permission denied: '/var/lib/trove'",
        "oslo_config.cfg.RequiredOptError: value required for option"
        " lock_path in group [oslo_concurrency]",
    ),
    "volume": ("ERROR trove.guestagent.volume Could not format '/dev/vdb'.",),
    "hostname": (
        "sudo: unable to resolve host trove-verify: Name or service not known",
    ),
    "apparmor": (
        "docker.errors.APIError: 500 Server Error: Internal Server Error"
        ' ("AppArmor enabled on system but the docker-default profile could'
        " not be loaded: running `apparmor_parser` failed with output: ",
        'error running "apparmor_parser": exec: "apparmor_parser":'
        " executable file not found in $PATH",
    ),
    "order": (
        "systemd[1]: trove-guestagent.service: Start request repeated too"
        " quickly.",
        "RuntimeError: The guest_id parameter is not set. guest_info.conf"
        " was not injected into the guest or not read by guestagent",
    ),
    "etc-docker": (
        "FileNotFoundError: [Errno 2] No such file or directory:"
        " '/etc/docker/hostnic.json'",
    ),
    "locale": (
        'LOG:  invalid value for parameter "lc_messages": "en_US.utf8"',
        'initdb: error: invalid locale name "en_US.utf8"',
    ),
    "health": (
        "OCI runtime exec failed: exec failed: unable to start container"
        ' process: exec: "healthcheck.sh": executable file not found in'
        " $PATH: unknown",
    ),
    "unhealthy": (
        'running 0  {"Status":"unhealthy","FailingStreak":3,"Log":[]}',
    ),
    "no-image": (
        'Get "https://registry-1.docker.io/v2/": dial tcp: lookup'
        " registry-1.docker.io on [::1]:53: read udp: connection refused",
        "pull access denied for mariadb, repository does not exist",
    ),
    "library": (
        "ERROR trove-backup ImportError: libstdc++.so.6: cannot open shared"
        " object file: No such file or directory",
    ),
    "no-docker": (
        "docker.errors.DockerException: Error while fetching server API"
        " version: ('Connection aborted.', FileNotFoundError(2, 'No such"
        " file or directory'))",
    ),
    "slow": (
        "requests.exceptions.ReadTimeout: UnixHTTPConnectionPool("
        "host='localhost', port=None): Read timed out. (read timeout=60)",
        'running 0  {"Status":"starting","FailingStreak":0,"Log":[{"ExitCode"'
        ':-1,"Output":"Health check exceeded timeout (5s)"}]}',
    ),
    "log-dir": (
        "PermissionError: [Errno 13] Permission denied:"
        " '/var/log/trove/trove-guestagent.log'",
    ),
    "sudo": ("sudo: a password is required",),
    "key": (
        "ERROR oslo_messaging json.decoder.JSONDecodeError: Expecting value",
    ),
    "broker": (
        "ERROR oslo.messaging._drivers.impl_rabbit [-] [a1] AMQP server on"
        " 10.0.2.100:5672 is unreachable: [Errno 101] ENETUNREACH. Trying"
        " again in 1 seconds.",
    ),
    "space": ("OSError: [Errno 28] No space left on device",),
}


@ddt.ddt
class DefectsTest(base.TestCase):
    @ddt.data(*((n, line) for n, lines in _LINES.items() for line in lines))
    @ddt.unpack
    def test_a_line_tells(self, name: str, line: str) -> None:
        logs = {"guest agent": ["INFO all is well", line]}
        ((found, shown),) = defects.by_logs(logs)
        self.assertEqual(name, found.name)
        self.assertEqual(f"guest agent: {line.strip()}", shown)

    def test_nothing_is_wrong(self) -> None:
        logs = {
            "x": ["healthy", "Created user database", ""],
            # the guest itself answers, and the container runs
            "docker": [
                "dockerd[213]: level=info msg=endpoint"
                ' endpoint="https://registry-1.docker.io" error="Get'
                ' \\"https://registry-1.docker.io/v2/\\": dial tcp: lookup'
                " registry-1.docker.io on 127.0.0.53:53: read udp"
                ' 127.0.0.1:59171->127.0.0.53:53: i/o timeout"'
            ],
        }
        self.assertEqual(([], []), defects.explain(GOOD, logs))

    @ddt.data(
        ("uid", {"database_uid_owner": "debian"}),
        ("volume-programs", {"volume_programs_missing": ["mkfs.xfs"]}),
        ("hostname", {"hostname_resolves": False}),
        ("apparmor", {"apparmor_parser": False}),
        ("order", {"after": ["network.target"]}),
        ("order", {"after": ["docker.service"]}),
        ("order", {"start_limit": "", "restart_sec": ""}),
        ("order", {"start_limit": "10s", "restart_sec": "100ms"}),
        ("etc-docker", {"etc_docker": False}),
        ("listeners", {"listeners": ["tcp/22 sshd", "tcp/111 rpcbind"]}),
        ("listeners", {"listeners": ["tcp/3306"], "ports": [5432]}),
        ("exposed", {"exposed": ["/etc/trove/conf.d/guest_info.conf"]}),
        ("core-dumps", {"core_pattern": "core"}),
    )
    @ddt.unpack
    def test_a_fact_tells(
        self, name: str, changes: dict[str, typing.Any]
    ) -> None:
        (found,) = defects.by_facts({**GOOD, **changes})
        self.assertEqual(name, found.name)

    @ddt.data(
        # as the agent itself has made it when it was started before
        {"database_uid_owner": "database"},
        {"volume_fstype": "xfs"},
        {"apparmor": False, "apparmor_parser": False},
        # databases in the system itself are confined otherwise
        {"docker": False, "apparmor_parser": False},
        {"start_limit": "", "restart_sec": "5s"},
        {"start_limit": "10s", "restart_sec": "1min 500ms"},
        {"listeners": ["tcp/22", "tcp/3306 docker-proxy"], "ports": [3306]},
        # in a container the kernel is the host's
        {"core_pattern": ""},
    )
    def test_a_fact_that_does_no_harm(
        self, changes: dict[str, typing.Any]
    ) -> None:
        self.assertEqual([], defects.by_facts({**GOOD, **changes}))

    def test_each_has_cause_and_remedy_in_one_line(self) -> None:
        for defect in defects.DEFECTS:
            self.assertNotIn("\n", str(defect))
            self.assertTrue(defect.remedy)

    def test_what_both_tell_is_said_once(self) -> None:
        facts = {**GOOD, "database_uid_owner": "debian"}
        logs = {"agent": ["useradd: UID 1001 is not unique"]}
        causes, lines = defects.explain(facts, logs)
        self.assertEqual(1, len(causes))
        self.assertEqual(["agent: useradd: UID 1001 is not unique"], lines)

    def test_who_has_the_uid(self) -> None:
        facts = {
            **GOOD,
            "database_user": "mysql",
            "database_uid": "999",
            "database_uid_owner": "systemd-network",
        }
        (found,) = defects.by_facts(facts)
        for word in ("999", "`mysql`", "`systemd-network`"):
            self.assertIn(word, found.cause)

    def test_what_listens(self) -> None:
        facts = {**GOOD, "listeners": ["tcp/22 sshd", "udp/5353 avahi-daemon"]}
        (found,) = defects.by_facts(facts)
        self.assertIn("at udp/5353 avahi-daemon, besides", found.cause)

    def test_what_explains_no_failure(self) -> None:
        facts = {**GOOD, "listeners": ["tcp/111"], "exposed": ["/x"]}
        self.assertEqual(2, len(defects.by_facts(facts)))
        self.assertEqual(([], []), defects.explain(facts, {}))

    def test_sudo_is_not_blamed_for_a_program_that_is_missing(self) -> None:
        facts = {
            **GOOD,
            "volume_fstype": "xfs",
            "volume_programs_missing": ["mkfs.xfs", "xfs_admin"],
        }
        logs = {
            "agent": [
                "sudo: a password is required",
                "Could not format '/dev/vdb'.",
            ]
        }
        (cause,), lines = defects.explain(facts, logs)
        self.assertIn("does not have mkfs.xfs, xfs_admin", cause)
        self.assertEqual(2, len(lines))
