#!/bin/bash
# The entrypoint of the PostgreSQL container: what Trove's guest agent calls.
#
# Options alone mean the server.  An empty PGDATA is made first, with
# POSTGRES_PASSWORD for the user postgres.  Runs as any user, such as
# 1001:1001 or, as Docker's official images, 999:999.
set -eu
umask 077

say() {
    echo "entrypoint: $*" >&2
}

if [ $# -eq 0 ] || [ "${1#-}" != "$1" ]; then
    set -- postgres "$@"
fi
if [ "$1" != postgres ]; then
    exec "$@"
fi

export PGDATA="${PGDATA:-/var/lib/postgresql/data}"
# Data is made in here and then moved: while it is there, PGDATA is not whole.
UNFINISHED=$PGDATA/.entrypoint-unfinished

# Run a command, with a name for the user where passwd has none: initdb does
# not work without.
with_name() {
    local passwd
    if getent passwd "$(id -u)" > /dev/null; then
        "$@"
        return
    fi
    passwd=$(mktemp)
    echo "postgres:x:$(id -u):$(id -g):postgres:$PGDATA:/bin/false" > "$passwd"
    NSS_WRAPPER_PASSWD=$passwd NSS_WRAPPER_GROUP=/etc/group \
        LD_PRELOAD=libnss_wrapper.so "$@"
    rm "$passwd"
}

make_data() {
    local password file method=scram-sha-256
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
        say "PGDATA is empty and POSTGRES_PASSWORD is not set"
        exit 1
    fi
    say "making the data directory $PGDATA"
    password=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" > "$password"
    # shellcheck disable=SC2086
    with_name initdb --pgdata="$UNFINISHED" --username="${POSTGRES_USER:-postgres}" \
        --pwfile="$password" --encoding=UTF8 --locale=en_US.utf8 \
        --auth-local=trust --auth-host=$method \
        ${POSTGRES_INITDB_ARGS:-} > /dev/null
    rm "$password"
    echo "host all all all $method" >> "$UNFINISHED/pg_hba.conf"
    for file in "$UNFINISHED"/*; do
        mv "$file" "$PGDATA/"
    done
    rmdir "$UNFINISHED"
}

mkdir -p "$PGDATA" /var/run/postgresql
# as the server wants it; a directory of somebody else's is for them to set
chmod 0700 "$PGDATA" 2> /dev/null || true
if [ -e "$UNFINISHED" ]; then
    # All in it is of a run of this script that did not end.
    say "the data directory was left unfinished; making it anew"
    find "$PGDATA" -mindepth 1 -delete
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    make_data
fi
unset POSTGRES_PASSWORD
exec "$@"
