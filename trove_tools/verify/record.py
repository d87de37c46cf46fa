# SPDX-License-Identifier: Apache-2.0
"""Keeps what verify found beside the image, and recalls it.

``NAME.d/verify.json`` speaks of one content of the image and of certain
questions.  As long as both are the same there is nothing to find out anew.
"""

import collections.abc
import dataclasses
import json
import os
import pathlib
import typing

from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import signature
from trove_tools.artifact import verification
from trove_tools.catalog import model
from trove_tools.host import credentials
from trove_tools.host import trust
from trove_tools.verify import outcome


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked of an image.

    :param level: how far it is looked into.
    :param machine: in what: ``auto``, ``qemu`` or ``container``.
    :param questions: a dataclass for each datastore, by its name.
    :param deployment: what the guest gets besides, by the option that names
        it: the digest of a file, or a word.
    """

    level: str
    machine: str
    questions: collections.abc.Mapping[str, typing.Any]
    deployment: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )

    def as_dict(self) -> dict[str, typing.Any]:
        """Return it as it is written."""
        plain: dict[str, typing.Any] = json.loads(
            json.dumps(dataclasses.asdict(self))
        )
        return plain


def recall(
    image: pathlib.Path,
    sha256: str,
    asked: Asked,
    trusted: signature.TrustedKeys | None = None,
) -> dict[str, typing.Any] | None:
    """Return what was found when this was verified before.

    :param sha256: the digest of the current image file.
    :param asked: what would be asked now.
    :param trusted: the keys that must have signed it; None accepts any file.
    :returns: nothing, unless the same image answered the same questions
        well.
    """
    try:
        found = verification.load(image, sha256, trusted)
    except errors.ImageError:
        return None
    same = (
        found is not None
        and found.get("ok") is True
        and found.get("report_version") == outcome.VERSION
        and found.get("asked") == asked.as_dict()
    )
    return found if same else None


def write(
    found: outcome.Report,
    image: pathlib.Path,
    sha256: str,
    asked: Asked,
    key: signature.SigningKey | None = None,
) -> dict[str, typing.Any]:
    """Write down what was found.

    An image without a sidecar, or one that this user may not write to, can
    be verified all the same: then nothing is kept.

    :param key: what signs it; see :func:`require_place`.
    :returns: what is written.
    :raises UsageError: the key cannot sign.
    """
    data: dict[str, typing.Any] = credentials.hide_all(
        {
            **found.as_dict(),
            "sha256": sha256,
            "asked": asked.as_dict(),
        }
    )
    if _has_place(image):
        text = json.dumps(data, indent=2) + "\n"
        signature.write(verification.path(image), text, signature.RECORD, key)
    return data


def require_place(image: pathlib.Path) -> None:
    """Make sure that a record, which is to be signed, can be kept.

    :raises UsageError: it cannot.
    """
    if not _has_place(image):
        raise errors.UsageError(
            "there is nothing to sign: the record of the verification cannot"
            f" be written into {verification.path(image).parent}",
            hint="make that directory, or let this user write to it; or leave"
            " out --sign-key",
        )


def _has_place(image: pathlib.Path) -> bool:
    directory = verification.path(image).parent
    return trust.is_own(directory) and os.access(directory, os.W_OK)


def questions(
    catalog: model.Catalog,
    known: manifest.Manifest | None,
    datastore: str | None,
) -> dict[str, model.Health]:
    """Return what to ask an image.

    :param known: its manifest, which tells what it serves.
    :param datastore: what to ask it as, where there is no manifest.
    :raises UsageError: neither tells.
    """
    if known is not None:
        return {
            each.name: catalog.datastore(each.name).health(
                each.runtime, each.version
            )
            for each in known.datastores
        }
    if datastore is None:
        raise errors.UsageError(
            "no manifest beside the image tells what is in it",
            hint="name what it should answer as: --datastore NAME; known"
            f" datastores: {', '.join(sorted(catalog.datastores))}",
        )
    entry = catalog.datastore(datastore)
    return {datastore: entry.health(None, entry.default_version)}
