# SPDX-License-Identifier: Apache-2.0
"""Elements for an image that is built in seconds, and of no other use.

They stand in for the elements that our builds name: a root with a shell and
a few programs of the host, and one hook for each phase of each layer.  The
builder, diskimage-builder, the layers, the cache, the disk: all that is
real.
"""

import os
import pathlib
import sys

from tests import commands

#: The command line that writes the elements, but for the directory.
COMMAND = (sys.executable, "-m", "tests.image.tiny")

#: Hooks of the phases that run on the host, and in the root.
OUTSIDE = ("root", "extra-data", "post-root", "pre-finalise", "cleanup")
INSIDE = ("pre-install", "install", "post-install", "finalise")

_PROGRAMS = (
    "bash", "sh", "env", "find", "grep", "sort", "date", "mktemp", "cat", "rm",
    "basename", "awk", "sleep", "mkdir", "tee", "cp", "dirname",
)  # fmt: skip

#: What the elements put into the image as it lies in them (as
#: diskimage-builder's install-static does it).
DIRECTORY = "opt/tiny"
FILE, PROGRAM = f"{DIRECTORY}/file", f"{DIRECTORY}/program"

_HEAD = "#!/bin/bash\nset -eu -o pipefail\n"

# what debootstrap would do
_ROOT = f"""\
cd "$TARGET_ROOT"
sudo mkdir -p bin dev etc proc root run sys tmp usr/bin var/lib/dpkg var/log
printf '%s: %s\n' Package mariadb-server Status 'install ok installed' \
    Version 11.8.1 Architecture all | sudo tee var/lib/dpkg/status
for name in {" ".join(_PROGRAMS)}; do
    file=$(readlink -f "$(command -v "$name")")
    sudo cp "$file" "$TARGET_ROOT/bin/$name"
    ldd "$file" | grep -o '/[^ ]*' | while read -r library; do
        sudo mkdir -p "$TARGET_ROOT$(dirname "$library")"
        sudo cp --dereference "$library" "$TARGET_ROOT$library"
    done
done
sudo ln -sf ../../bin/env "$TARGET_ROOT/usr/bin/env"
echo root:*:0:0::/root:/bin/sh | sudo tee "$TARGET_ROOT/etc/passwd"
echo 'root:*:::::::' | sudo tee "$TARGET_ROOT/etc/shadow"
"""

# what the real elements of these names tell of the image
_FACTS = """\
cat > $DIB_MANIFEST_IMAGE_DIR/dib-manifest-dpkg-$(basename $IMAGE_NAME) <<END
{"packages": [{"package": "mariadb-server", "version": "11.8.1"}]}
END
cat > $DIB_MANIFEST_IMAGE_DIR/trove-guest-agent.json <<END
{"source": "pypi", "version": "26.0.0", "managers": ["mariadb"]}
END
"""

_STATIC = 'cp -r "$(dirname "$0")/../static/." /\n'


def write(directory: pathlib.Path) -> None:
    """Write the elements into a directory for ``--elements-path``."""
    hooks = {
        "debian-minimal": "base",
        "trove-guest-agent-venv": "runtime",
        "trove-mariadb": "datastore",
        "trove-guest-agent": "agent",
    }
    for name, layer in hooks.items():
        for phase in (*OUTSIDE, *INSIDE):
            # a moment in which a build may be killed
            text = f"echo {layer} {phase}\nsleep 0.1\n"
            hook(directory / name, phase, f"50-tiny-{layer}", text)
    base = directory / "debian-minimal"
    (base / "element-provides").write_text("operating-system\n")
    (base / "element-deps").write_text("manifests\n")
    environment = base / "environment.d" / "10-tiny.bash"
    _file(environment, "export DISTRO_NAME=debian\n")
    hook(base, "root", "10-tiny-root", _ROOT)
    _file(directory / "dpkg" / "element-deps", "manifests\n")
    hook(directory / "trove-guest-agent", "install", "51-tiny-facts", _FACTS)
    static = directory / "trove-guest-agent" / "static"
    _file(static / FILE, "a file\n")
    _file(static / PROGRAM, "#!/bin/sh\n")
    (static / PROGRAM).chmod((static / PROGRAM).stat().st_mode | 0o100)
    hook(directory / "trove-guest-agent", "install", "52-tiny-static", _STATIC)
    _file(directory / "vm" / "element-deps", "block-device\n")
    for name in (
        "trove-guest", "trove-guest-clean", "trove-apt-sources",
        "trove-boot-bios", "trove-boot-efi", "trove-datastore-native",
    ):  # fmt: skip
        (directory / name).mkdir()


def build(
    place: pathlib.Path,
    *words: str | os.PathLike[str],
    cache: str = "cache",
    output: str = "output",
    timeout: float = 300.0,
) -> commands.Outcome:
    """Build an image of MariaDB, a tar archive.

    :param place: has the elements, in ``elements``.
    :param cache: the cache in that directory.
    :param output: the directory of the image in it.
    """
    return commands.run(
        "trove-image-builder", "build", "mariadb",
        "--runtime", "native", "--image-format", "tar",
        "--elements-path", place / "elements",
        "--cache-dir", place / cache,
        "--output-dir", place / output, "-f", "json", *words,
        timeout=timeout,
    )  # fmt: skip


def hook(element: pathlib.Path, phase: str, name: str, text: str) -> None:
    """Write a hook of an element; it stops at the first error."""
    file = element / f"{phase}.d" / name
    _file(file, _HEAD + text)
    file.chmod(0o755)


def _file(file: pathlib.Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
