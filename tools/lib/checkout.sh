# How a command runs from a checkout.  To be sourced by tools/<command>.
# shellcheck shell=bash

# Debian gives an ordinary user a PATH without the directories that losetup,
# debootstrap and the like are in.
case :$PATH: in
    *:/usr/sbin:*) ;;
    *) export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin ;;
esac

# find_command NAME: print the path of one of our commands.  Looks into the
# checkout's .venv, then along PATH (the environment that is active), then
# into devstack's environment; status 1 if it is in none of them.
find_command() {
    local tools directory directories
    tools=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
    IFS=: read -r -a directories <<<"$tools/../.venv/bin:$PATH:$(_devstacks)/bin"
    for directory in "${directories[@]}"; do
        # tools/NAME calls this function
        if [ -x "$directory/$1" ] && [ ! "$directory" -ef "$tools" ]; then
            printf '%s\n' "$directory/$1"
            return
        fi
    done
    return 1
}

# _devstacks: print the directory of devstack's Python environment.
_devstacks() {
    printf '%s\n' "${DATA_DIR:-/opt/stack/data}/venv"
}

# run_from_checkout COMMAND ARGUMENT...: become the command.
run_from_checkout() {
    local command root
    if ! command=$(find_command "$1"); then
        root=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
        printf 'error: %s\nhint: %s\n' \
            "$1 is not installed in $root/.venv, nor on PATH, nor in $(_devstacks)" \
            "run $root/tools/quickstart --setup-only first; in devstack, set DATA_DIR if it is not /opt/stack/data" >&2
        exit 3
    fi
    exec "$command" "${@:2}"
}
