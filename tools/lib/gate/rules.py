# SPDX-License-Identifier: Apache-2.0
"""What a file of the tree touches, where nothing else says so."""

import collections.abc
import dataclasses
import functools
import pathlib
import re

import yaml

FILE = pathlib.Path(__file__).parent / "rules.yaml"

#: The jobs that run tests of the tree itself.
UNIT, FUNCTIONAL, IMAGE_TESTS, DOCS = (
    "unit", "functional", "image-tests", "docs",
)  # fmt: skip
#: Every image; every scenario.
IMAGES, CLOUD = "images", "cloud"


@dataclasses.dataclass(frozen=True)
class Matcher:
    """Files that a job has to do with, and why.

    :param pattern: regular expression that matches from a path's beginning.
    """

    pattern: str
    why: str

    def matches(self, file: str) -> bool:
        """Tell whether a path, relative to the tree's top, is meant."""
        return _compiled(self.pattern).match(file) is not None


@dataclasses.dataclass(frozen=True)
class Rule:
    """What some files touch."""

    matcher: Matcher
    touches: frozenset[str]


# Zuul has RE2; what stands in rules.yaml means the same to both, which a test
# shows with Zuul's own code
@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@functools.cache
def read() -> tuple[Rule, ...]:
    """Return all rules."""
    return tuple(
        Rule(
            Matcher(f"^({'|'.join(each['files'])})", each["why"]),
            frozenset(each["touches"]),
        )
        for each in yaml.safe_load(FILE.read_text())
    )


def of(touched: collections.abc.Collection[str]) -> tuple[Matcher, ...]:
    """Return the files that touch any of some things."""
    return tuple(
        rule.matcher
        for rule in read()
        if rule.touches.intersection(touched)
    )


def covers(file: str) -> bool:
    """Tell whether any rule is about a file."""
    return any(rule.matcher.matches(file) for rule in read())
