# SPDX-License-Identifier: Apache-2.0
"""Time a load beside curl, which sends the same file to the same Glance.

``tools/benchmark load`` starts a minicloud and makes a file of 1 GiB that
is different each time.  curl and load-trove-image send such files in turn;
what counts is how many times as long the load takes, with its login, its
checks and its registration.  Then the load is run again, which must find
that there is nothing to do.  The most memory that a load took is printed,
too.
"""

import argparse
import collections.abc
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

#: What the project promises.
RATIO = 1.15
AGAIN = 2.0
MEMORY = 150

_ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_BLOCK = 1024 * 1024


@contextlib.contextmanager
def minicloud(
    directory: pathlib.Path,
) -> collections.abc.Iterator[dict[str, str]]:
    """Have a minicloud; returns the variables that lead to it."""
    command = _ROOT / "tools" / "minicloud"
    subprocess.run([command, "start", directory], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    try:
        yield {
            **os.environ,
            "OS_CLIENT_CONFIG_FILE": str(directory / "clouds.yaml"),
            "OS_CLOUD": "minicloud",
            "no_proxy": "127.0.0.1",
        }
    finally:
        subprocess.run([command, "stop", directory], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip


def token(env: dict[str, str]) -> tuple[str, str]:
    """Return a token, and Glance's address."""
    import openstack

    os.environ.update(env)
    cloud = openstack.connect()
    address = str(cloud.image.get_endpoint()).rstrip("/")
    return cloud.auth_token, address.removesuffix("/v2")


def renew(file: pathlib.Path) -> None:
    """Give an image other bytes; its manifest says which."""
    from trove_tools.artifact import manifest
    from trove_tools.host import digests

    with open(file, "r+b") as stream:
        stream.seek(-_BLOCK, 2)
        stream.write(os.urandom(_BLOCK))
        os.fsync(stream.fileno())
    path = manifest.path(file)
    made = json.loads(path.read_text())
    made["image"] |= digests.compute(file)
    path.write_text(json.dumps(made))


def make(file: pathlib.Path, size: int) -> None:
    """Make a raw image of random bytes, and a manifest beside it."""
    sys.path.insert(0, str(_ROOT))
    from tests.unit.cloud import images

    with open(file, "wb") as stream:
        stream.write(images.raw())
        block = os.urandom(64 * _BLOCK)
        while stream.tell() < size:
            stream.write(block)
        stream.truncate(size)
    entry = images.datastore("benchmark", "1", manager="mariadb")
    images.describe(file, datastores=(entry,))


def curl(file: pathlib.Path, headers: list[str], glance: str) -> float:
    """Create an image, send a file with curl, and return the seconds."""
    body = {"name": "curl", "disk_format": "raw", "container_format": "bare"}
    request = urllib.request.Request(
        f"{glance}/v2/images",
        json.dumps(body).encode(),
        dict(line.split(": ", 1) for line in headers),
    )
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as answer:
        image_id = json.load(answer)["id"]
    argv = ["curl", "--silent", "--show-error", "--fail", "--upload-file",
            str(file), "--header", "Content-Type: application/octet-stream",
            f"{glance}/v2/images/{image_id}/file"]  # fmt: skip
    for line in headers:
        argv += ["--header", line]
    begin = time.perf_counter()
    subprocess.run(argv, check=True)
    passed = time.perf_counter() - begin
    request = urllib.request.Request(
        f"{glance}/v2/images/{image_id}",
        None,
        dict(line.split(": ", 1) for line in headers),
        method="DELETE",
    )
    urllib.request.urlopen(request).close()
    return passed


def load(
    file: str | os.PathLike[str], env: dict[str, str]
) -> tuple[float, int]:
    """Load an image; return the seconds, and the memory in MiB."""
    program = pathlib.Path(sys.executable).parent / "load-trove-image"
    begin = time.perf_counter()
    process = subprocess.Popen(
        [program, file, "--quiet", "--keep", "1"],
        env=env,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"load-trove-image: status {process.returncode}")
    return time.perf_counter() - begin, usage.ru_maxrss // 1024


def main(argv: list[str]) -> int:
    """Measure and print.

    :returns: 1 when a promise is not kept.
    """
    parser = argparse.ArgumentParser(
        prog="tools/benchmark load", description="Time loads beside curl."
    )
    parser.add_argument(
        "--runs", type=int, default=3, metavar="N",
        help="how often each is run (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=int, default=1024, metavar="MIB",
        help="size of the image (default: %(default)s)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    curls, loads, agains, memory = [], [], [], []
    with tempfile.TemporaryDirectory(prefix="trove-tools-") as name:
        directory = pathlib.Path(name)
        file = directory / "benchmark.raw"
        make(file, args.size * _BLOCK)
        with minicloud(directory / "cloud") as env:
            secret, glance = token(env)
            headers = [f"X-Auth-Token: {secret}"]
            for _ in range(args.runs):
                renew(file)
                curls.append(curl(file, headers, glance))
                seconds, most = load(file, env)
                loads.append(seconds)
                memory.append(most)
                seconds, most = load(file, env)
                agains.append(seconds)
    base, took = statistics.median(curls), statistics.median(loads)
    again = statistics.median(agains)
    print(f"median of {args.runs} runs, {args.size} MiB")
    print(f"curl PUT        {base:6.2f} s")
    print(f"load            {took:6.2f} s  {took / base:5.2f} of curl"
          f" (at most {RATIO})")  # fmt: skip
    print(f"unchanged load  {again:6.2f} s  (at most {AGAIN:.0f} s)")
    print(f"memory          {max(memory):6} MiB (at most {MEMORY})")
    kept = took / base <= RATIO and again <= AGAIN and max(memory) <= MEMORY
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
