# SPDX-License-Identifier: Apache-2.0
"""Passes the build host's pip settings to the image's chroot.

Reads pip's configuration files and PIP_* variables in pip's own order, and
writes the relevant ones as ``pip.conf`` and as ``uv.env`` (uv does not read
pip's settings), and uv's settings for this host as ``uv-host.env``. Paths of
this host are not valid in the chroot: certificate files are copied, and
directories of packages are listed in ``mounts``, as lines of "directory on the
host, tab, directory below the chroot's root".

The output directory is part of diskimage-builder's hooks, which never become
part of the image. Settings may contain credentials, so this program never
prints a value.
"""

from collections.abc import Mapping
import configparser
import os
import pathlib
import shutil
import sys
import urllib.parse

#: The paths of the output directory and the mounts in the chroot.
CHROOT_DIR = pathlib.Path("/tmp/in_target.d/trove-pip")
MOUNT_DIR = pathlib.Path("/tmp/trove-pip-host")

#: Settings that decide where packages come from, and how they are reached.
INDEXES = ("index-url", "extra-index-url")
LOCATIONS = (*INDEXES, "find-links")
FILES = ("cert", "client-cert")
PLAIN = (
    "no-index",
    "trusted-host",
    "timeout",
    "default-timeout",
    "retries",
    "proxy",
)

#: The variables that pip uses if its settings name no certificates.
CERTIFICATE_VARIABLES = (
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
)
SYSTEM_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
)

#: pip's name -> uv's variable.
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "trusted-host": "UV_INSECURE_HOST",
    "no-index": "UV_NO_INDEX",
    "timeout": "UV_HTTP_TIMEOUT",
}
FALSE = ("", "0", "false", "no", "off")


def read_settings(
    environ: Mapping[str, str], prefix: str = sys.prefix
) -> dict[str, str]:
    """Return pip's settings as a dictionary, by pip's long option names."""
    home = pathlib.Path(environ.get("HOME") or "/nonexistent")
    xdg = pathlib.Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [
        pathlib.Path("/etc/xdg/pip/pip.conf"),
        pathlib.Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        xdg / "pip" / "pip.conf",
        pathlib.Path(prefix) / "pip.conf",
    ]
    override = environ.get("PIP_CONFIG_FILE")
    if override == os.devnull:
        files = []
    elif override:
        files.append(pathlib.Path(override))

    known = {*LOCATIONS, *FILES, *PLAIN}
    settings: dict[str, str] = {}
    for section in ("global", "install"):
        for path in files:
            parser = configparser.RawConfigParser()
            parser.read(path)
            if parser.has_section(section):
                settings.update(
                    (name.replace("_", "-"), value)
                    for name, value in parser.items(section)
                )
    for name, value in environ.items():
        if name.startswith("PIP_"):
            settings[name[4:].lower().replace("_", "-")] = value
    if "timeout" not in settings and "default-timeout" in settings:
        settings["timeout"] = settings.pop("default-timeout")
    return {
        name: value
        for name, value in settings.items()
        if name in known and value
    }


def certificates(environ: Mapping[str, str]) -> str | None:
    """Return the file of the certificate authorities that this host trusts.

    It usually contains a company's own authorities, which the guest does not
    have.
    """
    named = [environ.get(name, "") for name in CERTIFICATE_VARIABLES]
    for path in (*named, *SYSTEM_CERTIFICATES):
        if os.path.isfile(path):
            return path
    return None


def local_path(location: str) -> pathlib.Path | None:
    """Return the local path of a location, or None for a remote one."""
    parts = urllib.parse.urlsplit(location)
    if parts.scheme == "file":
        return pathlib.Path(urllib.parse.unquote(parts.path))
    return None if parts.scheme else pathlib.Path(location).absolute()


def translate(
    settings: dict[str, str], out_dir: pathlib.Path
) -> tuple[dict[str, str], dict[pathlib.Path, pathlib.Path]]:
    """Return the settings for the chroot, and the mounts.

    This also copies certificate files to out_dir.
    """
    translated: dict[str, str] = {}
    mounts: dict[pathlib.Path, pathlib.Path] = {}
    for name, value in settings.items():
        if name in FILES:
            if os.path.isfile(value):
                shutil.copyfile(value, out_dir / name)
                translated[name] = str(CHROOT_DIR / name)
        elif name in LOCATIONS:
            seen = []
            for location in value.split():
                path = local_path(location)
                if path is None:
                    seen.append(location)
                elif path.exists():
                    # An index refers to files in its own directory.
                    source = path
                    if name in INDEXES or path.is_file():
                        source = path.parent
                    target = MOUNT_DIR / str(source).lstrip("/")
                    mounts[source] = target
                    inside = MOUNT_DIR / str(path).lstrip("/")
                    seen.append(
                        inside.as_uri() if name in INDEXES else str(inside)
                    )
            if seen:
                translated[name] = " ".join(seen)
        else:
            translated[name] = value
    return translated, mounts


def uv_environment(settings: dict[str, str]) -> dict[str, str]:
    """Return the settings as uv's variables."""
    # pip searches all indexes equally and takes the best version.
    result = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for name, value in settings.items():
        if name == "no-index":
            if value.lower() not in FALSE:
                result["UV_NO_INDEX"] = "1"
        elif name == "find-links":
            result["UV_FIND_LINKS"] = ",".join(value.split())
        elif name == "proxy":
            # uv prefers the lower-case spelling
            for variable in ("https_proxy", "http_proxy"):
                result[variable] = result[variable.upper()] = value
        elif name in UV_NAMES:
            result[UV_NAMES[name]] = value
    return result


def main(directory: str) -> None:
    # also for a client certificate, which contains its key
    os.umask(0o077)
    out_dir = pathlib.Path(directory)
    found = read_settings(os.environ)
    trusted = certificates(os.environ)
    if "cert" not in found and trusted:
        found["cert"] = trusted
    settings, mounts = translate(found, out_dir)
    pip_conf = configparser.RawConfigParser()
    pip_conf["global"] = settings
    with open(out_dir / "pip.conf", "w") as conf:
        pip_conf.write(conf)
    # in the chroot, and on this host
    for name, known in (("uv.env", settings), ("uv-host.env", found)):
        with open(out_dir / name, "w") as env:
            env.writelines(
                f"{variable}={value}\n"
                for variable, value in uv_environment(known).items()
            )
    with open(out_dir / "mounts", "w") as lines:
        lines.writelines(
            f"{source}\t{target}\n" for source, target in mounts.items()
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
