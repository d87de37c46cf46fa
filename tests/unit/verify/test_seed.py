# SPDX-License-Identifier: Apache-2.0
"""The seed that makes a guest report."""

import json
import shutil
import stat

from tests import base
from trove_tools import process
from trove_tools.verify import seed

_KNOWN = seed.Secrets(nonce="n0", user="bob", password="pw")


class SecretsTest(base.TestCase):
    def test_they_are_new_each_time(self) -> None:
        one, two = seed.Secrets.new(), seed.Secrets.new()
        self.assertNotEqual(one.nonce, two.nonce)
        self.assertNotEqual(one.user, two.user)
        self.assertNotEqual(one.password, two.password)

    def test_they_need_no_quoting(self) -> None:
        known = seed.Secrets.new()
        self.assertTrue(known.password.isalnum())
        self.assertTrue(known.user.isidentifier())
        # as long as the strictest server takes
        self.assertLessEqual(len(known.user), 16)

    def test_commands_are_filled_and_keep_their_braces(self) -> None:
        self.assertEqual(
            "x bob '{}' ${HOME} pw %s",
            _KNOWN.fill("x {user} '{}' ${HOME} {password} %s"),
        )


class SeedTest(base.TestCase):
    def test_the_user_data_is_a_shell_script(self) -> None:
        text = seed.user_data(_KNOWN, {"mariadb": ["say {user} 'a\"b'"]})
        first, rest = text.split("\n", 1)
        self.assertEqual("#cloud-boothook", first)
        script = self.temp_dir() / "script"
        script.write_text(rest)
        process.run(["sh", "-n", script])

    def test_the_script_lays_down_what_it_starts(self) -> None:
        """Run it, with a directory and a systemd-run of the test's own."""
        place = self.temp_dir()
        text = seed.user_data(_KNOWN, {"mariadb": ["say {user} 'a\"b' $x"]})
        script = place / "script"
        script.write_text(text.replace("/run/trove-verify", str(place / "d")))
        self.fake_program("systemd-run", f'echo "$@" >{place}/started')
        process.run(["sh", script])
        started = (place / "started").read_text()
        self.assertIn("--no-block", started)
        self.assertIn(
            f"{place}/d/guest_report.py {place}/d/settings.json", started
        )
        settings = place / "d" / "settings.json"
        self.assertEqual(
            {"nonce": "n0", "setup": {"mariadb": ["say bob 'a\"b' $x"]}},
            json.loads(settings.read_text()),
        )
        self.assertEqual(0o600, stat.S_IMODE(settings.stat().st_mode))
        script = (place / "d" / "guest_report.py").read_text()
        compile(script, "guest_report.py", "exec")

    def test_the_image_is_a_cd_that_cloud_init_looks_for(self) -> None:
        if shutil.which(seed.TOOL) is None:
            self.skipTest(f"{seed.TOOL} is not installed")
        place = self.temp_dir()
        image = seed.make(_KNOWN, {}, place)
        data = image.read_bytes()
        self.assertEqual(b"CD001", data[32769:32774])
        self.assertEqual(b"cidata", data[32808:32840].strip().lower())
        self.assertIn(b"instance-id: verify-n0", data)
        self.assertEqual(0o700, stat.S_IMODE((place / "seed").stat().st_mode))
