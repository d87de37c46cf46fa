# SPDX-License-Identifier: Apache-2.0
"""How Sphinx builds the documentation."""

import pathlib
import sys

# the reference is made from the code of this checkout
_TOP = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(_TOP), str(_TOP / "tools" / "lib")]

extensions = ["openstackdocstheme", "doc.ext.generated"]

project = "trove-tools"
copyright = "OpenStack Foundation"

openstackdocs_repo_name = "openstack/trove-tools"
openstackdocs_auto_name = False
openstackdocs_use_storyboard = False

html_theme = "openstackdocs"
html_static_path = ["_static"]
html_css_files = ["trove-tools.css"]
pygments_style = "native"
nitpicky = True
