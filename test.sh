#!/usr/bin/env bash
# Runs the built programs as their users do: a tracker and three clients, driven through their standard input. At the
# first failure it prints the failure and all output before it, and ends with an exit code other than 0. It leaves no
# process and no file behind. Several of it may run at once.

set -u
export LC_ALL=C.UTF-8

transcript=()

note() {
    transcript+=("$(printf '%-8s%s %s' "$1" "$2" "$3")")
}

fail() {
    {
        printf 'What was said before (< to a program, o and e its standard output and error, = its end):\n'
        ((${#transcript[@]})) && printf '    %s\n' "${transcript[@]}"
        printf 'FAILED: %s (%s)\n' "$1" "${step:-before the first step}"
    } >&2
    exit 1
}

# shellcheck source=tests/drive.sh
source "$(dirname "$0")/tests/drive.sh"

# step SENTENCE: names the next step. The step counts as passed when the next one begins.
step=''
step() {
    [[ -n $step ]] && printf 'ok  %s\n' "$step"
    step=$1
    note '' '#' "$1"
}

# ends_at_once CODE LINE FOLDER COMMAND...: a program says this one line on standard error and ends.
ends_at_once() {
    local code=$1 line=$2
    shift 2
    start program "$@"
    hang_up program
    expect program error "$line"
    ended program "$code"
}

# sha1_of FILE: sets REPLY to the SHA-1.
sha1_of() {
    read -r REPLY _ < <(sha1sum "$1")
}

# same FILE FILE: both have the same bytes.
same() {
    local first
    sha1_of "$1"
    first=$REPLY
    sha1_of "$2"
    [[ -n $first && $first == "$REPLY" ]] || fail "$2 has SHA-1 $REPLY, but $1 has $first"
    note '' '#' "$1 and $2 have SHA-1 $first"
}

# listed NAME GROUP LINE...: the files of a group.
listed() {
    told "$1" "list_files $2" "${@:3}"
}

# lets_in OWNER GROUP NAME [USER]: requests to join, and accepts the request. Without USER the user has the client's
# name.
lets_in() {
    local user=${4-$3}
    told "$3" "join_group $2" 'Request sent'
    expect "$1" error "$user asks to join $2: accept_request $2 $user"
    told "$1" "accept_request $2 $user" 'Request accepted'
    expect "$3" error "You are a member of $2 now"
}

# uploads NAME PATH GROUP
uploads() {
    told "$1" "upload_file '$2' $3" 'Uploaded'
    expect "$1" error 'Uploading...'
}

# upload_refused NAME LINE REFUSAL
upload_refused() {
    say "$1" "$2"
    expect "$1" error 'Uploading...' "$3"
}

# completes NAME GROUP FILE SIZE: a running download comes to its end.
completes() {
    say "$1" "wait $2 '$3'"
    next_line "$1" output || fail "$1 has ended where a download should be complete"
    local begin="Download completed: [$2] $3  $4 in "
    [[ $REPLY == "$begin"* && ${REPLY#"$begin"} =~ ^([0-9.]+ [a-z]+ ?)+(, [0-9.]+ [kMG]?B/s)?$ ]] ||
        fail "$1 says '$REPLY' instead of '$begin...'"
}

# downloads NAME GROUP FILE DESTINATION SIZE
downloads() {
    told "$1" "download_file $2 '$3' '$4'" 'Downloading...'
    completes "$1" "$2" "$3" "$5"
}

# answer_of_peer PORT TEXT: connects to a client and sends TEXT. Sets REPLY to the client's answer until it hangs up, in
# hexadecimal. TEXT has \xHH for unprintable bytes.
answer_of_peer() {
    local connection
    { exec {connection}<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || fail "nobody listens on port $1"
    # The client may hang up before it has read everything.
    printf '%b' "$2" 2>/dev/null >&"$connection"
    REPLY=$({
        timeout "$deadline" od -An -v -tx1 <&"$connection" 2>/dev/null
        (($? != 124)) || echo 'and does not hang up'
    } | tr -d ' \n')
    exec {connection}>&-
}

open_house
mkdir "$house/alice" "$house/bob" "$house/carol"

step 'programs say in one line why they cannot start'
echo '127.0.0.1 no-port' >"$house/wrong.txt"
echo '127.0.0.1 1' >"$house/tracker_info.txt"
ends_at_once 3 'tracker: cannot read the list of trackers nowhere.txt: No such file or directory' \
    "$house/tracker" ./tracker nowhere.txt
ends_at_once 3 "tracker: ../wrong.txt: line 1 '127.0.0.1 no-port': 'no-port' is not a port, which is a number up to 65535" \
    "$house/tracker" ./tracker ../wrong.txt
ends_at_once 3 'tracker: tracker_info.txt: there is no tracker 2, only tracker 1 is listed' \
    "$house/tracker" ./tracker tracker_info.txt 2
usage='Usage: tracker [tracker_info.txt] [tracker_no] [options], or tracker --help'
ends_at_once 2 "tracker: 'zero' is not a tracker number; the first tracker of the list is 1. $usage" \
    "$house/tracker" ./tracker tracker_info.txt zero
ends_at_once 3 'cannot read nowhere.txt: No such file or directory; name the list of trackers' \
    "$house/client" ./client nowhere.txt
ends_at_once 3 "../wrong.txt: line 1 '127.0.0.1 no-port': 'no-port' is not a port, which is a number up to 65535" \
    "$house/client" ./client ../wrong.txt
usage='Usage: client [IP:PORT] [tracker_info.txt | TRACKER:PORT] [options], or client --help'
ends_at_once 2 "'localhost' is not an IP address such as 127.0.0.1 or [::1]. $usage" \
    "$house/client" ./client localhost:18000 tracker_info.txt
# Nobody listens on port 1, which is reserved for the system.
start program "$house/client" ./client
refused program 'login alice wonderland' \
    'No tracker can be reached (127.0.0.1:1: nobody listens there)'
hang_up program
ended program 4

step 'the tracker starts, makes its key beside the list of trackers, and answers on its console'
start_tracker tracker
[[ $REPLY =~ ^"tracker 1 on 127.0.0.1:$tracker_port, fingerprint "[0-9a-f]{64}$ ]] || fail "the tracker begins with: $REPLY"
[[ $(stat -c '%a %s' "$house/tracker_info.txt.key") == '600 32' ]] || fail 'the key is not a file of 32 bytes for its owner only'
told tracker 'help quit' \
    'Usage: quit' \
    'Stop the tracker.' \
    'On the console only. The service manager stops a tracker that runs as a service.' \
    "'exit' does the same."
told tracker 'frobnicate' "Unknown command 'frobnicate', type help"
in_use="127.0.0.1:$tracker_port is in use"
ends_at_once 3 "tracker: $in_use; is this tracker running already? Otherwise choose another port in the list" \
    "$house/tracker" ./tracker tracker_info.txt 1
ends_at_once 3 "$in_use by another program; choose another port" \
    "$house/client" ./client "127.0.0.1:$tracker_port" tracker_info.txt

step 'three clients start'
for name in alice bob carol; do
    start_client "$name"
done

step 'accounts are made, and nothing is allowed without a login'
refused alice 'list_groups' 'Please login first'
told alice 'create_user alice wonderland' 'User created'
told bob 'create_user bob builder' 'User created'
refused bob 'create_user alice builder' 'User already exists: alice'
refused bob 'login alice builder' 'Invalid username or password'
refused bob 'login nobody builder' 'Invalid username or password'
refused bob 'create_group lab' 'Please login first'
say carol 'create_user carol'
told carol 'a long sentence as password' 'User created'
say carol 'login carol'
told carol 'a long sentence as password' 'Login successful'
told alice 'login alice wonderland' 'Login successful'
told bob 'login bob builder' 'Login successful'
refused alice 'login alice wonderland' 'Already logged in as alice, please logout first'
refused bob 'change_password wrong builder-2' 'Invalid username or password'
told bob 'change_password builder builder-2' 'Password changed'
told bob 'logout' 'Logout successful'
refused bob 'login bob builder' 'Invalid username or password'
told bob 'login bob builder-2' 'Login successful'

step 'a group is made, and who is in it is decided by its owner'
told alice 'list_groups' 'No groups yet; make one with create_group'
told alice 'create_group lab' 'Group created'
refused bob 'create_group lab' 'Group already exists: lab'
refused bob 'join_group nowhere' 'Group does not exist: nowhere'
refused alice 'list_files nowhere' 'Group does not exist: nowhere'
listed alice lab 'No files shared in this group yet; share one with upload_file'
told bob 'join_group lab' 'Request sent'
expect alice error 'bob asks to join lab: accept_request lab bob'
refused bob 'join_group lab' 'Join request already pending: lab'
refused bob 'accept_request lab bob' 'You are not a member of this group: lab'
told alice 'list_requests lab' 'bob'
refused alice 'accept_request lab carol' 'No pending request from this user: carol'
refused alice 'accept_request lab nobody' 'User does not exist: nobody'
told alice 'accept_request lab bob' 'Request accepted'
expect bob error 'You are a member of lab now'
refused bob 'join_group lab' 'Already a member of this group: lab'
told alice 'list_requests lab' 'No pending requests'
refused bob 'list_requests lab' 'You are not the owner of this group: lab'
told carol 'join_group lab' 'Request sent'
expect alice error 'carol asks to join lab: accept_request lab carol'
refused bob 'accept_request lab carol' 'You are not the owner of this group: lab'
told alice 'reject_request lab carol' 'Request rejected'
expect carol error 'Your request to join lab was turned down'
told bob 'list_groups' 'lab  2 members, owner alice, you are a member'
told alice 'list_members lab' 'alice  online, owner' 'bob  online'

step 'a file is shared by two members, each with a copy of its own'
head -c $((64 * 1024 * 1024 + 12345)) /dev/urandom >"$house/alice/big.bin"
cp "$house/alice/big.bin" "$house/bob/big.bin"
sha1_of "$house/alice/big.bin"
big_sha1=$REPLY
uploads alice "$house/alice/big.bin" lab
listed bob lab "big.bin  67.1 MB, 1 member online with it, sha1 $big_sha1"
told bob 'upload_file lab ../bob/big.bin' 'Uploaded'
expect bob error 'Uploading...'
listed alice lab "big.bin  67.1 MB, 2 members online with it, sha1 $big_sha1"
mkdir "$house/other"
echo 'something else' >"$house/other/big.bin"
upload_refused bob 'upload_file ../other/big.bin lab' 'Another file is shared under this name: big.bin'

step 'who is not a member is refused by the tracker'
refused carol 'list_files lab' 'You are not a member of this group: lab'
refused carol 'list_members lab' 'You are not a member of this group: lab'
refused carol 'download_file lab big.bin ../carol' 'You are not a member of this group: lab'
upload_refused carol 'upload_file ../other/big.bin lab' 'You are not a member of this group: lab'
refused carol 'stop_share lab big.bin' 'You are not a member of this group: lab'
refused carol 'leave_group lab' 'You are not a member of this group: lab'

step 'who connects to a member directly without the key of the group gets no byte of a file'
# A connection begins with 10 bytes of magic and version. The dialect follows: 2 between peers. A first message of 32
# bytes that was not sealed for this client gets length 0 and code 88: another client is meant.
unsealed='GRPSHARE\x00\x04\x02\x00\x20thirty-two bytes that are no key'
answer_of_peer "${client_ports[alice]}" "$unsealed"
[[ $REPLY == 00000058 ]] || fail "a message for nobody is answered with '$REPLY'"
answer_of_peer "${client_ports[alice]}" 'GRPSHARE\x00\x09\x02'
[[ $REPLY == 0000000e ]] || fail "a newer version is answered with '$REPLY'"
for text in "$house/alice/big.bin 0\n" '../alice/big.bin 0\n' 'GET /big.bin HTTP/1.0\r\n\r\n' '\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00'; do
    answer_of_peer "${client_ports[alice]}" "$text"
    [[ -z $REPLY ]] || fail "bytes that are not of the protocol are answered with '$REPLY'"
done
listed bob lab "big.bin  67.1 MB, 2 members online with it, sha1 $big_sha1"

step 'a download waits for members who have the file, and login brings their shares back'
lets_in alice lab carol
told bob 'stop_share lab big.bin' 'Stopped sharing'
refused bob 'stop_share lab big.bin' 'You are not sharing this file: big.bin'
told alice 'logout' 'Logout successful'
refused alice 'list_files lab' 'Please login first'
listed carol lab "big.bin  67.1 MB, no member online with it, sha1 $big_sha1"
told carol 'download_file lab big.bin ../carol' 'Downloading...'
say carol 'show_downloads'
expect_like carol output '\[D\] \[lab\] big\.bin  (67\.1 MB, checking what is there|0 % of 67\.1 MB, waiting for members who have it)'
refused carol 'download_file lab big.bin ../carol/second' \
    "big.bin is being downloaded already, to $house/carol/big.bin"
told alice 'login alice wonderland' 'Login successful'
completes carol lab big.bin '67.1 MB'
say carol 'show_downloads'
expect_like carol output '\[C\] \[lab\] big\.bin  67\.1 MB; alice 67\.1 MB \(100 %\)'
same "$house/alice/big.bin" "$house/carol/big.bin"
[[ $(ls -A "$house/carol") == big.bin ]] || fail "beside the download lie: $(ls -A "$house/carol")"

step 'who has downloaded a file shares it'
listed alice lab "big.bin  67.1 MB, 2 members online with it, sha1 $big_sha1"
downloads carol lab big.bin ../carol/second '67.1 MB'
same "$house/carol/big.bin" "$house/carol/second"
rm "$house/carol/second"
told alice 'stop_share lab big.bin' 'Stopped sharing'
listed alice lab "big.bin  67.1 MB, 1 member online with it, sha1 $big_sha1"
mkdir "$house/bob/again"
downloads bob lab big.bin ../bob/again '67.1 MB'
same "$house/alice/big.bin" "$house/bob/again/big.bin"

step 'two seeders serve one downloader'
downloads alice lab big.bin ../alice/again.bin '67.1 MB'
same "$house/alice/big.bin" "$house/alice/again.bin"

step 'any name, an empty file, one piece exactly, and a folder come through'
mkdir -p "$house/alice/photos/day one"
name='Übung 3 – дом "日本".txt'
printf 'hello' >"$house/alice/$name"
: >"$house/alice/empty"
head -c 524288 /dev/urandom >"$house/alice/piece"
printf 'x' >"$house/alice/photos/day one/a"
head -c 600000 /dev/urandom >"$house/alice/photos/b.bin"
: >"$house/alice/photos/none"
for file in empty piece photos "$name"; do
    uploads alice "../alice/$file" lab
done
downloads carol lab empty ../carol/ '0 B'
downloads carol lab piece ../carol '524.3 kB'
downloads carol lab photos "$house/carol" '600.0 kB'
downloads carol lab "$name" ../carol/ '5 B'
same "$house/alice/$name" "$house/carol/$name"
same "$house/alice/empty" "$house/carol/empty"
same "$house/alice/piece" "$house/carol/piece"
diff -r "$house/alice/photos" "$house/carol/photos" >&2 || fail 'the downloaded folder differs'

step 'nothing that is there is overwritten'
told carol 'stop_share lab piece' 'Stopped sharing'
echo 'mine' >"$house/carol/piece"
refused carol 'download_file lab piece ../carol' \
    "$house/carol/piece is there already and is not overwritten; choose another destination: what is there is not this content"
[[ $(<"$house/carol/piece") == mine ]] || fail 'a file that was there has been changed'

step 'bad lines are refused with one line each, and the prompt goes on'
for line in '' '   ' '# a comment'; do
    say carol "$line"
done
refused carol 'frobnicate' "Unknown command 'frobnicate', type help for the list of commands"
refused carol 'logni carol x' "Unknown command 'logni', did you mean 'login'? Type help for the list of commands"
refused carol 'create_group' 'Usage: create_group <group_id>'
refused carol 'create_group a b' 'Usage: create_group <group_id> (names with spaces go in quotes)'
refused carol 'download_file lab' 'Usage: download_file <group_id> <file_name> <destination_path>'
refused carol 'create_group a/b' "'a/b' is not a group name: a name cannot contain '/'. Usage: create_group <group_id>"
refused carol 'create_group lab~2' "'~' is reserved and cannot be chosen in a name: lab~2"
refused carol 'upload_file "notes lab' "A quote is not closed, add the missing ' or \" (or write \\' for the character)"
refused carol 'login' 'Usage: login <user_id> [password]'
refused carol 'login carol x' 'Already logged in as carol, please logout first'
refused carol 'wait lab nothing' 'No download of nothing from lab; see show_downloads'
refused carol 'download_file lab nothing ../carol' 'File does not exist in this group: nothing'
refused carol 'download_file lab big.bin ../nowhere/big.bin' "the folder $house/client/../nowhere does not exist; make it first"
upload_refused carol 'upload_file ../nowhere lab' "$house/client/../nowhere does not exist"
printf '\xff\xfe\n' >&"${inputs[carol]}"
expect_like carol error 'Line [0-9]+ of the input is not valid UTF-8'
head -c 5000 /dev/zero >&"${inputs[carol]}"
refused carol '' 'The line holds a NUL character, which no command has'
head -c 100000 /dev/zero | tr '\0' x >&"${inputs[carol]}"
say carol ''
expect_like carol error 'Line [0-9]+ of the input is longer than 65536 bytes'
told carol 'list_groups' 'lab  3 members, owner alice, you are a member'

step 'a file shared in two groups stays in one when the other is left'
told alice 'create_group team' 'Group created'
lets_in alice team bob
lets_in alice team carol
uploads alice ../alice/piece team
sha1_of "$house/alice/piece"
listed carol team "piece  524.3 kB, 1 member online with it, sha1 $REPLY"
told alice 'leave_group team' 'Left the group'
listed carol team 'No files shared in this group yet; share one with upload_file'
refused alice 'list_files team' 'You are not a member of this group: team'
downloads carol lab piece ../carol/piece.2 '524.3 kB'
same "$house/alice/piece" "$house/carol/piece.2"

step 'a client that ends and comes back on another port shares again what it shared'
told carol 'stop_share lab big.bin' 'Stopped sharing'
told bob 'stop_share lab big.bin' 'Stopped sharing'
lines=()
for file in 'big.bin  67.1 MB, 1 member' 'empty  0 B, 2 members' 'photos  600.0 kB, 3 files, 2 members' \
    'piece  524.3 kB, 2 members' "$name  5 B, 2 members"; do
    # The digest of a folder covers its files one after the other, in the order of their paths.
    read -r sha1 _ < <(find "$house/alice/${file%%  *}" -type f -print0 | sort -z | xargs -0 cat | sha1sum)
    lines+=("$file online with it, sha1 $sha1")
done
listed carol lab "${lines[@]}"
say alice 'quit'
ended alice 1
start_client alice
told alice 'login alice wonderland' 'Login successful'
downloads carol lab big.bin ../carol/big.2 '67.1 MB'
same "$house/alice/big.bin" "$house/carol/big.2"

step 'so does a client that was killed'
told carol 'stop_share lab big.bin' 'Stopped sharing'
kill_hard alice
start_client alice
told alice 'login alice wonderland' 'Login successful'
downloads carol lab big.bin ../carol/big.3 '67.1 MB'
same "$house/alice/big.bin" "$house/carol/big.3"

step 'when the owner leaves, the member who joined first owns the group'
told alice 'leave_group lab' 'Left the group'
refused alice 'list_files lab' 'You are not a member of this group: lab'
told carol 'list_groups' 'lab  2 members, owner bob, you are a member' 'team  2 members, owner bob, you are a member'
told alice 'join_group lab' 'Request sent'
expect bob error 'alice asks to join lab: accept_request lab alice'
refused carol 'accept_request lab alice' 'You are not the owner of this group: lab'
told bob 'accept_request lab alice' 'Request accepted'
expect alice error 'You are a member of lab now'
told bob 'list_members lab' 'alice  online' 'bob  online, owner' 'carol  online'
refused alice 'stop_share lab piece' 'You are not sharing this file: piece'
refused bob 'remove_member lab bob' 'The owner leaves with leave_group'
told bob 'remove_member lab carol' 'Member removed'
expect carol error 'You were removed from lab'
refused carol 'list_files lab' 'You are not a member of this group: lab'
sha1_of "$house/bob/again/big.bin"
answer_of_peer "${client_ports[bob]}" "$unsealed"
[[ $REPLY == 00000058 ]] || fail "a message for nobody is answered with '$REPLY'"

step 'a script finishes its downloads at the end of its input'
uploads alice ../alice/big.bin lab
start script "$house/client" ./client --state-dir "$house/script" ../tracker_info.txt
told script 'create_user dave secret' 'User created'
told script 'login dave secret' 'Login successful'
lets_in bob lab script dave
told script 'download_file lab big.bin ../other/mine.bin' 'Downloading...'
hang_up script
expect_like script output 'Download completed: \[lab\] big\.bin  67\.1 MB in .*'
ended script 0
same "$house/alice/big.bin" "$house/other/mine.bin"

step 'a script in which a command is refused ends with exit code 1'
start script "$house/client" ./client --state-dir "$house/script" ../tracker_info.txt
printf '%s\n' 'create_user erin secret' 'login erin' 'secret' 'list_files lab' >&"${inputs[script]}"
hang_up script
expect script output 'User created' 'Login successful'
expect script error 'You are not a member of this group: lab'
ended script 1

step 'README.md lists the commands as help does'
say carol 'help'
while :; do
    next_line carol output || fail 'carol has ended'
    [[ $REPLY == 'Names and paths'* ]] && break
    grep -qFx -- "    $REPLY" "$project/README.md" || fail "README.md does not have the line: $REPLY"
done

step 'clients leave at the end of their input and on quit'
hang_up bob
ended bob 1
say carol quit
ended carol 1

step 'the tracker ends on quit, and clients say so'
say tracker quit
ended tracker 0
expect_like alice error "The tracker 127\.0\.0\.1:$tracker_port was lost: .+"
refused alice 'list_groups' \
    "No tracker can be reached (127.0.0.1:$tracker_port: nobody listens there)"

step 'a tracker without input runs on, knows what it knew, and a signal ends it; nobody has to log in again'
start tracker "$house/tracker" ./tracker --log warn
hang_up tracker
expect_like tracker output "tracker 1 on 127\.0\.0\.1:$tracker_port, fingerprint [0-9a-f]{64}"
expect alice error "Connected to the tracker 127.0.0.1:$tracker_port"
told alice 'list_groups' 'lab  3 members, owner bob, you are a member' 'team  2 members, owner bob'
kill -TERM "${pids[tracker]}"
ended tracker 0
expect_like alice error "The tracker 127\.0\.0\.1:$tracker_port was lost: .+"
kill -INT "${pids[alice]}"
ended alice 130

step 'nothing is left'
left=$(cd "$house" && find . -name '*.part*' -o -name '*.new')
[[ -z $left ]] || fail "unfinished files were left: $left"
step ''
