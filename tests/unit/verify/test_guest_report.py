# SPDX-License-Identifier: Apache-2.0
"""What runs in the guest, with a systemd of the test's own."""

import json
import typing

from tests import base
from trove_tools.verify import guest_report

_SYSTEMCTL = """\
case "$*" in
"is-system-running --wait") sleep {pause}; echo {state} ;;
list-jobs*) echo '12 slow.service start running'
            echo '13 next.service start waiting' ;;
list-units*) {failed} ;;
show*) echo UserspaceTimestampMonotonic=5100000
       echo FinishTimestampMonotonic=25600000 ;;
esac
"""


class GuestReportTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        self.port = self.place / "port"
        self.port.touch()
        self.patch_object(guest_report, "PORT", str(self.port))
        size = self.place / "size"
        size.write_text("4194304\n")
        self.patch_object(guest_report, "VOLUMES", (str(size),))
        self.patch_object(guest_report, "_PAUSE", 0.05)
        self.programs = self.temp_dir()
        self.fake_program(
            "systemd-analyze",
            'for i in 1 2 3 4 5 6 7; do echo " ${i}s $i.service"; done',
            self.programs,
        )
        self.fake_program(
            "journalctl", 'echo "log: $*"; echo "it broke"', self.programs
        )

    def systemd(
        self, state: str = "running", failed: str = ":", pause: float = 0
    ) -> None:
        script = _SYSTEMCTL.format(state=state, failed=failed, pause=pause)
        self.fake_program("systemctl", script, self.programs)

    def report(self, **setup: list[str]) -> list[dict[str, typing.Any]]:
        settings = self.place / "settings.json"
        settings.write_text(json.dumps({"nonce": "n0", "setup": setup}))
        guest_report.main(str(settings))
        self.assertFalse(settings.exists())
        events = [
            json.loads(line) for line in self.port.read_text().splitlines()
        ]
        for event in events:
            self.assertEqual("n0", event.pop("nonce"))
        return events

    def test_a_good_boot(self) -> None:
        self.systemd()
        started, booted = self.report()
        self.assertEqual({"event": "started"}, started)
        self.assertEqual(
            {
                "event": "booted",
                "state": "running",
                "failed": [],
                "times": {"kernel": 5.1, "userspace": 20.5, "total": 25.6},
                "slowest": [f"{i}s {i}.service" for i in range(1, 6)],
                "volume": 2 << 30,
            },
            booted,
        )

    def test_a_slow_boot_says_what_it_waits_for(self) -> None:
        self.systemd(pause=0.3)
        events = self.report()
        self.assertIn({"event": "waiting", "jobs": ["slow.service"]}, events)
        self.assertEqual("booted", events[-1]["event"])

    def test_an_answer_that_comes_too_early_is_asked_for_again(self) -> None:
        self.patch_object(guest_report.time, "sleep", self._now_running)
        self.systemd(state="starting")
        self.assertEqual("running", self.report()[-1]["state"])

    def _now_running(self, _: float) -> None:
        self.systemd()

    def test_failed_units_come_with_their_logs(self) -> None:
        self.systemd("degraded", "echo 'a.service loaded failed failed A'")
        booted = self.report()[-1]
        self.assertEqual("degraded", booted["state"])
        (failed,) = booted["failed"]
        self.assertEqual("a.service", failed["unit"])
        self.assertIn("--unit a.service", failed["log"][0])
        self.assertEqual("it broke", failed["log"][1])

    def test_no_volume(self) -> None:
        self.systemd()
        self.patch_object(guest_report, "VOLUMES", ("/nonexistent",))
        self.assertEqual(0, self.report()[-1]["volume"])

    def test_no_systemd_at_all(self) -> None:
        self.set_env(PATH="/nonexistent")
        self.assertEqual("", guest_report.output("systemctl"))
        self.assertEqual({}, guest_report.boot_times())

    def test_setup_stops_at_the_first_command_that_fails(self) -> None:
        self.systemd()
        mark = self.place / "mark"
        events = self.report(
            good=["true", "echo fine"],
            bad=["true", "echo no such user; exit 3", f"touch {mark}"],
            none=[],
        )
        good, bad, none = events[2:]
        self.assertEqual(
            {"event": "prepared", "probe": "good", "status": 0, "output": ""},
            good,
        )
        self.assertEqual("bad", bad["probe"])
        self.assertEqual(3, bad["status"])
        self.assertEqual("no such user\n", bad["output"])
        self.assertFalse(mark.exists())
        self.assertEqual(0, none["status"])

    def test_setup_that_hangs_is_ended(self) -> None:
        self.patch_object(guest_report, "_COMMAND_TIMEOUT", 0.2)
        done = guest_report.run_setup("exec sleep 30")
        self.assertEqual(-1, done["status"])
        self.assertIn("did not end", done["output"])
