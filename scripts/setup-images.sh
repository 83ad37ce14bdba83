#!/bin/sh
# Makes container images of the database servers where no registry is reached,
# from Debian's packages:
#
#   bellwether-test/mariadb:10.11  bellwether-test/mariadb:11.8  bellwether-test/mysql:9.7
#
#   setup-images.sh [mariadb-10.11|mariadb-11.8|mysql-9.7]...
#
# They take what the official images take: server options as the command, and
# MARIADB_ROOT_PASSWORD or MYSQL_ROOT_PASSWORD. An image that is there is left
# alone; `docker rmi` it to make it anew. Needs root or sudo, and a Docker engine.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- mariadb-10.11 mariadb-11.8 mysql-9.7

docker version >/dev/null 2>&1 || {
	echo "setup: no Docker engine answers (docker version fails); container tests will be skipped" >&2
	exit 1
}
# The faults on containers need these on the host.
scripts/setup-packages.sh iproute2 iptables util-linux
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"

build() { # flavor version suite packages
	flavor=$1 version=$2 suite=$3 packages=$4
	# The entrypoint is part of the image, so of its identity.
	mark=$(cat scripts/image-*.sh scripts/setup-images.sh | cksum | cut -d' ' -f1)
	image=bellwether-test/$flavor:$version
	if [ "$(docker image inspect -f '{{index .Config.Labels "bellwether.mark"}}' "$image" 2>/dev/null || true)" = "$mark" ]; then
		echo "setup: image $image is there"
		return
	fi
	old=$(docker image inspect -f '{{.Id}}' "$image" 2>/dev/null || true)
	scripts/setup-packages.sh mmdebstrap
	mkdir -p .cache
	tmp=$(cd .cache && pwd)/image-$flavor-$version.tmp.$$
	trap '$as_root rm -rf "$tmp"' EXIT INT TERM
	echo "setup: making image $image"
	$as_root mmdebstrap --quiet --mode=root --variant=extract \
		--aptopt='Acquire::Check-Valid-Until "false"' \
		--include="$packages,dash,coreutils,sed" "$suite" "$tmp" || {
		echo "setup: Debian $suite could not be fetched" >&2
		exit 1
	}
	$as_root sh -eu scripts/image-finish.sh "$tmp" "$flavor"
	$as_root cp scripts/image-entrypoint.sh "$tmp/entrypoint.sh"
	$as_root tar -C "$tmp" -c . | docker import --change 'ENTRYPOINT ["/entrypoint.sh"]' \
		--change "CMD [\"$flavor\"]" --change "ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin" \
		--change "LABEL bellwether.mark=$mark" --change "EXPOSE 3306" - "$image" >/dev/null
	$as_root rm -rf "$tmp"
	trap - EXIT INT TERM
	[ -z "$old" ] || docker rmi "$old" >/dev/null 2>&1 || true # in use, perhaps
	echo "setup: image $image is made"
}

for wanted in "$@"; do
	case $wanted in
	mariadb-10.11) build mariadb 10.11 bookworm mariadb-server-core,mariadb-client-core,mariadb-server ;;
	mariadb-11.8) build mariadb 11.8 trixie mariadb-server-core,mariadb-client-core,mariadb-server ;;
	mysql-9.7) build mysql 9.7 sid mysql-server-core,mysql-client-core ;;
	*)
		echo "setup: unknown image $wanted" >&2
		exit 2
		;;
	esac
done
