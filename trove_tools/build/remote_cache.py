# SPDX-License-Identifier: Apache-2.0
"""Shares the cache between builders through a repository in a registry.

An entry of the cache, which is a layer or an archive that containers share,
is an OCI image with one layer, the archive.  Its tag is the entry's digest.
An annotation has the record of the entry, another one the signature of the
record, and the record has the archive's digest: so whoever trusts the key
trusts the entry, and the registry need not be trusted.

A build needs no registry.  If one fails, the build continues without it and
says so once.
"""

import collections.abc
import dataclasses
import json
import pathlib
import re
import shutil
import threading
import time
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.artifact import signature
from trove_tools.build import cache as _cache
from trove_tools.host import blocks
from trove_tools.host import bounds
from trove_tools.host import credentials
from trove_tools.host import digests
from trove_tools.host import process
from trove_tools.sources.registry import client
from trove_tools.sources.registry import oci

_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_RECORD = "org.openstack.trove-tools.layer.record"
_SIGNATURE = "org.openstack.trove-tools.layer.signature"

_DIGEST = re.compile(r"[0-9a-f]{64}")
# fields of a record that only this host knows
_LOCAL = ("origin", "signed_by", "unsigned", "keys")
# seconds to fetch a layer, in addition to the seconds that its build took
_FETCHING = 60.0
# bytes that stay free on the disk of the cache
_SPARE = 1024**3


@dataclasses.dataclass(frozen=True)
class RemoteLayer:
    """A layer in a registry.

    :param record: its record, with its origin and the key that signed it.
    :param manifest: the digest of its manifest.
    """

    repository: client.Repository
    record: _cache.Record
    manifest: str


