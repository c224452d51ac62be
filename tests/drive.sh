# shellcheck shell=bash
# Starts trackers and clients in a folder of their own, and talks to them through their standard input. test.sh and
# demo.sh source this file.
#
# Every process has a name. The functions here start it, type to it and read from it by that name. Every line in either
# direction goes to `note`, which the sourcing script defines. Every unexpected thing goes to `fail`, which does not
# return. The kinds of lines are `$` for a started command, `<` for typed input, `o` and `e` for standard output and
# standard error, and `=` for the end. Nothing sleeps: every wait is for a line or for the end of a process, and has a
# deadline.

# Longest wait for a line, in seconds.
deadline=${GROUPSHARE_TEST_DEADLINE:-120}

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
house=''
declare -A pids=() inputs=() outputs=() errors=()

# Typing to a program that has ended must not end the script.
trap '' PIPE

# open_house: makes the folder of the run, laid out like the project: tracker/ and client/ with the programs, and the
# list of trackers beside both.
open_house() {
    house=$(mktemp -d "${TMPDIR:-/tmp}/groupshare.XXXXXXXXXX") || fail 'no temporary folder can be made'
    trap close_house EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    # The path has no symbolic links, like the paths that the programs print.
    house=$(cd "$house" && pwd -P)
    mkdir "$house/tracker" "$house/client" "$house/state"
    local program
    for program in tracker client; do
        [[ -x $project/$program/$program ]] || fail "$program/$program is not built, run: make"
        ln -s "$project/$program/$program" "$house/$program/$program"
        ln -s ../tracker_info.txt "$house/$program/tracker_info.txt"
    done
    # The programs must not use files of the real user.
    export HOME=$house XDG_STATE_HOME=$house/state
}

# close_house: ends the processes that still run, and removes the folder.
close_house() {
    local pid
    for pid in "${pids[@]}"; do
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    [[ -n $house ]] && rm -rf "$house"
}

# start NAME FOLDER COMMAND...: runs a command in a folder.
start() {
    local name=$1 folder=$2 any in out err in_here out_there err_there
    shift 2
    note "$name" '$' "cd ${folder##*/}; $*"
    mkfifo -m 600 "$house/in" "$house/out" "$house/err" || fail "no pipes can be made in $house"
    # Opening a pipe waits for its other end. So the script first opens each for both directions.
    exec {any}<>"$house/in" {in_here}<"$house/in" {in}>"$house/in" {any}>&-
    exec {any}<>"$house/out" {out}<"$house/out" {out_there}>"$house/out" {any}>&-
    exec {any}<>"$house/err" {err}<"$house/err" {err_there}>"$house/err" {any}>&-
    rm "$house/in" "$house/out" "$house/err"
    (
        trap - PIPE
        local fd
        for fd in "$in" "$out" "$err" "${inputs[@]}" "${outputs[@]}" "${errors[@]}"; do
            exec {fd}>&-
        done
        cd "$folder" && exec "$@" <&"$in_here" >&"$out_there" 2>&"$err_there" {in_here}<&- {out_there}>&- {err_there}>&-
    ) &
    pids[$name]=$!
    exec {in_here}<&- {out_there}>&- {err_there}>&-
    inputs[$name]=$in outputs[$name]=$out errors[$name]=$err
}

# say NAME LINE: types a line.
say() {
    note "$1" '<' "$2"
    printf '%s\n' "$2" 2>/dev/null >&"${inputs[$1]}" || fail "$1 has ended and cannot be told: $2"
}

# next_line NAME output|error: sets REPLY to the next line. Returns 1 after the last line. Skips lines about the
# progress of hashing, which appear when it takes long.
next_line() {
    local -n descriptors="${2}s"
    local status
    while IFS= read -r -t "$deadline" -u "${descriptors[$1]}" REPLY; status=$?; [[ $REPLY == 'Hashing: '*' % of '* ]]; do
        note "$1" "${2:0:1}" "$REPLY"
    done
    if ((status > 128)); then
        fail "$1 says nothing on its standard $2 for $deadline s${REPLY:+ after '$REPLY'}"
    elif ((status > 0)); then
        [[ -z $REPLY ]] || fail "$1 ends within a line: $REPLY"
        return 1
    fi
    note "$1" "${2:0:1}" "$REPLY"
}

