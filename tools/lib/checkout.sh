# How a command runs from a checkout.  To be sourced by tools/<command>.
# shellcheck shell=bash

# Debian gives an ordinary user a PATH without the directories that losetup,
# debootstrap and the like are in.
case :$PATH: in
    *:/usr/sbin:*) ;;
    *) export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin ;;
esac

# run_from_checkout COMMAND ARGUMENT...: become the command of the virtual
# environment that the set-up has made in the checkout.
run_from_checkout() {
    local root command=$1
    root=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
    shift
    if [ ! -x "$root/.venv/bin/$command" ]; then
        printf 'error: %s\nhint: %s\n' \
            "$command is not installed in $root/.venv" \
            "run $root/tools/quickstart --setup-only first" >&2
        exit 3
    fi
    exec "$root/.venv/bin/$command" "$@"
}
