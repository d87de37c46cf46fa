# SPDX-License-Identifier: Apache-2.0
"""Defines the levels of verification, and selects what each level checks.

``boot``: the image boots, and systemd starts all services.  ``datastore``: a
datastore that the image itself starts answers.  ``agent``: Trove's own guest
agent makes an instance of a datastore.  ``life``: Trove runs the later
operations of an instance.
"""


from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.catalog import model
from trove_tools.verify import subject as _subject

BOOT, DATASTORE, AGENT, LIFE = "boot", "datastore", "agent", "life"
#: The levels at which Trove makes instances.
WITH_TROVE = (AGENT, LIFE)

#: The hint for an image that the agent cannot verify.
_WITHOUT_AGENT = "verify it as a client does: --level datastore"

#: The runtime of the datastores that Trove's agent starts.
_RUNTIME = "container"


def choose_level(known: manifest.Manifest | None, asked: str | None) -> str:
    """Return the level at which to verify an image.

    :param known: the image's manifest, if it has one.
    :param asked: the level that the user named, if any.
    :raises UsageError: the image cannot be verified at this level.
    """
    native = known is not None and any(
        datastore.runtime != _RUNTIME for datastore in known.datastores
    )
    if asked is None:
        managed = known is not None and all(
            datastore.manager for datastore in known.datastores
        )
        asked = AGENT if managed and not native else DATASTORE
    if asked in WITH_TROVE and native:
        raise errors.UsageError(
            "Trove's guest agent runs datastores in containers; those of"
            " this image are installed in its system",
            hint=_WITHOUT_AGENT,
        )
    return asked


def list_instances(
    catalog: model.Catalog,
    known: manifest.Manifest | None,
    datastore: str | None,
) -> list[_subject.Datastore]:
    """Return the datastores of which Trove's agent makes instances.

    :param datastore: the only datastore to return; without a manifest, the
        datastore that the image contains.
    :raises UsageError: neither a manifest nor the user names a datastore,
        Trove has no manager for it, or the image does not contain it.
    :raises ImageError: the image was built for another series of Trove.
    """
    if known is not None:
        _check_series(catalog, known)
        names = [entry.name for entry in known.datastores]
        if datastore is not None and datastore not in names:
            raise errors.UsageError(
                f"the image has no {datastore}",
                hint=f"its manifest names {', '.join(names)}",
            )
        return [
            _instance(
                catalog,
                entry.name,
                entry.version,
                _container(entry),
                _container(entry, backup=True),
                isolated=known.starts_isolated,
            )
            for entry in known.datastores
            if datastore in (None, entry.name)
        ]
    entry = _find_datastore(catalog, datastore)
    return [_instance(catalog, entry.name, entry.default_version, "")]


def list_probes(
    catalog: model.Catalog,
    known: manifest.Manifest | None,
    datastore: str | None,
) -> dict[str, model.Health]:
    """Return the probes of an image's datastores, by datastore.

    :param known: the image's manifest, which lists its datastores.
    :param datastore: the image's datastore, if there is no manifest.
    :raises UsageError: there is no manifest, and no datastore is named.
    """
    if known is not None:
        return {
            entry.name: catalog.datastore(entry.name).health(
                entry.runtime, entry.version
            )
            for entry in known.datastores
        }
    entry = _find_datastore(catalog, datastore)
    return {entry.name: entry.health(None, entry.default_version)}


def _find_datastore(
    catalog: model.Catalog, name: str | None
) -> model.Datastore:
    """Return the datastore of an image without a manifest.

    :raises UsageError: no datastore was named, or it is unknown.
    """
    if name is None:
        raise errors.UsageError(
            "the image has no manifest that names its datastores",
            hint="name its datastore: --datastore NAME; known datastores:"
            f" {', '.join(sorted(catalog.datastores))}",
        )
    return catalog.datastore(name)


def _check_series(catalog: model.Catalog, known: manifest.Manifest) -> None:
    built = known.series.get("trove")
    if built is not None and built != catalog.series.trove:
        raise errors.ImageError(
            f"the image was built for Trove {built}; this release verifies"
            f" with Trove {catalog.series.trove}",
            hint="use the release of its series, or build it again",
        )


def _container(entry: manifest.Datastore, backup: bool = False) -> str:
    """Return a container's name without its tag, as a cloud configures it.

    :param backup: whether to return the container that takes backups, and
        not the datastore's.
    :returns: the name; empty if the manifest names none, because Trove has a
        default.
    """
    for container in entry.containers:
        if container.backup != backup:
            continue
        for reference in container.names:
            name, _, tag = reference.rpartition(":")
            if tag == entry.version:
                return name
    return ""


def _instance(
    catalog: model.Catalog,
    name: str,
    version: str,
    container: str,
    backup: str = "",
    isolated: bool = False,
) -> _subject.Datastore:
    entry = catalog.datastore(name)
    if entry.manager is None:
        raise errors.UsageError(
            f"this series of Trove has no manager for {name}",
            hint=_WITHOUT_AGENT,
        )
    health = entry.runtime().health
    return _subject.Datastore(
        name, version, entry.manager, container, health.protocol, health.port,
        backup, isolated,
    )  # fmt: skip
