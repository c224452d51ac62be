#!/usr/bin/env bash
# Runs fuzz targets and counts their executions: fuzz/campaign.sh TARGET... Each tree of sources has its own counts in
# fuzz/counts, and a later call continues them. TIME=N runs each target for N seconds (60). COUNT=N runs it until it has
# had N executions. COUNT=full runs it until a million, or a hundred thousand if the target runs a journal or a
# connection. JOBS=N runs N targets side by side (one for each core).
set -euo pipefail
cd "$(dirname "$0")/.."

# Targets with slow executions.
HEAVY='cluster tracker_link journal tracker_session seeding_session tracker_json ctl_frames checkpoint'
# The slowest of the others on the way to a million.
LONG='connect brought client_records sidecar ledger state records'
# How many bytes a target reads of an input. libFuzzer makes no longer inputs.
declare -A LEN_MAX=([cluster]=49 [ledger]=600 [state]=288)
# Longest run in seconds. If a run is killed, its executions are lost.
SLICE=300
# Words that are put in front of each run, such as `NICE='taskset -c 1 nice -n 19'`.
NICE=${NICE:-}
CARGO=${CARGO:-cargo}
JOBS=${JOBS:-$(nproc)}
COUNTS=fuzz/counts

# The sources of the programs. A change of documents voids no count.
tree() {
	find ./*.rs Cargo.* client model rate sync sys tracker wire fuzz/lib.rs fuzz/Cargo.* fuzz/fuzz_targets tests/fuzz_smoke \
		tests/common -type f \( -name '*.rs' -o -name 'Cargo.*' \) -print0 |
		LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-16
}

# Executions of a target on this tree.
count() {
	awk -v tree="$TREE" -v target="$1" '$1 == tree && $2 == target { had = $3 } END { print had + 0 }' "$COUNTS"
}

note() {
	local target=$1 more=$2
	awk -v tree="$TREE" -v target="$target" -v count=$(($(count "$target") + more)) \
		'!($1 == tree && $2 == target) { print } END { print tree, target, count }' "$COUNTS" >"$COUNTS.new"
	mv "$COUNTS.new" "$COUNTS"
}

wanted() {
	case "${COUNT:-}" in
	'') echo 0 ;;
	full) if [[ " $HEAVY " == *" $1 "* ]]; then echo 100000; else echo 1000000; fi ;;
	*) echo "$COUNT" ;;
	esac
}

# Begins a run of a target, with limits on seconds and executions; 0 is no limit.
run() {
	local target=$1 seconds=$2 runs=$3
	mkdir -p "fuzz/found/$target" "fuzz/artifacts/$target"
	# Each run begins with the earlier findings, so a fault that is still there ends it again. libFuzzer's entropic
	# schedule would take half of the time where threads vary the coverage of equal inputs.
	$NICE "$PROGRAMS/$target" "fuzz/found/$target" "fuzz/corpus/$target" "fuzz/artifacts/$target" \
		-artifact_prefix="fuzz/artifacts/$target/" -max_total_time="$seconds" -runs="$((runs > 0 ? runs : -1))" \
		-max_len="${LEN_MAX[$target]:-0}" -entropic=0 -timeout=60 -verbosity=0 -print_final_stats=1 \
		>"$LOGS/$target" 2>&1 &
	running[$!]=$target
}

# Begins the next run of a target, or prints that it has had enough.
play() {
	local target=$1 goal had
	goal=$(wanted "$target")
	had=$(count "$target")
	: "${before[$target]:=$had}" "${begun[$target]:=$SECONDS}"
	if ((goal == 0)) && [[ ! -e "$LOGS/$target" ]]; then
		run "$target" "${TIME:-60}" 0
	elif ((had < goal)); then
		run "$target" "$SLICE" $((goal - had))
	else
		printf '%-16s %10d executions on this tree, %d more in %d s\n' \
			"$target" "$had" $((had - before[$target])) $((SECONDS - begun[$target]))
	fi
}

# Counts the executions of a program that has ended.
ended() {
	local target=${running[$1]} executed
	unset "running[$1]"
	executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$LOGS/$target" | tail -n 1)
	note "$target" "${executed:-0}"
}

# Ends all programs and counts their executions.
end_all() {
	local pid
	for pid in "${!running[@]}"; do
		kill -TERM "$pid" || true
	done
	for pid in "${!running[@]}"; do
		wait "$pid" || true
		ended "$pid"
	done
}

declare -A running=() before=() begun=()
stopped=
trap 'stopped=yes' INT TERM
LOGS=$(mktemp -d)
trap 'rm -r "$LOGS"' EXIT
touch "$COUNTS"
TREE=$(tree)
HOST=$(rustc +nightly -vV | sed -n 's/^host: //p')
env -u MAKEFLAGS -u MFLAGS "$CARGO" +nightly build --release --manifest-path fuzz/Cargo.toml --target "$HOST"
PROGRAMS=fuzz/target/$HOST/release
# The slowest targets go first.
waiting=()
for target in $HEAVY $LONG "$@"; do
	if [[ " $* " == *" $target "* && " ${waiting[*]} " != *" $target "* ]]; then
		waiting+=("$target")
	fi
done
while ((${#waiting[@]} + ${#running[@]} > 0)); do
	while [[ -z "$stopped" ]] && ((${#waiting[@]} > 0 && ${#running[@]} < JOBS)); do
		target=${waiting[0]}
		waiting=("${waiting[@]:1}")
		play "$target"
	done
	pid= status=0
	((${#running[@]} == 0)) || wait -n -p pid "${!running[@]}" || status=$?
	if [[ -n "$stopped" ]]; then
		end_all
		echo "stopped; the next call goes on" >&2
		exit 130
	fi
	if [[ -n "${pid:-}" ]]; then
		target=${running[$pid]}
		ended "$pid"
		if ((status != 0)); then
			end_all
			tail -n 60 "$LOGS/$target" >&2
			echo "$target has found something: fuzz/artifacts/$target" >&2
			exit 1
		fi
		waiting=("$target" "${waiting[@]}")
	fi
done
