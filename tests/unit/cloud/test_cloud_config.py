# SPDX-License-Identifier: Apache-2.0
"""Which cloud is chosen: as the openstack command chooses it."""

import datetime
import logging
import os
import pathlib
import typing
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
import yaml

from tests import base
from tests.unit.cloud import fakes
from trove_tools import errors
from trove_tools.cloud import cloud_config

_AUTH = {
    "auth_url": "https://file.test/v3",
    "username": "from-file",
    "password": "from-file",
    "project_name": "from-file",
    "user_domain_name": "Default",
    "project_domain_name": "Default",
}

_COMPLETE = {f"OS_{name.upper()}": value for name, value in _AUTH.items()}

#: What chooses a cloud, and as whom.
_ENVIRONMENTS: tuple[dict[str, str], ...] = (
    _COMPLETE,
    {**_COMPLETE, "OS_INSECURE": "true", "OS_ENDPOINT_TYPE": "internal"},
    {**_COMPLETE, "OS_IMAGE_ENDPOINT_OVERRIDE": "http://glance.test"},
    {**_COMPLETE, "OS_CLOUD": "here", "OS_INSECURE": "true"},
    *(
        {"OS_CLOUD": "here", **variables}
        for variables in (
            {},
            {"OS_USERNAME": "from-variable", "OS_PASSWORD": "from-variable"},
            {"OS_PROJECT_NAME": "from-variable"},
            {"OS_TENANT_NAME": "from-variable"},
            {"OS_PROJECT_ID": "from-variable"},
            {"OS_AUTH_URL": "https://variable.test/v3"},
            {"OS_REGION_NAME": "two"},
            {"OS_INTERFACE": "internal"},
            {"OS_IDENTITY_API_VERSION": "3", "OS_IMAGE_API_VERSION": "2"},
            {"OS_IDENTITY_API_VERSION": "3", "OS_DEFAULT_DOMAIN": "d"},
            {"OS_IMAGE_ENDPOINT_OVERRIDE": "http://glance.test"},
            {"OS_USER_DOMAIN_ID": "d", "OS_PROJECT_DOMAIN_ID": "d"},
        )
    ),
)


def certificate(directory: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Write a certificate and its private key, and return their files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=test")
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = directory / "cert.pem", directory / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


class RegionTest(base.TestCase):
    log_level = logging.WARNING

    def setUp(self) -> None:
        super().setUp()
        self.files = self.temp_dir()
        cloud = {
            "auth": _AUTH,
            "regions": ["one", "two"],
            "cacert": "~/none.pem",
            "verify": False,
        }
        clouds = self.files / "clouds.yaml"
        clouds.write_text(yaml.safe_dump({"clouds": {"here": cloud}}))
        self.set_env(OS_CLIENT_CONFIG_FILE=str(clouds))

    def of_openstack(self, *args: str) -> typing.Any:
        """Return what the openstack command chooses."""
        from openstackclient import shell
        from osc_lib.cli import client_config

        command = shell.OpenStackShell()
        command.options = command.parser.parse_args(args)
        # what its initialize_app does before it sets up logging
        command._final_defaults()
        known = client_config.OSC_Config(
            override_defaults={
                "interface": "public",
                "auth_type": command._auth_type,
            }
        )
        return known.get_one(
            cloud=command.options.cloud, argparse=command.options
        )

    def assert_the_same(self, args: list[str], **given: str) -> None:
        chosen = cloud_config.choose(fakes.settings(**given))
        expected = self.of_openstack(*args)
        self.assertEqual(expected.name, chosen.name)
        for name in ("auth", "auth_type", "region_name", "interface",
                     "identity_api_version", "image_api_version",
                     "image_endpoint_override"):  # fmt: skip
            self.assertEqual(
                expected.config.get(name), chosen.config.get(name), name
            )
        self.assertEqual(
            expected.get_requests_verify_args(),
            chosen.get_requests_verify_args(),
        )

    def test_as_the_openstack_command(self) -> None:
        for environment in _ENVIRONMENTS:
            with mock.patch.dict(os.environ, environment):
                self.assert_the_same([])
        with mock.patch.dict(os.environ, environment):
            self.assert_the_same(
                ["--os-username", "from-flag"], os_username="from-flag"
            )


class CertificateTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.files = self.temp_dir()
        self.clouds = self.files / "clouds.yaml"
        self.write({})
        self.set_env(
            OS_CLIENT_CONFIG_FILE=str(self.clouds),
            OS_CLOUD="here",
            REQUESTS_CA_BUNDLE=None,
            CURL_CA_BUNDLE=None,
        )
        self.cert, self.key = certificate(self.files)

    def write(self, cloud: dict[str, typing.Any]) -> None:
        text = yaml.safe_dump({"clouds": {"here": {"auth": _AUTH, **cloud}}})
        self.clouds.write_text(text)

    def refused(self, *words: str, **given: typing.Any) -> None:
        error = self.assertRaises(
            errors.UsageError, cloud_config.choose, fakes.settings(**given)
        )
        for word in words:
            self.assertIn(word, error.message)

    def verified(self, **given: typing.Any) -> typing.Any:
        chosen = cloud_config.choose(fakes.settings(**given))
        return cloud_config.session(chosen).verify, cloud_config.session(
            chosen
        ).cert

    def test_options(self) -> None:
        cert, key = str(self.cert), str(self.key)
        for given, verify, own in (
            ({}, True, None),
            ({"insecure": True}, False, None),
            ({"os_cacert": self.cert}, cert, None),
            ({"os_cert": self.cert, "os_key": self.key}, True, (cert, key)),
        ):
            self.assertEqual((verify, own), self.verified(**given))

    def test_a_variable_beside_os_cloud(self) -> None:
        self.write({"cacert": "/of/the/file.pem"})
        self.set_env(OS_CACERT=str(self.cert))
        self.assertEqual(str(self.cert), self.verified()[0])

    def test_authorities_that_cannot_be_used(self) -> None:
        empty, absent = self.files / "empty", self.files / "absent.pem"
        empty.write_text("no certificate")
        pipe = self.files / "pipe"
        os.mkfifo(pipe)
        for path, problem in (
            (absent, "No such file"),
            (self.files, "is a directory"),
            (empty, "holds no certificate"),
            (self.key, "holds no certificate"),
            (pipe, "is no file"),
        ):
            name = str(path)
            self.refused(name, problem, "--os-cacert", os_cacert=path)
            for variable in ("OS_CACERT", "REQUESTS_CA_BUNDLE"):
                self.set_env(**{variable: name})
                self.refused(name, problem, variable)
                self.set_env(**{variable: None})
            self.write({"cacert": name})
            self.refused(name, problem, "cacert of the cloud here")
            self.write({})

    def test_a_directory_of_certificates(self) -> None:
        (self.files / "0a1b2c3d.0").symlink_to(self.cert)
        self.assertEqual(str(self.files), self.verified(
            os_cacert=self.files)[0])  # fmt: skip

    def test_a_certificate_that_cannot_be_used(self) -> None:
        absent = self.files / "absent.pem"
        self.refused("absent", "--os-cert", os_cert=absent)
        self.refused("absent", "--os-key", os_cert=self.cert, os_key=absent)
        self.refused("private key", "--os-cert", os_cert=self.cert)
        self.set_env(OS_CERT=str(self.key))
        self.refused("OS_CERT", "--os-key", os_key=self.key)
