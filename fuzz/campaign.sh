#!/usr/bin/env bash
# Runs fuzz targets and counts their executions: fuzz/campaign.sh TARGET... Each tree of sources has counts of its own in
# fuzz/counts, and a later call goes on from there. TIME=N runs each target for N seconds (60), COUNT=N until it has had N
# executions, COUNT=full until it has had a million, or a hundred thousand where it runs a journal or a connection.
set -euo pipefail
cd "$(dirname "$0")/.."

# Targets of which one execution takes long.
HEAVY='checkpoint cluster ctl_frames journal seeding_session tracker_json tracker_link tracker_session'
# Longest run in seconds whose executions an end by force loses.
SLICE=300
# Set to any words, they are put in front of each run: `NICE='taskset -c 1 nice -n 19'`.
NICE=${NICE:-}
CARGO=${CARGO:-cargo}
COUNTS=fuzz/counts

# What the programs are made of: a change of documents voids no count.
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

# One run of a target, for so many seconds and executions at most; 0 is no limit.
run() {
	local target=$1 seconds=$2 runs=$3 status=0 executed
	mkdir -p "fuzz/found/$target" "fuzz/artifacts/$target"
	$NICE "$PROGRAMS/$target" "fuzz/found/$target" "fuzz/corpus/$target" -artifact_prefix="fuzz/artifacts/$target/" \
		-max_total_time="$seconds" -runs="$((runs > 0 ? runs : -1))" -timeout=60 -verbosity=0 -print_final_stats=1 \
		>"$LOG" 2>&1 &
	child=$!
	wait "$child" || status=$?
	if [[ -n "$stopped" ]]; then
		# The first wait ended with the signal, not with the program.
		wait "$child" || true
	fi
	executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$LOG" | tail -n 1)
	note "$target" "${executed:-0}"
	if [[ -n "$stopped" ]]; then
		echo "stopped; the next call goes on" >&2
		exit 130
	elif ((status != 0)); then
		tail -n 60 "$LOG" >&2
		echo "$target has found something: fuzz/artifacts/$target" >&2
		exit 1
	fi
}

play() {
	local target=$1 goal had begun=$SECONDS before
	goal=$(wanted "$target")
	before=$(count "$target")
	if ((goal == 0)); then
		run "$target" "${TIME:-60}" 0
	else
		while had=$(count "$target") && ((had < goal)); do
			run "$target" "$SLICE" $((goal - had))
		done
	fi
	had=$(count "$target")
	printf '%-16s %10d executions on this tree, %d more in %d s\n' "$target" "$had" $((had - before)) $((SECONDS - begun))
}

stopped=
child=
trap 'stopped=yes; if [[ -n "$child" ]]; then kill -TERM "$child" || true; fi' INT TERM
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
touch "$COUNTS"
TREE=$(tree)
env -u MAKEFLAGS -u MFLAGS "$CARGO" +nightly fuzz build --sanitizer none
PROGRAMS=fuzz/target/$(rustc +nightly -vV | sed -n 's/^host: //p')/release
for target in "$@"; do
	play "$target"
done
