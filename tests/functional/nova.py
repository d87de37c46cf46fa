# SPDX-License-Identifier: Apache-2.0
"""A real nova-api for the tests that make flavors and raise quotas.

The minicloud has no compute service: nothing in it starts instances.  What
the API alone can do needs neither placement nor a cell, so one process on
SQLite is enough.  It is installed beside the minicloud's services when the
first test asks for it, and ends with the tests.
"""

import atexit
import concurrent.futures
import functools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import yaml

from minicloud import conffiles
from minicloud import databases
from minicloud import layout as layouts
from minicloud import ports
from minicloud import services
from minicloud import state as states
from tests.functional import base
from trove_tools.host import files

_REQUIREMENTS = pathlib.Path(__file__).with_name("nova-requirements.txt")

_READY = 120.0


def install(venv: pathlib.Path) -> None:
    """Install nova beside the services that it shares libraries with."""
    mark = venv / "trove-tools-tests-nova.txt"
    wanted = _REQUIREMENTS.read_text()
    with files.hold_lock(venv.with_name(f"{venv.name}.lock")):
        if mark.exists() and mark.read_text() == wanted:
            return
        subprocess.run(
            [venv / "bin/python", "-m", "pip", "install", "--quiet",
             "--disable-pip-version-check", "--no-input", "--no-deps",
             "--requirement", _REQUIREMENTS],
            check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        mark.write_text(wanted)


@functools.cache
def clouds(minicloud: pathlib.Path) -> pathlib.Path:
    """Start nova and return a clouds.yaml that knows it.

    Its clouds have the names that devstack gives them, too.

    :param minicloud: the directory of the cloud that it belongs to.
    """
    state = states.load(layouts.existing(minicloud))
    venv = pathlib.Path(state.venv)
    install(venv)
    home = pathlib.Path(tempfile.mkdtemp(prefix="minicloud-nova-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    port = ports.choose(state.ports.values())
    (home / "nova.conf").write_text(_configuration(home, venv, state))
    env = {
        **os.environ,
        **services.environment(layouts.existing(minicloud)),
        "OS_NOVA_CONFIG_DIR": str(home),
        "OS_NOVA_CONFIG_FILES": f"{venv}/etc/nova/api-paste.ini;nova.conf",
        "OS_NOVA_DISABLE_EVENTLET_PATCHING": "true",
    }
    manage = [venv / "bin/nova-manage", "--config-file", home / "nova.conf"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        made = [
            pool.submit(
                subprocess.run, [*manage, *words], env=env, check=True,
                stdin=subprocess.DEVNULL, capture_output=True,
            )
            for words in (["api_db", "sync"], ["db", "sync", "--local_cell"])
        ]  # fmt: skip
        for each in made:
            each.result()
    for database in ("main", "api"):
        databases.let_readers_be(home / f"{database}.sqlite")
    serve = services.serve(
        services.Service("nova", "compute", "/v2.1", "/", "nova.conf",
                         wsgi="nova.wsgi.osapi_compute"),
        venv, layouts.existing(minicloud), port,
    )  # fmt: skip
    with (home / "nova.log").open("wb") as log:
        process = subprocess.Popen(
            serve, env=env, cwd=home, stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    atexit.register(_end, process)
    url = f"http://{ports.ADDRESS}:{port}"
    _wait(process, url, home / "nova.log")
    return _clouds(minicloud, home, f"{url}/v2.1", state)


def _configuration(
    home: pathlib.Path, venv: pathlib.Path, state: states.State
) -> str:
    # any user with the role admin may look at tokens
    account = {
        "auth_type": "password",
        "auth_url": services.KEYSTONE.url(state.ports["keystone"]),
        "username": "glance",
        "password": state.passwords["glance"],
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    database = {"sqlite_synchronous": False}
    return conffiles.render(
        {
            "DEFAULT": {
                "use_stderr": True,
                "transport_url": "fake:/",
                "state_path": home,
            },
            "wsgi": {"api_paste_config": venv / "etc/nova/api-paste.ini"},
            "database": {
                "connection": f"sqlite:///{home}/main.sqlite", **database,
            },
            "api_database": {
                "connection": f"sqlite:///{home}/api.sqlite", **database,
            },
            "oslo_concurrency": {"lock_path": home},
            "keystone": account,
            "keystone_authtoken": {
                **account, "www_authenticate_uri": account["auth_url"],
            },
        }
    )  # fmt: skip


def _wait(
    process: "subprocess.Popen[bytes]", url: str, log: pathlib.Path
) -> None:
    deadline = time.monotonic() + _READY
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url) as answer:
                if json.load(answer)["versions"]:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"nova does not start:\n{log.read_text()[-4000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()


def _clouds(
    minicloud: pathlib.Path, home: pathlib.Path, url: str, state: states.State
) -> pathlib.Path:
    known = yaml.safe_load((minicloud / "clouds.yaml").read_text())["clouds"]
    for cloud in known.values():
        cloud["compute_endpoint_override"] = url
    admin, demo = known[base.ADMIN], known[base.DEMO]
    service = {
        **admin,
        "auth": {
            **admin["auth"],
            "username": "trove",
            "password": state.passwords["trove"],
            "project_name": "service",
        },
    }
    known |= {"devstack-admin": admin, "devstack": demo, "trove": service}
    path = home / "clouds.yaml"
    path.write_text(yaml.safe_dump({"clouds": known}))
    return path
