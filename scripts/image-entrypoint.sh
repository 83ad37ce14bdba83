#!/bin/sh
# Entrypoint of the images that setup-images.sh makes. It takes what the
# official images take: server options as the command, and the root password in
# MARIADB_ROOT_PASSWORD or MYSQL_ROOT_PASSWORD.
set -eu

case ${1:-} in
mariadb | mariadbd | mysql | mysqld) shift ;;
esac
program=/usr/sbin/mysqld
[ ! -x /usr/sbin/mariadbd ] || program=/usr/sbin/mariadbd
data=/var/lib/mysql

if [ ! -d "$data/mysql" ]; then
	password=${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-}}
	case $password in
	*[\'\\]*)
		echo "entrypoint: a root password with a quote or a backslash is not taken here" >&2
		exit 1
		;;
	esac
	cp -a /template/. "$data/"
	# Not in the binlog: a follower's own transactions would diverge from its leader's.
	cat >/init.sql <<SQL
SET SESSION sql_log_bin=0;
ALTER USER root@localhost IDENTIFIED BY '$password';
CREATE USER IF NOT EXISTS root@'%' IDENTIFIED BY '$password';
GRANT ALL PRIVILEGES ON *.* TO root@'%' WITH GRANT OPTION;
SQL
	set -- --init-file=/init.sql "$@"
fi
exec "$program" --no-defaults --user=root --datadir="$data" --secure-file-priv= "$@"
