# SPDX-License-Identifier: Apache-2.0
"""A guest of one process: Trove's messages, without a database.

A program of its own, run with the Python of the services' environment and
the files that Trove injects.  It answers pings, and takes a prepare for
done.

Usage: played_guest.py CONFIG-DIRECTORY [KEY]
"""

import sys
import typing

from oslo_service import service
from trove import rpc
import trove.cmd.guest  # noqa: F401 (declares the guest's options)
from trove.common import cfg
from trove.common import context
from trove.common.rpc import service as rpc_service
from trove.conductor import api as conductor
from trove.guestagent import api

CONF = cfg.CONF


class Manager:
    """What a datastore's manager is, as far as verify notices."""

    RPC_API_VERSION = api.API.API_LATEST_VERSION

    def run_periodic_tasks(self, context: typing.Any) -> None:
        pass

    def rpc_ping(self, context: typing.Any) -> bool:
        return True

    def restart(self, context: typing.Any) -> None:
        raise RuntimeError("nothing to restart")

    def prepare(self, request: typing.Any = None, **asked: typing.Any) -> None:
        # what is asked comes back as the status's description would not
        assert asked["databases"], asked
        assert asked["users"], asked
        assert asked["config_contents"], asked
        conductor.API(context.TroveContext()).heartbeat(
            CONF.guest_id, {"service_status": "healthy"}, sent=1.0
        )


def main(directory: str, key: str = "") -> None:
    cfg.parse_args(["guest", f"--config-dir={directory}"])
    if key:
        CONF.set_override("instance_rpc_encr_key", key)
    rpc.init(CONF)
    server = rpc_service.RpcService(
        key=CONF.instance_rpc_encr_key,
        topic=f"guestagent.{CONF.guest_id}",
        manager=f"{__name__}.Manager",
        host=CONF.guest_id,
        rpc_api_version=api.API.API_LATEST_VERSION,
    )
    service.launch(CONF, server, restart_method="mutate").wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
