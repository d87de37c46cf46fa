# SPDX-License-Identifier: Apache-2.0
"""The layers that an image is built in, as plain data.

The layer that changes least often comes first: the base system, then the
requirements of the runtime and the agent, the datastore, and the agent's code.
Each layer is one run of diskimage-builder on the root file system of the layer
below.  The content of a layer depends on its inputs and on the layer below;
its name in the cache is a digest of both.
"""

import collections.abc
import dataclasses
import hashlib
import json
import typing

from trove_tools.host import credentials
from trove_tools.plan import elements as _elements
from trove_tools.plan import request as _request
from trove_tools.plan import variables
from trove_tools.sources.container import sources as _container
from trove_tools.sources.native import sources as _native

#: The names of the layers, in the order of building.
NAMES = ("base", "runtime", "datastore", "agent")

#: The element that represents all layers below; see
#: :mod:`trove_tools.build.inputs`.
BELOW = "trove-layer-below"

#: Variables with the addresses of package mirrors.
MIRROR = "DIB_DISTRIBUTION_MIRROR"
SECURITY_MIRROR = "DIB_DEBIAN_SECURITY_MIRROR"
#: Variables with the date of the packages, and with the latest time of files.
SNAPSHOT, EPOCH = "DIB_TROVE_SNAPSHOT", "SOURCE_DATE_EPOCH"

# variables of diskimage-builder with a path or a verbosity; and a variable
# that affects only the disk
_PLACES = {"DIB_IMAGE_CACHE", "DIB_LOCKFILES", "DIB_QUIET", "DIB_NO_TMPFS"}
_DISK = {"DIB_IMAGE_SIZE"}

# the prefix of an element's name in a layer's inputs
_ELEMENT = "element "

