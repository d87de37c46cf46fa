# SPDX-License-Identifier: Apache-2.0
"""What was found when something was looked at, of a host or of a cloud."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :param ok: whether it is as it is needed.
    :param remedy: what to do when it is not.
    """

    check: str
    ok: bool
    found: str
    remedy: str = ""
