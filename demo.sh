#!/usr/bin/env bash
# Shows groupshare at work: a tracker and three members on this machine. They use a folder of their own, which is
# removed at the end. `make demo` builds the programs first.

set -u
export LC_ALL=C.UTF-8

# Size of the shared file, in MiB.
size_mib=${GROUPSHARE_DEMO_MIB:-256}

# Shows what a user types behind the user's name. Below it come the answer, and messages to other users.
speaker=''
note() {
    case $2 in
        '$') printf '\n$ %s    # %s\n' "$3" "$1" ;;
        '<') printf '\n%s> %s\n' "$1" "$3" ;;
        o | e)
            [[ $1 == "$speaker" ]] || printf '\n%s is told:\n' "$1"
            printf '    %s\n' "$3"
            ;;
    esac
    speaker=$1
}

fail() {
    printf '\nThe demo has failed: %s\n' "$1" >&2
    exit 1
}

# shellcheck source=tests/drive.sh
source "$(dirname "$0")/tests/drive.sh"

# tell TEXT: announces the next step.
tell() {
    printf '\n=== %s\n' "$1"
}

# answer NAME LINE: types a line and shows the one line that comes back.
answer() {
    say "$1" "$2"
    next_line "$1" output || fail "$1's client has ended"
}

# watch NAME: shows the progress of the download until it has ended.
watch() {
    local asked=0 begun='' until=$((SECONDS + deadline))
    while :; do
        if IFS= read -r -t 0.2 -u "${outputs[$1]}" REPLY; then
            REPLY=$begun$REPLY begun='' until=$((SECONDS + deadline))
            note "$1" o "$REPLY"
            case $REPLY in
                '[C]'*) return ;;
                '[F]'*) fail "$REPLY" ;;
                '[D]'*) asked=0 ;;
            esac
        elif ! kill -0 "${pids[$1]}" 2>/dev/null; then
            fail "$1's client has ended"
        elif ((SECONDS > until)); then
            fail "$1's client says nothing for $deadline s"
        elif [[ -n $REPLY ]]; then
            # The time was up within a line.
            begun+=$REPLY
        elif ((asked == 0)); then
            say "$1" show_downloads
            asked=1
        fi
    done
}

open_house
mkdir "$house/alice" "$house/bob" "$house/carol"
free_kib=$(df -Pk "$house" | awk 'NR == 2 { print $4 }')
((free_kib > size_mib * 1024 * 3 + 65536)) ||
    fail "three copies of a file of $size_mib MiB do not fit into ${house%/*}; set TMPDIR to a folder with more room"
head -c $((size_mib * 1024 * 1024)) /dev/urandom >"$house/alice/holiday.mp4"

tell 'A tracker keeps accounts, groups, and who shares what. The files themselves never pass through it.'
start_tracker tracker

tell 'Three members start their clients; here they are on one machine.'
for name in alice bob carol; do
    start_client "$name"
done

tell 'Everybody makes an account. Alice makes a group and lets the others in.'
for name in alice bob carol; do
    answer "$name" "create_user $name $name-secret"
    answer "$name" "login $name $name-secret"
done
answer alice 'create_group family'
for name in bob carol; do
    answer "$name" 'join_group family'
    next_line alice error
    answer alice "accept_request family $name"
    next_line "$name" error
done
answer carol 'list_groups'

tell "Alice shares a file of $size_mib MiB. Nothing is copied."
say alice "upload_file $house/alice/holiday.mp4 family"
next_line alice error
next_line alice output
answer bob 'list_files family'

tell 'Bob downloads it from Alice. The prompt stays free meanwhile.'
answer bob "download_file family holiday.mp4 $house/bob"
watch bob

tell 'Carol downloads it from Alice and Bob at once, since Bob shares what he has.'
answer carol "download_file family holiday.mp4 $house/carol"
watch carol
answer carol 'list_files family'

tell 'All three files are the same.'
printf '\n$ sha1sum */holiday.mp4\n'
sums=$(cd "$house" && sha1sum alice/holiday.mp4 bob/holiday.mp4 carol/holiday.mp4)
printf '%s\n' "$sums" | sed 's/^/    /'
(($(printf '%s\n' "$sums" | cut -d' ' -f1 | sort -u | wc -l) == 1)) || fail 'the files differ'

tell 'Everybody leaves.'
for name in alice bob carol; do
    say "$name" quit
    ended "$name" 0
done
say tracker quit
ended tracker 0
printf '\nThe demo is over; its folder is removed. README.md says how to run the programs for yourself.\n'
