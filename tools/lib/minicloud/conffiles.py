# SPDX-License-Identifier: Apache-2.0
"""The services' configuration files.

Each start writes them anew, so a change of a port, of the environment's
place or of this module reaches a cloud that was made before.
"""

import base64
import collections.abc
import pathlib
import secrets

import yaml

from minicloud import layout as layouts
from minicloud import ports as _ports
from minicloud import services
from minicloud import state as states

#: An account may load images and register versions as fast as it can.
_NO_RATE_LIMIT = 1000000

Sections = collections.abc.Mapping[str, collections.abc.Mapping[str, object]]


def render(sections: Sections) -> str:
    """Return the text of an oslo.config file."""
    lines = ["# written by each start; changes here are lost"]
    for section, options in sections.items():
        lines += ["", f"[{section}]"]
        lines += [f"{name} = {value}" for name, value in options.items()]
    return "\n".join(lines) + "\n"


def write(layout: layouts.Layout, state: states.State) -> None:
    """Write what the services read, and keystone's keys where missing."""
    contents = {
        services.KEYSTONE: _keystone(layout),
        services.GLANCE: _glance(layout, state),
        services.TROVE: _trove(layout, state),
    }
    for service, sections in contents.items():
        layouts.write_private(layout.etc / service.config, render(sections))
    for repository in ("fernet-keys", "credential-keys"):
        _make_keys(layout.etc / repository)


def _common(layout: layouts.Layout, name: str) -> dict[str, dict[str, object]]:
    return {
        "DEFAULT": {"use_stderr": True},
        "database": {
            "connection": f"sqlite:///{layout.database(name)}",
            # nothing here has to survive a power failure
            "sqlite_synchronous": False,
        },
        "oslo_concurrency": {"lock_path": layout.data / "locks"},
    }


def _keystone(layout: layouts.Layout) -> Sections:
    tokens = {"key_repository": layout.etc / "fernet-keys"}
    return {
        **_common(layout, "keystone"),
        "fernet_tokens": tokens,
        "fernet_receipts": tokens,
        "credential": {"key_repository": layout.etc / "credential-keys"},
        # the passwords are random and long: slow hashes only cost time
        "identity": {"password_hash_rounds": 4},
        # one process serves it, so what it remembers is never out of date
        "cache": {"enabled": True, "backend": "oslo_cache.dict"},
    }


def _account(state: states.State, name: str) -> dict[str, object]:
    url = services.KEYSTONE.url(state.ports["keystone"])
    return {
        "auth_url": url,
        "username": name,
        "password": state.passwords[name],
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "region_name": services.REGION,
    }


def _authtoken(state: states.State, name: str) -> dict[str, object]:
    account = _account(state, name)
    return {
        **account,
        "auth_type": "password",
        "www_authenticate_uri": account["auth_url"],
    }


def _glance(layout: layouts.Layout, state: states.State) -> Sections:
    common = _common(layout, "glance")
    paste = pathlib.Path(state.venv, "etc/glance/glance-api-paste.ini")
    return {
        **common,
        "DEFAULT": {
            **common["DEFAULT"],
            "enabled_backends": "files:file, spare:file",
            "worker_self_reference_url": services.GLANCE.url(
                state.ports["glance"]
            ),
        },
        "glance_store": {"default_backend": "files"},
        "files": {"filesystem_store_datadir": layout.data / "images"},
        "spare": {"filesystem_store_datadir": layout.data / "spare"},
        "os_glance_staging_store": {
            "filesystem_store_datadir": layout.data / "staging"
        },
        "os_glance_tasks_store": {
            "filesystem_store_datadir": layout.data / "tasks"
        },
        "paste_deploy": {"flavor": "keystone", "config_file": paste},
        "keystone_authtoken": _authtoken(state, "glance"),
    }


def _trove(layout: layouts.Layout, state: states.State) -> Sections:
    common = _common(layout, "trove")
    rates = ("get", "post", "put", "delete", "mgmt_post")
    return {
        **common,
        "DEFAULT": {
            **common["DEFAULT"],
            "bind_host": _ports.ADDRESS,
            "bind_port": state.ports["trove"],
            "trove_api_workers": 1,
            "api_paste_config": pathlib.Path(
                state.venv, "etc/trove/api-paste.ini"
            ),
            # there is no guest and no task manager to talk to
            "transport_url": "fake:/",
            **{f"http_{rate}_rate": _NO_RATE_LIMIT for rate in rates},
        },
        "keystone_authtoken": _authtoken(state, "trove"),
        # with these Trove asks Glance whether an image exists
        "service_credentials": _account(state, "trove"),
    }


def _make_keys(repository: pathlib.Path) -> None:
    """Make keystone's keys as ``keystone-manage *_setup`` does.

    Key 1 is in use, key 0 is next.  That command takes two seconds for
    each repository, most of a start.
    """
    repository.mkdir(mode=0o700, exist_ok=True)
    for name in ("0", "1"):
        path = repository / name
        if not path.exists():
            key = base64.urlsafe_b64encode(secrets.token_bytes(32))
            layouts.write_private(path, key.decode())


def clouds(state: states.State) -> str:
    """Return the text of ``clouds.yaml``."""
    people = {
        "minicloud": ("admin", "admin"),
        "minicloud-demo": ("demo", "demo"),
    }
    entries = {
        cloud: {
            "auth": {
                "auth_url": services.KEYSTONE.url(state.ports["keystone"]),
                "username": user,
                "password": state.passwords[user],
                "project_name": project,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            "region_name": services.REGION,
            "interface": "public",
            "identity_api_version": 3,
        }
        for cloud, (user, project) in people.items()
    }
    return yaml.safe_dump({"clouds": entries}, sort_keys=False)
