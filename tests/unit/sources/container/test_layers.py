# SPDX-License-Identifier: Apache-2.0
import io
import pathlib
import tarfile

from tests import base
from trove_tools.sources.container import layers


class SplitTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()

    def root(
        self, *files: str, family: str = "trixie server", link: str = ""
    ) -> layers.Root:
        """Return a root with files ``PATH=CONTENT``, and a hard link."""
        file = self.place / f"{len(list(self.place.iterdir()))}.root"
        with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as made:
            for name, mode in ((".", 0o755), ("./tmp", 0o1777)):
                member = tarfile.TarInfo(name)
                member.type, member.mode = tarfile.DIRTYPE, mode
                made.addfile(member)
            for each in files:
                name, _, content = each.partition("=")
                member = tarfile.TarInfo(f"./{name}")
                member.size = len(content)
                made.addfile(member, io.BytesIO(content.encode()))
            if link:
                member = tarfile.TarInfo("./linked")
                member.type, member.linkname = tarfile.LNKTYPE, f"./{link}"
                made.addfile(member)
        return layers.Root(file, tuple(family.split()))

    def split(self, *roots: layers.Root) -> list[list[pathlib.Path]]:
        directory = self.temp_dir()
        return list(layers.split(roots, directory))

    def names(self, layer: pathlib.Path) -> list[str]:
        with tarfile.open(layer) as opened:
            return [name.removeprefix("./") for name in opened.getnames()]

    def test_what_is_the_same_is_in_the_lowest_layer(self) -> None:
        (low, one), (same, two) = self.split(
            self.root("a=1", "b=1", "c=1"), self.root("a=1", "b=2", "d=1")
        )
        self.assertEqual(low, same)
        self.assertEqual([".", "tmp", "a"], self.names(low))
        self.assertEqual([".", "b", "c"], self.names(one))
        self.assertEqual([".", "b", "d"], self.names(two))

    def test_groups_of_a_group(self) -> None:
        backup = "trixie backup"
        chains = self.split(
            self.root("a=1", "server=1"),
            self.root("a=1", "python=1", "one=1", family=backup),
            self.root("a=1", "python=1", "two=1", family=backup),
        )
        self.assertEqual([2, 3, 3], [len(chain) for chain in chains])
        self.assertEqual(1, len({chain[0] for chain in chains}))
        self.assertEqual(chains[1][1], chains[2][1])
        self.assertEqual([".", "python"], self.names(chains[1][1]))
        self.assertEqual([".", "one"], self.names(chains[1][2]))

    def test_another_suite_shares_nothing(self) -> None:
        one = self.root("a=1")
        other = self.root("a=1", family="sid server")
        self.assertEqual(
            [[one.archive], [other.archive]], self.split(one, other)
        )

    def test_a_directory_keeps_its_mode_in_each_layer(self) -> None:
        chains = self.split(
            self.root("tmp/a=1", "tmp/b=1"), self.root("tmp/a=1", "tmp/b=2")
        )
        for layer in chains[0]:
            with tarfile.open(layer) as opened:
                self.assertEqual(0o1777, opened.getmember("./tmp").mode)

    def test_hard_links_stay_together(self) -> None:
        (low, one), (_, two) = self.split(
            self.root("a=1", "b=1", link="a"), self.root("a=1", "b=1")
        )
        self.assertEqual([".", "tmp", "b"], self.names(low))
        self.assertEqual([".", "a", "linked"], self.names(one))
        self.assertEqual([".", "a"], self.names(two))
        ((low, _), _) = self.split(
            self.root("a=1", link="a"), self.root("a=1", link="a")
        )
        self.assertEqual([".", "tmp", "a", "linked"], self.names(low))

    def test_extended_attributes_are_kept(self) -> None:
        key = "SCHILY.xattr.security.x"
        for second, where in (("cap", 0), ("other", -1)):
            roots = [self.root(), self.root()]
            for root, value in zip(roots, ("cap", second), strict=True):
                with tarfile.open(
                    root.archive, "w", format=tarfile.PAX_FORMAT
                ) as made:
                    member = tarfile.TarInfo("./ping")
                    member.pax_headers = {key: value}
                    made.addfile(member)
            chain, _ = self.split(*roots)
            with tarfile.open(chain[where]) as opened:
                found = opened.getmember("./ping").pax_headers
            self.assertEqual({key: "cap"}, found)

    def test_the_same_roots_give_the_same_bytes(self) -> None:
        first, second = (
            [
                layer.read_bytes()
                for chain in self.split(
                    self.root("a=1", "b=1"), self.root("a=1", "c=1")
                )
                for layer in chain
            ]
            for _ in range(2)
        )
        self.assertEqual(first, second)

    def test_roots_are_removed(self) -> None:
        root = self.root("a=1")
        self.split(root, self.root("a=1"))
        self.assertFalse(root.archive.exists())
