# SPDX-License-Identifier: Apache-2.0
"""What the documentation tells of a cloud is what happens there.

tests/documentation.py says how command lines are marked.  All blocks of a
page that need a cloud are one story.
"""

import os
import pathlib
import re
import shutil
import subprocess
import typing

import ddt

from tests import documentation
from tests.functional import base
from tests.unit.cloud import images
from trove_tools.catalog import loader

#: Where the documentation has its minicloud.
_CLOUD = "/tmp/cloud"

#: An image that the commands name, as builds name them.
_IMAGE = re.compile(r"\btrove-(\w+)-([\d.]+)-debian-13-amd64\.qcow2\b")


def stories() -> dict[str, list[tuple[str, documentation.Command]]]:
    """Return the stories that need a cloud, by the names of their pages."""
    found = {}
    for page in documentation.pages():
        blocks, _ = documentation.blocks(page.read_text())
        story = documentation.story(blocks, "cloud")
        if story:
            found[str(page.relative_to(base.base.ROOT))] = story
    return found


STORIES = stories()


@ddt.ddt
class StoryTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if shutil.which("qemu-img") is None:
            self.skipTest("qemu-img is not installed (package qemu-utils)")
        self.place = self.temp_dir()
        self.builds = 0
        self.set_env(OS_CLOUD=base.ADMIN)
        self.addCleanup(self.clean)

    @ddt.data(*STORIES)
    def test_story(self, page: str) -> None:
        self.story = STORIES[page]
        self.build()
        instead = {_CLOUD: os.fspath(self.minicloud_dir)}
        with documentation.Shell(self.place, instead) as shell:
            wrong = documentation.tell(self.story, shell, self.prepare)
        self.assertEqual([], wrong, "\n".join([page, *wrong]))

    def prepare(self, what: str) -> None:
        """Do what a page says has happened before a command."""
        {"after a new build": self.build, "after verify": self.verify}[what]()

    def named(self) -> set[tuple[str, ...]]:
        """Return the images that the story names: file, datastore, version."""
        text = "\n".join(command.line for _, command in self.story)
        return {(found[0], *found.groups()) for found in _IMAGE.finditer(text)}

    def build(self) -> None:
        """Make the images that the story names, unlike those before."""
        self.builds += 1
        catalog = loader.load()
        for file, name, version in self.named():
            path = self.place / file
            raw = path.with_suffix(".raw")
            raw.write_bytes(images.raw() + os.urandom(200000))
            convert = ["qemu-img", "convert", "-O", "qcow2", raw, path]
            subprocess.run(convert, check=True, stdin=subprocess.DEVNULL)
            raw.unlink()
            manager = catalog.datastore(name).manager
            images.describe(
                path,
                build_id=f"b{self.builds}",
                created=f"2026-01-0{self.builds}T00:00:00Z",
                datastores=(images.datastore(name, version, manager=manager),),
            )

    def verify(self) -> None:
        """Write what verify records about images that are good."""
        for file, _, _ in self.named():
            images.write_record(
                self.place / file, machines=["qemu", "container"]
            )

    def clean(self) -> None:
        """Take away all that the story has loaded."""
        trove, admin = self.trove(), self.connection()
        files, names = set(), set()
        for file, name, _ in self.named():
            files.add(pathlib.Path(file).stem)
            names.add(name)
        datastores: list[typing.Any] = [
            each for each in trove.datastores.list() if each.name in names
        ]
        for version in trove.mgmt_ds_versions.list():
            if version.datastore_name in names:
                trove.mgmt_ds_versions.delete(version.id)
        for datastore in datastores:
            trove.datastores.delete(datastore.id)
        for image in admin.image.images():
            if image.name in files:
                admin.image.delete_image(image.id)
