#!/bin/sh
# Fetches MySQL 9.7 for the tests into .cache/mysql-9.7 (about 80 MB to fetch).
set -eu
exec "$(dirname "$0")/setup-tree.sh" mysql-9.7 sid usr/sbin/mysqld 9.7 \
	mysql-server-core mysql-client-core
