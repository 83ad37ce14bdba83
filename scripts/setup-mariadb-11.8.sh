#!/bin/sh
# Fetches MariaDB 11.8 for the tests into .cache/mariadb-11.8.
set -eu
exec "$(dirname "$0")/setup-tree.sh" mariadb-11.8 trixie usr/sbin/mariadbd 11.8 \
	mariadb-server-core mariadb-client-core mariadb-server