# the version of this package's own steps in a layer; cached layers of another
# version are not used.  Since 2, a layer does not depend on the user's umask.
_FORMAT = 2


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer, and all that its content depends on.

    :param name: one of :data:`NAMES`.
    :param elements: the elements for diskimage-builder's command line.
    :param below: elements of the layers below whose hooks do not run again.
    :param environment: variables for diskimage-builder.
    :param inputs: diskimage-builder's version, the architecture, and the
        elements' digests.
    :param places: for variables with a path: the value that replaces the
        path in the digest, such as a digest of the file.
    :param masked: for variables that may hold a secret: the text that is
        recorded instead, see :mod:`trove_tools.plan.variables`.
    :param containers: the containers for the guest's image store.
    :param natives: the datastores that are installed in the guest system.
    :param parent: the digest of the layer below; empty for the first layer.
    """

    name: str
    elements: tuple[str, ...]
    below: tuple[str, ...]
    environment: dict[str, str]
    inputs: dict[str, str]
    places: dict[str, str]
    masked: dict[str, str] = dataclasses.field(default_factory=dict)
    containers: tuple[_container.Container, ...] = ()
    natives: tuple[_native.Native, ...] = ()
    parent: str = ""

    @property
    def runs(self) -> tuple[str, ...]:
        """The names of the elements whose hooks run in the layer."""
        return tuple(
            name.removeprefix(_ELEMENT)
            for name in self.inputs
            if name.startswith(_ELEMENT)
        )

    def element(self, name: str) -> str:
        """Return the digest of an element whose hooks run in the layer."""
        return self.inputs[f"{_ELEMENT}{name}"]

    @property
    def digest(self) -> str:
        """The digest of all that the layer's content depends on.

        Paths are excluded: moving a checkout does not change the digest.
        """
        content = {"format": _FORMAT, **self._recorded()}
        content["environment"].update(content.pop("places"))
        for container in content["containers"]:
            del container["path"], container["constraints"]
            if container["digest"]:
                # the content with a digest is the same on every mirror
                del container["mirror"]
        content["natives"] = [
            _native.without_places(native) for native in content["natives"]
        ]
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, typing.Any]:
        """Return the layer as plain data, with its digest."""
        recorded = credentials.hide_all(self._recorded())
        return {**recorded, "digest": self.digest}

    def secrets(self) -> dict[str, str]:
        """Return the variables whose values may be secret, with values."""
        return {name: self.environment[name] for name in self.masked}

    def _recorded(self) -> dict[str, typing.Any]:
        data = dataclasses.asdict(self)
        data["environment"].update(data.pop("masked"))
        return data


def make_layers(
    request: _request.Request,
    environment: collections.abc.Mapping[str, str],
) -> tuple[Layer, ...]:
    """Return an image's layers, in the order of building.

    :param environment: all variables for diskimage-builder; each layer gets
        only those that its elements may read.
    """
    library = request.library
    own = _own_elements(request)
    given = {name: _given(request, name, own[name]) for name in NAMES}
    runs: dict[str, set[str]] = {}
    below: dict[str, set[str]] = {}
    done: set[str] = set()
    settled: set[str] = set()
    for name in NAMES:
        runs[name] = _elements.reach(given[name], library, without=settled)
        below[name] = done - runs[name]
        done |= runs[name]
        settled.update(own[name])
    seen = {
        name: _variables(library, runs[name], below[name]) for name in NAMES
    }
    anywhere = set().union(*seen.values())
    everywhere = request.core_variables | {EPOCH}
    containers = tuple(
        container
        for choice in request.choices
        for container in (choice.container, choice.backup)
        if container
    )
    natives = tuple(
        choice.native for choice in request.choices if choice.native
    )
    layers: list[Layer] = []
    for name in NAMES:
        values = {
            variable: value
            for variable, value in environment.items()
            if (
                _elements.reads(seen[name], variable)
                or (
                    variable in everywhere
                    and not _elements.reads(anywhere, variable)
                )
            )
            and (name == NAMES[-1] or variable not in _DISK)
        }
        layers.append(
            Layer(
                name=name,
                elements=given[name],
                below=tuple(sorted(below[name])),
                environment=values,
                inputs={
                    "diskimage-builder": request.dib_version,
                    "architecture": request.arch,
                    **{
                        f"{_ELEMENT}{element}": library[element].digest
                        for element in sorted(runs[name])
                    },
                },
                places=_places(request, values),
                masked=variables.mask_values(values, request.key),
                containers=containers if name == "datastore" else (),
                natives=natives if name == "datastore" else (),
                parent=layers[-1].digest if layers else "",
            )
        )
    return tuple(layers)


def find_unread(
    inherited: collections.abc.Iterable[str],
    layers: collections.abc.Iterable[Layer],
) -> tuple[str, ...]:
    """Return the user's variables that no layer reads.

    :param inherited: the names of the variables that the user has set.
    :param layers: the layers of the build.
    """
    passed = set().union(*(layer.environment for layer in layers))
    return tuple(sorted(set(inherited) - passed))


def _own_elements(
    request: _request.Request,
) -> dict[str, tuple[str, ...]]:
    """Return the elements that provide each layer's content, by layer."""
    runtimes = [choice.runtime for choice in request.choices]
    return {
        "base": (*request.guest.elements, _elements.GUEST),
        "runtime": _once(
            _elements.boot_loader(request.partition_table),
            _elements.VENV,
            *(
                name
                for runtime in runtimes
                for name in runtime.shared_elements
            ),
        ),
        "datastore": _once(
            *(name for choice in request.choices for name in choice.elements),
            *((_elements.LOCAL_MANIFESTS,) if request.local_manifests else ()),
            *request.further_elements,
        ),
        "agent": (
            _elements.AGENT,
            *((_elements.DEV,) if request.dev_key else ()),
            *((_elements.GUEST_CA,) if request.guest_ca.files else ()),
            *((_elements.UPGRADES,) if request.unattended_upgrades else ()),
        ),
    }


def _given(
    request: _request.Request, name: str, own: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the elements for diskimage-builder's command line.

    :param name: the layer.
    :param own: the elements that provide the layer's content.
    """
    first = () if name == NAMES[0] else (
        BELOW, _elements.ROOT, *request.guest.package_elements,
    )  # fmt: skip
    if name != NAMES[-1]:
        return (
            *first, *own, _elements.NETWORK, _elements.CLEAN, _elements.END,
        )  # fmt: skip
    refresh = [_elements.REFRESH] if request.refresh_packages else []
    return (
        *first, *own, *refresh, _elements.NETWORK, _elements.CLEAN,
        *_elements.FINISH, _elements.disk(request.partition_table),
    )  # fmt: skip


def _once(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _variables(
    library: _elements.Library,
    runs: collections.abc.Iterable[str],
    below: collections.abc.Iterable[str],
) -> set[str]:
    """Return the variables that diskimage-builder may read for a layer.

    These are the variables that the layer's elements contain, and those in
    the ``environment.d`` files of the layers below.

    :param runs: the elements whose hooks run in the layer.
    :param below: the other elements of the layers below.
    """
    return set().union(
        *(library[name].variables for name in runs),
        *(library[name].exports for name in below),
    )


def _places(
    request: _request.Request, values: collections.abc.Mapping[str, str]
) -> dict[str, str]:
    known = {
        **dict.fromkeys(_PLACES, ""),
        **request.agent.places(),
        **request.guest_ca.places(),
    }
    return {
        name: content for name, content in known.items() if name in values
    }
