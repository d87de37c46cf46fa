# SPDX-License-Identifier: Apache-2.0
"""Names of architectures; all options take Debian's, such as ``amd64``."""

#: The names that the kernel, RPM, QEMU and Glance use, by Debian's name.
KERNEL_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}
