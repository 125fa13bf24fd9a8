# shellcheck shell=bash
# What every script here begins with; sourced, never run.

set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# rustup installs here, and only login shells have it in PATH.
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s: %s\n' "$0" "$*" >&2
    exit 1
}

# Prints the comment at the head of the script as its help.
help() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$self"
}
