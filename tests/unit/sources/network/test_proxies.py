# SPDX-License-Identifier: Apache-2.0
"""Which proxy is asked for an address."""

from tests import base
from trove_tools import errors
from trove_tools.sources.network import proxies

_DUMP = """\
Acquire "";
Acquire::http "";
Acquire::http::Proxy "http://cache.example.org:3142";
Acquire::http::Proxy::direct.example.org "DIRECT";
Acquire::https::Proxy::Secure.example.org "http://other.example.org:8080";
Acquire::https::CaInfo "/etc/ssl/own.pem";
Acquire::Retries "3";
"""
_MIRROR = "http://mirror.example.org/debian"


def apt(**options: str) -> proxies.Proxies:
    lines = [
        f'Acquire::{name.replace("_", "::")} "{value}";'
        for name, value in options.items()
    ]
    return proxies.Proxies(proxies.parse_apt("\n".join(lines)))


class PackagesTest(base.TestCase):
    """As apt-transport-http(1) and apt-transport-https(1) have it."""

    def setUp(self) -> None:
        super().setUp()
        self.known = proxies.Proxies(proxies.parse_apt(_DUMP))

    def test_of_all_hosts(self) -> None:
        self.assertEqual(
            "http://cache.example.org:3142", self.known.for_packages(_MIRROR)
        )

    def test_https_falls_back_to_http(self) -> None:
        self.assertEqual(
            "http://cache.example.org:3142",
            self.known.for_packages("https://mirror.example.org/debian"),
        )

    def test_direct(self) -> None:
        for scheme in ("http", "https"):
            url = f"{scheme}://direct.example.org/debian"
            self.assertEqual("", self.known.for_packages(url))

    def test_of_one_host(self) -> None:
        self.assertEqual(
            "http://other.example.org:8080",
            self.known.for_packages("https://SECURE.example.org/debian"),
        )
        # the option of https says nothing of http
        self.assertEqual(
            "http://cache.example.org:3142",
            self.known.for_packages("http://secure.example.org/debian"),
        )

    def test_other_options_are_left_out(self) -> None:
        self.assertNotIn("acquire::retries", self.known.apt)
        self.assertIn("acquire::https::cainfo", self.known.apt)

    def test_the_environment_comes_last(self) -> None:
        environment = {"http_proxy": "http://proxy.example.org:3128"}
        known = proxies.Proxies(self.known.apt, environment)
        self.assertEqual(
            "http://cache.example.org:3142", known.for_packages(_MIRROR)
        )
        known = proxies.Proxies({}, environment)
        for scheme in ("http", "https"):
            self.assertEqual(
                "http://proxy.example.org:3128",
                known.for_packages(f"{scheme}://mirror.example.org/debian"),
            )

    def test_no_proxy_is_stronger_than_apt(self) -> None:
        known = proxies.Proxies(self.known.apt, {"no_proxy": "example.org"})
        self.assertEqual("", known.for_packages(_MIRROR))

    def test_a_server_on_loopback_is_asked_itself(self) -> None:
        for place in ("127.0.0.1:8080", "localhost", "[::1]:80"):
            self.assertEqual("", self.known.for_packages(f"http://{place}/"))

    def test_detected(self) -> None:
        script = self.fake_program(
            "detect",
            'case $1 in http://mirror.*) echo http://found:1 ;;\n'
            "http://near.*) echo DIRECT ;; *) exit 1 ;; esac",
        )
        for option in ("Proxy-Auto-Detect", "ProxyAutoDetect"):
            known = apt(http_Proxy="http://all:2", **{
                f"http_{option}": str(script)
            })  # fmt: skip
            for host, proxy in (
                ("mirror", "http://found:1"), ("near", ""),
                ("far", "http://all:2"),
            ):  # fmt: skip
                url = f"http://{host}.example.org/"
                self.assertEqual(proxy, known.for_packages(url))

    def test_detection_that_cannot_run(self) -> None:
        known = apt(**{"http_Proxy-Auto-Detect": "/nonexistent/detect"})
        error = self.assertRaises(
            errors.BuildError, known.for_packages, _MIRROR
        )
        self.assertIn("/nonexistent/detect", error.message)


