# SPDX-License-Identifier: Apache-2.0
"""Finds keys, tokens and passwords in the content of files.

Secrets are recognized by the content of a file, or by its name if the content
has no particular form. Each function reports the kind of a secret, but not the
secret itself: a report may be pasted anywhere.
"""

import base64
import binascii
import bz2
import collections.abc
import gzip
import io
import lzma
import re
import typing

from trove_tools.host import credentials
from trove_tools.inspection import provenance
from trove_tools.inspection import rootfile

#: The kinds of findings.
KEY, CREDENTIALS = "private key", "credentials"

Secrets = collections.abc.Iterator[tuple[str, str]]

#: The number of bytes to read from a compressed file.
_UNPACKED = 128 * 1024 * 1024
_LEVELS = 2


class _Pattern(typing.NamedTuple):
    """A secret that has a known form.

    :param anchors: texts, one of which every such secret contains; searching
        for these first is ten times as fast as the expression.
    """

    kind: str
    what: str
    anchors: tuple[bytes, ...]
    expression: re.Pattern[bytes]


# every library that reads such keys contains the marker alone; in JSON and
# shell scripts, a line ends with a backslash and a letter
_PEM = _Pattern(
    KEY, "a private key",
    (b"PRIVATE KEY",),
    re.compile(
        rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
        rb"(?:\s|\\+[nr])+(?:Proc-Type|Version|Comment|[A-Za-z0-9+/=]{20})"
    ),
)  # fmt: skip

