# Functions that set up a checkout.  The scripts in tools/ source this file.
#
# Missing packages are installed with the host's package manager and pip, with
# their configuration on this host: no mirror or index is named here.  Each
# step checks first whether it is done, so that a second run changes nothing.
#
# The caller sets "set -eu -o pipefail" and ROOT, the top of the checkout.
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

# die STATUS MESSAGE [HINT]: print an error, and end the script.
die() {
    printf 'error: %s\n' "$2" >&2
    if [ -n "${3:-}" ]; then
        printf 'hint: %s\n' "$3" >&2
    fi
    exit "$1"
}

# on_one_line FILE: print the words of a file on one line.
on_one_line() {
    tr '\n' ' ' <"$1" | sed 's/ *$//'
}

# moving LOG WHAT COMMAND...: run a command, and show its duration: on a
# terminal in a line that is updated after 2 s, elsewhere in a new line at
# intervals.  The command's output is appended to LOG, if LOG is not empty.
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

# seconds between two lines if the output is not a terminal
TICK=${TICK:-30}

# _tick WHAT PARENT: print the duration of WHAT at intervals, as long as the
# shell PARENT, which waits for WHAT, exists.
_tick() {
    local begin=$SECONDS idle took parent=$2 next=$TICK
    # reading from this pipe times out; a sleep would outlive this process
    exec {idle}<> <(:)
    while [ "$parent" = "$2" ]; do
        read -rt 1 -u "$idle" || true
        # if that shell was killed, this process has another parent
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

# as_root COMMAND...: run a command as root, without asking for a password.
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

# setup_packages NAME...: install missing Debian packages.
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
    # a new machine has no lists, and old lists name files that were removed
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
    # on a machine that has just started, another apt may be running
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
# The system's Python comes first, because bindep.txt lists its packages.
# Debian's Python has no ensurepip until python3-venv is installed.
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

# make_venv DIRECTORY: create a virtual environment with a working pip.
make_venv() {
    local python
    # finding the module takes a tenth of the time of running pip --version
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
    # The checkout may belong to another user (a bind mount, a container); git
    # must still tell pbr the version.
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

# up_to_date VENV NAME FILE...: return whether NAME was installed from exactly
# these files.  mark_up_to_date records them after an installation.
up_to_date() {
    [ "$(cat "$1/.installed-$2" 2>/dev/null)" = "$(_digest "${@:3}")" ]
}

mark_up_to_date() {
    _digest "${@:3}" >"$1/.installed-$2"
}

_digest() {
    { printf '%s\n' "$ROOT"; cat -- "$@"; } | sha256sum
}

# setup_host PROFILE...: install the packages of bindep.txt.
setup_host() {
    local missing
    make_venv "$VENV"
    if [ ! -x "$VENV/bin/bindep" ]; then
        pip_install "$VENV" bindep
    fi
    missing=$(mktemp)
    # exit status 1: packages are missing, and the file lists them
    if ! moving "$missing" "looking for packages that are missing" \
        "$VENV/bin/bindep" -b -f "$ROOT/bindep.txt" "$@"
    then
        if [ "$(wc -w <"$missing")" -eq "$(wc -l <"$missing")" ]; then
            # shellcheck disable=SC2046
            setup_packages $(on_one_line "$missing")
        else
            # bindep's message: it does not support this host
            cat "$missing" >&2
            rm -f "$missing"
            die $EXIT_MISSING "bindep cannot tell what this host lacks" \
                "compare bindep.txt with what is installed"
        fi
    fi
    rm -f "$missing"
}

# setup_project: install this project into the checkout's virtual environment.
setup_project() {
    local files=("$ROOT/setup.cfg" "$ROOT/setup.py" "$ROOT/pyproject.toml"
        "$ROOT/requirements.txt")
    if up_to_date "$VENV" project "${files[@]}"; then
        return
    fi
    say "installing trove-tools into .venv"
    if [ ! -e "$ROOT/.git" ] && [ ! -e "$ROOT/PKG-INFO" ]; then
        # in neither a clone nor an sdist, pbr cannot determine the version
        export PBR_VERSION=${PBR_VERSION:-0.0.0}
    fi
    pip_install "$VENV" -e "$ROOT"
    mark_up_to_date "$VENV" project "${files[@]}"
}

# setup_client: install the openstack command with Trove's plugin.
setup_client() {
    local file=$ROOT/test-requirements.txt
    if up_to_date "$VENV" client "$file"; then
        return
    fi
    say "installing the cloud's client into .venv"
    pip_install "$VENV" "$(sed -n 's/ *#.*//; /^python-troveclient/p' "$file")"
    mark_up_to_date "$VENV" client "$file"
}

# setup_tests: install the other requirements of the tests.
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

# setup_lint: install the linters, which need a separate environment.
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

# setup_zuul: install only the part of Zuul that loads zuul.d.
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

# with_setup_lock FUNCTION...: run functions while no other set-up of this
# checkout runs.  Processes that start later do not inherit the lock.
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
