# SPDX-License-Identifier: Apache-2.0
"""A cloud whose services are played by objects of a test."""

import typing

from tests.unit.devstack import fakes as devstack
from trove_tools.cloud import connection


def connect(
    trove: typing.Any, nova: typing.Any = None, cinder: typing.Any = None
) -> connection.Cloud:
    """Return a cloud with these services, and without those that are None."""
    services = {"compute": nova, "block_storage": cinder}
    login: typing.Any = devstack.Login(
        **{name: each for name, each in services.items() if each is not None}
    )
    return connection.Cloud(login, typing.cast(typing.Any, None), trove)
