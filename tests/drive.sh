# shellcheck shell=bash
# Starts trackers and clients in a folder of their own and talks to them through their standard input. Sourced by
# test.sh and demo.sh.
#
# Every process has a name, under which it is started, spoken to and heard. What goes to and fro is handed to `note`,
# line by line, which whoever sources this defines. Whatever is not as expected goes to `fail`, which does not return.
# The kinds of lines are `$` for a command that is started, `<` for what is typed, `o` and `e` for what comes on standard
# output and standard error, and `=` for the end. Nothing sleeps: every wait is for a line or for the end of a process,
# and has a deadline.

# How long any one line may take to come, in seconds.
deadline=${GROUPSHARE_TEST_DEADLINE:-120}

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
house=''
declare -A pids=() inputs=() outputs=() errors=()

# A program that has ended must not take the script with it when it is spoken to.
trap '' PIPE

# open_house: makes the folder in which everything happens, laid out as the project is: tracker/ and client/ with the
# programs, and the list of trackers beside both.
open_house() {
    house=$(mktemp -d "${TMPDIR:-/tmp}/groupshare.XXXXXXXXXX") || fail 'no temporary folder can be made'
    trap close_house EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    # Without symbolic links, as the programs name paths.
    house=$(cd "$house" && pwd -P)
    mkdir "$house/tracker" "$house/client" "$house/state"
    local program
    for program in tracker client; do
        [[ -x $project/$program/$program ]] || fail "$program/$program is not built, run: make"
        ln -s "$project/$program/$program" "$house/$program/$program"
        ln -s ../tracker_info.txt "$house/$program/tracker_info.txt"
    done
    # Nothing of the user's own is read or written.
    export HOME=$house XDG_STATE_HOME=$house/state
}

# close_house: ends what still runs and removes the folder.
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
    # Opened both ways first, since opening a pipe waits for its other end.
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

# next_line NAME output|error: puts the next line into REPLY; 1 at the end of all lines. How far the hashing is, which is
# said where that takes long, is passed over.
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

# expect NAME output|error LINE...: these lines come next.
expect() {
    local name=$1 stream=$2 line
    shift 2
    for line; do
        next_line "$name" "$stream" || fail "$name has ended where its standard $stream should go on with: $line"
        [[ $REPLY == "$line" ]] || fail "$name says '$REPLY' instead of '$line'"
    done
}

# expect_like NAME output|error PATTERN: a line that matches this extended regular expression as a whole comes next. What
# its groups match is in BASH_REMATCH.
expect_like() {
    next_line "$1" "$2" || fail "$1 has ended where its standard $2 should go on with a line like: $3"
    [[ $REPLY =~ ^$3$ ]] || fail "$1 says '$REPLY', which is not like '$3'"
}

# told NAME LINE ANSWER...: a command is answered with these lines.
told() {
    say "$1" "$2"
    expect "$1" output "${@:3}"
}

# refused NAME LINE REFUSAL: a command is refused with this line.
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

# ended NAME [CODE]: the process ends, with this exit code if one is given, and has nothing more to say.
ended() {
    local name=$1 stream fd
    for stream in output error; do
        if next_line "$name" "$stream"; then
            fail "$name says something that was not expected on its standard $stream: $REPLY"
        fi
    done
    local code
    # Its output has ended, so it has too, or does so now.
    wait "${pids[$name]}" 2>/dev/null
    code=$?
    note "$name" '=' "exit code $code"
    for fd in ${inputs[$name]-} "${outputs[$name]}" "${errors[$name]}"; do
        exec {fd}>&-
    done
    unset "pids[$name]" "inputs[$name]" "outputs[$name]" "errors[$name]"
    [[ ${2-$code} == "$code" ]] || fail "$name ends with exit code $code instead of $2"
}

# kill_hard NAME: ends a process without giving it a chance.
kill_hard() {
    kill -KILL "${pids[$1]}"
    # What it said last does not matter.
    while next_line "$1" output; do :; done
    while next_line "$1" error; do :; done
    ended "$1" 137
}

# any_port: puts into REPLY a port that is probably free: one below those that the system gives away by itself.
any_port() {
    REPLY=$((20000 + RANDOM % 12000))
}

# port_taken NAME: ends the start of a program whose port was taken by somebody else; fails for any other reason.
port_taken() {
    next_line "$1" error || fail "$1 ends without a word"
    [[ $REPLY == *' is in use'* ]] || fail "$1 does not start: $REPLY"
    ended "$1"
}

# start_tracker NAME: starts the first tracker of a new list with a free port, which goes to tracker_port. Its first
# line is in REPLY. What goes its usual way it does not log.
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

# start_client NAME: starts a client on a free port, other than the one it had before; it goes to client_ports.
declare -A client_ports=()
start_client() {
    local tries line
    for tries in {1..50}; do
        any_port
        [[ $REPLY != "${client_ports[$1]-}" ]] || continue
        client_ports[$1]=$REPLY
        start "$1" "$house/client" ./client "127.0.0.1:$REPLY" tracker_info.txt
        # It says nothing by itself; the three lines of an answer show that it listens.
        printf 'help quit\n' 2>/dev/null >&"${inputs[$1]}"
        for line in 1 2 3; do
            IFS= read -r -t "$deadline" -u "${outputs[$1]}" REPLY || break
        done
        [[ $REPLY == "'exit' does the same." ]] && return
        port_taken "$1"
    done
    fail 'no free port was found in 50 tries'
}
