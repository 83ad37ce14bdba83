#!/bin/sh
# Sets this machine up.
#
#   setup.sh demo   what `make demo` needs: a MariaDB server program
#   setup.sh        what the tests need too: MariaDB 10.11, clients, etcd, faketime, a C compiler
#   setup.sh bench  what `make bench` needs too
#
# mariadb-server-core brings the program without a system service: nothing is
# started, and no data directory is made.
set -eu
cd "$(dirname "$0")/.."

have_mariadb() { # a version's beginning, or nothing for any
	for program in mariadbd /usr/sbin/mariadbd /usr/libexec/mariadbd; do
		case $("$program" --no-defaults --version 2>/dev/null || true) in
		*"Ver $1"*MariaDB*) return 0 ;;
		esac
	done
	return 1
}

case ${1:-test} in
demo)
	have_mariadb "" || scripts/setup-packages.sh mariadb-server-core
	;;
test | bench)
	scripts/setup-packages.sh mariadb-server-core mariadb-client faketime
	# Go's race detector is linked by a C compiler.
	command -v "${CC:-gcc}" >/dev/null || scripts/setup-packages.sh gcc libc6-dev
	# The version that the tests are written for is Debian 12's.
	have_mariadb 10.11. || scripts/setup-tree.sh mariadb-10.11 bookworm usr/sbin/mariadbd 10.11 \
		mariadb-server-core mariadb-client-core mariadb-server
	scripts/setup-plugins.sh
	scripts/setup-etcd.sh
	[ "${1:-test}" = test ] || scripts/setup-packages.sh sysbench haproxy mydumper
	;;
*)
	echo "usage: setup.sh [demo|test|bench]" >&2
	exit 2
	;;
esac
