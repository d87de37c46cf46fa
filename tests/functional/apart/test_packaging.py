# SPDX-License-Identifier: Apache-2.0
"""What is built from the tree holds what the commands need.

A source distribution is built from a clone that has no tag; it is unpacked,
far from any git, and a wheel is built from that; the wheel is installed
into an environment of its own.  So whatever gets lost on the way, be it a
file or a bit that makes a hook executable, is missing at the end.
"""

import os
import pathlib
import subprocess
import sys
import tarfile
import typing

from tests import base
from trove_tools.manual import write

#: Directories of an element whose files are run, not sourced.
_HOOKS = (
    "block-device.d",
    "cleanup.d",
    "extra-data.d",
    "finalise.d",
    "install.d",
    "post-install.d",
    "post-root.d",
    "pre-finalise.d",
    "pre-install.d",
    "root.d",
)


def run(
    *argv: str | os.PathLike[str], cwd: pathlib.Path, **env: str
) -> str:
    """Run a program that must succeed, and return what it printed."""
    done = subprocess.run(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, **env},
    )  # fmt: skip
    assert done.returncode == 0, f"{argv}:\n{done.stdout}"
    return done.stdout


def files_under(top: pathlib.Path) -> dict[str, bool]:
    """Return the files below a directory and whether each is executable."""
    return {
        str(path.relative_to(top)): os.access(path, os.X_OK)
        for path in top.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


class PackagingTest(base.TestCase):
    timeout = 600

    def clone(self, work: pathlib.Path) -> pathlib.Path:
        """Return a clone with what is committed, and no tag."""
        if not (base.ROOT / ".git").exists():
            self.skipTest("no repository to build from")
        run(
            "git", "-c", "safe.directory=*", "clone", "--quiet",
            "--no-tags", "--no-hardlinks", base.ROOT, "clone", cwd=work,
        )  # fmt: skip
        return work / "clone"

    def build(
        self, kind: str, source: pathlib.Path, output: pathlib.Path
    ) -> pathlib.Path:
        """Build what ``kind`` names with the backend of pyproject.toml."""
        output.mkdir()
        run(
            sys.executable, "-m", "pip", "--disable-pip-version-check",
            "install", "--quiet", "--target", output / "backend",
            "pbr>=6.1.1", "setuptools>=70", cwd=source,
        )  # fmt: skip
        run(
            sys.executable, "-c",
            "import sys, pbr.build as b;"
            " getattr(b, 'build_' + sys.argv[1])(sys.argv[2])",
            kind, output, cwd=source, PYTHONPATH=str(output / "backend"),
        )  # fmt: skip
        (built,) = (path for path in output.iterdir() if path.is_file())
        return built

    def install(self, wheel: pathlib.Path, venv: pathlib.Path) -> str:
        """Install the wheel; what it requires is this test's own.

        Its dependencies are taken from the environment of the tests, so
        that the test neither needs the network again nor minutes.
        """
        here = venv.parent
        run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=here)
        run(
            sys.executable, "-m", "pip", "--disable-pip-version-check",
            f"--python={venv}/bin/python", "install", "--no-deps",
            "--no-index", wheel, cwd=here,
        )  # fmt: skip
        paths = [path for path in sys.path if path.endswith("-packages")]
        (site,) = venv.glob("lib/python3*/site-packages")
        (site / "requirements.pth").write_text("\n".join(paths))
        return run(
            venv / "bin/python", "-c",
            "import trove_tools; print(trove_tools.__file__)",
            cwd=here,
        ).strip()  # fmt: skip

    def test_from_tree_to_sdist_to_wheel_to_command(self) -> None:
        work = self.temp_dir()
        tree = self.clone(work)
        sdist = self.build("sdist", tree, work / "from-tree")
        with tarfile.open(sdist) as archive:
            archive.extractall(work / "unpacked")
        (unpacked,) = (work / "unpacked").iterdir()
        wheel = self.build("wheel", unpacked, work / "from-sdist")
        self.assertEqual(
            sdist.name.split("-")[1].removesuffix(".tar.gz"),
            wheel.name.split("-")[1],
        )
        module = self.install(wheel, work / "venv")
        self.assertTrue(module.startswith(str(work)), module)
        installed = pathlib.Path(module).parent
        self.check_files(tree / "trove_tools", installed)
        self.check_hooks(installed / "elements")
        self.check_commands(work / "venv" / "bin", work)
        self.check_share(work / "venv" / "share")

    def check_files(
        self, source: pathlib.Path, installed: pathlib.Path
    ) -> None:
        """Every file arrived, with the bits it had."""
        wanted, found = files_under(source), files_under(installed)
        self.assertEqual([], sorted(wanted.keys() - found.keys()))
        self.assertEqual(
            [], [name for name in wanted if wanted[name] != found[name]]
        )

    def check_hooks(self, elements: pathlib.Path) -> None:
        hooks = [
            path
            for kind in _HOOKS
            for path in elements.glob(f"*/{kind}/*")
            if path.is_file()
        ]
        self.assertNotEqual([], hooks)
        self.assertEqual(
            [], [str(hook) for hook in hooks if not os.access(hook, os.X_OK)]
        )

    def check_commands(self, bin: pathlib.Path, cwd: pathlib.Path) -> None:
        listed = run(bin / "trove-image-builder", "list", cwd=cwd)
        self.assertIn("mariadb", listed)
        for command in (
            "trove-image-builder",
            "load-trove-image",
            "activate-trove-image",
        ):
            self.assertIn("usage:", run(bin / command, "--help", cwd=cwd))
            wrapper = (bin / command).read_text()
            self.assertNotIn("pkg_resources", wrapper)

    def check_share(self, share: pathlib.Path) -> None:
        """The manual and the completions are those of these parsers."""
        written = self.temp_dir()
        for file in write.write(written):
            name = file.relative_to(written)
            self.assertTrue((share / name).is_file(), str(name))
            if name.parent != write.MAN:
                # a page has the day on which it was made
                self.assertEqual(
                    file.read_text(), (share / name).read_text(), str(name)
                )

    def test_the_plugin_is_found_by_diskimage_builder(self) -> None:
        found: typing.Any = run(
            sys.executable, "-c",
            "from diskimage_builder.block_device import config;"
            " print(config._extensions['partx_partitioning'].plugin)",
            cwd=self.temp_dir(),
        )  # fmt: skip
        self.assertIn("trove_tools.block_device.partx", found)
