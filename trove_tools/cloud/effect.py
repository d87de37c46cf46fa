# SPDX-License-Identifier: Apache-2.0
"""What a load changes for new instances, and how that is undone."""

import collections.abc
import dataclasses
import typing

from trove_tools.cloud import glance
from trove_tools.cloud import history
from trove_tools.cloud import trove


def doubts(record: collections.abc.Mapping[str, typing.Any]) -> list[str]:
    """Say what speaks against an image in use, as far as it is known.

    :param record: the image, or the fields that it shall have.
    :returns: predicates, such as ``has not been verified``.
    """
    found = []
    verified = record.get(glance.VERIFIED, "")
    if verified == "no":
        found.append("has not been verified")
    elif "FAILED" in verified:
        found.append(f"failed its verification: {verified}")
    if record.get(glance.DIRTY) == "true":
        found.append(
            "has a guest agent of a checkout with uncommitted changes"
        )
    return found


@dataclasses.dataclass(frozen=True)
class Switch:
    """What a load did to a datastore version.

    :param target: the version.
    :param known: the version as it was registered before, if it was.
    :param record: the version as it is now.
    :param served: the image that it had before, if any.
    :param image: the image that it has now.
    """

    target: trove.Target
    known: trove.Record | None
    record: trove.Record
    served: glance.Record | None
    image: glance.Record

    @property
    def was_active(self) -> bool:
        """Whether users could start instances before."""
        return bool(self.known and self.known["active"])

    @property
    def before(self) -> glance.Record | None:
        """The image that new instances started from before, if another."""
        if self.served and self.served["id"] != self.image["id"]:
            return self.served
        return None

    @property
    def happened(self) -> bool:
        """Whether new instances start from the image since the load."""
        same = self.was_active and self.served and not self.before
        return bool(self.record["active"]) and not same

    def undo(self, images: glance.Images, keep: int) -> str | None:
        """Return the command that takes the change back.

        :param images: those of the cloud.
        :param keep: how many images of the version stay in Glance.
        :returns: nothing where no single command does.
        """
        if not self.happened:
            return None
        version = f"openstack datastore version set {self.record['id']}"
        if not self.was_active:
            return f"{version} --disable"
        if self.before is None:
            return None
        before, name = self.before["id"], self.target.name
        if images.is_ours(self.before):
            if keep < 2 or not history.of([self.before], name):
                return None
            back = f"activate-trove-image --rollback {name}"
            return f"{back} --to-image {before}"
        if self.record.get("image"):
            return f"{version} --image {before}"
        tags = "".join(f" --tag {tag}" for tag in self.target.tags)
        return f"openstack image unset{tags} {self.image['id']}"

    def describe(self, undo: str | None) -> str:
        """Return it as a sentence.

        :param undo: what :meth:`undo` returned.
        """
        if not self.was_active:
            before = "inactive"
        elif self.before is None:
            before = "no image"
        else:
            before = f"image {self.before['name']} ({self.before['id']})"
        return (
            f"{self.target.name} is live now for new instances; before:"
            f" {before}; undo: {undo or 'load the image before again'}"
        )
