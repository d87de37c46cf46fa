# SPDX-License-Identifier: Apache-2.0
"""The files and the state of a minicloud that nothing has started."""

from minicloud import layout as layouts
from minicloud import state as states
from tests import base


class LayoutCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.layout = layouts.Layout(self.temp_dir())
        self.layout.make()
        self.state = states.new()
        self.state.ports = {"keystone": 5000, "glance": 9292, "trove": 8779}
        self.state.venv = "/opt/venv"
