# SPDX-License-Identifier: Apache-2.0
"""Samples of keys in packages are told from keys that somebody left."""

import base64
import hashlib
import os
import pathlib
import py_compile

from tests.unit.inspection import root_case
from tests.unit.inspection import test_policy
from trove_tools.inspection import policy

MODULE = f'"""How to give a key:\n\n{test_policy.KEY}"""\n'
# keys of one kind begin alike
OTHER = MODULE.replace("BAAAA", "CAAAA")
DEBIAN = "usr/lib/python3/dist-packages"
VENV = "opt/trove-guest-agent/lib/python3.13/site-packages"


class ProvenanceTest(root_case.RootCase):
    def of_dpkg(self, name: str, text: str) -> pathlib.Path:
        """Write a module as dpkg would, with many others."""
        sums = [f"{n:032}  usr/share/doc/{n}" for n in range(100)]
        digest = hashlib.md5(text.encode(), usedforsecurity=False)
        sums.append(f"{digest.hexdigest()}  {DEBIAN}/{name}")
        self.write(
            "var/lib/dpkg/info/cloud-init.md5sums", "\n".join(sums) + "\n"
        )
        return self.write(f"{DEBIAN}/{name}", text)

    def of_python(self, name: str, text: str) -> pathlib.Path:
        """Write a module as pip would."""
        digest = hashlib.sha256(text.encode()).digest()
        word = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        self.write(
            f"{VENV}/x-1.dist-info/RECORD",
            f"x/data,sha256=abc,3\n{name},sha256={word},{len(text)}\n"
            "x-1.dist-info/RECORD,,\n",
        )
        return self.write(f"{VENV}/{name}", text)

    def reported(self) -> list[str]:
        found = policy.find_all(self.root)
        self.assertLessEqual({each.kind for each in found}, {"private key"})
        return [each.path for each in found]

    def test_a_packages_own_sample(self) -> None:
        self.of_dpkg("cloudinit/cc_ssh.py", MODULE)
        self.of_python("x/sample.py", MODULE)
        self.assertEqual([], self.reported())

    def test_a_module_that_was_changed(self) -> None:
        for file in (
            self.of_dpkg("cloudinit/cc_ssh.py", MODULE),
            self.of_python("x/sample.py", MODULE),
        ):
            file.write_text(OTHER)
            self.assertEqual([f"/{file.relative_to(self.root)}"],
                             self.reported())  # fmt: skip
            file.unlink()

    def test_a_stray_module(self) -> None:
        self.of_dpkg("cloudinit/cc_ssh.py", MODULE)
        self.of_python("x/sample.py", MODULE)
        # the same content is no excuse at another place
        names = [f"{DEBIAN}/cc_ssh.py", f"{VENV}/sample.py", "opt/x.py"]
        for name in names:
            self.write(name, MODULE)
        self.assertEqual(sorted(f"/{n}" for n in names),
                         sorted(self.reported()))  # fmt: skip

    def test_a_module_without_a_digest(self) -> None:
        self.of_python("x/sample.py", MODULE)
        self.write(f"{VENV}/x-1.dist-info/RECORD", "x/sample.py,,\n")
        self.assertEqual([f"/{VENV}/x/sample.py"], self.reported())

    def test_what_is_no_module(self) -> None:
        file = self.of_python("x/id_rsa", test_policy.KEY)
        self.assertEqual([f"/{file.relative_to(self.root)}"], self.reported())

    def compiled(self, file: pathlib.Path) -> str:
        made = py_compile.compile(str(file), doraise=True)
        assert made is not None
        return f"/{pathlib.Path(made).relative_to(self.root)}"

    def test_compiled_modules(self) -> None:
        for file in (
            self.of_dpkg("cloudinit/cc_ssh.py", MODULE),
            self.of_python("x/sample.py", MODULE),
        ):
            self.compiled(file)
            self.assertEqual([], self.reported())
            # compiled from something else, at another time
            file.write_text(OTHER)
            os.utime(file, (1, 1))
            made = self.compiled(file)
            file.write_text(MODULE)
            self.assertEqual([made], self.reported())
            # and from what is there no more
            file.unlink()
            self.assertEqual([made], self.reported())
            (self.root / made.lstrip("/")).unlink()
