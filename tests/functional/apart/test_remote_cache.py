# SPDX-License-Identifier: Apache-2.0
"""Layers go to a real registry and come back; nothing else comes back."""

import dataclasses
import json
import pathlib
import subprocess
import typing

from tests import commands
from tests.functional import faultproxy
from tests.functional import registries
from trove_tools.artifact import signature
from trove_tools.build import cache as _cache
from trove_tools.build import cache_maintenance
from trove_tools.build import containers
from trove_tools.build import remote_cache
from trove_tools.host import process
from trove_tools.sources.registry import client
from trove_tools.sources.registry import oci

ONE, TWO = "1" * 64, "2" * 64
CONTENT = b"the root of a file system\n" * 1000


class CacheCase(registries.TestCase):
    """A test with two caches."""

    def setUp(self) -> None:
        super().setUp()
        self.here = _cache.Cache(self.place / "here")
        self.there = _cache.Cache(
            self.place / "there",
            trusted=signature.TrustedKeys((self.key.public,)),
        )

    def repository(self, name: str = "layers") -> client.Repository:
        return client.Repository(self.reference(name))

    def remote(
        self,
        *trusted: signature.SigningKey,
        key: signature.SigningKey | None = None,
        allow_unsigned: bool = False,
        names: tuple[str, ...] = ("layers",),
    ) -> remote_cache.RemoteCache:
        return remote_cache.RemoteCache(
            [self.repository(name) for name in names],
            self.repository(names[0]),
            trusted=signature.TrustedKeys(tuple(k.public for k in trusted))
            if trusted
            else None,
            key=key,
            allow_unsigned=allow_unsigned,
            screen=self.screen,
        )

    def put(
        self,
        digest: str = ONE,
        content: bytes = CONTENT,
        cache: _cache.Cache | None = None,
        **values: typing.Any,
    ) -> _cache.Entry:
        cache = cache or self.here
        with cache.locked(digest), cache.partial() as place:
            plain = place / "plain"
            plain.write_bytes(content)
            process.run(
                ["zstd", "-q", "--rm", plain, "-o", place / _cache.ARCHIVE]
            )
            return cache.put(
                place,
                **{
                    "name": "base",
                    "digest": digest,
                    "inputs": {
                        "elements": ["x"], "inputs": {"architecture": "amd64"}
                    },
                    "facts": {"a": "b"},
                    "timeline": {"kind": "layer", "seconds": 1.0},
                    **values,
                },
            )  # fmt: skip

    def push(
        self,
        entry: _cache.Entry,
        key: signature.SigningKey | None = None,
        **options: typing.Any,
    ) -> bool:
        key = key or self.key
        return self.remote(key, key=key, **options).push(entry)

    def fetch(
        self, remote: remote_cache.RemoteCache, digest: str = ONE
    ) -> _cache.Entry | None:
        with self.there.locked(digest):
            entry = remote.fetch(digest, self.there)
        # whatever happened: the cache has the layer, or it has nothing
        found = self.there.find(digest)
        self.assertEqual(entry and entry.record, found and found.record)
        self.assertEqual(
            [digest] if entry else [],
            [each.name for each in self.there.layers.iterdir()],
        )
        return entry


