# SPDX-License-Identifier: Apache-2.0
"""A build matrix: who builds a layer first, and who waits for it."""

import types
import typing

from tests import base
from tests.unit.plan import samples
from trove_tools.build import cache as _cache
from trove_tools.build import forecast
from trove_tools.plan import plan as _plan


def make_plan(name: str, **changes: typing.Any) -> _plan.Plan:
    choices = (samples.a_choice(name),)
    return _plan.make(
        samples.a_request(name=name, choices=choices, **changes)
    )


class Fake:
    """A registry that has some layers and images."""

    def __init__(self, *digests: str) -> None:
        self.digests = digests

    def find(self, what: typing.Any, cache: object = None) -> object:
        digest = what if isinstance(what, str) else what.digest()
        return types.SimpleNamespace() if digest in self.digests else None


class MatrixTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cache = _cache.Cache(self.temp_dir())
        self.output = self.temp_dir()
        self.plans = [
            make_plan("mariadb"), make_plan("postgresql"),
            make_plan("mysql", arch="arm64"),
        ]  # fmt: skip

    def matrix(self, **sources: typing.Any) -> list[forecast.Forecast]:
        return forecast.Forecaster(
            self.cache, self.output, **sources
        ).make_forecasts(self.plans)

    def test_nothing_is_there(self) -> None:
        one, two, three = self.matrix()
        self.assertEqual({"base", "runtime", "datastore"}, set(one.layers))
        self.assertEqual({forecast.BUILT}, set(one.layers.values()))
        self.assertEqual(((), ("mariadb",), ()),
                         (one.needs, two.needs, three.needs))  # fmt: skip
        typical = forecast.TYPICAL
        self.assertEqual(sum(typical.values()), one.seconds)
        self.assertEqual(typical["datastore"] + typical["agent"], two.seconds)
        self.assertEqual(one.seconds, three.seconds)

    def test_registry_has_layers(self) -> None:
        runtime = self.plans[0].layers[1].digest
        one, two, three = self.matrix(remote=Fake(runtime))
        self.assertEqual(
            {"base": forecast.UNUSED, "runtime": forecast.REGISTRY,
             "datastore": forecast.BUILT},
            one.layers,
        )  # fmt: skip
        self.assertEqual(((), ()), (one.needs, two.needs))
        self.assertEqual(one.seconds, two.seconds)
        self.assertLess(one.seconds, three.seconds)

    def test_registry_has_an_image(self) -> None:
        one, two, _ = self.matrix(shared=Fake(self.plans[0].digest()))
        self.assertEqual(forecast.REGISTRY, one.image)
        self.assertEqual(0, one.seconds)
        # who would have built the layers for it does not build them
        self.assertEqual((), two.needs)
        self.assertEqual(sum(forecast.TYPICAL.values()), two.seconds)

    def test_cache(self) -> None:
        layer = self.plans[1].layers[2]
        with self.cache.partial() as place:
            (place / _cache.ARCHIVE).write_bytes(b"x")
            self.cache.put(
                place, name=layer.name, digest=layer.digest,
                inputs=layer.as_dict(), facts={}, timeline={"seconds": 7},
            )  # fmt: skip
        one, two, _ = self.matrix()
        self.assertEqual(forecast.CACHE, two.layers["datastore"])
        self.assertEqual((), two.needs)
        self.assertEqual(("agent",), two.guessed)
        self.assertEqual(
            {"image_in": "build", "seconds": 75 + 45 + 7 + 35, "needs": [],
             "layers_in": dict.fromkeys(
                 ("base", "runtime", "datastore"), "build")},
            one.as_dict(),
        )  # fmt: skip
