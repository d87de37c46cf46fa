# SPDX-License-Identifier: Apache-2.0
"""Which signatures count, and which keys can make one."""

import base64
import os
import pathlib
import subprocess
import typing

from tests import base
from tests import signing
from trove_tools import errors
from trove_tools.artifact import signature

TEXT = '{"image": "ä"}\n'


class KeyCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        signing.need(self)
        self.set_env(SSH_AUTH_SOCK=None)
        self.place = self.temp_dir()
        self.key = signing.make_key(self.place / "key")
        self.public = signing.public(self.key)

    def open(self, file: pathlib.Path) -> signature.SigningKey:
        key = signature.open_signing_key(file)
        assert key is not None
        return key

    def trusted(self, *files: pathlib.Path) -> signature.TrustedKeys:
        keys = signature.read_trusted_keys(files or [self.public])
        assert keys is not None
        return keys

    def fingerprint(self, file: pathlib.Path) -> str:
        """Return a key's fingerprint as ssh-keygen tells it."""
        done = subprocess.run(
            [signature.TOOL, "-l", "-f", file],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.split()[1]


class SigningKeyTest(KeyCase):
    def refused(self, file: pathlib.Path, *words: str) -> None:
        error = self.assertRaises(
            errors.UsageError, signature.open_signing_key, file
        )
        self.assertIn(f"--sign-key {file} ", error.message)
        self.assertTrue(error.hint)
        for word in words:
            self.assertIn(word, error.message)

    def test_none(self) -> None:
        self.assertIsNone(signature.open_signing_key(None))

    def test_its_public_part(self) -> None:
        key = self.open(self.key)
        self.assertEqual(self.trusted(), key.trusted)
        self.assertEqual(
            self.fingerprint(self.public), key.public.fingerprint
        )

    def test_other_kinds_of_keys(self) -> None:
        for kind, bits in (("rsa", 2048), ("ecdsa", 384)):
            key = signing.make_key(self.place / kind, kind=kind, bits=bits)
            trusted = self.trusted(signing.public(key))
            self.assertEqual(trusted, self.open(key).trusted)

    def test_readable_by_others(self) -> None:
        for mode in (0o640, 0o604):
            self.key.chmod(mode)
            self.refused(self.key, "other users may read", f"{mode:o}")

    def test_writable_by_others(self) -> None:
        self.key.chmod(0o620)
        self.refused(self.key, "other users may write")

    def test_a_link(self) -> None:
        link = self.place / "link"
        link.symlink_to(self.key)
        self.refused(link, "it is a link")

    def test_no_key(self) -> None:
        self.refused(self.place / "absent", "No such file")
        self.refused(self.place, "not a key file")
        os.mkfifo(self.place / "fifo")
        self.refused(self.place / "fifo")
        file = self.place / "file"
        file.write_text("no key")
        file.chmod(0o600)
        self.refused(file, "it is no key of SSH")

    def test_a_passphrase_is_not_asked_for(self) -> None:
        key = signing.make_key(self.place / "closed", "secret")
        self.refused(key, "has a passphrase, and no ssh-agent")

    def test_a_public_key_without_an_agent(self) -> None:
        self.key.unlink()
        self.refused(self.public, "no ssh-agent has its private part")

    def test_the_private_key_beside_a_public_one(self) -> None:
        self.assertEqual(self.trusted(), self.open(self.public).trusted)
        self.key.chmod(0o644)
        error = self.assertRaises(errors.UsageError, self.open, self.public)
        self.assertIn(f"{self.key} is not used: other", error.message)

    def test_an_agent(self) -> None:
        socket = self.place / "agent"
        agent = subprocess.Popen(
            ["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE
        )
        self.addCleanup(agent.communicate)
        self.addCleanup(agent.terminate)
        assert agent.stdout is not None
        agent.stdout.readline()
        self.set_env(SSH_AUTH_SOCK=str(socket))
        add = ["ssh-add", "-q", self.key]
        subprocess.run(add, check=True, stdin=subprocess.DEVNULL)
        self.key.unlink()
        key = self.open(self.public)
        self.assertEqual(self.trusted(), key.trusted)

    def test_no_tool(self) -> None:
        self.set_env(PATH=str(self.place))
        self.patch_object(signature.process, "_SYSTEM_PLACES", ())
        error = self.assertRaises(
            errors.MissingToolError, signature.open_signing_key, self.key
        )
        self.assertEqual(3, error.exit_status)
        self.assertIn("ssh-keygen", error.message)
        self.assertIn("openssh", error.hint or "")


class TrustedKeysTest(KeyCase):
    def refused(self, text: str) -> None:
        file = self.place / "keys"
        file.write_text(text)
        error = self.assertRaises(errors.UsageError, self.trusted, file)
        self.assertIn(str(file), error.message)

    def test_none(self) -> None:
        self.assertIsNone(signature.read_trusted_keys([]))

    def test_several(self) -> None:
        other = signing.public(signing.make_key(self.place / "other"))
        both = self.trusted(self.public, other)
        self.assertEqual(2, len(both.keys))
        self.assertEqual(both, self.trusted(self.public, other, other))
        file = self.place / "keys"
        file.write_text(
            f"# ours\n\n{self.public.read_text()}{other.read_text()}"
        )
        self.assertEqual(both, self.trusted(file))

    def test_no_public_keys(self) -> None:
        kind, blob, *_ = self.public.read_text().split()
        for text in (
            "", "# none\n", "x", self.key.read_text(), f"{kind} {blob[:9]}",
            f"{kind} AAAA", f"ssh-rsa {blob}", f"ssh-dss {blob}",
            f'namespaces="a" {kind} {blob}', f"{kind}\n{blob}", "\udcff",
        ):  # fmt: skip
            self.refused(text.encode(errors="replace").decode())

    def test_writable_by_others(self) -> None:
        self.public.chmod(0o664)
        self.assertRaises(errors.UsageError, self.trusted)


class RequireTest(KeyCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.place / "manifest.json"
        signature.write(
            self.file, TEXT, signature.MANIFEST, self.open(self.key)
        )

    def require(self, *files: pathlib.Path, **given: typing.Any) -> None:
        self.trusted(*files).require(
            self.file,
            self.file.read_bytes(),
            given.get("namespace", signature.MANIFEST),
        )

    def refused(self, *words: str, **given: typing.Any) -> None:
        error = self.assertRaises(
            errors.ImageError, self.require, *given.pop("by", ()), **given
        )
        self.assertIn("--trusted-key", error.hint or "")
        for word in (str(self.file), *words):
            self.assertIn(word, error.message)

    def test_good(self) -> None:
        self.require()

    def test_ssh_keygen_agrees(self) -> None:
        signers = self.place / "signers"
        signers.write_text(f"builder {self.public.read_text()}")
        with open(self.file) as stream:
            subprocess.run(
                [
                    signature.TOOL, "-Y", "verify", "-f", signers,
                    "-I", "builder", "-n", signature.MANIFEST,
                    "-s", signature.path(self.file),
                ],
                stdin=stream, check=True, capture_output=True,
            )  # fmt: skip

    def test_one_of_two_keys(self) -> None:
        other = signing.public(signing.make_key(self.place / "other"))
        self.require(other, self.public)
        self.require(self.public, other)
        self.refused(
            self.fingerprint(self.public), "not trusted here", by=[other]
        )

    def test_every_change(self) -> None:
        for text in (TEXT + "\n", TEXT[:-1], "", TEXT.replace("ä", "a")):
            self.file.write_text(text)
            self.refused("was changed since")
        self.file.write_bytes(TEXT.encode("latin-1"))
        self.refused("was changed since")
        self.file.write_bytes(TEXT.encode().replace(b"\n", b"\r\n"))
        self.refused("was changed since")

    def test_made_for_something_else(self) -> None:
        self.refused(
            signature.MANIFEST, signature.RECORD, namespace=signature.RECORD
        )

    def test_a_signature_of_another_file(self) -> None:
        other = self.place / "other"
        signature.write(other, "x", signature.MANIFEST, self.open(self.key))
        signature.path(other).rename(signature.path(self.file))
        self.refused("was changed since")

    def test_a_key_that_is_named_and_did_not_sign(self) -> None:
        """A signature names a key; only ssh-keygen tells whose it is."""
        other = self.open(signing.make_key(self.place / "other"))
        signed = other.sign(TEXT, signature.MANIFEST)
        lines = signed.splitlines()
        blob = base64.b64decode("".join(lines[1:-1]))
        forged = blob.replace(
            other.public.blob, self.open(self.key).public.blob
        )
        self.assertNotEqual(blob, forged)
        signature.path(self.file).write_text(
            "\n".join(
                [lines[0], base64.b64encode(forged).decode(), lines[-1], ""]
            )
        )
        self.refused("was changed since")

    def test_no_signature(self) -> None:
        path = signature.path(self.file)
        whole = path.read_text()
        for text in (
            "", "x", whole[:100], whole.replace("A", "!"), whole + whole,
            "-----BEGIN SSH SIGNATURE-----\nU1NI\n"
            "-----END SSH SIGNATURE-----\n",
            "\n".join(whole.splitlines()[::2]), "é", "x" * 100_000,
        ):  # fmt: skip
            path.write_text(text)
            self.refused()
        path.unlink()
        self.refused("is not signed", "manifest.json.sig")
        path.mkdir()
        self.refused("cannot be read")


class WriteTest(KeyCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.place / "verify.json"

    def write(self, text: str, key: pathlib.Path | None) -> None:
        signature.write(
            self.file, text, signature.RECORD, signature.open_signing_key(key)
        )

    def test_no_old_signature_stays(self) -> None:
        self.write("1", self.key)
        self.assertTrue(signature.path(self.file).exists())
        self.write("2", None)
        self.assertFalse(signature.path(self.file).exists())

    def test_a_key_that_fails_changes_nothing(self) -> None:
        self.write("1", self.key)
        key = self.open(self.key)
        self.key.unlink()
        before = signature.path(self.file).read_text()
        self.assertRaises(
            errors.UsageError,
            signature.write,
            self.file, "2", signature.RECORD, key,
        )  # fmt: skip
        self.assertEqual("1", self.file.read_text())
        self.assertEqual(before, signature.path(self.file).read_text())

    def test_nothing_else_is_left(self) -> None:
        self.write("1", self.key)
        self.write("2", self.key)
        self.trusted().require(self.file, b"2", signature.RECORD)
        self.assertEqual(
            ["key", "key.pub", "verify.json", "verify.json.sig"],
            sorted(os.listdir(self.place)),
        )
