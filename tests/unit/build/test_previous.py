# SPDX-License-Identifier: Apache-2.0
import os
import types

from tests import base
from tests.unit.plan import samples
from trove_tools.artifact import manifest
from trove_tools.build import previous
from trove_tools.host import digests
from trove_tools.plan import plan


class CurrentTest(base.TestCase):
    def test_another_file_of_the_same_name_and_size(self) -> None:
        made = plan.make(samples.a_request())
        output = self.temp_dir()
        image = output / made.file
        image.write_text("one")
        manifest.sidecar(image).mkdir()
        manifest.path(image).touch()
        found = types.SimpleNamespace(
            plan_digest=made.digest(),
            image=manifest.File(
                image.name, "qcow2", 3, **digests.compute(image)
            ),
            patched=False,
        )
        self.patch_object(manifest, "read", lambda *_: found)
        self.assertIs(found, previous.find_current(made, output))
        status = image.stat()
        image.write_text("two")
        os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.assertIsNone(previous.find_current(made, output))
        image.unlink()
        self.assertIsNone(previous.find_current(made, output))
