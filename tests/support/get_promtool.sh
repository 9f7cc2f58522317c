#!/bin/sh
# Fetch promtool into a folder, without installing anything: get_promtool.sh .run/promtool
# It comes in Debian's package `prometheus`. Where there is no apt-get the tests that need it are skipped.
set -eu
folder=$1
[ -x "$folder/promtool" ] && exit 0
command -v promtool >/dev/null && exit 0
command -v apt-get >/dev/null && command -v dpkg >/dev/null || exit 0
rm -rf "$folder.new" && mkdir -p "$folder.new"
cd "$folder.new"
if ! apt-get download -qq prometheus >/dev/null 2>&1; then
    echo "promtool could not be fetched (apt-get download prometheus); the tests of alert rules are skipped." >&2
    exit 0
fi
dpkg -x prometheus_*.deb unpacked
mv unpacked/usr/bin/promtool .
rm -rf unpacked prometheus_*.deb
cd - >/dev/null
rm -rf "$folder" && mv "$folder.new" "$folder"
