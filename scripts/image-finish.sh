#!/bin/sh
# Called by setup-images.sh, as root: makes an unpacked tree a root file system
# that runs, with a data directory to copy from in /template.
#
#   image-finish.sh TREE mariadb|mysql
set -eu
tree=$1 flavor=$2

for dir in bin sbin lib lib64; do
	[ -e "$tree/$dir" ] || ln -s "usr/$dir" "$tree/$dir"
done
mkdir -p "$tree/tmp" "$tree/run" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/root" "$tree/var/lib/mysql-files"
chmod 1777 "$tree/tmp"
[ -e "$tree/bin/sh" ] || ln -s dash "$tree/usr/bin/sh"
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$tree/etc/passwd"
printf 'root:x:0:\n' >"$tree/etc/group"
rm -rf "$tree/usr/share/doc" "$tree/usr/share/man" "$tree/usr/share/locale" "$tree/var/cache" "$tree/var/lib/mysql"
mkdir -p "$tree/var/lib/mysql" "$tree/template"

# chroot has what the server needs: its own loader, libraries and shell.
if [ "$flavor" = mysql ]; then
	chroot "$tree" /usr/sbin/mysqld --no-defaults --user=root --initialize-insecure \
		--datadir=/template --disable-log-bin --log-error-verbosity=1
	rm -f "$tree/template/auto.cnf" # each server makes its own server_uuid
	exit 0
fi
share=$tree/usr/share/mysql
[ -e "$share/english/errmsg.sys" ] || share=$tree/usr/share/mariadb
prefix=mysql
[ -e "$share/mysql_system_tables.sql" ] || prefix=mariadb
mkdir "$tree/template/mysql"
{
	printf 'create database if not exists mysql;\nuse mysql;\nSET @auth_root_socket=NULL;\n'
	cat "$share/${prefix}_system_tables.sql" "$share/${prefix}_performance_tables.sql"
	sed '/@current_hostname/d' "$share/${prefix}_system_tables_data.sql"
	cat "$share/fill_help_tables.sql" "$share/maria_add_gis_sp_bootstrap.sql" "$share/${prefix}_sys_schema.sql"
} | chroot "$tree" /usr/sbin/mariadbd --no-defaults --user=root --bootstrap --datadir=/template \
	--log-warnings=0 --enforce-storage-engine= --max-allowed-packet=8M --net-buffer-length=16K
