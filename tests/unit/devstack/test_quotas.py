# SPDX-License-Identifier: Apache-2.0
"""Quotas are raised, and never lowered."""

import typing

from tests import base
from tests.unit.devstack import fakes
from trove_tools import errors
from trove_tools.devstack import quotas


class ParseTest(base.TestCase):
    def test_parse(self) -> None:
        self.assertEqual(
            {"instances": 30, "ram": -1},
            quotas.parse(["instances=30", "ram=-1"]),
        )

    def test_wrong(self) -> None:
        for word, said in (
            ("instance=3", "did you mean instances?"),
            ("cores", "for example"),
            ("cores=many", "for example"),
        ):
            error = self.assertRaises(errors.UsageError, quotas.parse, [word])
            self.assertIn(word, error.message)
            self.assertIn(said, error.hint or "")


class EnsureTest(base.TestCase):
    def ensure(
        self, login: fakes.Login, **limits: int
    ) -> typing.Mapping[str, int]:
        return quotas.ensure(login, "p", limits)  # type: ignore[arg-type]

    def test_only_what_is_lower(self) -> None:
        found = {"instances": 10, "cores": 90, "ram": -1}
        nova = fakes.Service({".* /os-quota-sets/p": {"quota_set": found}})
        login = fakes.Login(compute=nova)
        raised = self.ensure(login, instances=30, cores=60, ram=99)
        self.assertEqual({"instances": 30}, raised)
        self.assertEqual({"quota_set": {"instances": 30}}, nova.bodies[-1])

    def test_nothing_to_raise(self) -> None:
        nova = fakes.Service(
            {"GET /os-quota-sets/p": {"quota_set": {"cores": 90}}}
        )
        self.assertEqual({}, self.ensure(fakes.Login(compute=nova), cores=60))

    def test_unlimited(self) -> None:
        nova = fakes.Service(
            {".* /os-quota-sets/p": {"quota_set": {"cores": 90}}}
        )
        raised = self.ensure(fakes.Login(compute=nova), cores=-1)
        self.assertEqual({"cores": -1}, raised)

    def test_every_service_its_own(self) -> None:
        cinder = fakes.Service(
            {".* /os-quota-sets/p": {"quota_set": {"volumes": 10}}}
        )
        neutron = fakes.Service(
            {".* /quotas/p": {"quota": {"security_group": 10}}}
        )
        login = fakes.Login(block_storage=cinder, network=neutron)
        # there is no nova here
        raised = self.ensure(login, cores=9, volumes=30, security_group=50)
        self.assertEqual({"volumes": 30, "security_group": 50}, raised)
        self.assertEqual({"quota": {"security_group": 50}}, neutron.bodies[-1])
