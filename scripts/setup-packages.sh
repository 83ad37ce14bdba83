#!/bin/sh
# Installs the Debian packages given as arguments that are not installed yet.
# Run it as root or as a user who may use sudo. It does nothing when all are there.
set -eu

missing=""
for package in "$@"; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || {
	echo "setup: this is no Debian; please install by hand what is like:$missing" >&2
	exit 1
}
as_root=""
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || {
		echo "setup: these packages are missing:$missing" >&2
		echo "setup: run this as root, or install them yourself" >&2
		exit 1
	}
	as_root="sudo"
fi

echo "setup: installing$missing"
# shellcheck disable=SC2086 # the list is words on purpose
install() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
}
# The package lists may be missing or old; then they are fetched once.
$as_root apt-get update -q || echo "setup: the package lists could not be updated; trying with those there are" >&2
install || {
	echo "setup: could not install$missing" >&2
	exit 1
}
