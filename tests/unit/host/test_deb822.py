# SPDX-License-Identifier: Apache-2.0

from tests import base
from trove_tools.host import deb822

STATUS = """\
Package: bash
Status: install ok installed
Version: 5.2
Description: a shell
 that goes on: here
 .
# a comment
Source: bash (5.2-1)

 lost

Package: gone
Status: deinstall ok config-files
Version: 1

Package: broken
Status: install ok installed
"""


class Deb822Test(base.TestCase):
    def test_paragraphs(self) -> None:
        first, *others = deb822.paragraphs(STATUS)
        self.assertEqual(
            {
                "package": "bash",
                "status": "install ok installed",
                "version": "5.2",
                "description": "a shell\nthat goes on: here\n.",
                "source": "bash (5.2-1)",
            },
            first,
        )
        self.assertEqual(["gone", "broken"], [o["package"] for o in others])

    def test_installed(self) -> None:
        (found,) = deb822.installed(STATUS)
        self.assertEqual("bash", found["package"])

    def test_nothing(self) -> None:
        self.assertEqual([], list(deb822.paragraphs("\n\nno field\n \n")))