class CopyTest(CacheCase):
    def test_there_and_back(self) -> None:
        entry = self.put()
        self.assertTrue(self.push(entry))
        self.assertFalse(self.push(entry))
        fetched = self.fetch(self.remote(self.key))
        assert fetched is not None
        self.assertEqual(
            dataclasses.replace(
                entry.record,
                origin=f"127.0.0.1:{self.port}/trove/layers",
                signed_by=self.key.public.fingerprint,
                keys=[self.key.public.fingerprint],
            ),
            fetched.record,
        )
        self.assertEqual(
            entry.archive.read_bytes(), fetched.archive.read_bytes()
        )
        self.assertEqual([], self.warnings())

    def test_an_image_for_other_tools(self) -> None:
        entry = self.put()
        self.push(entry)
        layout = self.place / "layout"
        subprocess.run(
            ["skopeo", "--insecure-policy", "copy", "--quiet",
             "--src-tls-verify=false",
             f"docker://127.0.0.1:{self.port}/trove/layers:{ONE}",
             f"dir:{layout}"],
            check=True,
        )  # fmt: skip
        made = json.loads((layout / "manifest.json").read_text())
        config = json.loads(
            (layout / made["config"]["digest"].partition(":")[2]).read_text()
        )
        plain = self.place / "plain"
        plain.write_bytes(CONTENT)
        digest = process.run(["sha256sum", plain]).stdout.split()[0]
        self.assertEqual([f"sha256:{digest}"], config["rootfs"]["diff_ids"])
        self.assertEqual(
            entry.record.sha256,
            made["layers"][0]["digest"].removeprefix("sha256:"),
        )

    def test_nothing_there(self) -> None:
        self.assertIsNone(self.fetch(self.remote(self.key)))
        self.push(self.put(TWO))
        self.assertIsNone(self.fetch(self.remote(self.key)))
        self.assertEqual([], self.warnings())

    def test_too_old(self) -> None:
        self.push(self.put())
        self.there.not_before = 2**32
        self.assertIsNone(self.fetch(self.remote(self.key)))
        # a newer one takes its place
        newer = self.put(content=b"newer")
        self.assertTrue(self.push(newer))
        self.there.not_before = 0
        fetched = self.fetch(self.remote(self.key))
        assert fetched is not None
        self.assertEqual(newer.record.created, fetched.record.created)

    def test_next_repository(self) -> None:
        self.push(self.put(), names=("second",))
        fetched = self.fetch(
            self.remote(self.key, names=("first", "second"))
        )
        assert fetched is not None
        self.assertEqual(
            f"127.0.0.1:{self.port}/trove/second", fetched.record.origin
        )

    def test_all(self) -> None:
        self.put(ONE)
        self.put(TWO)
        remote = self.remote(self.key, key=self.key)
        written = cache_maintenance.push_layers(
            [ONE, TWO, "3" * 64], self.here, remote, self.screen
        )
        self.assertEqual([ONE, TWO], [e.record.digest for e in written])
        self.assertEqual(
            [ONE, TWO],
            sorted(
                layer.record.digest
                for layer in remote.list_layers(remote.sources[0])
            ),
        )
        fetched = cache_maintenance.fetch_layers(
            self.there, remote, self.screen
        )
        self.assertEqual(2, len(fetched))
        again = cache_maintenance.fetch_layers(
            self.there, remote, self.screen
        )
        self.assertEqual([], again)
        self.assertEqual([], self.warnings())

    def test_commands(self) -> None:
        self.put(ONE)
        self.put(TWO)
        repository = f"127.0.0.1:{self.port}/trove/layers"
        for action, option, cache, said in (
            ("push", "--cache-to", "here", "2 layers were written to"),
            ("push", "--cache-to", "here", "0 layers were written to"),
            ("list", "--cache-from", "there", repository),
            ("pull", "--cache-from", "there", "2 layers were fetched from"),
            ("pull", "--cache-from", "there", "0 layers were fetched from"),
        ):
            done = commands.run(
                "trove-image-builder", "cache", action, option, repository,
                "--allow-unsigned", "--cache-dir", self.place / cache,
            )  # fmt: skip
            self.assertEqual(0, done.status, done.stderr)
            self.assertIn(said, done.stdout + done.stderr)

    def test_archive_of_containers(self) -> None:
        def make(file: pathlib.Path) -> None:
            file.write_bytes(archive)

        def fail(file: pathlib.Path) -> None:
            self.fail("it is in the registry")

        archive = self.put(TWO).archive.read_bytes()
        archives = containers.Archives(self.here)
        with archives.keep("container trixie", {"a": "b"}, make):
            (digest,) = archives.used
        # whoever writes a layer also writes what it was built on
        self.put(uses=[digest])
        remote = self.remote(self.key, key=self.key)
        written = cache_maintenance.push_layers(
            [ONE], self.here, remote, self.screen
        )
        self.assertEqual(
            [digest, ONE], [entry.record.digest for entry in written]
        )
        archives = containers.Archives(self.there, remote)
        with archives.keep("container trixie", {"a": "b"}, fail) as file:
            self.assertEqual(archive, file.read_bytes())
        (record,) = archives.used.values()
        self.assertEqual([self.key.public.fingerprint], record.keys)
        self.assertEqual([], self.warnings())

    def test_archive_that_zstd_cannot_read(self) -> None:
        with self.here.locked(ONE), self.here.partial() as place:
            (place / _cache.ARCHIVE).write_bytes(b"no archive")
            entry = self.here.put(
                place, name="base", digest=ONE, inputs={}, facts={},
                timeline={},
            )  # fmt: skip
        self.assertFalse(self.push(entry))
        (warning,) = self.warnings()
        self.assertIn(f"the layer {ONE[:12]} is not written", warning)
        self.assertIn("is damaged", warning)
        self.assertEqual([], self.repository().list_tags())

    def test_no_room(self) -> None:
        self.push(self.put())
        self.patch_object(remote_cache, "_SPARE", 2**62)
        self.assertIsNone(self.fetch(self.remote(self.key)))
        (warning,) = self.warnings()
        self.assertIn("there is no room for its", warning)


