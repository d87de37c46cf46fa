# SPDX-License-Identifier: Apache-2.0
"""Whether a process that was named earlier still runs."""

import os
import subprocess

from tests import base
from trove_tools.host import liveness


class LivenessTest(base.TestCase):
    def test_this_process(self) -> None:
        self.assertIs(False, liveness.known_dead(liveness.name()))

    def test_one_that_has_ended(self) -> None:
        with subprocess.Popen(["sleep", "60"]) as child:
            boot, namespace, *_ = liveness.name().split("/")
            known = liveness.identify(child.pid)
            assert known is not None
            name = f"{boot}/{namespace}/{child.pid}/{known.start}"
            self.assertIs(False, liveness.known_dead(name))
            child.kill()
        self.assertIs(True, liveness.known_dead(name))

    def test_an_id_that_was_given_away_again(self) -> None:
        boot, namespace, *_ = liveness.name().split("/")
        name = f"{boot}/{namespace}/{os.getpid()}/1"
        self.assertIs(True, liveness.known_dead(name))

    def test_what_cannot_be_seen_from_here(self) -> None:
        boot, namespace, pid, start = liveness.name().split("/")
        for name in (
            f"other/{namespace}/{pid}/{start}",
            f"{boot}/other/{pid}/{start}",
            "nonsense",
            "",
        ):
            self.assertIsNone(liveness.known_dead(name))
