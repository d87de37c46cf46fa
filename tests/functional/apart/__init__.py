# SPDX-License-Identifier: Apache-2.0
"""Functional tests that need no cloud, or start one of their own.

They run beside those that share a cloud, which go one after the other:
``tools/run-tests`` gives each of the two a process.
"""