#: Secrets that are searched for in all files, not only in text.
_ANYWHERE = (
    _PEM,
    _Pattern(
        KEY, "a private key of PuTTY",
        (b"PuTTY-User-Key-File-",),
        re.compile(rb"(?m)^Private-Lines: ?\d"),
    ),
    _Pattern(
        KEY, "a private key of age",
        (b"AGE-SECRET-KEY-1",),
        re.compile(rb"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    ),
    _Pattern(
        KEY, "a private JSON web key",
        (b'"kty"',),
        re.compile(
            # a match ends before the next such name, so that the same text
            # is not searched again for each name
            rb'"kty"(?:(?!"kty")[^{}]){0,4000}"[dk]"\s*:\s*"[\w-]{16,}"'
            rb'|"[dk]"\s*:\s*"[\w-]{16,}"(?:(?!"[dk]"\s*:)[^{}]){0,4000}"kty"'
        ),
    ),
    _Pattern(
        KEY, "a private key of WireGuard",
        (b"PrivateKey", b"PresharedKey"),
        re.compile(rb"(?:PrivateKey|PresharedKey)\s*=\s*[A-Za-z0-9+/]{43}="),
    ),
    _Pattern(
        CREDENTIALS, "an access key of AWS",
        (b"AKIA", b"ASIA"),
        re.compile(rb"(?<![A-Z0-9/+])A[KS]IA[A-Z2-7]{16}(?![A-Z0-9/+])"),
    ),
    _Pattern(
        CREDENTIALS, "a token of a code hosting service",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_",
         b"glpat-"),
        re.compile(
            rb"(?<!\w)(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}"
            rb"|glpat-[\w-]{20})"
        ),
    ),
    _Pattern(
        CREDENTIALS, "a token of a package index",
        (b"npm_", b"pypi-AgE"),
        re.compile(
            rb"(?<!\w)(?:npm_[A-Za-z0-9]{36}(?!\w)|pypi-AgE[\w-]{50,})"
        ),
    ),
    _Pattern(
        CREDENTIALS, "a token of a web service",
        (b"xoxb-", b"xoxp-", b"xoxa-", b"xoxs-", b"AIza", b"_live_"),
        re.compile(
            rb"(?<!\w)(?:xox[abps]-\d[\w-]{20,}|AIza[\w-]{35}(?!\w)"
            rb"|[rs]k_live_[A-Za-z0-9]{24})"
        ),
    ),
)  # fmt: skip

# base64 of the marker of a PEM file: it encodes three bytes at a time, and the
# marker may begin with the first, the second or the third of them
_ENCODED = tuple(
    base64.b64encode(b"-----BEGIN "[skip:])[:12] for skip in (0, 1, 2)
)

#: ``NAME = VALUE`` in its many forms, if NAME says that VALUE is secret. The
#: match begins with this part of NAME, which makes searching long texts fast.
_ASSIGNED = re.compile(
    rb"(?i)(?<!no)(?:pass(?:word|wd|phrase)|pwd|secret|token|api[_-]?key"
    rb"|access[_-]?key|psk|credentials?)(?P<more>[\w.-]{0,40})"
    rb"[\"']?[ \t]{0,40}(?:=|:[ \t]|:(?=[\"']))[ \t]{0,40}(?P<quote>[\"']?)"
    rb"(?P<value>[^\s\"',;#)\]}]{1,200})"
)
# a reference to another value, a file's path, or a word such as "none"
_NO_VALUE = re.compile(
    rb"(?i)[$%<{(/*!\[\\|&>@=]|(?:true|false|yes|no|none|null|required|optional"
    rb"|sufficient|files|auto|prompt|default|enabled?|disabled?|required:"
    rb"|on|off|string|str|int|bool)\b"
)
_NO_SECRET_NAME = re.compile(
    rb"(?i)(?:file|path|type|ttl|length|min|max|encryption|command)$"
)
_MACHINE = re.compile(
    rb"(?im)^[ \t]*(?:machine\s+\S+|default)(?:\s+\w+\s+\S+){0,4}?"
    rb"\s+password\s+\S"
)
_HEADER = re.compile(
    rb"(?i)authorization:\s*(?:basic|bearer|token)\s+(?![$%{<])\S{8}"
)
_DOCKER_AUTH = re.compile(rb'"auth"\s*:\s*"[A-Za-z0-9+/]{8,}={0,2}"')
_NPM_AUTH = re.compile(rb"(?m):_(?:authToken|password|auth)\s*=\s*(?!\$)\S{4}")
_HASH = re.compile(
    rb"(?<![\w$])\$(?:1|2[abxy]|5|6|7|y|gy|apr1)\$[./\w$=,]{8,}"
    rb"|\{S?SHA\}[A-Za-z0-9+/=]{20}"
)
_ON_COMMAND_LINE = re.compile(
    rb"\b(?:mysql|mariadb|mysqldump|sshpass|curl)\b[^\n]{0,500}?"
    rb"\s(?:-p\S{4}|--password=\S|-u\s+\S+:\S)"
)
_IN_URLS = (
    (credentials.PASSWORD_IN_FILE, "a password in a URL"),
    (credentials.TOKEN_IN_FILE, "a token in a URL"),
)
#: Patterns of passwords in the text of a configuration.
_IN_TEXT = (
    *_IN_URLS,
    (_MACHINE, "a password for a host"),
    (_HEADER, "an authorization header"),
    (_DOCKER_AUTH, "a registry's password"),
    (_NPM_AUTH, "a package index's password"),
    (_HASH, "the hash of a password"),
    (_ON_COMMAND_LINE, "a password on a command line"),
)
_GRUB_PASSWORD = re.compile(
    rb"(?m)^[ \t]*password(?:_pbkdf2)?[ \t]+\S+[ \t]+\S"
)
_CHPASSWD = re.compile(rb"(?m)^[ \t]*chpasswd[ \t]*:\s*+(?!null|\{\})")

#: The names of files that contain only secrets, in any form.
_NAMES = re.compile(
    r"[._]netrc.*|\.pgpass|\.git-credentials|\.?vault[_-]pass(?:word)?(\..*)?"
    r"|\.\w+_history|clouds\.ya?ml|secure\.ya?ml|guest_info\.conf"
    r"|trove-guestagent\.conf|.*\.keytab|dropbear_\w+_host_key|\.?htpasswd"
)
_PLACES = (
    (re.compile(r"etc/trove/conf\.d/."), "the configuration of one cloud"),
    (
        re.compile(r"var/lib/cloud/(?:seed|instances?)/."),
        "what a cloud gave one guest",
    ),
)
#: Files that only packages write: the shipped files are not configuration, and
#: generated files name settings, but not their values; and Docker's lists of
#: the files of a layer.
_OF_PACKAGES = re.compile(
    r"usr/(?!local/)|boot/grub/[\w-]+/|var/lib/dpkg/"
    r"|var/lib/docker/image/overlay2/layerdb/"
    r"|var/cache/debconf/templates\.dat"
)
#: :mod:`trove_tools.inspection.logins` checks these files of accounts.
_ACCOUNTS = re.compile(r"etc/(?:passwd|shadow|group|gshadow)-?")

# ITU-T X.690 (DER); RFC 8017 A.1.2, RFC 5208 5 and 6, RFC 5915 3, RFC 7292 4
_LENGTH = rb"(?:\x82..|\x81.|[\x01-\x7f])"
_DER = (
    (rb"\x02\x01\x00\x02" + _LENGTH, "a private key"),
    (rb"\x02\x01[\x00\x01]\x30" + _LENGTH + rb"\x06", "a private key"),
    (rb"\x02\x01\x01\x04[\x1c\x20\x30\x42]", "a private key"),
    (rb"\x30" + _LENGTH + rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05",
     "an encrypted private key"),
    (rb"\x02\x01\x03\x30" + _LENGTH + rb"\x06\x09\x2a\x86\x48",
     "a store of private keys (PKCS#12)"),
)  # fmt: skip
_BINARY = tuple(
    (re.compile(rb"\x30" + _LENGTH + form, re.DOTALL), what)
    for form, what in _DER
)
# Java stores the certificates of authorities in this format
_JAVA = "etc/ssl/certs/java/cacerts"
# core(5), mkswap(8)
_CORE = re.compile(rb"\x7fELF[\x01\x02](?:\x01.{10}\x04\0|\x02.{10}\0\x04)",
                   re.DOTALL)  # fmt: skip
_SWAP, _SWAP_OFFSET = b"SWAPSPACE2", 4086


def find_secrets(file: rootfile.File) -> Secrets:
    """Find secrets in one regular file.

    :param file: a file that no package contains.
    :returns: the kind and a description of each secret.
    """
    if not file.status.st_size:
        return
    results: set[tuple[str, str]] = set()
    kept_by_name = _by_name(file)
    if kept_by_name:
        results.add((CREDENTIALS, kept_by_name))
    for number, chunk in enumerate(rootfile.read_chunks(file.path)):
        if number == 0:
            results |= set(_at_the_beginning(file, chunk))
        results |= set(_in_content(file, chunk, _LEVELS, number == 0))
    yield from results


def _by_name(file: rootfile.File) -> str:
    if provenance.find_library(file.path):
        return ""
    if _NAMES.fullmatch(file.path.name):
        return "a file that is made to hold passwords"
    return next(
        (what for pattern, what in _PLACES if pattern.match(file.name)), ""
    )


def _at_the_beginning(file: rootfile.File, chunk: bytes) -> Secrets:
    """Recognize secret files, such as key stores, by their first bytes."""
    for form, what in _BINARY:
        if form.match(chunk) and file.name != _JAVA:
            yield KEY, what
    if _CORE.match(chunk):
        yield CREDENTIALS, "the memory of a process (core dump)"
    if chunk[_SWAP_OFFSET:].startswith(_SWAP):
        yield CREDENTIALS, "the memory of a machine (swap file)"


def _in_content(
    file: rootfile.File, content: bytes, levels: int, is_first: bool
) -> Secrets:
    """Find secrets in a piece of content, also encoded or compressed ones."""
    for pattern in _ANYWHERE:
        if any(
            anchor in content for anchor in pattern.anchors
        ) and pattern.expression.search(content):
            yield pattern.kind, pattern.what
    # some editors write UTF-16
    if b"P\0R\0I\0V\0A\0T\0E\0" in content:
        yield from _keys(content.replace(b"\0", b""))
    for anchor in _ENCODED:
        for decoded in _decoded(content, anchor):
            yield from _keys(decoded)
    if is_first and levels and content[:6].startswith(tuple(_UNPACK)):
        unpacked = _unpack(content, file)
        for piece in unpacked:
            yield from _in_content(file, piece, levels - 1, False)
    if _is_text(content):
        yield from _in_text(file, content)


def _keys(content: bytes) -> Secrets:
    if _PEM.expression.search(content):
        yield _PEM.kind, _PEM.what


def _decoded(
    content: bytes, anchor: bytes
) -> collections.abc.Iterator[bytes]:
    """Yield base64-decoded texts that begin with the marker of a key."""
    begin = content.find(anchor)
    while begin != -1:
        text = re.sub(rb"\s|\\n", b"", content[begin : begin + 512])
        text = re.match(rb"[A-Za-z0-9+/]*", text)[0]  # type: ignore[index]
        try:
            decoded = base64.b64decode(text[: len(text) // 4 * 4])
        except binascii.Error:
            decoded = b""
        yield b"-----" + decoded.lstrip(b"-")
        begin = content.find(anchor, begin + 1)


_UNPACK: dict[bytes, collections.abc.Callable[[io.BytesIO], typing.Any]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}


def _unpack(
    content: bytes, file: rootfile.File
) -> collections.abc.Iterator[bytes]:
    """Yield the content of a compressed file, up to a limit."""
    opener = next(
        opener for magic, opener in _UNPACK.items()
        if content.startswith(magic)
    )  # fmt: skip
    # a nested archive is in memory, the outer archive is on disk
    try:
        with open(file.path, "rb") as whole:
            source = (
                whole
                if whole.read(64) == content[:64]
                else io.BytesIO(content)
            )
            source.seek(0)
            stream = opener(typing.cast(io.BytesIO, source))
            left, kept = _UNPACKED, b""
            while left > 0:
                piece = stream.read(4 * 1024 * 1024)
                if not piece:
                    return
                left -= len(piece)
                yield kept + piece
                kept = piece[-rootfile.OVERLAP :]
    except (OSError, EOFError, lzma.LZMAError, ValueError):
        # damaged, or not the format that its first bytes indicate
        return


def _is_text(content: bytes) -> bool:
    return b"\0" not in content[:8192]


def _in_text(file: rootfile.File, content: bytes) -> Secrets:
    """Find passwords in a text file that a user or a program wrote."""
    if provenance.find_library(file.path):
        # the documentation of libraries contains many examples
        if file.path.name == "direct_url.json":
            yield from _matching(content, _IN_URLS)
        return
    if _ACCOUNTS.fullmatch(file.name) or _OF_PACKAGES.match(file.name):
        return
    yield from _matching(content, _IN_TEXT)
    if any(
        _is_secret(content, match) for match in _ASSIGNED.finditer(content)
    ):
        yield CREDENTIALS, "a password or a token"
    if file.name.startswith(("etc/grub.d/", "boot/grub")):
        if _GRUB_PASSWORD.search(content):
            yield CREDENTIALS, "a password of the boot loader"
    if file.name.startswith("etc/cloud/") and _CHPASSWD.search(content):
        yield CREDENTIALS, "passwords of users"


def _is_secret(content: bytes, match: re.Match[bytes]) -> bool:
    """Return whether an assigned value is a secret, and not its location."""
    before = content[max(0, match.start() - 80) : match.start()]
    name = re.search(rb"[$%{]?[\w.-]*\Z", before)
    assert name is not None
    return not (
        name[0].startswith((b"$", b"%", b"{"))
        or _NO_SECRET_NAME.search(match["more"])
        or _NO_VALUE.match(match["value"])
        or (not match["quote"] and _is_code(match))
    )


def _is_code(match: re.Match[bytes]) -> bool:
    """Return whether an assigned value is an expression of a program."""
    name = re.match(rb"\w+", match[0])
    assert name is not None
    return b"(" in match["value"] or match["value"] == name[0]


def _matching(
    content: bytes,
    patterns: collections.abc.Iterable[tuple[re.Pattern[bytes], str]],
) -> Secrets:
    for expression, what in patterns:
        if expression.search(content):
            yield CREDENTIALS, what
