#!/bin/sh
# Installs the programs that the tests log in with and against: only those
# that are missing, and says so. Their services are not started: the tests
# start their own, on loopback, in folders of their own.
set -eu

need() { # need PACKAGE FILE: FILE tells that PACKAGE is there
	for f in $2; do [ -e "$f" ] && return; done
	missing="$missing $1"
}
missing=
need slapd /usr/sbin/slapd
need ldap-utils /usr/bin/ldapsearch
need freeradius /usr/sbin/freeradius
need freeradius-utils /usr/bin/radclient
need eapoltest /usr/bin/eapol_test
need redis-server /usr/bin/redis-server
need iproute2 '/usr/sbin/ip /sbin/ip'
need radsecproxy /usr/sbin/radsecproxy
need libpam-radius-auth '/lib/*/security/pam_radius_auth.so /usr/lib/*/security/pam_radius_auth.so'
need pamtester /usr/bin/pamtester
need expect /usr/bin/expect
need python3-ldap /usr/lib/python3/dist-packages/ldap/__init__.py
need dovecot-imapd /usr/lib/dovecot/imap
need dovecot-ldap '/usr/lib/dovecot/modules/auth/libauthdb_ldap.so'
need squid /usr/lib/squid/basic_ldap_auth
need python3-pyrad /usr/lib/python3/dist-packages/pyrad/__init__.py
need libnet-ldap-perl /usr/share/perl5/Net/LDAP.pm
need libio-socket-ssl-perl /usr/share/perl5/IO/Socket/SSL.pm
need curl /usr/bin/curl
need openssl /usr/bin/openssl
need nodejs /usr/bin/node
need npm /usr/bin/npm
need oathtool /usr/bin/oathtool
need postgresql '/usr/lib/postgresql/*/bin/initdb'
need samba /usr/sbin/samba
need samba-ad-provision /usr/share/samba/setup/provision.ldif
need samba-dsdb-modules '/usr/lib/*/samba/ldb/samba_dsdb.so'
need samba-vfs-modules '/usr/lib/*/samba/vfs/acl_xattr.so'
need winbind /usr/sbin/winbindd
need python3-samba /usr/lib/python3/dist-packages/samba/__init__.py
need ldb-tools /usr/bin/ldbmodify
need ocserv /usr/sbin/ocserv
need openconnect /usr/sbin/openconnect
need openvpn /usr/sbin/openvpn
need openvpn-auth-radius /usr/lib/openvpn/radiusplugin.so
need gcc /usr/bin/gcc
need libc6-dev /usr/include/stdlib.h
if [ "${1:-}" = bench ]; then # only to measure against
	need freeradius-ldap /usr/lib/freeradius/rlm_ldap.so
fi

if [ "${1:-}" = vpn ]; then # gateways that want more of the kernel than CI may have
	need charon-systemd /usr/sbin/charon-systemd
	need strongswan-swanctl /usr/sbin/swanctl
	need libcharon-extra-plugins /usr/lib/ipsec/plugins/libstrongswan-eap-radius.so
	need libcharon-extauth-plugins /usr/lib/ipsec/plugins/libstrongswan-eap-mschapv2.so
fi

if [ -z "$missing" ]; then
	echo 'packages: everything the tests need is installed'
	exit 0
fi
command -v apt-get >/dev/null || {
	echo "packages: install the equivalents of:$missing" >&2
	exit 1
}
echo "packages: installing$missing"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
	$sudo chmod 755 $policy
	made=1
	trap '$sudo rm -f $policy' EXIT
fi
log=$(mktemp)
{ $sudo apt-get update && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1 || {
	tail -n 20 "$log" >&2
	echo "packages: could not install$missing" >&2
	exit 1
}
rm -f "$log"