class RemoteCache:
    """The layers, and the other entries of caches, in some repositories.

    :param sources: the repositories that layers are fetched from.
    :param target: the repository that layers are written to, if any.
    :param trusted: the keys whose layers are used.
    :param key: the key that signs the layers that are written.
    :param allow_unsigned: also use and write layers without a signature.
    :param screen: shows warnings; a problem of a repository is shown once.
    """

    def __init__(
        self,
        sources: collections.abc.Sequence[client.Repository],
        target: client.Repository | None,
        *,
        trusted: signature.TrustedKeys | None,
        key: signature.SigningKey | None,
        allow_unsigned: bool,
        screen: console.Console,
    ) -> None:
        self.sources = sources
        self.target = target
        self._trusted = trusted
        self._key = key
        self._allow_unsigned = allow_unsigned
        self._screen = screen
        self._broken: set[str] = set()
        # layers and what containers share are fetched at the same time
        self._lock = threading.Lock()
        self._found: dict[str, RemoteLayer | None] = {}

    def find(self, digest: str, cache: _cache.Cache) -> RemoteLayer | None:
        """Return a layer that a repository has and that can be used.

        The answer is remembered.

        :param digest: the layer's digest.
        :param cache: decides which layers are too old.
        """
        if digest not in self._found:
            self._found[digest] = next(
                (
                    layer
                    for repository in self.sources
                    if (layer := self._find(repository, digest))
                    and cache.is_usable(layer.record)
                ),
                None,
            )
        return self._found[digest]

    def fetch(
        self,
        digest: str,
        cache: _cache.Cache,
        state: collections.abc.Callable[[str], object] = lambda text: None,
    ) -> _cache.Entry | None:
        """Fetch a layer into the local cache.

        The caller must hold the entry's lock.

        :param state: called with a description of the work.
        :returns: None if no repository has the layer, or if it could not be
            fetched.
        """
        while layer := self.find(digest, cache):
            state(f"{layer.record.name}: fetch it from {layer.repository}")
            try:
                return self._fetch(layer, cache)
            except client.RegistryError as exc:
                self._report(layer.repository, digest, exc)
            # try the next repository
            del self._found[digest]
        return None

    def push(
        self, entry: _cache.Entry, state: typing.Any = lambda text: None
    ) -> bool:
        """Write a layer to the target, unless the target has it.

        The caller must hold the entry's lock.  Layers that were fetched
        without a signature are not written, because this host cannot vouch
        for them.

        :param state: called with a description of the work.
        :returns: whether it was written.
        """
        target, record = self.target, entry.record
        if target is None or record.unsigned and self._key is not None:
            return False
        there = self._find(target, record.digest, quiet=True)
        if there is not None and there.record.since >= record.since:
            return False
        if not self.is_usable(target):
            return False
        state(f"write {record.name} to {target}")
        try:
            self._push(target, entry)
        except client.RegistryError as exc:
            self._report(target, record.digest, exc)
            return False
        except errors.ImageError as exc:
            self._screen.warn(
                f"the layer {record.digest[:12]} is not written to {target}:"
                f" {exc.message}"
            )
            return False
        return True

    def usable_sources(self) -> list[str]:
        """Return the sources that have answered, as text for an option."""
        return [
            f"{source.reference.base}/{source.reference.name}"
            for source in self.sources
            if self.is_usable(source)
        ]

    def is_usable(self, repository: client.Repository | None) -> bool:
        """Return whether a repository has answered all requests so far."""
        return repository is not None and str(repository) not in self._broken

    def list_layers(
        self, repository: client.Repository
    ) -> list[RemoteLayer]:
        """Return all layers of a repository that can be used.

        :raises RegistryError: the repository cannot be read.
        """
        return [
            layer
            for tag in repository.list_tags()
            if _DIGEST.fullmatch(tag)
            and (layer := self._find(repository, tag))
        ]

    def _find(
        self,
        repository: client.Repository,
        digest: str,
        *,
        quiet: bool = False,
    ) -> RemoteLayer | None:
        """Return a layer of a repository if it is there and trusted.

        :param quiet: an untrusted or damaged layer causes no warning.
        """
        if f"{repository} {digest}" in self._broken:
            return None
        if not self.is_usable(repository):
            return None
        try:
            try:
                manifest, data = repository.read_manifest(digest)
            except client.RegistryError as exc:
                if exc.status == 404:
                    return None
                raise
            return RemoteLayer(
                repository, self._read(repository, digest, data), manifest
            )
        except (client.RegistryError, errors.ImageError) as exc:
            if not quiet or not self._is_about_layer(exc):
                self._report(repository, digest, exc)
        return None

    def _read(
        self,
        repository: client.Repository,
        digest: str,
        data: dict[str, typing.Any],
    ) -> _cache.Record:
        """Return the record in a manifest.

        :raises ImageError: it is damaged, of another layer, or not trusted.
        """
        try:
            text = data["annotations"][_RECORD]
            (layer,) = data["layers"]
            record = _cache.Record(**bounds.decode_json(text))
            if not record.is_valid() or any(
                getattr(record, name) for name in _LOCAL
            ):
                raise ValueError("its record is not valid")
            if record.digest != digest:
                raise ValueError("it is another layer")
            if (
                layer["digest"] != f"sha256:{record.sha256}"
                or layer["size"] != record.size
                or not _DIGEST.fullmatch(record.sha256)
            ):
                raise ValueError("its archive is not that of its record")
        except oci.UNEXPECTED as exc:
            raise errors.ImageError(f"it is damaged: {exc}") from exc
        signed = data["annotations"].get(_SIGNATURE)
        key = self._verify(repository, text, signed)
        return dataclasses.replace(
            record,
            origin=str(repository),
            signed_by=key.fingerprint if key else "",
            unsigned=key is None,
            keys=[key.fingerprint] if key else [],
        )

    def _verify(
        self, repository: client.Repository, text: str, signed: typing.Any
    ) -> signature.PublicKey | None:
        """Return the trusted key that signed a record.

        :returns: None for a record without one, if that is allowed.
        :raises ImageError: it is not signed with a trusted key.
        """
        try:
            if self._trusted is None or not isinstance(signed, str):
                raise errors.ImageError("it is not signed with a trusted key")
            return self._trusted.require_signature(
                "its record", text.encode(), signed.encode(),
                signature.LAYER, where="its signature",
            )  # fmt: skip
        except errors.ImageError:
            if self._allow_unsigned:
                return None
            raise

    def _fetch(self, layer: RemoteLayer, cache: _cache.Cache) -> _cache.Entry:
        record = layer.record
        free = shutil.disk_usage(cache.layers).free - _SPARE
        if record.size > free:
            raise client.RegistryError(
                f"there is no room for its {console.size(record.size)} in"
                f" {cache.directory}"
            )
        took = record.timeline.get("seconds")
        deadline = time.monotonic() + _FETCHING
        if isinstance(took, int | float):
            deadline += took
        with cache.partial() as place:
            received = layer.repository.read_blob(
                f"sha256:{record.sha256}", record.size, deadline=deadline
            )
            try:
                with open(place / _cache.ARCHIVE, "wb") as stream:
                    for block in received:
                        stream.write(block)
                return cache.adopt(place, record)
            except OSError as exc:
                raise client.RegistryError(
                    f"{cache.directory} cannot be written: {exc.strerror}"
                ) from exc

    def _push(
        self, target: client.Repository, entry: _cache.Entry
    ) -> None:
        record = entry.record
        content = {
            name: value
            for name, value in dataclasses.asdict(record).items()
            if name not in _LOCAL
        }
        text = json.dumps(credentials.hide_all(content), sort_keys=True)
        annotations = {
            oci.TITLE: f"layer {record.name}",
            oci.CREATED: record.created,
            _RECORD: text,
        }
        if self._key is not None:
            annotations[_SIGNATURE] = self._key.sign(text, signature.LAYER)
        config = json.dumps(_make_config(entry), sort_keys=True).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": client.MANIFEST,
            "config": oci.describe(_CONFIG, config),
            "layers": [
                {
                    "mediaType": _LAYER,
                    "digest": f"sha256:{record.sha256}",
                    "size": record.size,
                }
            ],
            "annotations": annotations,
        }
        target.write_blob(
            f"sha256:{record.sha256}",
            blocks.Body(entry.archive, record.size),
        )
        target.write_blob(oci.compute_digest(config), config)
        # last, so that a layer with a tag is complete
        target.write_manifest(record.digest, json.dumps(manifest).encode())

    @staticmethod
    def _is_about_layer(exc: errors.TroveToolsError) -> bool:
        """Return whether only one layer of a repository is bad."""
        return isinstance(exc, client.DamagedError | errors.ImageError)

    def _report(
        self,
        repository: client.Repository,
        digest: str,
        exc: errors.TroveToolsError,
    ) -> None:
        """Stop using a layer or a repository, and say so once."""
        with self._lock:
            if not self.is_usable(repository):
                return
            hint = f" ({exc.hint})" if exc.hint else ""
            if self._is_about_layer(exc):
                self._broken.add(f"{repository} {digest}")
                what = f"the layer {digest[:12]} in {repository} is not used"
            else:
                self._broken.add(str(repository))
                what = f"the cache {repository} is not used any more"
        self._screen.warn(f"{what}: {exc.message}{hint}")


def _make_config(entry: _cache.Entry) -> dict[str, typing.Any]:
    """Return the configuration of the OCI image.

    :raises ImageError: the archive is damaged.
    """
    inputs = entry.record.inputs.get("inputs", {})
    return {
        "architecture": inputs.get("architecture", "unknown"),
        "os": "linux",
        "created": entry.record.created,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [_unpacked(entry.archive)]},
    }


def _unpacked(archive: pathlib.Path) -> str:
    """Return the digest of an archive's content without compression.

    :raises ImageError: the archive is damaged.
    """
    child = process.start(["zstd", "-dcq", archive], pipe=True)
    assert child.stdout is not None
    with child.stdout as stream:
        sums = digests.compute_blocks(
            iter(lambda: stream.read(1 << 20), b""), ["sha256"]
        )
    if child.wait() != 0:
        raise errors.ImageError(
            f"its archive {archive} is damaged: zstd cannot read it"
        )
    return f"sha256:{sums['sha256']}"
