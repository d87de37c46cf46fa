#!/bin/sh
# Whether the MariaDB server of this container works; 0 for yes.
#
# usage: healthcheck.sh [--defaults-file FILE] [--connect]
#                       [--innodb_initialized]
set -eu

DEFAULTS=

# Over TCP, as tenants do: the socket is there before the server listens.
query() {
    mariadb ${DEFAULTS:+"--defaults-file=$DEFAULTS"} --protocol=tcp \
        --host=127.0.0.1 --connect-timeout=3 --skip-column-names --batch \
        --execute="$1"
}

while [ $# -gt 0 ]; do
    case $1 in
        --defaults-file) DEFAULTS=$2; shift ;;
        --defaults-file=*) DEFAULTS=${1#*=} ;;
        --connect) query "SELECT 1" > /dev/null ;;
        --innodb_initialized)
            [ "$(query "SELECT 1 FROM information_schema.ENGINES WHERE \
engine = 'innodb' AND support IN ('YES', 'DEFAULT')")" = 1 ] ;;
        *)
            echo "healthcheck: unknown option $1" >&2
            exit 2 ;;
    esac
    shift
done
