# SPDX-License-Identifier: Apache-2.0
"""Determines the cloud and the credentials from options, variables and files.

osc-lib, the library of the ``openstack`` command, decides the precedence:
options and ``OS_*`` variables take precedence over ``clouds.yaml``. So these
commands work in every shell in which ``openstack`` works.
"""

import argparse
import os
import pathlib
import re
import ssl
import stat
import typing

from trove_tools import errors
from trove_tools.config import options

#: The options that the ``openstack`` command reads from ``OS_NAME``, in
#: addition to those of keystoneauth's plugins and the API versions
#: (osc_lib.shell).
_VARIABLES = (
    "cloud",
    "region_name",
    "cacert",
    "cert",
    "key",
    "default_domain",
    "interface",
    "service_provider",
    "remote_project_name",
    "remote_project_id",
    "remote_project_domain_name",
    "remote_project_domain_id",
)

_API_VERSION = re.compile(r"OS_(\w+_API_VERSION)")

#: The variables in which requests looks for the file with certificates.
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

#: The names of certificates in a directory, as OpenSSL expects them.
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")


def choose(settings: options.Settings) -> typing.Any:
    """Return openstacksdk's configuration of the chosen cloud.

    :param settings: the options of the group ``cloud``.
    :raises UsageError: no cloud was specified, or its configuration is not
        usable.
    """
    from keystoneauth1 import exceptions as ksa
    from openstack import exceptions as sdk
    from osc_lib.cli import client_config

    given = _given(settings)
    try:
        known = client_config.OSC_Config(
            app_name="trove-tools",
            # the same defaults as in the openstack command
            override_defaults={
                "interface": "public",
                "auth_type": "admin_token"
                if given.endpoint and given.token
                else "password",
            },
        )
    except (sdk.SDKException, OSError, ValueError) as exc:
        raise errors.UsageError(
            f"clouds.yaml cannot be used: {exc}", hint="correct it"
        ) from exc
    try:
        chosen = known.get_one(argparse=given)
    except sdk.ConfigException as exc:
        hint = _which_cloud(known)
        message = " ".join(str(exc).split())
        if "Region" in message:
            hint = "correct --os-region-name or OS_REGION_NAME"
        if "Missing value" in message:
            message = f"no cloud was specified: {message}"
        raise errors.UsageError(message, hint=hint) from exc
    except ksa.MissingRequiredOptions as exc:
        raise errors.UsageError(
            f"no cloud was specified: {exc}",
            hint=_which_cloud(known),
        ) from exc
    except (ksa.ClientException, OSError, TypeError) as exc:
        raise errors.UsageError(
            f"the cloud's configuration cannot be used: {exc}",
            hint=_which_cloud(known),
        ) from exc
    _check_certificates(chosen, settings)
    return chosen


def session(chosen: typing.Any) -> typing.Any:
    """Return keystoneauth's session with a cloud.

    With ``OS_SERVICE_PROVIDER``, the session is with that service provider,
    which trusts the keystone of the chosen cloud.

    :param chosen: the result of :func:`choose`.
    """
    login = chosen.get_session()
    if chosen.config.get("service_provider"):
        from osc_lib.api import auth

        login.auth = auth.get_keystone2keystone_auth(
            login.auth,
            chosen.config["service_provider"],
            **{
                name.removeprefix("remote_"): chosen.config.get(name)
                for name in _VARIABLES
                if name.startswith("remote_")
            },
        )
    return login


def _given(settings: options.Settings) -> argparse.Namespace:
    """Return the settings that openstack reads in addition to clouds.yaml."""
    from osc_lib.api import auth

    parser = argparse.ArgumentParser(add_help=False)
    # each option's default is the value of its variable
    given = auth.build_auth_plugins_option_parser(parser).parse_args([])
    for name in _VARIABLES:
        setattr(given, name, os.environ.get(f"OS_{name.upper()}"))
    given.default_domain = given.default_domain or "default"
    for name, value in os.environ.items():
        if match := _API_VERSION.fullmatch(name):
            setattr(given, match[1].lower(), value)
    for name, value in settings.as_dict().items():
        if value and (name.startswith("os_") or name == "insecure"):
            text = value if value is True else str(value)
            setattr(given, name.removeprefix("os_"), text)
    return given


def _which_cloud(known: typing.Any) -> str:
    # openstacksdk creates a cloud from the variables, even if none is set
    made_up = ("defaults", known.envvar_key)
    names = [name for name in known.get_cloud_names() if name not in made_up]
    if names:
        return f"use --os-cloud or OS_CLOUD with one of: {', '.join(names)}"
    return (
        "there is no clouds.yaml here, in ~/.config/openstack or in"
        " /etc/openstack that names a cloud: write one and use --os-cloud,"
        " or set OS_AUTH_URL, OS_USERNAME and the other OS_* variables"
    )


def _check_certificates(
    chosen: typing.Any, settings: options.Settings
) -> None:
    """Check that the certificate files are usable.

    The libraries read them at the first call, and then only report an OSError.

    :raises UsageError: a file is not usable; the message says where it was
        configured.
    """

    def origin(name: str) -> str:
        return settings.origin(f"os_{name}") or (
            f"{name} of the cloud {chosen.name}"
        )

    verify, cert = chosen.get_requests_verify_args()
    if isinstance(verify, str):
        _check_authorities(pathlib.Path(verify), origin("cacert"))
    elif verify:
        for variable in _BUNDLES:
            if os.environ.get(variable):
                bundle = pathlib.Path(os.environ[variable])
                _check_authorities(bundle, variable)
                break
    if cert:
        certificate, key = cert if isinstance(cert, tuple) else (cert, None)
        _check_own(certificate, key, origin("cert"), origin("key"))


def _check_authorities(path: pathlib.Path, origin: str) -> None:
    """Check that a file contains certificates of authorities.

    :param path: the file, or a directory prepared by ``openssl rehash``.
    :param origin: the option, variable or entry that names it.
    """
    try:
        if path.is_dir():
            if any(map(_HASHED.fullmatch, os.listdir(path))):
                return
            problem = "is a directory that openssl rehash has not prepared"
        elif not stat.S_ISREG(path.stat().st_mode):
            problem = "is no file"
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cafile=path)
            if context.cert_store_stats()["x509"]:
                return
            problem = "holds no certificate"
    except ssl.SSLError:
        problem = "holds no certificate"
    except OSError as exc:
        problem = f"cannot be read: {exc.strerror}"
    raise errors.UsageError(
        f"{path}, named by {origin}, {problem}",
        hint=f"set {origin} to the PEM file with the certificate of the"
        " authority that signed the cloud's certificates",
    )


def _check_own(
    certificate: str, key: str | None, origin: str, key_origin: str
) -> None:
    """Check that a certificate and its private key are usable.

    :raises UsageError: they are not usable.
    """
    for path, where in ((certificate, origin), (key, key_origin)):
        try:
            if path is not None:
                pathlib.Path(path).read_bytes()
        except OSError as exc:
            raise errors.UsageError(
                f"{path}, named by {where}, cannot be read: {exc.strerror}",
                hint=f"correct {where}",
            ) from exc
    try:
        # refuse a key with a passphrase: OpenSSL would ask for it at every
        # connection
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            certificate, key, password=""
        )
    except (ssl.SSLError, ValueError) as exc:
        named = f"{certificate}, named by {origin},"
        if key is not None:
            named += f" and {key}, named by {key_origin},"
        raise errors.UsageError(
            f"{named} cannot be used as a certificate with its private key",
            hint=(
                "name the PEM files of a certificate and its key; the key"
                " must have no passphrase"
            ),
        ) from exc
