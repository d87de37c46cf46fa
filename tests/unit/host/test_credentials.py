# SPDX-License-Identifier: Apache-2.0
import ddt

from tests import base
from trove_tools import errors
from trove_tools.host import credentials


@ddt.ddt
class HideTest(base.TestCase):
    @ddt.data(
        ("https://me:s3cret@h/x", "https://h/x"),
        ("git+https://t0ken@h/x@v1", "git+https://h/x@v1"),
        ("https://me:s3cr@t@h/x", "https://h/x"),
        ("https://me:s3c/ret@h/x", "https://h/x"),
        ("https://h/x?token=t0ken", "https://h/x"),
        ("https://h/x?a=b&X-Amz-Signature=1#f: 403", "https://h/x: 403"),
        ('{"u": "https://h?private_token=a\\"b"}',
         '{"u": "https://h"b"}'),
        ("see (https://h/x?a=b), and https://h/?", "see (https://h/x), and"
         " https://h/?"),
        ("rabbit://me:s3cret@h:5672//?ssl=1", "rabbit://h:5672//"),
        ("git://git@h/x and me@h:x?y", "git://git@h/x and me@h:x?y"),
        ("http://h:80/a@b", "http://h:80/a@b"),
        ("<a href='http://h/a?b'>c?</a>", "<a href='http://h/a'>c?</a>"),
    )
    @ddt.unpack
    def test_hide(self, text: str, shown: str) -> None:
        self.assertEqual(shown, credentials.hide(text))
        self.assertEqual(shown, credentials.hide(shown))

    def test_in_data(self) -> None:
        self.assertEqual(
            {"a": ["http://h", 1, None], "http://h": {"b": ["x"]}},
            credentials.hide_all(
                {"a": ["http://u@h", 1, None], "http://h?t": {"b": ("x",)}}
            ),
        )


@ddt.ddt
class RefuseTest(base.TestCase):
    @ddt.data(
        "https://me:s3cret@h", "http://s3cret@h", "git+https://s3cret@h/x",
        "socks5://me:s3cret@h", "ssh://me:s3cret@h", "http://h/x?s3cret",
    )  # fmt: skip
    def test_refused(self, address: str) -> None:
        error = self.assertRaises(
            errors.UsageError, credentials.refuse, address, "--x", "leave it"
        )
        self.assertIn("--x", error.message)
        self.assertNotIn("s3cret", f"{error.message}{error.hint}")

    @ddt.data(None, "", "http://h/a@b", "ssh://me@h", "git@h:x", "/a?b")
    def test_allowed(self, address: str | None) -> None:
        credentials.refuse(address, "--x", "")

    def test_query_of_what_no_program_gets(self) -> None:
        credentials.refuse("http://h/x?a=b", "--x", "", query=True)
