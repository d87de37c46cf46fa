# SPDX-License-Identifier: Apache-2.0
"""Reads what is installed in a Python virtual environment, without running it.

Each distribution has a directory with its metadata:
https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

# the parser loads it when it is used, which is too late in a confined process
import email.message
import email.parser
import pathlib

from trove_tools.host import untrusted
from trove_tools.inspection import package
from trove_tools.inspection import rootfile

#: Where the guest agent has its virtual environment, in the root.
AGENT = "opt/trove-guest-agent"
# a long description is part of it
_LARGEST = 4 * 1024 * 1024


def installed(venv: pathlib.Path) -> tuple[package.Package, ...]:
    """Return the distributions in a virtual environment, by name.

    :returns: none where there is no such environment.
    """
    found = []
    for metadata in venv.glob("lib/python3*/site-packages/*.dist-info"):
        text = rootfile.text(metadata / "METADATA", _LARGEST)
        fields = email.parser.HeaderParser().parsestr(text)
        if fields["Name"] and fields["Version"]:
            found.append(
                package.Package(
                    name=fields["Name"],
                    version=fields["Version"],
                    size=_size(metadata / "RECORD"),
                    licences=_licences(
                        fields["License-Expression"] or "",
                        fields["License"] or "",
                        fields.get_all("Classifier") or [],
                    ),
                )
            )
    return tuple(sorted(found))


def _size(record: pathlib.Path) -> int:
    """Add up the sizes that a distribution's record names."""
    total = 0
    for line in rootfile.text(record, _LARGEST).splitlines():
        total += untrusted.parse_number(line.rpartition(",")[2])
    return total


def _licences(
    expression: str, text: str, classifiers: list[str]
) -> tuple[str, ...]:
    if expression:
        return (expression,)
    named = [
        each.rpartition(" :: ")[2]
        for each in classifiers
        if each.startswith("License ::") and each.count(" :: ") > 1
    ]
    if named:
        return tuple(sorted(set(named)))
    # some put the whole text there
    return (text,) if text and "\n" not in text and len(text) < 60 else ()
