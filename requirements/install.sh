#!/bin/sh
# Make the virtual environment $1 with the locked versions and the project itself, from nothing but a Python >= 3.11.
set -eu
venv=$1
here=$(dirname "$0")

say() { printf '%s\n' "$*" >&2; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    for name in ${PYTHON:-} python3.13 python3.12 python3.11 python3 python; do
        if new_enough "$name"; then
            printf '%s\n' "$name"
            return
        fi
    done
    say "No Python of version 3.11 or newer was found; install one (on Debian: apt-get install python3 python3-venv) or name it: make install PYTHON=/path/to/python3."
    return 1
}

has_venv() { "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; }

install_venv_module() {
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        say "$1 has no venv module; installing Debian's python$version-venv ..."
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version-venv" >/dev/null || true
        has_venv "$1" && return
    fi
    say "$1 cannot make virtual environments (its module venv or ensurepip is missing); install it (on Debian or Ubuntu: sudo apt-get install python3-venv) and run make again."
    return 1
}

if ! new_enough "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    has_venv "$python" || install_venv_module "$python"
    say "Making $venv with $("$python" --version) ..."
    "$python" -m venv --clear "$venv"
fi

pip="$venv/bin/python -m pip --disable-pip-version-check --no-input"
say "Installing the locked versions of requirements/dev.txt ..."
$pip install -qq --require-hashes -r "$here/dev.txt"
# hatchling is locked like everything else, so nothing is fetched unseen for the build.
$pip install -qq --no-deps --no-build-isolation --editable "$here/.."