class OthersTest(base.TestCase):
    def test_apt_is_not_asked(self) -> None:
        known = apt(http_Proxy="http://cache:3142")
        self.assertEqual("", known.for_others("http://pypi.example.org/"))

    def test_by_scheme(self) -> None:
        known = proxies.Proxies(
            {}, {"http_proxy": "one:1", "all_proxy": "socks5h://two:2"}
        )
        self.assertEqual("http://one:1", known.for_others("http://a/"))
        self.assertEqual("socks5h://two:2", known.for_others("https://a/"))

    def test_no_proxy(self) -> None:
        known = proxies.Proxies({}, {
            "http_proxy": "http://proxy:1",
            "no_proxy": ".example.org, 10.0.0.0/8 host:8080,192.0.2.7",
        })  # fmt: skip
        for place, excepted in (
            ("a.example.org", True), ("example.org", True),
            ("notexample.org", False), ("10.2.3.4", True),
            ("11.2.3.4", False), ("host:8080", True), ("host", False),
            ("192.0.2.7:99", True),
        ):  # fmt: skip
            found = known.for_others(f"http://{place}/")
            self.assertEqual(excepted, found == "", place)

    def test_all_are_excepted(self) -> None:
        known = proxies.Proxies({}, {"http_proxy": "p:1", "no_proxy": "*"})
        self.assertEqual("", known.for_others("http://a/"))

    def test_what_is_no_proxy(self) -> None:
        for value in ("ftp://proxy:1", "http://proxy:port", "http://:3128"):
            known = proxies.Proxies({}, {"http_proxy": value})
            self.assertRaises(
                errors.BuildError, known.for_others, "http://a/"
            )

    def test_an_error_shows_no_password(self) -> None:
        known = proxies.Proxies({}, {"http_proxy": "ftp://me:secret@proxy:1"})
        error = self.assertRaises(
            errors.BuildError, known.for_others, "http://a/"
        )
        self.assertNotIn("secret", error.message)


class HostTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            self.set_env(**{name: None, name.upper(): None})

    def test_reads_apt_and_environment(self) -> None:
        self.fake_program("apt-config", f"cat <<'END'\n{_DUMP}END")
        self.set_env(HTTPS_PROXY="http://upper:1", http_proxy="http://low:2",
                     HTTP_PROXY="http://upper:2")  # fmt: skip
        known = proxies.of_host()
        self.assertTrue(known)
        self.assertEqual("http://upper:1", known.for_others("https://a/"))
        self.assertEqual("http://low:2", known.for_others("http://a/"))
        self.assertEqual(
            "http://cache.example.org:3142", known.for_packages(_MIRROR)
        )

    def test_root_reads_what_others_may_not(self) -> None:
        directory = self.temp_dir()
        self.fake_program("apt-config", "exit 100", directory)
        self.fake_program("sudo", f"cat <<'END'\n{_DUMP}END", directory)
        self.patch_object(proxies.process.os, "geteuid", lambda: 1000)
        self.assertIn("acquire::http::proxy", proxies.read_apt())

    def test_the_doctor_shows_no_password(self) -> None:
        self.fake_program(
            "apt-config",
            "echo 'Acquire::http::Proxy \"http://me:secret@cache:3142\";'",
        )
        self.set_env(https_proxy="ftp://me:secret@proxy")
        packages, others = proxies.findings()
        self.assertEqual("http://cache:3142", packages.found)
        self.assertFalse(others.ok)
        self.assertNotIn("secret", str((packages, others)))

    def test_numbers_of_any_length(self) -> None:
        many = "9" * 5000
        known = proxies.Proxies(environment={"no_proxy": f"a:{many}"})
        self.assertEqual("", known.for_others("http://a:1/"))
        for choose in (known.for_packages, known.for_others):
            self.assertRaises(errors.BuildError, choose, f"http://a:{many}/")

    def test_none(self) -> None:
        self.fake_program("apt-config", "echo 'Acquire::Retries \"3\";'")
        self.set_env(no_proxy="example.org")
        self.assertFalse(proxies.of_host())
