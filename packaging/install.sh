#!/bin/sh
# install.sh ROOT MODE:FILE:PLACE...           puts each file below ROOT and keeps a list of the folders that it makes
# install.sh --remove ROOT MODE:FILE:PLACE...  takes the files away again, and of those folders the ones that are empty
#
# STRIP strips what is installed with mode 755 of what only a debugger reads. `make install` and `make uninstall` run it.

set -eu

# Folders that were made, one a line, beside the documentation.
LIST=share/doc/groupshare/.folders

# Notes the folders that are missing above a file, the outermost first.
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
        # One that has something of somebody else in it stays.
        rmdir "$folder" 2>/dev/null || true
    done
fi
