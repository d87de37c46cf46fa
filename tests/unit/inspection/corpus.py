# SPDX-License-Identifier: Apache-2.0
"""One of each kind of secret, login and identity that an image may hold.

The keys are real, made for this.  All tokens and passwords are made up.
"""

import base64
import gzip
import io
import json
import pathlib
import struct
import tarfile
import typing

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12

_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_EC = ec.generate_private_key(ec.SECP256R1())
_ED25519 = ed25519.Ed25519PrivateKey.generate()
_PLAIN = serialization.NoEncryption()
_LOCKED = serialization.BestAvailableEncryption(b"correct horse")
_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER
_PKCS1 = serialization.PrivateFormat.TraditionalOpenSSL
_PKCS8 = serialization.PrivateFormat.PKCS8
_SSH = serialization.PrivateFormat.OpenSSH

PKCS8 = _RSA.private_bytes(_PEM, _PKCS8, _PLAIN)
OPENSSH = _ED25519.private_bytes(_PEM, _SSH, _PLAIN)
HASH = "$6$rounds=5000$saltsalt$" + "aB3" * 28
YESCRYPT = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$" + "X3DX6M94c7o.9agCG9G" * 2
SUBUID = "debian:100000:65536\n"


class Planted(typing.NamedTuple):
    """A secret at its place.

    :param kind: what it is.
    :param path: in the image's root, without a leading slash.
    :param mode: of the file.
    """

    kind: str
    path: str
    content: bytes
    mode: int = 0o644

    def write(self, root: pathlib.Path) -> pathlib.Path:
        """Plant it in a root."""
        file = root / self.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.content)
        file.chmod(self.mode)
        return file


def _armoured(key: bytes) -> bytes:
    """Return a key in the form of OpenSSH, encrypted or not."""
    word = b"OPENSSH PRIVATE KEY-----\n"
    return (
        b"-----BEGIN " + word + base64.encodebytes(key)
        + b"-----END " + word
    )  # fmt: skip


def _tar(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def _indented(text: bytes) -> bytes:
    return b"key: |\n" + b"".join(
        b"    " + line + b"\n" for line in text.splitlines()
    )


_CORE = (
    b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 4, 62)
    + bytes(1024 * 1024) + PKCS8 + bytes(1024 * 1024)
)  # fmt: skip
_SWAP = (bytes(4086) + b"SWAPSPACE2" + bytes(512 * 1024)
         + b"\0db_password=orange-seven\0" + bytes(512 * 1024))  # fmt: skip
_OVERLAY = "var/lib/docker/overlay2/aaaa/diff"
_VENV = "opt/trove-guest-agent/lib/python3.13/site-packages"

