# SPDX-License-Identifier: Apache-2.0
"""Copies containers from registries, archives and OCI layouts.

This module runs skopeo, which needs no daemon.  skopeo uses the credentials
that ``skopeo login``, ``podman login`` or ``docker login`` have stored.
"""

import collections.abc
import http
import pathlib
import re
import ssl
import tarfile
import typing
import urllib.error
import urllib.parse

from trove_tools import errors
from trove_tools.host import bounds
from trove_tools.host import causes
from trove_tools.host import digests
from trove_tools.host import process
from trove_tools.sources import registry
from trove_tools.sources.container import sources
from trove_tools.sources.network import session
from trove_tools.sources.registry import oci

#: Seconds to wait for a registry's answer.
_TIMEOUT = 5.0
_POLICY = pathlib.Path("/etc/containers/policy.json")

# patterns of skopeo's messages, their meanings, and the remedies
_MEANINGS = (
    (
        r"HTTP response to HTTPS client",
        "the registry speaks plain HTTP",
        "where that is meant, give --registry-mirror http://HOST[:PORT]",
    ),
    (
        r"the proxy \S+ (cannot be reached|refuses)|proxyconnect",
        "the proxy for it does not serve",
        causes.PROXY,
    ),
    (
        r"x509: certificate (signed by unknown authority|is not trusted)",
        "its certificate is not trusted",
        causes.CERTIFICATE,
    ),
    (
        r"connection refused|no such host|i/o timeout|dial tcp|"
        r"network is unreachable|context deadline exceeded|"
        r"pinging container registry",
        "the registry cannot be reached",
        "check the network; give --registry-mirror, or the container itself"
        " with --container-source archive:PATH or oci:PATH",
    ),
    (
        r"no image found in (manifest list|image index)|"
        r"no matching .* in the manifest list",
        "it is not made for {arch}",
        "give --arch, or another source with --container-source",
    ),
    (
        r"unauthorized|authentication required|denied|forbidden",
        "the registry wants to know who asks",
        "log in with `skopeo login`; REGISTRY_AUTH_FILE names another file",
    ),
    (
        r"manifest unknown|name unknown|not found|does not exist|"
        r"no descriptor found|StatusCode: 404",
        "there is no such image",
        "check the version, --registry-mirror, and with --locked the digest",
    ),
)


class Image(typing.NamedTuple):
    """An image that skopeo can copy.

    :param transport: skopeo's name of the image, such as ``docker://...``.
    :param digest: the digest of the manifest in a registry, or the image's id.
    :param config: the image's configuration.
    """

    transport: str
    digest: str
    config: dict[str, typing.Any]


def find(container: sources.Container, arch: str) -> Image:
    """Find a container's image, and check its digest, version and arch.

    :raises BuildError: there is no such image, or it is not the wanted one.
    """
    transport = _transport(container)
    raw = _inspect(container, transport, arch, "--raw")
    digest = oci.compute_digest(raw.encode())
    if container.source == "registry":
        digests.require(
            container.reference,
            digest,
            container.digest,
            "somebody changed what the tag names; if that is meant, write the"
            " lock file anew with --lock",
            said="the lock file",
        )
        # copy the image that was checked, even if the tag changes meanwhile
        transport = f"{transport.rpartition(':')[0]}@{digest}"
    text = _inspect(container, transport, arch, "--config", "--raw")
    if container.source != "registry":
        digest = oci.compute_digest(text.encode())
    try:
        config: dict[str, typing.Any] = bounds.decode_json(text)
        _check(container, config, arch)
    except oci.UNEXPECTED as exc:
        raise errors.BuildError(
            f"the configuration of {container.names[0]} makes no sense: {exc}",
            hint="name another image of a container",
        ) from exc
    return Image(transport, digest, config)


def unreachable(image: str, mirror: str | None) -> str:
    """Return why a registry does not answer; empty if it answers.

    :param image: the image's name, which begins with the registry's host.
    :param mirror: the registry to use instead, or None.
    """
    host = image.partition("/")[0]
    parts = urllib.parse.urlsplit(_url(mirror or registry.HUB.get(host, host)))
    # https://distribution.github.io/distribution/spec/api/#api-version-check
    url = f"{parts.scheme}://{parts.netloc}/v2/"
    try:
        session.open_url(url, _TIMEOUT).close()
    except urllib.error.HTTPError as exc:
        if exc.code == http.HTTPStatus.UNAUTHORIZED:
            return ""
        reason = f"{exc.code} {exc.reason}"
    except OSError as exc:
        cause = getattr(exc, "reason", exc)
        # skopeo may trust other certificate authorities
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ""
        reason = getattr(cause, "strerror", None) or str(cause)
    else:
        return ""
    return f"the registry {parts.netloc} does not answer ({reason})"


def copy(
    container: sources.Container, image: Image, file: pathlib.Path, arch: str
) -> None:
    """Write an image as an archive for ``docker load``.

    :param file: the archive to write.
    :raises BuildError: the image cannot be copied.
    """
    first, *more = container.names
    _run(
        container, arch, "copy", "--quiet", *_tls(container, "--src-"),
        *(f"--additional-tag={name}" for name in more),
        image.transport, f"docker-archive:{file}:{first}",
    )  # fmt: skip


def _transport(container: sources.Container) -> str:
    if container.source == "registry":
        reference = container.reference
        if container.mirror:
            host = urllib.parse.urlsplit(_url(container.mirror))
            path = reference.partition("/")[2]
            place = f"{host.netloc}{host.path}".rstrip("/")
            reference = f"{place}/{path}"
        return f"docker://{reference}"
    if container.source == "oci":
        try:
            file = pathlib.Path(container.path, "index.json")
            return _oci("oci", container, bounds.read_json(file))
        except oci.UNEXPECTED as exc:
            raise _no_image(container, f"index.json: {exc}") from exc
    return _archive(container)