class TrustTest(CacheCase):
    def assert_refused(self, remote: remote_cache.RemoteCache) -> str:
        self.assertIsNone(self.fetch(remote))
        # a second question is no second warning
        self.assertIsNone(self.fetch(remote))
        (warning,) = self.warnings()
        return warning

    def test_another_key(self) -> None:
        self.push(self.put(), self.other)
        warning = self.assert_refused(self.remote(self.key))
        self.assertIn(self.other.public.fingerprint, warning)
        self.assertIn("which is not trusted here", warning)
        # whoever has the key may take its place
        self.assertTrue(self.push(self.put()))
        self.assertIsNotNone(self.fetch(self.remote(self.key)))

    def test_key_that_was_removed(self) -> None:
        self.push(self.put())
        self.assertIsNotNone(self.fetch(self.remote(self.key)))
        for trusted in (
            None, signature.TrustedKeys((self.other.public,))
        ):  # fmt: skip
            later = _cache.Cache(self.there.directory, trusted=trusted)
            self.assertIsNone(later.find(ONE))
        self.assertIsNotNone(self.there.find(ONE))

    def test_unsigned(self) -> None:
        entry = self.put()
        remote = self.remote(allow_unsigned=True)
        self.assertTrue(remote.push(entry))
        warning = self.assert_refused(self.remote(self.key))
        self.assertIn("not signed with a trusted key", warning)
        self.there.allow_unsigned = True
        fetched = self.fetch(self.remote(allow_unsigned=True))
        assert fetched is not None
        self.assertTrue(fetched.record.unsigned)
        # it is not used without the option, and this host does not sign it
        self.there.allow_unsigned = False
        self.assertIsNone(self.there.find(ONE))
        self.assertFalse(
            self.remote(self.key, key=self.key, names=("x",)).push(fetched)
        )

    def change(
        self, change: typing.Callable[[dict[str, typing.Any]], object]
    ) -> None:
        """Change the manifest of a layer as somebody else would."""
        _, data = self.repository().read_manifest(ONE)
        change(data)
        self.repository().write_manifest(ONE, json.dumps(data).encode())

    def test_another_layer(self) -> None:
        self.push(self.put(TWO, b"two"))
        _, data = self.repository().read_manifest(TWO)
        self.repository().write_manifest(ONE, json.dumps(data).encode())
        warning = self.assert_refused(self.remote(self.key))
        self.assertIn("it is another layer", warning)

    def test_another_archive(self) -> None:
        self.push(self.put())
        other = b"other"
        digest = oci.compute_digest(other)
        self.repository().write_blob(digest, other)
        self.change(
            lambda data: data["layers"][0].update(
                digest=digest, size=len(other)
            )
        )
        warning = self.assert_refused(self.remote(self.key))
        self.assertIn("its archive is not that of its record", warning)

    def test_another_record(self) -> None:
        self.push(self.put())

        def change(data: dict[str, typing.Any]) -> None:
            name = "org.openstack.trove-tools.layer.record"
            text = data["annotations"][name]
            data["annotations"][name] = text.replace('"b"', '"c"')

        self.change(change)
        warning = self.assert_refused(self.remote(self.key))
        self.assertIn("it was changed since", warning)

    def test_odd_manifests(self) -> None:
        self.push(self.put())
        good = self.repository().read_manifest(ONE)[1]
        record = good["annotations"]["org.openstack.trove-tools.layer.record"]
        odd: list[tuple[str, typing.Any]] = [
            ("annotations", {}),
            ("annotations", None),
            ("annotations", {"org.openstack.trove-tools.layer.record": "["}),
            ("annotations", {"org.openstack.trove-tools.layer.record": "{}"}),
            (
                "annotations",
                {
                    "org.openstack.trove-tools.layer.record": json.dumps(
                        {**json.loads(record), "size": "x"}
                    )
                },
            ),
            ("layers", []),
            ("layers", good["layers"] * 2),
        ]
        for name, value in odd:
            data = json.dumps({**good, name: value}).encode()
            self.repository().write_manifest(ONE, data)
            warning = self.assert_refused(self.remote(self.key))
            self.assertIn("it is damaged", warning)

    def test_damaged_blob(self) -> None:
        entry = self.put()
        self.push(entry)
        sha256 = entry.record.sha256
        (blob,) = (self.place / "registry").rglob(f"{sha256}/data")
        content = bytearray(blob.read_bytes())
        for change in (b"x" + content[1:], content + b"x", content[:-1], b""):
            blob.write_bytes(change)
            warning = self.assert_refused(self.remote(self.key))
            self.assertIn(ONE[:12], warning)


