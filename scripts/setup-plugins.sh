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
(cd "$tmp" && apt-get download -q "mariadb-server=$version") || {
	echo "setup: the package mariadb-server $version could not be fetched" >&2
	exit 1
}
dpkg-deb -x "$tmp"/mariadb-server_*.deb "$tmp/all"
mkdir "$tmp/tree"
mv "$tmp/all/usr/lib/mysql/plugin" "$tmp/tree/plugin"
echo "$version" >"$tmp/tree/version"
rm -rf "$to"
mv "$tmp/tree" "$to"
