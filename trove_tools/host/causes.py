# SPDX-License-Identifier: Apache-2.0
"""Finds the cause of a program's failure in its output, and a remedy.

The programs that a build runs report one cause with many different messages.
Tables map these messages to remedies.  The first matching entry is used, so
the entries for causes come before the entries for their consequences.
"""

import re
import typing


class Cause(typing.NamedTuple):
    """The cause of a program's failure.

    :param line: the line of the program's output that names the cause.
    :param remedy: what the user can do.
    """

    line: str
    remedy: str


#: The remedy for a wrong proxy: where proxies are configured.
PROXY = (
    "correct the proxy where it is set: for packages in apt's configuration"
    " (`apt-config dump`), for everything else in http_proxy and https_proxy;"
    " no_proxy names servers that need none"
)
#: The remedy for a certificate authority that this host does not trust.
CERTIFICATE = (
    "a server's certificate is signed by an authority that this host does not"
    " trust: give the authority's certificate with --ca-certificate FILE, or"
    " add it to this host's (update-ca-certificates); if you know of none,"
    " something else answers in the server's place"
)

# messages of apt, curl, git, Go, OpenSSL, pip, Python, uv and wget
_OF_ANY_SERVER = (
    (
        re.compile(r"the proxy \S+ (cannot be reached|refuses|does not)|"
                   r"is not the URL of a proxy|"
                   r"Proxy Authentication Required|"
                   r"(resolve|connect to) proxy", re.IGNORECASE),
        PROXY,
    ),
    (
        re.compile(r"certificate (has|have) expired|certificate is expired|"
                   r"uses expired certificate|"
                   r"certificate (is not yet valid|chain uses not yet valid)|"
                   r"invalid peer certificate: Expired|not yet activated",
                   re.IGNORECASE),
        "a server's certificate has expired, or this host's clock is wrong:"
        " check `date`, and have the certificate renewed",
    ),
    (
        re.compile(r"x509: certificate is (valid for|not valid for)|"
                   r"Hostname mismatch|does not match (target )?host ?name|"
                   r"no alternative certificate subject name|"
                   r"name in the certificate does not match|"
                   r"invalid peer certificate: NotValidForName|"
                   r"certificate not valid for name",
                   re.IGNORECASE),
        "a server's certificate is for another name than the one it was"
        " reached by: use the name in the certificate",
    ),
    (
        re.compile(r"x509: |certificate verif(y failed|ication failed)|"
                   r"SSL certificate problem|unable to get local issuer|"
                   r"self.signed certificate (in|encountered)|UnknownIssuer|"
                   r"unable to locally verify the issuer|"
                   r"certificate (is NOT|issuer is not) trusted|"
                   r"No system certificates available",
                   re.IGNORECASE),
        CERTIFICATE,
    ),
)  # fmt: skip
_OF_MIRRORS = (
    (
        re.compile(r"404\s+Not Found|Release.*(not found|does not have)|"
                   r"Invalid Release|Failed getting release file|"
                   r"Couldn't download|Unable to fetch", re.IGNORECASE),
        "a package mirror does not have what was asked of it: check"
        " --mirror and --security-mirror, or this host's apt sources",
    ),
    (
        re.compile(r"Could not resolve|Temporary failure (in name|resolving)|"
                   r"Could not connect|Connection (refused|timed out)|"
                   r"\S+ cannot be reached: ",
                   re.IGNORECASE),
        "a package mirror cannot be reached: check the network, and"
        " --mirror, --security-mirror or this host's apt sources",
    ),
    (
        re.compile(r"NO_PUBKEY|EXPKEYSIG|signature.*(invalid|cannot)|"
                   r"not signed|Release signed by unknown key",
                   re.IGNORECASE),
        "a package index is not signed by a key this build trusts: check"
        " the mirror, and that the distribution's keyring package of this"
        " host is up to date",
    ),
)  # fmt: skip
_OF_PROGRAMS = (
    (
        # the second message is tar's
        re.compile(r"No space left on device|Wrote only \d+ of \d+ bytes"),
        "the disk is full: give --work-dir and --cache-dir on a larger one,"
        " or a larger --disk-size if the image itself was too small",
    ),
    (
        re.compile(r"No matching distribution found|ResolutionImpossible|"
                   r"No solution found"),
        "the guest agent's Python packages cannot be had together: check"
        " --agent and --constraints",
    ),
)  # fmt: skip


def find_cause(text: str, *, mirror: bool = True) -> Cause | None:
    """Return why a program failed, found in its output.

    :param mirror: the program uses package mirrors.  Otherwise, a server that
        cannot be reached is another one, which only the caller knows.
    :returns: None if the cause is not in the tables.
    """
    mirrors = _OF_MIRRORS if mirror else ()
    for sign, remedy in (*_OF_ANY_SERVER, *mirrors, *_OF_PROGRAMS):
        for line in text.splitlines():
            if sign.search(line):
                return Cause(line, remedy)
    return None


def find_remedy(text: str, *, mirror: bool = True) -> str | None:
    """Return the remedy for a failure that a program's output reports.

    :param mirror: as for :func:`find_cause`.
    """
    cause = find_cause(text, mirror=mirror)
    return cause and cause.remedy
