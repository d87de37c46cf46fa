# SPDX-License-Identifier: Apache-2.0

# what trove-image-builder lists; it is asked once in a shell
_trove_tools_list() {
  typeset -ga _trove_tools_listed
  (( $#_trove_tools_listed )) || _trove_tools_listed=(
    ${(f)"$(trove-image-builder list --format shell 2>/dev/null)"}
  )
}

_trove_tools_datastores() {
  _trove_tools_list
  local -aU found
  found=( ${${(M)_trove_tools_listed:#*_DATASTORE=*}#*=} )
  compadd "$@" -- $found
}

_trove_tools_versions() {
  _trove_tools_list
  local -aU found
  local line datastore
  for line in $_trove_tools_listed; do
    case $line in
      *_DATASTORE=*) datastore=${line#*=} ;;
      *_VERSION=*) found+=( $datastore $datastore:${(Q)line#*=} ) ;;
    esac
  done
  compadd "$@" -- $found
}

_trove_tools_systems() {
  _trove_tools_list
  local -aU found
  found=( ${=${(Q)${(M)_trove_tools_listed:#*_GUEST_SYSTEMS=*}#*=}} )
  compadd "$@" -- $found
}
