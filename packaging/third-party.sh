#!/usr/bin/env bash
# Prints the libraries that are in the programs, each with its licence texts. CARGO names the cargo that is asked.

set -eu
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
host=$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')
# Variables of their own: a pipe would hide that cargo has failed.
metadata=$($cargo metadata --locked --format-version 1 --filter-platform "$host")
tree=$($cargo tree --locked --edges normal --prefix none --format '{p}|{l}')
manifests=$(grep -o '"manifest_path":"[^"]*"' <<<"$metadata" | cut -d'"' -f4 | sort)
sed '/^$/d; s/ (.*)|/|/; s/ (\*)$//' <<<"$tree" | sort -u |
    while IFS='|' read -r library license; do
        [[ $library != groupshare\ * ]] || continue
        printf '%s: %s\n\n' "$library" "$license"
        manifest=$(grep -F "/${library/ v/-}/Cargo.toml" <<<"$manifests")
        find "$(dirname "$manifest")" -maxdepth 1 -type f \( -iname '*license*' -o -iname 'copying*' -o -iname 'copyright*' -o -iname notice \) |
            sort | xargs -r -d '\n' cat
        printf '\n----\n\n'
    done
