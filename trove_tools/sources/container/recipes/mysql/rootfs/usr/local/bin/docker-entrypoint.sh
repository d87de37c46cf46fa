#!/bin/bash
# The entrypoint of the MySQL container: what Trove's guest agent calls.
#
# Options alone mean the server.  An empty data directory is made first, with
# MYSQL_ROOT_PASSWORD for root@localhost.  Options in the configuration files
# that this server does not have are left out, with a line that names them:
# Trove's template is for older servers, too.  Runs as any user, such as
# 1001:1001.
set -eu
umask 027

say() {
    echo "entrypoint: $*" >&2
}

if [ $# -eq 0 ] || [ "${1#-}" != "$1" ]; then
    set -- mysqld "$@"
fi
if [ "$1" != mysqld ]; then
    exec "$@"
fi
shift

# what the server is given before all other options
FIRST=()
KNOWN=/tmp/entrypoint.cnf

# Write what the server reads of the configuration files into one file.  It
# remains a file: what SET PERSIST has written overrides it.
write_configuration() {
    local release
    release=$(mysqld --version | sed 's/.* Ver \([0-9]*\.[0-9]*\).*/\1/')
    echo "[mysqld]" > "$KNOWN"
    my_print_defaults mysqld "mysqld-$release" server \
        | sed 's/\\/\\\\/g; s/^--\([^=]*\)=\(.*\)$/\1="\2"/; s/^--//' \
        >> "$KNOWN"
}

# Leave options out until the server knows all; it names one at a time.
leave_out_unknown() {
    local answer name
    until answer=$(mysqld "${FIRST[@]}" "$@" --validate-config 2>&1); do
        name=$(printf '%s\n' "$answer" | sed -n \
            "s/.*unknown \(variable\|option\) '-*\([[:alnum:]_.-]*\).*/\2/p")
        if [ ${#FIRST[@]} -eq 0 ]; then
            write_configuration
            FIRST=("--defaults-file=$KNOWN")
        fi
        # all else that is wrong the server says itself when it starts
        if [ -z "$name" ] || ! grep -q "^$name\(=\|$\)" "$KNOWN"; then
            return
        fi
        sed -i "/^$name\(=\|$\)/d" "$KNOWN"
        say "this server has no option $name; it is left out"
    done
}

leave_out_unknown "$@"
# what the options and the configuration files together come to
SETTINGS=$(mysqld "${FIRST[@]}" "$@" --verbose --help 2> /dev/null)

setting() {
    printf '%s\n' "$SETTINGS" | sed -n "s/^$1  *//p"
}

DATADIR=$(setting datadir)
DATADIR=${DATADIR%/}
mkdir -p "$(dirname "$(setting socket)")"
# While it is there, the data directory is not whole.
UNFINISHED=$DATADIR/.entrypoint-unfinished

quoted() {
    printf "'"
    printf %s "$1" | sed "s/\\\\/\\\\\\\\/g; s/'/''/g"
    printf "'"
}

make_data() {
    if [ -z "${MYSQL_ROOT_PASSWORD:-}" ]; then
        say "the data directory is empty and MYSQL_ROOT_PASSWORD is not set"
        exit 1
    fi
    say "making the data directory $DATADIR"
    mkdir -p "$DATADIR"
    {
        # not echo, which reads backslashes
        printf "ALTER USER root@localhost IDENTIFIED BY %s;\n" \
            "$(quoted "$MYSQL_ROOT_PASSWORD")"
        if [ -n "${MYSQL_DATABASE:-}" ]; then
            echo "CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;"
        fi
    } > "$UNFINISHED"
    # one start of the server for all; keys and certificates for TLS as well
    mysqld "${FIRST[@]}" "$@" --initialize-insecure --init-file="$UNFINISHED"
    rm "$UNFINISHED"
}

if [ -e "$UNFINISHED" ]; then
    # All in it is of a run of this script that did not end.
    say "the data directory was left unfinished; making it anew"
    find "$DATADIR" -mindepth 1 -delete
fi
if [ ! -d "$DATADIR/mysql" ]; then
    make_data "$@"
fi
unset MYSQL_ROOT_PASSWORD
exec mysqld "${FIRST[@]}" "$@"
