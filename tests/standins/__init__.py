# SPDX-License-Identifier: Apache-2.0
"""What stands in for vendors that are out of reach.

Packages with the vendors' names, in a signed apt repository on loopback or
as files.  Each holds a small server that listens where the engine does and
answers the catalog's probe.  Keys, signatures, apt, the elements, systemd
and the probes are the real ones.
"""
