# SPDX-License-Identifier: Apache-2.0
"""A build whose mirror only a proxy reaches, over TLS nobody knows.

The image is tiny; the builder, diskimage-builder, apt, curl and TLS are
real, and so are the proxies.
"""

import os
import tarfile

from tests import commands
from tests.image import test_build_failures
from tests.image import tiny
from tests.standins import authority
from tests.standins import keys
from tests.standins import packages
from tests.standins import proxy
from tests.standins import repository

_LOGIN = "apt:Packag3Secret"
_OTHER = "pip:0therSecret"

# what debian-minimal has done when its own apt begins
_APT = """\
sudo mkdir -p "$TARGET_ROOT"/etc/apt/apt.conf.d "$TARGET_ROOT"/tmp
"""

# this host's apt with the root's configuration, as mmdebstrap runs it
_UPDATE = """\
state=$(mktemp -d)
mkdir -p "$state"/lists/partial "$state"/archives/partial
cat > "$state/apt.conf" <<END
Dir "$TARGET_ROOT";
Dir::Etc::SourceList "$state/sources.list";
Dir::State "$state";
Dir::State::Status "$state/status";
Dir::Cache "$state";
Dir::Bin::Methods "/usr/lib/apt/methods";
APT::Sandbox::User "root";
END
touch "$state/status"
echo "deb [signed-by={key}] https://mirror.invalid suite main" \\
    > "$state/sources.list"
sudo APT_CONFIG="$state/apt.conf" apt-get update --error-on=any
cd "$state"
sudo APT_CONFIG="$state/apt.conf" apt-get download standin
[ -s "$state"/standin_1.0_amd64.deb ]
"""

# on the host: what is no package
_CURL = """\
curl --silent --show-error --fail https://index.invalid/file
"""

# in the root, where there is nothing but a shell
_INSIDE = """\
address=${http_proxy#http://}
exec 3<> "/dev/tcp/${address%:*}/${address#*:}"
printf 'GET http://index.invalid/file HTTP/1.0\\r\\n\\r\\n' >&3
cat <&3 | grep 'what the index has'
grep 'Acquire::https::Proxy' /etc/apt/apt.conf.d/99trove-build-network
grep 'BEGIN CERTIFICATE' "$SSL_CERT_FILE"
"""


class NetworkTest(test_build_failures.BuildCase):
    timeout = 300

    def setUp(self) -> None:
        super().setUp()
        place = self.temp_dir()
        served = self.temp_dir()
        (served / "file").write_text("what the index has\n")
        key = keys.Key(self.temp_dir())
        self.addCleanup(key.close)
        deb = packages.deb(place, "standin", "1.0", {})
        repository.publish(served, [deb], key, suite="suite", arch="amd64")
        # what a build looks for before it begins
        for suite in ("trixie", "trixie-security"):
            (served / "dists" / suite).mkdir()
            (served / "dists" / suite / "InRelease").touch()
        self.agent = self.temp_dir()
        (self.agent / "trove" / "guestagent").mkdir(parents=True)
        (self.agent / "setup.py").touch()
        self.authority = authority.Authority(self.temp_dir())
        for name in ("mirror.invalid", "index.invalid"):
            tls = repository.Server(served, self.authority.server(name))
            self.addCleanup(tls.close)
            standin = proxy.Proxy(
                {name: tls.place},
                _LOGIN if name == "mirror.invalid" else _OTHER,
            )
            self.addCleanup(standin.close)
            if name == "mirror.invalid":
                self.packages = standin
            else:
                self.others = standin
        plain = repository.Server(served)
        self.addCleanup(plain.close)
        self.plain = proxy.Proxy(
            {"index.invalid": plain.url.removeprefix("http://")}, _OTHER
        )
        self.addCleanup(self.plain.close)
        self.set_proxies(_LOGIN)
        self.elements = self.temp_dir()
        tiny.write(self.elements)
        base = self.elements / "debian-minimal"
        tiny.hook(base, "root", "11-apt", _APT)
        tiny.hook(
            base, "root", "75-update", _UPDATE.replace("{key}", str(key.file))
        )
        tiny.hook(base, "extra-data", "75-curl", _CURL)
        for name in ("debian-minimal", "trove-guest-agent"):
            tiny.hook(self.elements / name, "install", f"75-{name}", _INSIDE)

    def set_proxies(self, login: str) -> None:
        """Set up this host's proxies as an operator has."""
        conf = self.temp_dir() / "apt.conf"
        conf.write_text(
            f'Acquire::http::Proxy "http://{login}@127.0.0.1:'
            f'{self.packages.port}";\n'
        )
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy",
                     "no_proxy", "NO_PROXY"):  # fmt: skip
            self.set_env(**{name: None})
        self.set_env(
            APT_CONFIG=str(conf),
            http_proxy=f"http://{_OTHER}@127.0.0.1:{self.plain.port}",
            https_proxy=f"http://{_OTHER}@127.0.0.1:{self.others.port}",
        )

    def run_build(self, *options: str | os.PathLike[str]) -> commands.Outcome:
        return self.build(
            "--elements-path", str(self.elements), "--image-format", "tar",
            "--mirror", "https://mirror.invalid",
            "--security-mirror", "https://mirror.invalid",
            "--agent", str(self.agent),
            *map(str, options),
        )  # fmt: skip

    def test_build(self) -> None:
        done = self.run_build("--ca-certificate", self.authority.file)
        self.assertEqual(0, done.status, done.stderr)
        self.assertIn(("CONNECT", "mirror.invalid:443"), self.packages.asked)
        self.assertEqual(
            {("CONNECT", "index.invalid:443")}, set(self.others.asked)
        )
        self.assertEqual(
            2 * [("GET", "http://index.invalid/file")], self.plain.asked
        )
        self.assert_nothing_in_the_image()
        for file in self.output.rglob("*"):
            if file.suffix in (".json", ".log", ".html"):
                self.assert_no_password(file.read_text())
        self.assert_no_password(done.stdout + done.stderr)

    def assert_nothing_in_the_image(self) -> None:
        ports = [self.packages.port, self.others.port, self.plain.port]
        words = [
            b"apt:Packag3", b"trove-build-network-",
            self.authority.body.encode(),
            *(b"127.0.0.1:%d" % port for port in ports),
        ]  # fmt: skip
        (image,) = self.output.glob("*.tar")
        with tarfile.open(image) as archive:
            for member in archive:
                self.assertNotIn("trove-build-network-", member.name)
                if not member.isfile():
                    continue
                stream = archive.extractfile(member)
                assert stream is not None
                content = stream.read()
                for word in words:
                    self.assertNotIn(word, content, member.name)

    def assert_no_password(self, text: str) -> None:
        self.assertNotIn("Packag3Secret", text)
        self.assertNotIn("0therSecret", text)

    def refused(self, *options: str | os.PathLike[str]) -> str:
        done = self.run_build(*options)
        self.assertEqual(1, done.status, done.stderr)
        self.assert_no_password(done.stderr)
        self.assertIn("https://mirror.invalid/", done.stderr)
        return done.stderr

    def test_unknown_authority(self) -> None:
        text = self.refused()
        # Python's words, or apt's
        self.assertRegex(text, "(?i)certificate verif(y|ication) failed")
        self.assertIn("--ca-certificate", text.partition("hint: ")[2])

    def test_wrong_password(self) -> None:
        self.set_proxies("apt:wrong")
        text = self.refused("--ca-certificate", self.authority.file)
        self.assertIn(f"the proxy {self.packages.url} refuses: 407", text)
        self.assertIn("apt-config dump", text.partition("hint: ")[2])
