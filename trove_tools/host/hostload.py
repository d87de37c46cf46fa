# SPDX-License-Identifier: Apache-2.0
"""How busy this host is, so that nothing is given up because of that."""

import os


def load() -> float:
    """Return the load per processor: about 1 where all are just busy."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def scaled(seconds: float) -> float:
    """Return how long a program of this host gets for something now.

    :param seconds: what it gets on a quiet host.
    """
    return seconds * max(load(), 1.0)
