#!/bin/sh
# The long storm: run.sh TEST-BINARY. In network namespaces of its own, so that
# links can be cut and nothing of it is left on this machine.
set -eu
test=$(realpath "$1")
cd "$(dirname "$0")"
own='--net --mount --pid --fork --kill-child --mount-proc'
[ "$(id -u)" = 0 ] || own="--user --map-root-user $own"
export CHAOS_LOGINS="${LOGINS:-1000}" CHAOS_SEED="${SEED:-}"
set -- "$test" -test.run '^TestChaos$' -test.v -test.timeout 15m
if why=$(unshare $own ip link add chaos type bridge 2>&1); then
	export CHAOS_NETWORK=namespaces
	exec unshare $own sh -c 'mount -t tmpfs none /run && mkdir /run/netns && exec "$@"' sh "$@"
fi
echo "chaos: no network namespaces here ($why): they need root or unprivileged user namespaces." >&2
echo "chaos: links to Redis, slapd and FCM are cut by relays on loopback instead; there is no Sentinel, and no partition of nodes from NASes and phones." >&2
exec "$@"
