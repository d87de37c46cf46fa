# SPDX-License-Identifier: Apache-2.0
"""The public key of ``--dev``: whoever has its private part may log in.

What is given by mistake most often is the private part.  It is never read
further than it takes to know it, and never copied anywhere.
"""

import base64
import binascii
import pathlib

from trove_tools import errors
from trove_tools.host import paths

#: As OpenSSH names them.
_KINDS = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256",
          "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
          "sk-ssh-ed25519@openssh.com",
          "sk-ecdsa-sha2-nistp256@openssh.com")  # fmt: skip
_LARGEST = 16 * 1024


def read(file: pathlib.Path) -> str:
    """Return the kind and the key, as authorized_keys has them.

    The comment is left out: it often names a person and a host.

    :raises UsageError: the file holds anything but one public key.
    """
    paths.require_file(
        file,
        "--dev",
        "name the file of your public key, such as ~/.ssh/id_ed25519.pub",
    )
    with open(file, "rb") as stream:
        text = stream.read(_LARGEST).decode(errors="replace").strip()
    if "PRIVATE KEY" in text:
        raise errors.UsageError(
            f"--dev {file}: this is a private key, which has no business in"
            " an image",
            hint=f"name its public part; {file}.pub?",
        )
    words = text.split()
    if len(words) < 2 or "\n" in text or not _is_key(*words[:2]):
        raise errors.UsageError(
            f"--dev {file}: this is no public key of SSH",
            hint="it is one line that begins with its kind, such as"
            " ssh-ed25519; ssh-keygen makes one",
        )
    return " ".join(words[:2])


def _is_key(kind: str, data: str) -> bool:
    """Tell whether the data is of the kind that stands before it."""
    try:
        blob = base64.b64decode(data, validate=True)
    except binascii.Error:
        return False
    name = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
    return kind in _KINDS and name == kind.encode()
