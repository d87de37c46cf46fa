# Set-up of a checkout, for the scripts in tools/.  To be sourced.
#
# What the host lacks is installed with its own package manager and pip, as
# they are configured on this host: no mirror or index is named here.  Each
# step looks first at what is there already, so that a second run only looks.
#
# The caller has "set -eu -o pipefail" and ROOT, the top of the checkout.
# shellcheck shell=bash

# shellcheck source=tools/lib/checkout.sh
source "$ROOT/tools/lib/checkout.sh"

VENV=$ROOT/.venv
LINT_VENV=$ROOT/.venv-lint
ZUUL_VENV=$ROOT/.venv-zuul

# Exit statuses, the same as those of the commands (see doc/source).
# shellcheck disable=SC2034
EXIT_USAGE=2
EXIT_MISSING=3

say() {
    printf '==> %s\n' "$*" >&2
}

# die STATUS MESSAGE [HINT]: the one way out of these scripts on an error.
die() {
    printf 'error: %s\n' "$2" >&2
    if [ -n "${3:-}" ]; then
        printf 'hint: %s\n' "$3" >&2
    fi
    exit "$1"
}

# on_one_line FILE: its words, for a message.
on_one_line() {
    tr '\n' ' ' <"$1" | sed 's/ *$//'
}

# moving LOG WHAT COMMAND...: run a command, and show for how long it runs once
# that is over 2 s: on a terminal in a line that moves, elsewhere in a line now
# and then.  What the command prints is added to LOG, if that is not empty.
moving() {
    local log=$1 what=$2 status=0 shell=$BASHPID ticker
    shift 2
    _tick "$what" "$shell" 9>&- </dev/null >/dev/null &
    ticker=$!
    if [ -n "$log" ]; then
        "$@" >>"$log" 2>&1 || status=$?
    else
        "$@" || status=$?
    fi
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    if [ -t 2 ]; then
        printf '\r\033[K' >&2
    fi
    return "$status"
}

# seconds from one line to the next where nothing moves
TICK=${TICK:-30}

# _tick WHAT PARENT: say each second, or now and then, that WHAT goes on, as
# long as the shell lives that waits for it.
_tick() {
    local begin=$SECONDS idle took parent=$2 next=$TICK
    # nothing ever comes out of it; a sleep would outlive this process
    exec {idle}<> <(:)
    while [ "$parent" = "$2" ]; do
        read -rt 1 -u "$idle" || true
        # another one's, if that shell has been killed
        read -r _ _ _ parent _ </proc/self/stat
        took=$((SECONDS - begin))
        if [ -t 2 ]; then
            [ "$took" -lt 2 ] || printf '\r==> %s: %d s\033[K' "$1" "$took" >&2
        elif [ "$took" -ge "$next" ]; then
            printf '==> %s: %d s\n' "$1" "$took" >&2
            next=$((took + TICK))
        fi
    done
}

# as_root COMMAND...: never asks for a password.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

