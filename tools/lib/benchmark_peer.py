# SPDX-License-Identifier: Apache-2.0
"""Build a guest image as Trove's own script does, with Trove's elements.

It does what ``build_guest_image`` of ``integration/scripts/functions_qemu``
does: diskimage-builder with tracing, an empty cache and zlib.  The elements
are those of a checkout of Trove; a copy of them is adapted, because they only
know Ubuntu.  What is adapted, so that Debian's packages and mirrors do:

- ``debian-minimal`` takes the place of ``ubuntu-minimal``;
- packages that Debian does not have are left out;
- this project's plugin partitions the disk, as many hosts have no kpartx;
- Docker comes from Debian instead of download.docker.com;
- pip in the image gets this host's certificates.

Containers are not put into the image: Trove's hook for that is off unless a
variable names some.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import yaml

from trove_tools.plan import elements

ELEMENTS = "integration/scripts/files/elements"
WANTED = (
    "base", "vm", "debian-minimal", "cloud-init-datasources", "pip-cache",
    "guest-agent", "debian-docker", elements.disk("mbr"),
)  # fmt: skip
#: Packages that Debian does not have; its ntp is ntpsec.
_ABSENT = (
    "ubuntu-cloudimage-keyring", "ureadahead", "pollinate",
    "apt-transport-https",
)  # fmt: skip
_GIB = 5

_TOOLS = """\
#!/bin/bash
set -eu
apt-get install -y ca-certificates ntpsec
cp /tmp/in_target.d/host-certificates.crt \\
    /usr/local/share/ca-certificates/host.crt
update-ca-certificates
"""
_DOCKER = """\
#!/bin/bash
set -eu
apt-get install -y docker.io
usermod -aG docker "$GUEST_USERNAME"
"""


def adapt(trove: pathlib.Path, place: pathlib.Path) -> None:
    """Copy Trove's elements to a directory, and adapt them to Debian.

    :param trove: a checkout of Trove.
    :param place: the directory to create.
    """
    shutil.copytree(trove / ELEMENTS, place, symlinks=True)
    name = elements.disk("mbr")
    shutil.copytree(elements.DIRECTORY / name, place / name)
    for name in ("docker", "guest"):
        (place / f"ubuntu-{name}").rename(place / f"debian-{name}")
    (place / "debian-docker/element-deps").write_text("debian-guest\n")
    (place / "debian-docker/install.d/21-docker").write_text(_DOCKER)
    tools = place / "debian-guest/pre-install.d/11-baseline-tools"
    tools.write_text(_TOOLS)
    # they edit files that Debian 13 does not have
    shutil.rmtree(place / "debian-guest/post-install.d")
    file = place / "guest-agent/package-installs.yaml"
    packages = yaml.safe_load(file.read_text())
    for name in _ABSENT:
        packages.pop(name, None)
    file.write_text(yaml.safe_dump(packages))
    hook = place / "guest-agent/extra-data.d/10-host-certificates"
    hook.write_text(
        "#!/bin/bash\nset -eu\ncp /etc/ssl/certs/ca-certificates.crt"
        ' "$TMP_HOOKS_PATH/host-certificates.crt"\n'
    )
    hook.chmod(0o755)


def build(
    trove: pathlib.Path,
    constraints: pathlib.Path,
    work: pathlib.Path,
    release: str,
    mirrors: dict[str, str],
) -> int:
    """Build the image, and return its size in bytes.

    :param trove: a checkout of Trove, with its history.
    :param constraints: OpenStack's upper constraints.
    :param work: an empty directory.
    :param release: Debian's code name.
    :param mirrors: diskimage-builder's variables for the mirrors.
    """
    adapt(trove, work / "elements")
    image = work / "peer.qcow2"
    commit = subprocess.run(
        ["git", "-C", trove, "rev-parse", "HEAD"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    environment = {
        **os.environ,
        **mirrors,
        "ELEMENTS_PATH": os.fspath(work / "elements"),
        "TMP_DIR": os.fspath(work),
        "DIB_RELEASE": release,
        "DIB_PYTHON_VERSION": "3",
        "DIB_CLOUD_INIT_ETC_HOSTS": "localhost",
        "DIB_CLOUD_INIT_DATASOURCES": "ConfigDrive, OpenStack",
        "DIB_REPOLOCATION_guest_agent": os.fspath(trove),
        "DIB_REPOREF_guest_agent": commit,
        "DIB_REPOLOCATION_upper_constraints": constraints.as_uri(),
        "GUEST_USERNAME": "ubuntu",
        "HOST_SCP_USERNAME": "root",
        "ESCAPED_PATH_TROVE": "",
        "DEV_MODE": "false",
        "SYNC_LOG_TO_CONTROLLER": "False",
        "PIP_CERT": "/etc/ssl/certs/ca-certificates.crt",
    }
    with open(work / "log", "w") as log:
        subprocess.run(
            [
                pathlib.Path(sys.prefix, "bin", "disk-image-create"), "-x",
                "-a", "amd64", "-o", image, "-t", "qcow2",
                "--image-size", str(_GIB), "--image-cache", work / "cache",
                *WANTED,
            ],
            env=environment, check=True, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log,
        )  # fmt: skip
    return image.stat().st_size
