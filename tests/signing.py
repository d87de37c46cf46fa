# SPDX-License-Identifier: Apache-2.0
"""Keys that tests sign with."""

import pathlib
import shutil

import testtools

from trove_tools.artifact import signature
from trove_tools.artifact import verification
from trove_tools.host import process


def need(test: testtools.TestCase) -> None:
    """Skip a test where nothing can be signed."""
    if shutil.which(signature.TOOL) is None:
        test.skipTest("ssh-keygen is not installed (package openssh-client)")


def make_key(
    file: pathlib.Path,
    passphrase: str = "",
    kind: str = "ed25519",
    bits: int = 256,
) -> pathlib.Path:
    """Make a pair of keys; return the private one's file.

    :param bits: its length, where the kind has several.
    """
    process.run(
        [
            signature.TOOL, "-q", "-t", kind, "-b", str(bits),
            "-N", passphrase, "-f", file,
        ]
    )  # fmt: skip
    return file


def public(key: pathlib.Path) -> pathlib.Path:
    """Return the file of the public part of a key."""
    return key.with_name(f"{key.name}.pub")


def sign(file: pathlib.Path, key: pathlib.Path, namespace: str) -> None:
    """Sign a file as it is."""
    opened = signature.open_signing_key(key)
    assert opened is not None
    signature.write(file, file.read_text(), namespace, opened)


def sign_record(image: pathlib.Path, key: pathlib.Path) -> None:
    """Sign the record of an image's verification as it is."""
    sign(verification.path(image), key, signature.RECORD)