def _url(mirror: str) -> str:
    return mirror if "://" in mirror else f"https://{mirror}"


def _archive(container: sources.Container) -> str:
    """Return skopeo's name of the container's image in an archive.

    :raises BuildError: the archive does not contain the image.
    """
    try:
        with tarfile.open(container.path) as archive:
            for name in ("manifest.json", "index.json"):
                try:
                    stream = archive.extractfile(name)
                except KeyError:
                    continue
                if stream is None:
                    break
                listed = bounds.decode_json(stream.read())
                if name == "index.json":
                    return _oci("oci-archive", container, listed)
                return _docker(container, listed)
    except (tarfile.TarError, OSError, EOFError, *oci.UNEXPECTED) as exc:
        raise _no_image(container, str(exc)) from exc
    raise _no_image(container, "it has neither manifest.json nor index.json")


def _docker(container: sources.Container, listed: typing.Any) -> str:
    names = [name for each in listed for name in each.get("RepoTags") or ()]
    name = _of_version(container, names, len(listed))
    # an archive that skopeo has written may have no names
    return f"docker-archive:{container.path}" + (f":{name}" if name else "")


def _oci(kind: str, container: sources.Container, index: typing.Any) -> str:
    manifests = index.get("manifests", []) if isinstance(index, dict) else []
    names = [
        each["annotations"]["org.opencontainers.image.ref.name"]
        for each in manifests
        if "org.opencontainers.image.ref.name" in each.get("annotations", {})
    ]
    name = _of_version(container, names, len(manifests))
    return f"{kind}:{container.path}" + (f":{name}" if name else "")


def _of_version(
    container: sources.Container, names: list[str], images: int
) -> str:
    """Return the name of the image with the wanted version.

    :param names: the names of all images in the archive, with tags.
    :param images: the number of images; a single image needs no name.
    """
    wanted = [
        name
        for name in names
        if name.rpartition(":")[2] == container.version
    ]
    # for --together, an archive may have images of several datastores
    last = {name.rpartition("/")[2] for name in container.names}
    fitting = [n for n in wanted if n.rpartition("/")[2] in last] or wanted
    if fitting:
        return fitting[0]
    if images == 1 and not names:
        return ""
    raise errors.BuildError(
        f"{container.path} has no {container.datastore}"
        f" {container.version}, but {', '.join(sorted(names)) or 'nothing'}",
        hint="ask for the version it has, or tag the image"
        f" {container.names[0]} before it is saved",
    )


def _check(
    container: sources.Container, config: dict[str, typing.Any], arch: str
) -> None:
    where = container.reference or container.path
    if config.get("architecture") != arch:
        raise errors.BuildError(
            f"{where} is made for {config.get('architecture')}, not {arch}",
            hint="take an image of the guest's architecture, or give --arch",
        )
    found = version_in(config, container.variable)
    if found and not re.match(rf"{re.escape(container.version)}(\b|$)", found):
        raise errors.BuildError(
            f"{where} holds {container.datastore} {found}, not"
            f" {container.version}",
            hint="ask for the version it has, or take another image",
        )


def version_in(
    config: collections.abc.Mapping[str, typing.Any], variable: str
) -> str:
    """Return the version in an image's environment; empty if unknown."""
    for entry in config.get("config", {}).get("Env") or ():
        name, _, value = entry.partition("=")
        if name == variable:
            # Debian's versions have an epoch
            return str(value).rpartition(":")[2]
    return ""


def _inspect(
    container: sources.Container, transport: str, arch: str, *options: str
) -> str:
    return _run(
        container, arch, "inspect", *options, *_tls(container), transport
    )


def _tls(container: sources.Container, prefix: str = "--") -> list[str]:
    """Return skopeo's option for plain HTTP, if the mirror's URL has it."""
    if container.source == "registry" and container.mirror.startswith("http:"):
        return [f"{prefix}tls-verify=false"]
    return []


def _run(container: sources.Container, arch: str, *argv: str) -> str:
    process.require("skopeo")
    # skopeo fails without a policy file; digests protect the images
    policy = [] if _POLICY.exists() else ["--insecure-policy"]
    try:
        return process.run(
            ["skopeo", *policy, "--override-os=linux",
             f"--override-arch={arch}", *argv]
        ).stdout  # fmt: skip
    except errors.CommandError as exc:
        raise _explain(container, exc.output, arch) from exc


def _explain(
    container: sources.Container, output: str, arch: str
) -> errors.BuildError:
    said = re.findall(r'msg="(.*)"', output)
    text = (said[-1] if said else output.strip()).replace('\\"', '"')
    where = container.reference or container.path
    if container.source == "registry":
        if container.mirror:
            where += f" (from {container.mirror})"
        for sign, meaning, remedy in _MEANINGS:
            if re.search(sign, text, re.IGNORECASE):
                meaning = meaning.format(arch=arch)
                return errors.BuildError(
                    f"{where}: {meaning}\n  | {text}", hint=remedy
                )
        return errors.BuildError(f"{where} cannot be had\n  | {text}")
    if re.search(r"no image found in", text):
        return errors.BuildError(f"{where} has no image for {arch}")
    return _no_image(container, text)


def _no_image(container: sources.Container, why: str) -> errors.BuildError:
    return errors.BuildError(
        f"{container.path} is no container image: {why}",
        hint="an archive is what `docker save`, `podman save` or `skopeo"
        " copy` write; an OCI layout is a directory with index.json",
    )
