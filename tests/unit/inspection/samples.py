# SPDX-License-Identifier: Apache-2.0
"""A root file system as far as inspections look, made in a moment."""

import hashlib
import json
import pathlib

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.41-1)
Version: 2.41-1+b1
Installed-Size: 100
Description: a library
 Version: not this one

Package: gone
Status: deinstall ok config-files
Version: 1

Package: mariadb-server
Status: install ok installed
Architecture: all
Version: 1:11.8.6-0
"""
COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: LGPL-2.1+ and GPL-2

Files: x
License: Expat
 Permission is hereby granted
Comment: one more

License: Expat
 is explained here

License: never-used
 x
"""
METADATA = """\
Metadata-Version: 2.1
Name: {name}
Version: {version}
Classifier: License :: OSI Approved :: Apache Software License

Name: not this one
"""


def write(root: pathlib.Path, name: str, text: str) -> pathlib.Path:
    """Write a file of the root."""
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def fill(root: pathlib.Path) -> None:
    """Make a guest's root with packages, an agent and configuration."""
    write(root, "etc/os-release", 'ID=debian\nVERSION_ID="13"\n'
          'PRETTY_NAME="Debian 13"\n')  # fmt: skip
    write(root, "boot/vmlinuz-6.12-cloud", "x")
    write(root, "var/lib/dpkg/status", STATUS)
    write(root, "usr/share/doc/libc6/copyright", COPYRIGHT)
    site = "opt/trove-guest-agent/lib/python3.13/site-packages"
    for name, version in (("trove", "26.0.0"), ("Babel", "2.17")):
        info = f"{site}/{name}-{version}.dist-info"
        write(root, f"{info}/METADATA",
              METADATA.format(name=name, version=version))  # fmt: skip
        write(root, f"{info}/RECORD", "a.py,sha256=x,1000\nRECORD,,\n")


def store(root: pathlib.Path, status: str, *names: str) -> str:
    """Put a container of two layers into the root's image store.

    :param status: dpkg's in the upper one.
    :returns: its id.
    """
    layers = [f"sha256:{number * 64}" for number in "ab"]
    config = json.dumps({"rootfs": {"diff_ids": layers}})
    identity = hashlib.sha256(config.encode()).hexdigest()
    chains = [
        "a" * 64, hashlib.sha256(" ".join(layers).encode()).hexdigest()
    ]  # fmt: skip
    images = "var/lib/docker/image/overlay2"
    named = dict.fromkeys(names, f"sha256:{identity}")
    named["x@sha256:" + "c" * 64] = f"sha256:{identity}"
    write(root, f"{images}/repositories.json",
          json.dumps({"Repositories": {"x": named}}))  # fmt: skip
    write(root, f"{images}/imagedb/content/sha256/{identity}", config)
    for number, chain in enumerate(chains):
        place = f"{images}/layerdb/sha256/{chain}"
        write(root, f"{place}/size", "1000")
        write(root, f"{place}/cache-id", f"cache{number}")
    layer = "var/lib/docker/overlay2/cache1/diff"
    write(root, f"{layer}/var/lib/dpkg/status", status)
    write(root, f"{layer}/usr/lib/os-release",
          "ID=debian\nVERSION_CODENAME=forky\n")  # fmt: skip
    return f"sha256:{identity}"
