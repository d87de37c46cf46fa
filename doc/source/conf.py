# SPDX-License-Identifier: Apache-2.0
"""How Sphinx builds the documentation."""

extensions = ["openstackdocstheme"]

project = "trove-tools"
copyright = "OpenStack Foundation"

openstackdocs_repo_name = "openstack/trove-tools"
openstackdocs_auto_name = False
openstackdocs_use_storyboard = False

html_theme = "openstackdocs"
pygments_style = "native"
nitpicky = True
