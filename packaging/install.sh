#!/bin/sh
# install.sh ROOT MODE:FILE:PLACE...           puts each file below ROOT and keeps a list of the folders that it makes
# install.sh --remove ROOT MODE:FILE:PLACE...  removes the files, and those of these folders that are then empty
#
# STRIP removes the debug symbols of files with mode 755. `make install` and `make uninstall` run this script.

set -eu

# The list of the folders that it has made, one on each line, beside the documentation.
LIST=share/doc/groupshare/.folders

# Notes the missing folders above a file, the outermost first.
note_missing() {
    folder=$(dirname "$1") missing=''
    while [ ! -d "$folder" ]; do
        missing="$folder
$missing"
        folder=$(dirname "$folder")
    done
    made=$made$missing
}

put() {
    mode=$1 file=$2 place=$root/$3
    note_missing "$place"
    install -D -m "$mode" "$file" "$place"
    [ "$mode" != 755 ] || "${STRIP:-strip}" "$place" 2>/dev/null || true
}

remove=false
if [ "$1" = --remove ]; then
    remove=true
    shift
fi
root=$1 made=''
shift

for entry in "$@"; do
    rest=${entry#*:}
    if $remove; then
        rm -f "$root/${rest#*:}"
    else
        put "${entry%%:*}" "${rest%%:*}" "${rest#*:}"
    fi
done

if ! $remove; then
    [ -z "$made" ] || printf '%s' "$made" >>"$root/$LIST"
elif [ -f "$root/$LIST" ]; then
    made=$(sort -r "$root/$LIST")
    rm -f "$root/$LIST"
    printf '%s\n' "$made" | while IFS= read -r folder; do
        # A folder with other files in it stays.
        rmdir "$folder" 2>/dev/null || true
    done
fi
