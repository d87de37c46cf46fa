# SPDX-License-Identifier: Apache-2.0
"""Whether an image is of the Trove that runs in the cloud.

A guest agent of another release may not understand what Trove tells it.
Trove's API does not say which release it is, so this is read from what
does tell: this tree and its client, and the images that the cloud has.
"""

import collections.abc
import importlib.metadata
import re
import typing

from trove_tools.catalog import model
from trove_tools.cloud import glance

_CLIENT = "python-troveclient"


def problems(
    fields: collections.abc.Mapping[str, typing.Any],
    series: model.Series,
    current: collections.abc.Mapping[str, glance.Record],
) -> list[str]:
    """Say in what an image does not fit.

    :param fields: what Glance will know of it.
    :param series: the series that this tree serves.
    :param current: the image that each of its versions has now, by name.
    :returns: one sentence for each difference.
    """
    found = []
    name, agent = fields.get(glance.SERIES), fields.get(glance.AGENT)
    if name and name != series.name:
        found.append(
            f"the image was built for Trove {name}, and these tools are for"
            f" {series.name}"
        )
    if agent and agent.partition(".")[0] != series.trove:
        found.append(
            f"the image's guest agent is {agent}, and that of"
            f" {series.name} is {series.trove}"
        )
    for version, record in current.items():
        theirs = record.get(glance.SERIES)
        if name and theirs and theirs != name:
            found.append(
                f"{version} has an image of Trove {theirs} now, and this"
                f" one is of {name}"
            )
        elif _older(agent, record.get(glance.AGENT)):
            found.append(
                f"{version} has the guest agent {record[glance.AGENT]} now,"
                f" and this one is older: {agent}"
            )
    try:
        client = importlib.metadata.version(_CLIENT)
    except importlib.metadata.PackageNotFoundError:
        return found
    if _older(client, series.client):
        found.append(
            f"{_CLIENT} {client} is installed here, and that of"
            f" {series.name} begins at {series.client}"
        )
    return found


def _older(one: typing.Any, other: typing.Any) -> bool:
    if not one or not other:
        return False
    return _numbers(str(one)) < _numbers(str(other))


def _numbers(version: str) -> list[int]:
    # what follows the numbers, as .dev3+g1234, orders nothing here
    leading = re.match(r"[\d.]*", version)
    assert leading is not None
    return [int(part) for part in leading[0].split(".") if part]
