# SPDX-License-Identifier: Apache-2.0
"""Registries of containers, which also store layers and images."""

#: The host that serves the API of a registry, if it differs from its name.
HUB = {"docker.io": "registry-1.docker.io"}
