#!/bin/sh
# What the tests in a browser need: Chromium, and the Node.js modules of tools/web.
#
# It installs Chromium on Debian, where it may (as root), and the modules where npm is here. Nothing fails where one
# of them cannot be had: a line says which tests are skipped, and what brings them back.
set -u
here=$(dirname "$0")
web=${NEUROFETCH_WEB:-$here/web}
quiet="DEBIAN_FRONTEND=noninteractive timeout 600 apt-get -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=1 -o Acquire::http::Timeout=20"

runs() {
    timeout 60 "$1" --version >/dev/null 2>&1
}

on_debian() {
    grep -qx 'ID=debian' "${NEUROFETCH_OS_RELEASE:-/etc/os-release}" 2>/dev/null
}

install_chromium() {
    echo "Chromium is not here. It is installed now from Debian's packages (about 400 MB), for the tests in a browser."
    log=$(mktemp)
    # an old list of packages names files that the servers no longer have
    env $quiet update >"$log" 2>&1 &&
        env $quiet install --yes --no-install-recommends chromium >>"$log" 2>&1
    state=$?
    [ "$state" -eq 0 ] || tail -n 3 "$log"
    rm -f "$log"
    return "$state"
}

chromium() {
    runs chromium && return
    remedy="Install Chromium so that 'chromium --version' answers (Debian: apt-get install chromium), and run it again."
    if ! command -v apt-get >/dev/null || ! on_debian; then
        echo "Chromium is not here: the tests in a browser are skipped. $remedy"
    elif [ "$(id -u)" -ne 0 ]; then
        echo "Chromium is not here, and only root can install it: the tests in a browser are skipped. $remedy"
    elif ! install_chromium || ! runs chromium; then
        echo "Chromium could not be installed: the tests in a browser are skipped. $remedy"
    fi
}

modules() {
    lock=$web/package-lock.json
    [ -f "$lock" ] || return 0
    # npm writes this file last
    [ "$web/node_modules/.package-lock.json" -nt "$lock" ] && return
    if ! command -v npm >/dev/null; then
        echo "npm is not here: the tests that judge the page with axe-core and tsc are skipped. Install Node.js 20 or newer with npm, and run it again."
        return
    fi
    log=$(mktemp)
    if ! (cd "$web" && timeout 300 npm ci --no-audit --no-fund --ignore-scripts --fetch-retries=1 --fetch-timeout=30000) >"$log" 2>&1; then
        tail -n 3 "$log"
        rm -rf "$web/node_modules" # half of them would be worse than none
        echo "The modules of tools/web could not be installed: the tests that need them are skipped. 'npm ci' in tools/web brings them."
    fi
    rm -f "$log"
}

chromium
modules
exit 0
