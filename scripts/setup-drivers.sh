#!/bin/sh
# Installs the client programs and database drivers that integration/drivers
# runs against Bellwether: Debian's own packages, nothing else. Run it as root
# or as a user who may use sudo. It does nothing when everything is there.
set -eu

packages="
mariadb-client
php-cli php-mysql
python3 python3-pymysql python3-mysqldb python3-cryptography
ruby ruby-mysql2
perl libdbd-mysql-perl libdbd-mariadb-perl
libmariadb-java default-jdk-headless
"

missing=""
for package in $packages; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
if [ -z "$missing" ]; then
	echo "drivers: all installed"
	exit 0
fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || {
		echo "drivers: to install$missing run this as root" >&2
		exit 1
	}
	as_root="sudo"
fi

echo "drivers: installing$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q
# shellcheck disable=SC2086 # the list is words on purpose
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
