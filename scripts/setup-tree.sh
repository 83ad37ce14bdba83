#!/bin/sh
# Unpacks Debian packages of another release into .cache/NAME, where the tests
# run the server in them through its own dynamic loader. Nothing is installed.
#
#   setup-tree.sh NAME SUITE SERVER-PROGRAM WANTED-VERSION PACKAGE...
#
# It needs root, as mmdebstrap does here, or a user who may use sudo. It does
# nothing when the tree is there; remove the folder to fetch it anew.
set -eu

name=$1 suite=$2 program=$3 version=$4
shift 4
cd "$(dirname "$0")/.."
tree=.cache/$name

if [ -x "$tree/$program" ]; then
	echo "setup: $tree is there"
	exit 0
fi

scripts/setup-packages.sh mmdebstrap
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"

mkdir -p .cache
tmp=.cache/$name.tmp.$$
trap '$as_root rm -rf "$tmp"' EXIT INT TERM
packages=$(echo "$@" | tr ' ' ',')
echo "setup: fetching $packages of Debian $suite into $tree"
# Old signatures are as good as new ones for what a test runs.
$as_root mmdebstrap --quiet --mode=root --variant=extract \
	--aptopt='Acquire::Check-Valid-Until "false"' --include="$packages" "$suite" "$tmp" || {
	echo "setup: $suite could not be fetched; is the Debian mirror reached?" >&2
	exit 1
}
$as_root rm -rf "$tmp/usr/share/doc" "$tmp/usr/share/man" "$tmp/usr/share/locale" "$tmp/usr/share/info" "$tmp/var/cache"
[ -z "$as_root" ] || $as_root chown -R "$(id -u):$(id -g)" "$tmp"

# Tell early when the suite has moved on.
loader=$(find "$tmp/usr" "$tmp/lib64" "$tmp/lib" -name 'ld-linux-*.so.*' 2>/dev/null | head -n 1)
libs=$(find "$tmp/usr/lib" "$tmp/lib" -maxdepth 1 -type d -name '*-linux-gnu*' 2>/dev/null | tr '\n' ':')
found=$("$loader" --library-path "$libs$tmp/usr/lib" "$tmp/$program" --no-defaults --version)
case $found in
*"Ver $version."*) ;;
*)
	echo "setup: wanted $version, but Debian $suite has: $found" >&2
	exit 1
	;;
esac

rm -rf "$tree"
mv "$tmp" "$tree"
trap - EXIT INT TERM
echo "setup: $tree holds $found"
