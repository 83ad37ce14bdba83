#!/bin/sh
# Unpacks Debian's etcd into .cache/etcd, unless there is one on the PATH. The
# package would start a system service, which is not wanted on a machine that only
# runs tests.
set -eu
cd "$(dirname "$0")/.."

command -v etcd >/dev/null && exit 0
[ ! -x .cache/etcd/usr/bin/etcd ] || exit 0

mkdir -p .cache
tmp=$(cd .cache && pwd)/etcd.tmp.$$
trap 'rm -rf "$tmp"' EXIT INT TERM
mkdir "$tmp"
echo "setup: fetching etcd"
download() { (cd "$tmp" && apt-get download -q etcd-server); }
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"
download || { $as_root apt-get update -q && download; } || {
	echo "setup: could not fetch Debian's package etcd-server; install etcd by hand" >&2
	exit 1
}
dpkg-deb -x "$tmp"/etcd-server_*.deb "$tmp/tree"
mv "$tmp/tree" .cache/etcd