have_root() {
    [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null
}

# setup_packages NAME...: install Debian packages, none of which is there.
setup_packages() {
    local log
    if ! command -v apt-get >/dev/null; then
        die $EXIT_MISSING "packages are missing on this host: $*" \
            "this script installs on Debian and Ubuntu only; install these by the names your system gives them, then run it again"
    fi
    if ! have_root; then
        die $EXIT_MISSING "packages are missing, and installing them needs root: $*" \
            "run as root: apt-get install --no-install-recommends $*; or allow sudo without a password"
    fi
    say "installing packages: $*"
    log=$(mktemp)
    # a fresh machine has no lists, and old lists name files that are gone
    if ! _apt_lists_exist || ! _apt_install "$log" "$@"; then
        if ! moving "$log" "updating the lists of packages" _apt update \
            || ! _apt_install "$log" "$@"; then
            tail -n 20 "$log" >&2
            rm -f "$log"
            die $EXIT_MISSING "apt-get could not install: $*" \
                "see apt's own words above: is the network up, is the mirror in /etc/apt reachable?"
        fi
    fi
    rm -f "$log"
}

_apt_lists_exist() {
    compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null
}

_apt() {
    # another apt may be at work on a machine that has just started
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# _apt_install LOG NAME...
_apt_install() {
    moving "$1" "installing packages" \
        _apt install --no-install-recommends "${@:2}"
}

# find_python: print a Python that can make a virtual environment.
#
# The system's own comes first: its packages are what bindep.txt is about.
# Debian's has no ensurepip until python3-venv is there.
find_python() {
    local python
    for python in /usr/bin/python3 python3.13 python3.12 python3.11 python3; do
        if python=$(command -v "$python") && "$python" -c '
import sys
import ensurepip, venv
sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

# make_venv DIRECTORY: a virtual environment with a working pip.
make_venv() {
    local python
    # looking for pip takes a tenth of the time of asking it for its version
    if "$1/bin/python" -c '
import importlib.util, sys
sys.exit(importlib.util.find_spec("pip") is None)' 2>/dev/null; then
        return
    fi
    if ! python=$(find_python); then
        setup_packages python3 python3-venv
        python=$(find_python) \
            || die $EXIT_MISSING "no Python 3.11 or newer on this host" \
                "install Python 3.11 or newer with its venv module"
    fi
    say "making the virtual environment ${1#"$ROOT/"} with $python"
    moving "" "making the virtual environment" "$python" -m venv --clear "$1"
}

# pip_install VENV ARGUMENT...
pip_install() {
    local venv=$1 log
    shift
    log=$(mktemp)
    # A checkout that belongs to somebody else (a bind mount, a container)
    # is no reason for pbr's git to refuse to tell the version.
    if ! moving "$log" "installing Python packages" \
        env GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory \
        GIT_CONFIG_VALUE_0="$ROOT" PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$venv/bin/python" -m pip install --no-input "$@" \
        </dev/null; then
        grep -v '^WARNING: Location' "$log" | tail -n 20 >&2
        rm -f "$log"
        die $EXIT_MISSING "pip could not install: $*" \
            "see pip's own words above: is the network up, is the index in 'pip config list' reachable?"
    fi
    rm -f "$log"
}

# up_to_date VENV NAME FILE...: is what NAME stands for installed from just
# these files?  Otherwise mark_up_to_date remembers it after the install.
up_to_date() {
    [ "$(cat "$1/.installed-$2" 2>/dev/null)" = "$(_digest "${@:3}")" ]
}

mark_up_to_date() {
    _digest "${@:3}" >"$1/.installed-$2"
}

_digest() {
    { printf '%s\n' "$ROOT"; cat -- "$@"; } | sha256sum
}

# setup_host PROFILE...: the packages of bindep.txt.
setup_host() {
    local missing
    make_venv "$VENV"
    if [ ! -x "$VENV/bin/bindep" ]; then
        pip_install "$VENV" bindep
    fi
    missing=$(mktemp)
    # exit status 1: some are missing, and they stand in the file
    if ! moving "$missing" "looking for packages that are missing" \
        "$VENV/bin/bindep" -b -f "$ROOT/bindep.txt" "$@"
    then
        if [ "$(wc -w <"$missing")" -eq "$(wc -l <"$missing")" ]; then
            # shellcheck disable=SC2046
            setup_packages $(on_one_line "$missing")
        else
            # bindep's own words: a host that it does not know
            cat "$missing" >&2
            rm -f "$missing"
            die $EXIT_MISSING "bindep cannot tell what this host lacks" \
                "compare bindep.txt with what is installed"
        fi
    fi
    rm -f "$missing"
}

# setup_project: this project in the checkout's virtual environment.
setup_project() {
    local files=("$ROOT/setup.cfg" "$ROOT/setup.py" "$ROOT/pyproject.toml"
        "$ROOT/requirements.txt")
    if up_to_date "$VENV" project "${files[@]}"; then
        return
    fi
    say "installing trove-tools into .venv"
    if [ ! -e "$ROOT/.git" ] && [ ! -e "$ROOT/PKG-INFO" ]; then
        # neither a clone nor an sdist: nothing here knows the version
        export PBR_VERSION=${PBR_VERSION:-0.0.0}
    fi
    pip_install "$VENV" -e "$ROOT"
    mark_up_to_date "$VENV" project "${files[@]}"
}

# setup_client: the openstack command, with Trove's part, for who uses a cloud.
setup_client() {
    local file=$ROOT/test-requirements.txt
    if up_to_date "$VENV" client "$file"; then
        return
    fi
    say "installing the cloud's client into .venv"
    pip_install "$VENV" "$(sed -n 's/ *#.*//; /^python-troveclient/p' "$file")"
    mark_up_to_date "$VENV" client "$file"
}

# setup_tests: what the tests need besides.
setup_tests() {
    local files=("$ROOT/test-requirements.txt"
        "$ROOT/unlisted-requirements.txt")
    if up_to_date "$VENV" tests "${files[@]}"; then
        return
    fi
    say "installing the tests' requirements into .venv"
    pip_install "$VENV" -r "${files[0]}" -r "${files[1]}"
    mark_up_to_date "$VENV" tests "${files[@]}"
}

# setup_lint: the linters, which cannot live beside the project.
setup_lint() {
    local files=("$ROOT/lint-requirements.txt" "$ROOT/doc/requirements.txt")
    make_venv "$LINT_VENV"
    if up_to_date "$LINT_VENV" lint "${files[@]}"; then
        return
    fi
    say "installing the linters into .venv-lint"
    pip_install "$LINT_VENV" -r "${files[0]}" -r "${files[1]}"
    mark_up_to_date "$LINT_VENV" lint "${files[@]}"
}

# setup_zuul: the part of Zuul that loads zuul.d, without the rest.
setup_zuul() {
    local file=$ROOT/zuul-requirements.txt
    make_venv "$ZUUL_VENV"
    if up_to_date "$ZUUL_VENV" zuul "$file"; then
        return
    fi
    say "installing Zuul's configuration loader into .venv-zuul"
    pip_install "$ZUUL_VENV" --no-deps -r "$file"
    mark_up_to_date "$ZUUL_VENV" zuul "$file"
}

# with_setup_lock FUNCTION...: run them while no other set-up of this
# checkout is under way.  What they start does not inherit the lock.
with_setup_lock() {
    local step
    exec 9>"$ROOT/.venv.lock"
    if ! flock -n 9; then
        say "waiting for another set-up of this checkout"
        flock 9
    fi
    for step in "$@"; do
        $step
    done
    exec 9>&-
}
