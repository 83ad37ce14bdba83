#!/bin/sh
# Unpacks the plugins of the installed MariaDB (ed25519 and others) into
# .cache/plugins-mariadb. Debian has them in the package that also brings a
# system service, which is not wanted on a machine that only runs tests.
set -eu
cd "$(dirname "$0")/.."
to=.cache/plugins-mariadb

[ ! -e /usr/lib/mysql/plugin/auth_ed25519.so ] || exit 0
version=$(dpkg-query -W -f '${Version}' mariadb-server-core 2>/dev/null) || exit 0 # not Debian's own
[ "$(cat "$to/version" 2>/dev/null || true)" != "$version" ] || exit 0

mkdir -p .cache
tmp=$(cd .cache && pwd)/plugins-mariadb.tmp.$$
trap 'rm -rf "$tmp"' EXIT INT TERM
mkdir "$tmp"
echo "setup: fetching the plugins of MariaDB $version"
download() { (cd "$tmp" && apt-get download -q "mariadb-server=$version"); }
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"
download || { $as_root apt-get update -q && download; } || {
	echo "setup: the package mariadb-server $version is not in the archive (any more); upgrade mariadb-server-core" >&2
	echo "setup: going on without MariaDB's plugins: tests of ed25519 accounts cannot pass" >&2
	exit 0
}
dpkg-deb -x "$tmp"/mariadb-server_*.deb "$tmp/all"
mkdir "$tmp/tree"
mv "$tmp/all/usr/lib/mysql/plugin" "$tmp/tree/plugin"
echo "$version" >"$tmp/tree/version"
rm -rf "$to"
mv "$tmp/tree" "$to"
