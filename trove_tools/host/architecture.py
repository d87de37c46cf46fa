# SPDX-License-Identifier: Apache-2.0
"""What architectures are called: ``amd64`` by Debian and in every option."""

#: The names that the kernel, RPM, QEMU and Glance have for them.
KERNEL_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}