class PruneTest(CacheCase):
    def test_old_layers(self) -> None:
        self.port = self.start_registry("deleting", delete=True)
        old = self.put(since="2000-01-01T00:00:00+00:00")
        new = self.put(TWO)
        self.there.not_before = 10**9
        remote = self.remote(self.key, key=self.key)
        for entry in (old, new):
            self.assertTrue(remote.push(entry))
        # another image in the same repository
        _, data = self.repository().read_manifest(ONE)
        self.repository().write_manifest(
            "latest", json.dumps({**data, "annotations": {}}).encode()
        )
        deleted = list(cache_maintenance.prune_target(self.there, remote))
        self.assertEqual([ONE], [layer.record.digest for layer in deleted])
        self.assertEqual(
            [TWO, "latest"], sorted(self.repository().list_tags())
        )

    def test_deletion_is_not_allowed(self) -> None:
        self.push(self.put())
        self.there.not_before = 2**32
        remote = self.remote(self.key, key=self.key)
        error = self.assertRaises(
            client.RegistryError,
            list, cache_maintenance.prune_target(self.there, remote),
        )  # fmt: skip
        self.assertIn("allow deletion", error.hint or "")


class FaultTest(CacheCase):
    """Every request of a copy fails in every way."""

    def setUp(self) -> None:
        super().setUp()
        self.proxy = self.start_proxy()

    def test_fetch(self) -> None:
        self.push(self.put())
        requests = registries.count_requests(
            self.proxy,
            lambda: self.assertIsNotNone(self.fetch(self.remote(self.key))),
        )
        self.assertEqual(
            ["manifests", "blobs"],
            [request.split("/")[-2] for request in requests],
        )
        for number, kind in registries.list_faults(requests):
            with self.there.locked(ONE):
                self.there.remove(ONE)
            self.proxy.plan(faultproxy.Plan(number, kind))
            entry = self.fetch(self.remote(self.key))
            self.assertTrue(self.proxy.seen().hurt, kind)
            # a registry without the manifest is no problem
            absent = number == 1 and kind.startswith("404")
            self.assert_warned(entry is None and not absent, number, kind)

    def test_push(self) -> None:
        entry = self.put()
        requests = registries.count_requests(
            self.proxy, lambda: self.push(entry)
        )
        self.assertEqual(
            ["GET", "HEAD", "POST", "PUT", "HEAD", "POST", "PUT", "PUT"],
            [request.split()[1] for request in requests],
        )
        for number, kind in registries.list_faults(requests):
            entry = self.put(content=f"{number} {kind}".encode())
            self.proxy.plan(faultproxy.Plan(number, kind))
            done = self.push(entry)
            seen = self.proxy.seen()
            self.assertTrue(seen.hurt, kind)
            self.assert_warned(not done, number, kind)
            # what is there is whole
            self.proxy.plan(faultproxy.Plan())
            with self.there.locked(ONE):
                self.there.remove(ONE)
            fetched = self.fetch(self.remote(self.key))
            self.assertEqual([], self.warnings(), f"{number} {kind}")
            if done:
                assert fetched is not None
                self.assertEqual(entry.record.sha256, fetched.record.sha256)

    def assert_warned(self, failed: bool, number: int, kind: str) -> None:
        """Check that a failure was told once, and a success not at all."""
        warnings = self.warnings()
        self.assertEqual(
            int(failed), len(warnings), f"{number} {kind}: {warnings}"
        )
