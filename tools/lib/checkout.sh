# Runs a command from a checkout.  tools/<command> sources this file.
# shellcheck shell=bash

# In Debian, the PATH of an ordinary user lacks the directories of losetup,
# debootstrap and similar programs.
case :$PATH: in
    *:/usr/sbin:*) ;;
    *) export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin ;;
esac

# find_command NAME: print the path of a command of trove-tools.  The order is
# the checkout's .venv, PATH (the active environment), and devstack's
# environment; status 1 if the command is in none of them.
find_command() {
    local tools directory directories
    tools=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
    IFS=: read -r -a directories <<<"$tools/../.venv/bin:$PATH:$(_devstacks)/bin"
    for directory in "${directories[@]}"; do
        # skip tools/NAME, which calls this function
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

# run_from_checkout COMMAND ARGUMENT...: replace this process by the command.
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
