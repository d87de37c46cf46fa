# SPDX-License-Identifier: Apache-2.0
"""Checks whether an image suits the cloud that it is loaded into.

A guest agent of another release may not understand Trove's messages. Trove's
API does not report Trove's release, so an image is compared with the series of
this tree and with the current images of the cloud.
"""

import collections.abc
import re
import typing

from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.cloud import image as _image
from trove_tools.cloud import trove
from trove_tools.cloud.image import Image
from trove_tools.host import bounds


def find_doubts(fields: _image.Fields) -> list[str]:
    """Return the known reasons not to use an image.

    :param fields: the current or planned fields of the image.
    :returns: predicates, such as ``has not been verified``.
    """
    doubts = []
    verified = fields.get(_image.VERIFIED, "")
    if verified == "no":
        doubts.append("has not been verified")
    elif "FAILED" in verified:
        doubts.append(f"failed its verification: {verified}")
    if fields.get(_image.DIRTY) == "true":
        doubts.append(
            "has a guest agent of a checkout with uncommitted changes"
        )
    return doubts


def find_differences(
    fields: _image.Fields,
    series: model.Series,
    current: collections.abc.Mapping[str, Image],
) -> list[str]:
    """Return the reasons why an image does not fit the cloud.

    :param fields: the planned fields of the image.
    :param series: the series that this tree serves.
    :param current: the current image of each version, by name.
    :returns: one sentence for each difference.
    """
    differences = []
    name, agent = fields.get(_image.SERIES), fields.get(_image.AGENT)
    if name and name != series.name:
        differences.append(
            f"the image was built for Trove {name}, and these tools are for"
            f" {series.name}"
        )
    if agent and not _is_of(agent, series):
        differences.append(
            f"the image's guest agent is {agent}, and that of"
            f" {series.name} is {series.trove}"
        )
    for version, image in current.items():
        theirs = image.fields.get(_image.SERIES)
        their_agent = image.fields.get(_image.AGENT)
        if name and theirs and theirs != name:
            differences.append(
                f"{version} has an image of Trove {theirs} now, and this"
                f" one is of {name}"
            )
        elif _older(agent, their_agent):
            differences.append(
                f"{version} has the guest agent {their_agent} now,"
                f" and this one is older: {agent}"
            )
    return differences


def _is_of(agent: str, series: model.Series) -> bool:
    """Return whether an agent's version belongs to a series of Trove.

    A checkout between two releases has the number of the earlier release, but
    belongs to the later series: 25.1.0.dev96 becomes 26.0.0.
    """
    major, expected = _numbers(agent)[:1], int(series.trove)
    return major == [expected] or (".dev" in agent and major == [expected - 1])


def _older(one: typing.Any, other: typing.Any) -> bool:
    if not one or not other:
        return False
    return _numbers(str(one)) < _numbers(str(other))


def _numbers(version: str) -> list[int]:
    # suffixes such as .dev3+g1234 are ignored
    leading = re.match(r"[\d.]*", version)
    assert leading is not None
    return [
        bounds.parse_number(part) for part in leading[0].split(".") if part
    ]


def check_clashes(
    tags: collections.abc.Iterable[str],
    targets: collections.abc.Iterable[trove.Target],
    registered: collections.abc.Iterable[trove.DatastoreVersion],
) -> None:
    """Check that an image will not be used for other versions.

    An image with the tags of ``mysql:8.4`` and ``percona:8.0`` also has the
    tags of ``mysql:8.0``, and a version with only the tag ``mysql`` matches
    every MySQL image.

    :param tags: the tags of the image.
    :param targets: the versions that it is for.
    :param registered: all versions.
    :raises CloudError: another version would use the image.
    """
    carried = set(tags)
    names = {target.name for target in targets}
    for version in registered:
        looked_for = version.image_tags
        if version.image_id or not looked_for:
            continue
        if version.name not in names and carried >= set(looked_for):
            raise errors.CloudError(
                f"{version.name} would use this image, too: its tags are"
                f" {', '.join(looked_for)}",
                hint="register the image by its id: --pin; or give that"
                " version tags of its own: openstack datastore version set"
                f" {version.id} --image-tags ...",
            )
