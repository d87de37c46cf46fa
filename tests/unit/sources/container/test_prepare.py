# SPDX-License-Identifier: Apache-2.0
import pathlib
import typing

from tests import base
from trove_tools import errors
from trove_tools.host import digests
from trove_tools.sources.container import prepare
from trove_tools.sources.container import skopeo
from trove_tools.sources.container import sources


class PrepareTest(base.TestCase):
    def test_an_archive_that_is_replaced_meanwhile(self) -> None:
        place = self.temp_dir()
        archive = place / "a.tar"
        archive.write_text("of the plan")
        digest = digests.compute(archive, ["sha256"])["sha256"]
        container = sources.Container(
            "mariadb", "11.8", "X", "archive", ("mariadb:11.8",),
            path=str(archive), digest=f"sha256:{digest}",
        )  # fmt: skip
        self.patch_object(
            skopeo, "find", lambda *_: skopeo.Image("x", "sha256:1", {})
        )

        def copy(_: typing.Any, __: typing.Any, file: pathlib.Path,
                 ___: str) -> None:  # fmt: skip
            file.touch()
            archive.write_text("another")

        self.patch_object(skopeo, "copy", copy)
        error = self.assertRaises(
            errors.BuildError, prepare.prepare, container, place,
            guest={"arch": "amd64"}, mirror=None, security=None,
            log=lambda text: None,
        )  # fmt: skip
        self.assertIn(digest, error.message)