# expect NAME output|error LINE...: these lines must come next.
expect() {
    local name=$1 stream=$2 line
    shift 2
    for line; do
        next_line "$name" "$stream" || fail "$name has ended where its standard $stream should go on with: $line"
        [[ $REPLY == "$line" ]] || fail "$name says '$REPLY' instead of '$line'"
    done
}

# expect_like NAME output|error PATTERN: the next line must match this extended regular expression as a whole.
# BASH_REMATCH has its groups.
expect_like() {
    next_line "$1" "$2" || fail "$1 has ended where its standard $2 should go on with a line like: $3"
    [[ $REPLY =~ ^$3$ ]] || fail "$1 says '$REPLY', which is not like '$3'"
}

# told NAME LINE ANSWER...: types a command, which must get these lines as its answer.
told() {
    say "$1" "$2"
    expect "$1" output "${@:3}"
}

# refused NAME LINE REFUSAL: types a command, which must be refused with this line.
refused() {
    say "$1" "$2"
    expect "$1" error "$3"
}

# hang_up NAME: ends the input of a process.
hang_up() {
    local fd=${inputs[$1]}
    note "$1" '<' 'end of input'
    exec {fd}>&-
    unset "inputs[$1]"
}

# ended NAME [CODE]: the process must end without more output, and with this exit code if one is given.
ended() {
    local name=$1 stream fd
    for stream in output error; do
        if next_line "$name" "$stream"; then
            fail "$name says something that was not expected on its standard $stream: $REPLY"
        fi
    done
    local code
    # The output has ended, so the process has ended too, or ends now.
    wait "${pids[$name]}" 2>/dev/null
    code=$?
    note "$name" '=' "exit code $code"
    for fd in ${inputs[$name]-} "${outputs[$name]}" "${errors[$name]}"; do
        exec {fd}>&-
    done
    unset "pids[$name]" "inputs[$name]" "outputs[$name]" "errors[$name]"
    [[ ${2-$code} == "$code" ]] || fail "$name ends with exit code $code instead of $2"
}

# kill_hard NAME: kills a process at once.
kill_hard() {
    kill -KILL "${pids[$1]}"
    # The last output does not matter.
    while next_line "$1" output; do :; done
    while next_line "$1" error; do :; done
    ended "$1" 137
}

# any_port: sets REPLY to a port that is probably free. It is below the ports that the system assigns by itself.
any_port() {
    REPLY=$((20000 + RANDOM % 12000))
}

# port_taken NAME: cleans up after a start that failed because another program had the port. Any other reason is a
# failure.
port_taken() {
    next_line "$1" error || fail "$1 ends without a word"
    [[ $REPLY == *' is in use'* ]] || fail "$1 does not start: $REPLY"
    ended "$1"
}

# start_tracker NAME: starts the first tracker of a new list on a free port. Sets tracker_port to the port, and REPLY to
# the tracker's first line. The tracker logs no routine events.
tracker_port=''
start_tracker() {
    local tries
    for tries in {1..50}; do
        any_port
        tracker_port=$REPLY
        printf '# The trackers of this installation.\n127.0.0.1 %s\n' "$tracker_port" >"$house/tracker_info.txt"
        start "$1" "$house/tracker" ./tracker tracker_info.txt 1 --log warn
        next_line "$1" output && return
        port_taken "$1"
    done
    fail 'no free port was found in 50 tries'
}

# start_client NAME: starts a client on a free port, other than its earlier one. The port goes to client_ports.
declare -A client_ports=()
start_client() {
    local tries line
    for tries in {1..50}; do
        any_port
        [[ $REPLY != "${client_ports[$1]-}" ]] || continue
        client_ports[$1]=$REPLY
        start "$1" "$house/client" ./client "127.0.0.1:$REPLY" tracker_info.txt
        # A client prints nothing by itself. The three lines of an answer show that it listens.
        printf 'help quit\n' 2>/dev/null >&"${inputs[$1]}"
        for line in 1 2 3; do
            IFS= read -r -t "$deadline" -u "${outputs[$1]}" REPLY || break
        done
        [[ $REPLY == "'exit' does the same." ]] && return
        port_taken "$1"
    done
    fail 'no free port was found in 50 tries'
}
