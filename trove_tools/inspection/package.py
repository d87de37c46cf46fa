# SPDX-License-Identifier: Apache-2.0
"""A package, as every package manager has it."""

import collections.abc
import dataclasses
import typing


@dataclasses.dataclass(frozen=True, order=True)
class Package:
    """A package that is installed.

    :param source: what it was built from, where that has another name.
    :param size: of what it installs, bytes; 0 where unknown.
    :param licences: as the package names them.
    """

    name: str
    version: str
    arch: str = ""
    source: str = ""
    size: int = 0
    licences: tuple[str, ...] = ()


def from_dicts(
    plain: collections.abc.Iterable[dict[str, typing.Any]],
) -> tuple[Package, ...]:
    """Return packages that were made plain data."""
    return tuple(
        Package(**{**each, "licences": tuple(each["licences"])})
        for each in plain
    )
