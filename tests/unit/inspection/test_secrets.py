# SPDX-License-Identifier: Apache-2.0
"""All kinds of secrets are planted in one root, and each is found."""

from tests import base
from tests.unit.inspection import corpus
from trove_tools.inspection import policy


class CorpusTest(base.TestCase):
    def test_each_kind_is_found(self) -> None:
        root = self.temp_dir()
        (root / "usr/sbin").mkdir(parents=True)
        (root / "usr/sbin/sshd").touch()
        (root / "etc/ssh").mkdir(parents=True)
        (root / "etc/ssh/sshd_config").write_text(
            "Include /etc/ssh/sshd_config.d/*.conf\n"
            "PasswordAuthentication no\n"
        )
        for planted in corpus.HARMLESS:
            planted.write(root)
        self.assertEqual([], policy.find_all(root))
        for planted in corpus.CORPUS:
            planted.write(root)
        found = policy.find_all(root)
        self.assertEqual(
            {f"/{each.path}" for each in corpus.CORPUS},
            {each.path for each in found},
        )
        for name in ("evil", "evil2", "evil3", "toor"):
            self.assertIn(name, str(found))
        for content in ("orange", "secret@", "AKIA", "ghp_"):
            self.assertNotIn(content, str(found))
