#!/bin/sh
# Two hosts, each a kernel in a network namespace, talk through `ctoffload run` on an emulated NIC between them.
#
#   unshare --user --map-root-user --net --mount --pid --fork docker/two-namespaces.sh
#
# Needs root, or a user namespace as above, and a /dev/net/tun. Ends with the connections and the account, and with an error where
# the hosts do not reach each other or nothing went into the NIC.
set -eu
umask 077
work=$(mktemp -d)
export XDG_RUNTIME_DIR="$work" RUNTIME_DIRECTORY="$work"
PATH=$PATH:/usr/sbin:/sbin
trap 'kill $engine $left $right 2>/dev/null || true; rm -rf "$work"' EXIT INT TERM
engine= left= right=

ip link set lo up
ctoffload run --no-hugepages --file-prefix "two$$" \
    --vdev net_tap0,iface=left0 --vdev net_tap1,iface=right0 \
    --vdev net_nicsim0,switch=1,wire=port:net_tap0 --vdev net_nicsim1,switch=1,wire=port:net_tap1 \
    net_nicsim0 net_nicsim1 >"$work/account" 2>"$work/log" &
engine=$!
until ctoffload status >/dev/null 2>&1; do
    kill -0 $engine 2>/dev/null || { cat "$work/log" >&2; exit 1; }
    sleep 0.2
done

# host NAME INTERFACE ADDRESS: a namespace that holds the interface; sets pid.
host() {
    unshare --net sleep 1000 &
    pid=$!
    until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
    ip link set "$2" netns $pid
    nsenter --target $pid --net sh -c "ip link set lo up; ip addr add $3 dev $2; ip link set $2 up"
    echo "$1: $3 on $2"
}
host left left0 192.0.2.1/24; left=$pid
host right right0 192.0.2.2/24; right=$pid

nsenter --target $left --net ping -c 5 -i 0.2 192.0.2.2
echo
ctoffload dump 2>/dev/null | tee "$work/connections"
grep -q offloaded=yes "$work/connections" || { echo "two-namespaces: nothing went into the NIC" >&2; exit 1; }
echo
kill -TERM $engine
wait $engine
engine=
cat "$work/account"
