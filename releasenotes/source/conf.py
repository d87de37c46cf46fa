# SPDX-License-Identifier: Apache-2.0
"""How Sphinx builds the release notes."""

extensions = ["openstackdocstheme", "reno.sphinxext"]

project = "trove-tools Release Notes"
copyright = "OpenStack Foundation"

openstackdocs_repo_name = "openstack/trove-tools"
openstackdocs_auto_name = False
openstackdocs_use_storyboard = False

html_theme = "openstackdocs"
pygments_style = "native"