#: All kinds that are found; paths do not repeat.
CORPUS = tuple(
    Planted(kind, path, content.encode() if isinstance(content, str)
            else content, *mode)
    for kind, path, content, *mode in (
        ("PEM PKCS#8", "opt/p/pkcs8.pem", PKCS8),
        ("PEM PKCS#1", "opt/p/pkcs1.pem",
         _RSA.private_bytes(_PEM, _PKCS1, _PLAIN)),
        ("PEM PKCS#8 encrypted", "opt/p/enc8.pem",
         _RSA.private_bytes(_PEM, _PKCS8, _LOCKED)),
        ("PEM PKCS#1 encrypted", "opt/p/enc1.pem",
         _RSA.private_bytes(_PEM, _PKCS1, _LOCKED)),
        ("PEM EC", "opt/p/ec.pem", _EC.private_bytes(_PEM, _PKCS1, _PLAIN)),
        ("PEM ed25519 PKCS#8", "opt/p/ed.pem",
         _ED25519.private_bytes(_PEM, _PKCS8, _PLAIN)),
        ("DER RSA key", "opt/p/der.key",
         _RSA.private_bytes(_DER, _PKCS1, _PLAIN)),
        ("DER PKCS#8", "opt/p/der8.key",
         _RSA.private_bytes(_DER, _PKCS8, _PLAIN)),
        ("DER ed25519", "opt/p/der-ed.key",
         _ED25519.private_bytes(_DER, _PKCS8, _PLAIN)),
        ("DER EC", "opt/p/der-ec.key",
         _EC.private_bytes(_DER, _PKCS1, _PLAIN)),
        ("DER PKCS#8 encrypted", "opt/p/der-enc.key",
         _RSA.private_bytes(_DER, _PKCS8, _LOCKED)),
        ("PKCS#12", "opt/p/k.p12",
         pkcs12.serialize_key_and_certificates(
             b"k", _RSA, None, None, _LOCKED)),
        ("OpenSSH key", "home/debian/.ssh/id_ed25519", OPENSSH, 0o600),
        ("OpenSSH key encrypted", "opt/p/id_enc",
         _armoured(b"openssh-key-v1\0\0\0\0\naes256-ctr\0\0\0\6bcrypt"
                   + bytes(range(200)))),
        ("OpenSSH key named as pub", "opt/p/notes.txt", OPENSSH),
        ("PEM in JSON", "opt/p/gcp.json",
         json.dumps({"type": "service_account",
                     "private_key": PKCS8.decode()})),
        ("PEM CRLF", "opt/p/crlf.pem", PKCS8.replace(b"\n", b"\r\n")),
        ("PEM indented", "opt/p/indented.yaml", _indented(PKCS8)),
        ("PEM base64", "opt/p/b64.txt", base64.encodebytes(PKCS8)),
        ("PEM base64 in YAML", "opt/p/secret.yaml",
         b"data:\n  tls.key: " + base64.b64encode(PKCS8)),
        ("PEM base64, preceded", "opt/p/bundle.b64",
         base64.b64encode(b"# a bundle\n" + PKCS8)),
        ("PEM UTF-16", "opt/p/utf16.pem", PKCS8.decode().encode("utf-16")),
        ("PEM gzip", "opt/p/key.pem.gz", gzip.compress(PKCS8)),
        ("PEM in a compressed tar", "opt/p/keys.tgz",
         gzip.compress(_tar("k.pem", PKCS8))),
        ("PEM in tar", "opt/p/keys.tar", _tar("k.pem", PKCS8)),
        ("PEM in a 300 KB file", "var/log/big.log",
         b"one line of a log\n" * 18000 + PKCS8 + b"and on\n" * 100),
        ("PEM across two pieces of a file", "var/log/huge.log",
         b"x" * (4 * 1024 * 1024 - 700) + b"\n" + PKCS8),
        ("core dump", "var/crash-core.1234", _CORE),
        ("PGP private key block", "opt/p/pgp.asc",
         "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n"
         "lQVYBGVx7yXVvk3kYzU5tHq0cVbM1nQ2dP8rJ4wL6sE9aTgFhKu\n"
         "-----END PGP PRIVATE KEY BLOCK-----\n"),
        ("PuTTY key", "opt/p/key.ppk",
         "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n"
         "Comment: c\nPublic-Lines: 2\nAAAAC3NzaC1lZDI1NTE5AAAAI\nQ==\n"
         "Private-Lines: 1\nAAAAIJ\nPrivate-MAC: 00ff\n"),
        ("JWK private", "opt/p/jwk.json",
         '{"kty": "EC", "crv": "P-256", "x": "' + "a" * 43 + '",'
         ' "d": "' + "b" * 43 + '"}'),
        ("WireGuard key", "etc/wireguard/wg0.conf",
         "[Interface]\nPrivateKey = "
         + base64.b64encode(bytes(range(32))).decode() + "\n"),
        ("age key", "opt/p/age.txt",
         "# created: 2026\nAGE-SECRET-KEY-1" + "QP3" * 19 + "Z\n"),
        ("AWS credentials", "root/.aws/credentials",
         "[default]\naws_access_key_id = AKIAQ3EGRFSD7JSZ2BHK\n"
         "aws_secret_access_key = " + "k9/Q" * 10 + "\n"),
        ("AWS key in script", "usr/local/bin/backup.sh",
         "#!/bin/sh\nexport K=AKIAQ3EGRFSD7JSZ2BHK\n", 0o755),
        ("GitHub token", "root/.config/gh/hosts.yml",
         "github.com:\n    oauth_token: ghp_" + "a1B2" * 9 + "\n"),
        ("docker config.json auth", "root/.docker/config.json",
         '{"auths": {"quay.io": {"auth": "dXNlcjpzZWNyZXQ="}}}'),
        ("containers auth.json", "root/.config/containers/auth.json",
         '{"auths":{"quay.io":{"auth":"dXNlcjpzZWNyZXQ="}}}'),
        (".git-credentials", "root/.git-credentials",
         "https://ann:secret@git.example\n"),
        (".git/config password", "opt/src/.git/config",
         '[remote "origin"]\n\turl = https://ann:secret@git.example/x\n'),
        (".git/config token as user", "opt/src2/.git/config",
         '[remote "origin"]\n\turl = https://' + "f00d" * 10
         + "@git.example/x\n"),
        ("gitconfig extraheader", "root/.gitconfig",
         '[http "https://git.example"]\n'
         "\textraheader = Authorization: Basic dXNlcjpzZWNyZXQ=\n"),
        (".netrc", "root/.netrc", "machine h login u password secret\n"),
        (".netrc by another name", "home/debian/.netrc-backup",
         "machine h\n  login u\n  password secret\n"),
        ("apt auth.conf", "etc/apt/auth.conf",
         "machine mirror.example login u password secret\n"),
        ("apt auth.conf.d", "etc/apt/auth.conf.d/90x.conf",
         "machine mirror.example\nlogin u\npassword secret\n"),
        ("apt proxy with password", "etc/apt/apt.conf.d/99proxy",
         'Acquire::http::Proxy "http://u:secret@proxy.example:3128/";\n'),
        ("apt source password", "etc/apt/sources.list.d/x.sources",
         "Types: deb\nURIs: https://u:secret@mirror.example/debian\n"
         "Suites: s\nSigned-By: /k.gpg\n"),
        ("pip.conf, password", "etc/pip.conf",
         "[global]\nindex-url = https://u:secret@pypi.example/simple\n"),
        ("pip.conf of a user", "root/.config/pip/pip.conf",
         "[global]\nextra-index-url = https://u:secret@pypi.example/\n"),
        ("pip.conf in venv", "opt/trove-guest-agent/pip.conf",
         "[global]\nindex-url = https://u:secret@pypi.example/simple\n"),
        ("pip.conf, token as user", "root/.pip/pip.conf",
         "[global]\nindex-url = https://" + "t0ken" * 6
         + "@pypi.example/simple\n"),
        ("uv.toml", "root/.config/uv/uv.toml",
         '[[index]]\nurl = "https://u:secret@pypi.example/simple"\n'),
        (".npmrc token", "root/.npmrc",
         "//registry.example/:_authToken=0a1b2c3d-4e5f\n"),
        (".pypirc password", "root/.pypirc",
         "[pypi]\nusername = ann\npassword = orange-seven\n"),
        ("direct_url.json", f"{_VENV}/x-1.dist-info/direct_url.json",
         '{"url": "https://u:secret@git.example/x"}'),
        ("cloud-init seed", "var/lib/cloud/seed/nocloud/user-data",
         "#cloud-config\npassword: orange\n"),
        ("cloud-init user data", "var/lib/cloud/instances/i-1/user-data.txt",
         "#cloud-config\nruncmd: [[ls]]\n"),
        ("cloud.cfg.d password", "etc/cloud/cloud.cfg.d/99-pw.cfg",
         "chpasswd:\n  list: |\n    debian:orange\n"),
        ("cloud.cfg.d hashed password", "etc/cloud/cloud.cfg.d/98-pw.cfg",
         f"users:\n  - name: x\n    passwd: {HASH}\n"),
        ("cloud-init lets passwords in", "etc/cloud/cloud.cfg.d/97-x.cfg",
         "ssh_pwauth: true\n"),
        ("bash history", "root/.bash_history",
         "export OS_PASSWORD=orange\nls\n"),
        ("bash history without OS_", "home/debian/.bash_history",
         "mysql -u root -porange7\n"),
        ("mysql history", "root/.mysql_history",
         "SET PASSWORD = 'orange';\n"),
        ("my.cnf password", "root/.my.cnf",
         "[client]\nuser=root\npassword=orange\n"),
        ("pgpass", "root/.pgpass", "*:*:*:postgres:orange\n"),
        ("clouds.yaml", "etc/openstack/clouds.yaml", "clouds: {}\n"),
        ("clouds.yml", "root/.config/openstack/clouds.yml",
         "clouds:\n  a:\n    auth:\n      password: orange\n"),
        ("clouds.yaml renamed", "root/my-clouds.yaml",
         "clouds:\n  a:\n    auth:\n      password: orange\n"),
        ("openrc renamed", "root/proj-openrc.sh",
         "export OS_USERNAME=ann\nexport OS_PASSWORD='orange'\n"),
        ("environment file", "etc/environment",
         "DB_PASSWORD=orange\nLANG=C\n"),
        ("unit with a password", "etc/systemd/system/x.service",
         "[Service]\nEnvironment=DB_PASSWORD=orange\nExecStart=/bin/x\n"),
        ("trove-guestagent.conf",
         "etc/trove/conf.d/trove-guestagent.conf", "[DEFAULT]\n"),
        ("trove conf under other name", "etc/trove/conf.d/50-local.conf",
         "[DEFAULT]\ntransport_url = rabbit://u:secret@h\n"),
        ("swap file", "swapfile", _SWAP),
        ("machine-id", "etc/machine-id", "0123456789abcdef" * 2 + "\n"),
        ("dbus machine-id", "var/lib/dbus/machine-id",
         "0123456789abcdef" * 2 + "\n"),
        ("random-seed", "var/lib/systemd/random-seed", b"\x01" * 512),
        ("random-seed old place", "var/lib/urandom/random-seed",
         b"\x01" * 512),
        ("systemd credential secret", "var/lib/systemd/credential.secret",
         b"\x01" * 4096),
        ("DHCP lease", "var/lib/dhcp/dhclient.eth0.leases",
         "lease { fixed-address 192.0.2.7; }\n"),
        ("networkd lease", "var/lib/systemd/network/lease1",
         "ADDRESS=192.0.2.7\n"),
        ("iscsi initiator name", "etc/iscsi/initiatorname.iscsi",
         "InitiatorName=iqn.1993-08.org.debian:01:abc\n"),
        ("udev persistent net", "etc/udev/rules.d/70-persistent-net.rules",
         'SUBSYSTEM=="net", ATTR{address}=="52:54:00:00:00:01",'
         ' NAME="eth0"\n'),
        ("ssh host key", "etc/ssh/ssh_host_rsa_key", OPENSSH, 0o600),
        ("ssh host key, odd name", "etc/ssh/my_host_key", OPENSSH, 0o600),
        ("dropbear host key", "etc/dropbear/dropbear_rsa_host_key",
         b"\0\0\0\x07ssh-rsa" + b"\x01" * 300),
        ("authorized_keys of root", "root/.ssh/authorized_keys",
         "ssh-ed25519 AAAAC3Nz ann\n"),
        ("authorized_keys of a service",
         "var/lib/postgresql/.ssh/authorized_keys",
         "ssh-ed25519 AAAAC3Nz ann\n"),
        ("AuthorizedKeysFile elsewhere", "etc/ssh/keys/debian",
         "ssh-ed25519 AAAAC3Nz ann\n"),
        ("sshd: keys elsewhere, root", "etc/ssh/sshd_config.d/10-x.conf",
         "AuthorizedKeysFile /etc/ssh/keys/%u\nPermitRootLogin yes\n"
         "PermitEmptyPasswords yes\n"),
        ("authorized_keys in skel", "etc/skel/.ssh/authorized_keys",
         "ssh-ed25519 AAAAC3Nz ann\n"),
        ("sshd: a trusted authority", "etc/ssh/sshd_config.d/11-ca.conf",
         "TrustedUserCAKeys /etc/ssh/ca.pub\n"),
        ("hosts.equiv", "etc/hosts.equiv", "+ +\n"),
        ("sudoers of another user", "etc/sudoers.d/99-evil",
         "evil ALL=(ALL) NOPASSWD: ALL\n", 0o440),
        ("cron calls with a token", "etc/cron.d/x",
         "* * * * * root curl -H 'Authorization: Bearer abcdef012345'"
         " https://h\n"),
        ("kerberos keytab", "etc/krb5.keytab", b"\x05\x02" + b"\x01" * 60),
        ("htpasswd", "etc/nginx/.htpasswd", "ann:$apr1$abc$" + "x" * 22),
        ("grub password", "etc/grub.d/40_custom",
         "#!/bin/sh\ncat <<EOF\npassword root orange\nEOF\n", 0o755),
        ("NetworkManager PSK",
         "etc/NetworkManager/system-connections/x.nmconnection",
         "[wifi-security]\nkey-mgmt=wpa-psk\npsk=orange-seven\n", 0o600),
        ("kube config", "root/.kube/config",
         "users:\n- user:\n    client-key-data: "
         + base64.b64encode(PKCS8).decode() + "\n"),
        ("ansible vault password", "root/.vault_pass", "orange-seven\n"),
        ("docker layer: key", f"{_OVERLAY}/root/.ssh/id_rsa", PKCS8),
        ("docker layer: shadow", f"{_OVERLAY}/etc/shadow",
         f"root:{YESCRYPT}:1::::::\n"),
        ("docker layer: .netrc", f"{_OVERLAY}/root/.netrc",
         "machine h login u password secret\n"),
        ("docker layer: pip.conf",
         f"{_OVERLAY}/root/.config/pip/pip.conf",
         "[global]\nindex-url = https://u:secret@pypi.example/\n"),
        ("docker image: Env",
         "var/lib/docker/image/overlay2/imagedb/content/sha256/" + "0" * 64,
         '{"config": {"Env": ["PATH=/bin", "MYSQL_PASSWORD=orange"]}}'),
        ("docker container: Env",
         "var/lib/docker/containers/abc/config.v2.json",
         '{"Config":{"Env":["POSTGRES_PASSWORD=orange"]}}'),
        ("shadow: hash of another user", "etc/shadow",
         f"root:*:1::::::\nevil:{YESCRYPT}:1::::::\nevil2::1::::::\n"),
        ("passwd: uid 0, empty, hash", "etc/passwd",
         "root:x:0:0::/root:/bin/sh\ntoor::0:0::/root:/bin/sh\n"
         f"evil3:{YESCRYPT}:1002:1002::/:/bin/sh\n"
         "debian:x:1000:1000::/home/debian:/bin/bash\n"),
        ("gshadow: hash of a group", "etc/gshadow",
         f"root:*::\nsudo:{YESCRYPT}::\nusers:::\n"),
        ("shadow.bak", "etc/shadow.bak", f"root:{YESCRYPT}:1::::::\n"),
        ("set-uid program", "usr/local/bin/rootsh", b"\x7fELF" + b"\x01" * 60,
         0o4755),
    )
)  # fmt: skip

