# SPDX-License-Identifier: Apache-2.0
"""The page that explains an image."""

import dataclasses
import html.parser
import json
import pathlib
import re
import typing

from tests import base
from tests.unit.artifact import test_sbom
from tests.unit.cloud import images
from trove_tools.artifact import manifest
from trove_tools.artifact import report
from trove_tools.artifact import sbom
from trove_tools.artifact import verification
from trove_tools.inspection import contents
from trove_tools.inspection import docker
from trove_tools.inspection import package

#: Elements that are never closed.
_VOID = {"meta"}


class Checker(html.parser.HTMLParser):
    """Reads a page; notes what is open, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        self.tags.append(tag)
        if tag not in _VOID:
            self.open.append(tag)
        self.links += [
            value or "" for name, value in attrs if name in ("href", "src")
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        self.text += data


def span(kind: str, name: str, **values: typing.Any) -> dict[str, typing.Any]:
    return {"kind": kind, "name": name, "begin": 0, "seconds": 1.0,
            "cached": False, "spans": [], **values}  # fmt: skip


TIMELINE = (
    span("layer", "base", cached=True, seconds=0.0),
    span("layer", "agent", spans=[
        span("phase", "install", spans=[span("hook", "60-x", seconds=0.75)]),
    ]),
    span("step", "convert", begin=1.0, seconds=200.0),
)  # fmt: skip


class PageTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.image = self.temp_dir() / "x.qcow2"
        self.image.write_text("x")
        self.describe()

    def describe(self, **changes: typing.Any) -> None:
        plain = test_sbom.FOUND.as_dict()
        contents = {
            key: plain[key]
            for key in ("system", "directories", "configuration")
        }
        self.made = images.describe(
            self.image,
            **{"contents": contents, "timeline": TIMELINE, **changes},
        )
        sbom.write(test_sbom.FOUND, self.made, sbom.path(self.image))

    def verify(self, **changes: typing.Any) -> None:
        check = {"name": "prepare", "ok": True, "seconds": 9.0,
                 "detail": "HEALTHY", "log": []}  # fmt: skip
        verification.path(self.image).write_text(
            json.dumps(
                {
                    "sha256": self.made.image.sha256, "ok": True,
                    "level": "agent", "tier": "vm",
                    "checks": [{**check, **changes}],
                }
            )  # fmt: skip
        )

    def page(self) -> Checker:
        file = report.write(self.image)
        assert file is not None
        checker = Checker()
        checker.feed(file.read_text())
        checker.close()
        self.assertEqual([], checker.open)
        return checker

    def test_needs_nothing_else(self) -> None:
        found = self.page()
        self.assertNotIn("script", found.tags)
        self.assertNotIn("link", found.tags)
        for link in found.links:
            self.assertRegex(link, r"^(#\w+|[a-z.]+\.(json|log))$")
        style = pathlib.Path(report.__file__).with_name("report.css")
        self.assertIsNone(re.search(r"url\(|@import", style.read_text()))

    def test_tells_what_is_there(self) -> None:
        text = self.page().text
        for words in (
            "mariadb", "11.8", "not verified", "60-x",
            "agent: install.d/60-x", "1 part",
            "from the cache", "1 of 2 layers from the cache", "3 min 20 s",
            "libc6 2.41-1+b1", "1.0 KiB", self.made.image.sha512,
        ):  # fmt: skip
            self.assertIn(words, text)

    def test_verified(self) -> None:
        self.page()
        self.verify()
        text = self.page().text
        self.assertIn("verified: agent (qemu)", text)
        self.assertIn("HEALTHY", text)

    def test_failed(self) -> None:
        self.verify(ok=False, log=["<script>alert(1)</script>"])
        record = verification.path(self.image)
        record.write_text(record.read_text().replace(
            '"ok": true, "level"', '"ok": false, "level"'))  # fmt: skip
        found = self.page()
        self.assertIn("failed: agent (qemu)", found.text)
        self.assertNotIn("script", found.tags)
        self.assertIn("<script>alert(1)</script>", found.text)

    def test_verified_with_other_content(self) -> None:
        self.verify()
        record = verification.path(self.image)
        record.write_text(
            record.read_text().replace(self.made.image.sha256, "0" * 64)
        )
        self.assertIn("not verified", self.page().text)

    def test_hardly_anything_is_known(self) -> None:
        self.describe(contents=None, timeline=())
        sbom.path(self.image).unlink()
        text = self.page().text
        self.assertIn("do not tell what is in it", text)
        self.assertIn("does not tell how it was built", text)

    def test_passwords_in_addresses_are_not_shown(self) -> None:
        layer = {
            "name": "base",
            "digest": "0",
            "inputs": {},
            "environment": {"M": "http://u:secret@m/debian"},
        }
        known = manifest.Layer(
            "base", "0" * 64, True, "2026-01-02T03:04:05+00:00", 2048
        )
        layer["digest"] = known.digest
        self.describe(plan={"layers": [layer]}, layers=(known,))
        text = self.page().text
        self.assertIn("from the cache, of 2026-01-02 03:04 UTC, 2.0 KiB",
                      text)  # fmt: skip
        self.assertNotIn("secret", text)
        self.assertIn("http://m/debian", text)

    def test_for_development(self) -> None:
        self.assertNotIn("Never make it public", self.page().text)
        self.describe(dev=True)
        self.assertIn("Never make it public", self.page().text)

    def test_no_manifest(self) -> None:
        manifest.path(self.image).unlink()
        self.assertIsNone(report.write(self.image))

    def test_written_as_a_whole(self) -> None:
        self.page()
        made = dataclasses.replace(self.made, build_id="other")
        manifest.write(made, manifest.path(self.image))
        self.assertIn("other", self.page().text)
        names = {each.name for each in self.image.parent.glob("x.d/*")}
        self.assertEqual(
            {"manifest.json", "sbom.cdx.json", "report.html"}, names
        )


SITE = "/opt/trove-guest-agent/lib/site-packages"
FOUND = contents.Contents(
    system={},
    packages=(
        package.Package("small", "1", size=1),
        package.Package("large", "1", size=1000),
        package.Package("unknown", "1"),
    ),
    python=(package.Package("trove", "26", size=2000),),
    containers=(
        docker.Container(("m:1",), "sha256:1", 300,
                         (package.Package("server", "1", size=250),)),
    ),
    directories={
        "/": 1000, "/usr": 400, "/usr/bin": 300, "/usr/tiny": 5, "/opt": 200,
        "/opt/trove-guest-agent": 200, "/opt/trove-guest-agent/lib": 195,
        SITE: 194, f"{SITE}/trove": 100, "/var": 350, "/var/lib": 350,
        "/var/lib/docker": 320, "/var/lib/docker/overlay2/x": 300,
    },
)  # fmt: skip


class SizesTest(base.TestCase):
    def test_directories(self) -> None:
        self.assertEqual(
            [
                # what holds just another directory is passed over
                report.Bar("/usr", "system", 400),
                report.Bar("bin", "system", 300, 1),
                report.Bar("/var/lib", "system", 350),
                report.Bar("docker", "container", 320, 1),
                report.Bar("m:1", "container", 300, 2),
                report.Bar("/opt/trove-guest-agent", "agent", 200),
                report.Bar("lib/site-packages", "agent", 194, 1),
                report.Bar("trove", "agent", 100, 2),
            ],
            report.directory_bars(FOUND),
        )

    def test_packages(self) -> None:
        self.assertEqual(
            [
                ("trove 26", "agent", 2000),
                ("large 1", "system", 1000),
                ("server 1", "container", 250),
                ("small 1", "system", 1),
            ],
            [
                (bar.name, bar.kind, bar.size)
                for bar in report.package_bars(FOUND)
            ],
        )

    def test_nothing(self) -> None:
        empty = contents.Contents({}, directories={"/": 0})
        self.assertEqual([], report.directory_bars(empty))
        self.assertEqual([], report.package_bars(empty))
