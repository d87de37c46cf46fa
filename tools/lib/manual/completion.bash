# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash

declare -gA _TROVE_TOOLS

# _trove_tools_listed FIELD: print what trove-image-builder lists, one a line;
# it is asked once in a shell.
_trove_tools_listed() {
    local line datastore="" version=""
    while IFS= read -r line; do
        case $line in
            *_DATASTORE=*) datastore=${line#*=} ;;
            *_VERSION=*) version=${line#*=} ;;
            *_GUEST_SYSTEMS=*)
                line=${line#*=}
                line=${line//\'/}
                case $1 in
                    datastore) echo "$datastore" ;;
                    version) printf '%s\n' "$datastore" "$datastore:${version//\'/}" ;;
                    system) printf '%s\n' ${line// /$'\n'} ;;
                esac ;;
        esac
    done <<<"${_TROVE_TOOLS[listed]}"
}

# _trove_tools_values KIND WORD...: print what completes a value.
_trove_tools_values() {
    case $1 in
        words|command) printf '%s\n' "${@:2}" ;;
        datastore|version|system) _trove_tools_listed "$1" ;;
    esac
}

_trove_tools_complete() {
    local line=${COMP_LINE:0:COMP_POINT} word command=$1 kind="" flag=""
    local current value prefix candidate before=""
    local words=() names=() what=()
    # bash's own words end at colons and equals signs
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${words[-1]}
    (( ${#words[@]} > 1 )) || return 0
    command=${command##*/}
    for word in "${words[@]:1:${#words[@]}-2}"; do
        read -ra names <<<"${_TROVE_TOOLS["$command @"]}"
        if [[ $flag ]]; then
            flag=""
        elif [[ $word == -* ]]; then
            kind=${_TROVE_TOOLS["$command $word"]:-}
            [[ $kind ]] && flag=$word
        elif [[ ${names[0]:-} == command && " ${names[*]:1} " == *" $word "* ]]; then
            command="$command $word"
        fi
    done
    value=$current
    if [[ $current == --*=* ]]; then
        flag=${current%%=*}
        value=${current#*=}
        [[ $COMP_WORDBREAKS == *=* ]] || before=$flag=
    fi
    # a topic is no must, and no topic begins with a dash
    if [[ ! $flag || ( $flag == --help && $current == -* ) ]] \
        && [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(
            compgen -W "${_TROVE_TOOLS["$command"]}" -- "$current")
        return
    fi
    read -ra what <<<"${_TROVE_TOOLS["$command ${flag:-@}"]:-none}"
    COMPREPLY=()
    case ${what[0]} in
        file)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$value") ;;
        directory)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "$value") ;;
        none|flag) ;;
        *)
            if [[ ${what[0]} =~ ^(datastore|version|system)$ ]]; then
                : "${_TROVE_TOOLS[listed]:=$(
                    trove-image-builder list --format shell 2>/dev/null)}"
            fi
            # what bash takes for the word begins after its last colon
            prefix=""
            if [[ $COMP_WORDBREAKS == *:* ]]; then
                prefix=${value%"${value##*:}"}
            fi
            while IFS= read -r candidate; do
                COMPREPLY+=("${candidate#"$prefix"}")
            done < <(compgen -W "$(_trove_tools_values "${what[@]}")" \
                -- "$value" | sort -u) ;;
    esac
    COMPREPLY=("${COMPREPLY[@]/#/$before}")
}