#: What looks like a secret, and is none.
HARMLESS = tuple(
    Planted(kind, path, content.encode())
    for kind, path, content in (
        ("openrc that asks", "root/ask-openrc.sh",
         "echo Password:\nread -sr OS_PASSWORD_INPUT\n"
         "export OS_PASSWORD=$OS_PASSWORD_INPUT\n"),
        ("name services", "etc/nsswitch.conf",
         "passwd:         files systemd\ngroup: files\n"),
        ("an empty setting", "etc/x.conf", "password =\nuser = ann\n"),
        ("settings of PostgreSQL", "etc/postgresql/17/main/postgresql.conf",
         "#password_encryption = scram-sha-256\t# or md5\n"
         "ssl_passphrase_command = 'cat /run/x'\n"
         "#ssl_passphrase_command_supports_reload = off\n"),
        ("a reference", "etc/y.conf",
         "password = ${DB_PASSWORD}\nsecret_file = /run/secrets/x\n"),
        ("documentation of a library", f"{_VENV}/x-1.dist-info/METADATA",
         "see https://user:password@example.org, password = hunter2\n"),
        ("a program", "usr/local/sbin/init",
         "password = secrets.token_urlsafe(24)\n"
         'login(username="x", password=password)\n'),
        ("questions of packages", "var/cache/debconf/templates.dat",
         "Extended_description: use mysql -u root -ppassword\n"),
        ("a public key", "etc/ssh/keys.pub", "ssh-ed25519 AAAAC3Nz ann\n"),
        ("sudo asks for a password", "etc/sudoers",
         "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n"
         "%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n"),
        ("the agent's commands", "etc/sudoers.d/60-trove-agent",
         "Cmnd_Alias X = /usr/bin/df, \\\n  /usr/bin/mount\n"
         "trove-agent ALL = (root) NOPASSWD: X\n"),
        ("sub-uids", "etc/subuid", SUBUID),
    )
)  # fmt: skip
