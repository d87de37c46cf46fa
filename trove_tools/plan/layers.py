# SPDX-License-Identifier: Apache-2.0
"""The chain of layers that an image is built in, as plain data.

The most stable part comes first: the base system, what a runtime and the
agent need, the datastore, the agent's own code.  Each layer is one run of
diskimage-builder over the root that the layer below has left.  What a layer
holds is decided by what goes into it and by the layer below; a digest of
both is its name in the cache.
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

#: The layers' names in their order.
NAMES = ("base", "runtime", "datastore", "agent")

#: Stands for everything below a layer; see
#: :mod:`trove_tools.build.element_copies`.
BELOW = "trove-layer-below"

#: Variables with the addresses of package mirrors.
MIRROR = "DIB_DISTRIBUTION_MIRROR"
SECURITY_MIRROR = "DIB_DEBIAN_SECURITY_MIRROR"
#: What says that packages are of an earlier day, and that no file is newer.
SNAPSHOT, EPOCH = "DIB_TROVE_SNAPSHOT", "SOURCE_DATE_EPOCH"

# variables of diskimage-builder that say where something lies or how much is
# told, and those that concern the disk alone
_PLACES = {"DIB_IMAGE_CACHE", "DIB_LOCKFILES", "DIB_QUIET", "DIB_NO_TMPFS"}
_DISK = {"DIB_IMAGE_SIZE"}

# before an element's name in a layer's inputs
_ELEMENT = "element "

# counts how this package itself makes a layer: a layer of an older way is not
# used again.  2: whatever the umask of the user who builds.
_FORMAT = 2


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer, and all that decides what it holds.

    :param elements: for diskimage-builder.
    :param below: elements of the layers below whose hooks do not run again.
    :param environment: what reaches diskimage-builder.
    :param inputs: versions and digests of what takes part.
    :param places: for variables that say where something lies: what decides
        about the layer instead, such as a digest of what lies there.
    :param masked: for variables that may hold a secret: what is recorded
        in place of the value, see :mod:`trove_tools.plan.variables`.
    :param containers: what is put into the guest's image store.
    :param natives: what is installed in the guest's own system.
    :param parent: the digest of the layer below; empty for the first.
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
        """The elements whose hooks run in the layer."""
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
        """The digest of all that decides what the layer holds.

        Not of where things lie: a checkout that was moved gives the same.
        """
        content = {"format": _FORMAT, **self._recorded()}
        content["environment"].update(content.pop("places"))
        for container in content["containers"]:
            del container["path"], container["constraints"]
            if container["digest"]:
                # the same, whoever serves it
                del container["mirror"]
        content["natives"] = [
            _native.without_places(each) for each in content["natives"]
        ]
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, typing.Any]:
        """Return the layer as plain data, with its digest."""
        recorded = credentials.hide_all(self._recorded())
        return {**recorded, "digest": self.digest}

    def secrets(self) -> dict[str, str]:
        """Return the values of variables that are not recorded, by name."""
        return {name: self.environment[name] for name in self.masked}

    def _recorded(self) -> dict[str, typing.Any]:
        data = dataclasses.asdict(self)
        data["environment"].update(data.pop("masked"))
        return data


def make_layers(
    request: _request.Request,
    environment: collections.abc.Mapping[str, str],
) -> tuple[Layer, ...]:
    """Return an image's layers, the first one first.

    :param environment: all that is to reach diskimage-builder; each layer
        is given what its elements may look at, and nothing else.
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
        for each in request.choices
        for container in (each.container, each.backup)
        if container
    )
    natives = tuple(each.native for each in request.choices if each.native)
    made: list[Layer] = []
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
        made.append(
            Layer(
                name=name,
                elements=given[name],
                below=tuple(sorted(below[name])),
                environment=values,
                inputs={
                    "diskimage-builder": request.dib_version,
                    **{
                        f"{_ELEMENT}{element}": library[element].digest
                        for element in sorted(runs[name])
                    },
                },
                places=_places(request, values),
                masked=variables.mask_values(values, request.key),
                containers=containers if name == "datastore" else (),
                natives=natives if name == "datastore" else (),
                parent=made[-1].digest if made else "",
            )
        )
    return tuple(made)


def find_unread(
    inherited: collections.abc.Iterable[str],
    made: collections.abc.Iterable[Layer],
) -> tuple[str, ...]:
    """Return the user's variables that nothing in a build reads.

    :param inherited: the names of the variables that the user has set.
    :param made: the build's layers.
    """
    passed = set().union(*(layer.environment for layer in made))
    return tuple(sorted(set(inherited) - passed))


def _own_elements(
    request: _request.Request,
) -> dict[str, tuple[str, ...]]:
    """Return what each layer is there for, by where it is named."""
    runtimes = [each.runtime for each in request.choices]
    return {
        "base": (*request.guest.elements, _elements.GUEST),
        "runtime": _once(
            _elements.boot_loader(request.partition_table),
            _elements.VENV,
            *(name for each in runtimes for name in each.shared_elements),
        ),
        "datastore": _once(
            *(name for each in request.choices for name in each.elements),
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
    """Return the elements that diskimage-builder is given for a layer."""
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
    """Return the variables that a layer's run may look at.

    Those that its elements name, and those in the files that set variables
    for all layers above.
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
