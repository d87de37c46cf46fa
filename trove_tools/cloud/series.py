# SPDX-License-Identifier: Apache-2.0
"""Whether an image is of the Trove that runs in the cloud.

A guest agent of another release may not understand what Trove tells it.
Trove's API does not say which release it is, so an image is compared with
the series of this tree and with the images that the cloud has.
"""

import collections.abc
import re
import typing

from trove_tools.catalog import model
from trove_tools.cloud import glance
from trove_tools.host import bounds


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
    if agent and not _is_of(agent, series):
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
    return found


def _is_of(agent: str, series: model.Series) -> bool:
    """Tell whether an agent's version is of a series, or on the way to it.

    A checkout between two releases has the number of the earlier one:
    25.1.0.dev96 is what becomes 26.0.0.
    """
    major, expected = _numbers(agent)[:1], int(series.trove)
    return major == [expected] or (
        ".dev" in agent and major == [expected - 1]
    )


def _older(one: typing.Any, other: typing.Any) -> bool:
    if not one or not other:
        return False
    return _numbers(str(one)) < _numbers(str(other))


def _numbers(version: str) -> list[int]:
    # what follows the numbers, as .dev3+g1234, orders nothing here
    leading = re.match(r"[\d.]*", version)
    assert leading is not None
    return [
        bounds.parse_number(part)
        for part in leading[0].split(".")
        if part
    ]
