#!/bin/sh
# Installs what debian-packages.txt, or the list given, names and the machine lacks. Says what it does; needs root or sudo only if
# something is missing.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
wanted=$(sed 's/#.*//' "$here/${1:-debian-packages.txt}")

command -v dpkg-query >/dev/null || {
    echo "packages: this is not a Debian system; install the counterparts of: $(echo $wanted)" >&2
    exit 1
}
missing=
for package in $wanted; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null || { command -v sudo >/dev/null && [ -t 0 ]; }; then
    as_root=sudo
else
    echo "packages: missing$missing; run as root: apt-get install$missing" >&2
    exit 1
fi
echo "packages: installing$missing"
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
if ! { $as_root apt-get -q update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    echo "packages: apt-get failed, the log is in $log" >&2
    exit 1
fi
rm -f "$log"
