#!/bin/bash
# The entrypoint of the MariaDB container: what Trove's guest agent calls.
#
# Options alone mean the server.  An empty data directory is made first, with
# MYSQL_ROOT_PASSWORD for root@localhost and an account of no rights for
# healthcheck.sh.  With MARIADB_AUTO_UPGRADE, data of an older server is
# brought up to date.  Runs as any user, such as 1001:1001.
set -eu
umask 027

say() {
    echo "entrypoint: $*" >&2
}

if [ $# -eq 0 ] || [ "${1#-}" != "$1" ]; then
    set -- mariadbd "$@"
elif [ "$1" = mysqld ]; then
    shift
    set -- mariadbd "$@"
fi
if [ "$1" != mariadbd ]; then
    exec "$@"
fi
shift

# what the options and the configuration files together come to
SETTINGS=$(mariadbd "$@" --verbose --help 2> /dev/null)

setting() {
    printf '%s\n' "$SETTINGS" | sed -n "s/^$1  *//p"
}

DATADIR=$(setting datadir)
DATADIR=${DATADIR%/}
SOCKET=$(setting socket)
PORT=$(setting port)
mkdir -p "$(dirname "$SOCKET")"
# While it is there, the data directory is not whole.
UNFINISHED=$DATADIR/.entrypoint-unfinished
HEALTH=$DATADIR/.my-healthcheck.cnf
RELEASE=$(mariadbd --version | sed 's/.* Ver \([0-9]*\.[0-9]*\).*/\1/')

quoted() {
    printf "'"
    printf %s "$1" | sed "s/\\\\/\\\\\\\\/g; s/'/''/g"
    printf "'"
}

# The account that healthcheck.sh uses may log in, and nothing else.
make_health_account() {
    local host password
    password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
    for host in localhost 127.0.0.1 ::1; do
        echo "CREATE OR REPLACE USER healthcheck@'$host'" \
            "IDENTIFIED BY '$password';"
    done
    cat > "$HEALTH.new" <<CNF
[mariadb-client]
user=healthcheck
password=$password
socket=$SOCKET
port=$PORT
CNF
    chmod 600 "$HEALTH.new"
    mv "$HEALTH.new" "$HEALTH"
}

make_data() {
    if [ -z "${MYSQL_ROOT_PASSWORD:=${MARIADB_ROOT_PASSWORD:-}}" ]; then
        say "the data directory is empty and MYSQL_ROOT_PASSWORD is not set"
        exit 1
    fi
    say "making the data directory $DATADIR"
    mkdir -p "$DATADIR"
    : > "$UNFINISHED"
    {
        # root from anywhere else would need no password
        echo "DELETE FROM mysql.global_priv" \
            "WHERE User = 'root' AND Host <> 'localhost';"
        echo "FLUSH PRIVILEGES;"
        # not echo, which reads backslashes
        printf "ALTER USER root@localhost IDENTIFIED BY %s;\n" \
            "$(quoted "$MYSQL_ROOT_PASSWORD")"
        make_health_account
        if [ -n "${MARIADB_DATABASE:=${MYSQL_DATABASE:-}}" ]; then
            echo "CREATE DATABASE IF NOT EXISTS \`$MARIADB_DATABASE\`;"
        fi
    } > "$UNFINISHED"
    # one start of the server for all
    mariadb-install-db "$@" --datadir="$DATADIR" --skip-test-db \
        --auth-root-authentication-method=normal --skip-name-resolve \
        --cross-bootstrap --extra-file="$UNFINISHED" > /dev/null
    rm "$UNFINISHED"
}

# Whether another release wrote the data; one that left no note is another.
is_older() {
    local note
    for note in mariadb_upgrade_info mysql_upgrade_info; do
        if [ -e "$DATADIR/$note" ]; then
            case $(cat "$DATADIR/$note") in
                "$RELEASE".*) return 1 ;;
            esac
        fi
    done
    return 0
}

# Runs a server that only this script can reach, and a command beside it.
beside_server() {
    local command=$1 pid tries=0 socket=/tmp/entrypoint.sock
    shift
    mariadbd "$@" --socket=$socket --skip-networking --skip-grant-tables \
        --skip-slave-start &
    pid=$!
    until mariadb --no-defaults --user=root --socket=$socket \
            --execute="SELECT 1" > /dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ] || ! kill -0 $pid; then
            say "the server that brings the data up to date does not start"
            exit 1
        fi
        sleep 1
    done
    $command $socket
    kill $pid
    wait $pid
}

upgrade() {
    say "bringing the data up to $RELEASE"
    mariadb-upgrade --no-defaults --user=root --socket="$1" --silent
}

add_health_account() {
    { echo "FLUSH PRIVILEGES;"; make_health_account; } \
        | mariadb --no-defaults --user=root --socket="$1"
}

if [ -e "$UNFINISHED" ]; then
    # All in it is of a run of this script that did not end.
    say "the data directory was left unfinished; making it anew"
    find "$DATADIR" -mindepth 1 -delete
fi
if [ ! -d "$DATADIR/mysql" ]; then
    make_data "$@"
else
    # one after the other: the first ends with the privileges in force
    if is_older && [ -n "${MARIADB_AUTO_UPGRADE:-}" ]; then
        beside_server upgrade "$@"
    fi
    # data that was restored from a backup has none
    if [ ! -e "$HEALTH" ]; then
        beside_server add_health_account "$@"
    fi
fi
unset MYSQL_ROOT_PASSWORD MARIADB_ROOT_PASSWORD
exec mariadbd "$@"
