#!/usr/bin/env bash
# Installs a package into a root of its own, runs the programs there, removes and purges it, and checks what is left. It
# must run as root or under fakeroot. It changes nothing outside a temporary folder.

set -eu
export LC_ALL=C.UTF-8
package=$1

# How long a tracker may take to start and to stop, in seconds.
deadline=60

root=$(mktemp -d)
tracker=''
trap '[[ -z $tracker ]] || kill -KILL "$tracker" 2>/dev/null; rm -rf "$root"' EXIT

fail() {
    echo "The package does not do: $1" >&2
    exit 1
}

# dpkg_in_root ARGUMENT...: tells the maintainer scripts the root, and does not run them inside it.
dpkg_in_root() {
    dpkg --root="$root" --log="$root/dpkg.log" --force-script-chrootless --force-depends --force-not-root "$@" \
        >"$root/said" 2>&1 || fail "dpkg $1: $(<"$root/said")"
}

# files: all files except the records of dpkg and of users.
files() {
    find "$root" -mindepth 1 ! -type d ! -path "$root/var/lib/dpkg/*" ! -path "$root/said" ! -path "$root/dpkg.log" \
        ! -path "$root/etc/passwd*" ! -path "$root/etc/group*" ! -path "$root/etc/*shadow*" ! -path "$root/etc/.pwd.lock" \
        -printf '%P\n' | sort
}

mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/etc"
touch "$root/var/lib/dpkg/status" "$root/var/lib/dpkg/available" "$root/etc/passwd" "$root/etc/group"

dpkg_in_root --install "$package"
grep -q '^groupshare:' "$root/etc/passwd" || fail 'the user groupshare is not there'

# The programs print their versions. A tracker runs from its list to SIGTERM as the service runs it.
for program in tracker client; do
    "$root/usr/bin/groupshare-$program" --version | grep -q "^groupshare-$program (groupshare) " || fail "$program --version"
    "$root/usr/bin/groupshare-$program" --help | grep -q "^Usage: groupshare-$program " || fail "$program --help"
    [[ -n $(man -l "$root/usr/share/man/man1/groupshare-$program.1.gz") ]] || fail "man groupshare-$program"
done
state=$root/var/lib/groupshare
for try in {1..20}; do
    echo "127.0.0.1 $((20000 + RANDOM % 12000))" >"$root/etc/groupshare/tracker_info.txt"
    coproc "$root/usr/bin/groupshare-tracker" --key "$state/tracker.key" --data-dir "$state/tracker-1" \
        --config "$root/etc/groupshare/tracker.conf" "$root/etc/groupshare/tracker_info.txt" 1 2>"$root/said" </dev/null
    tracker=$COPROC_PID
    if read -r -t "$deadline" -u "${COPROC[0]}" line; then
        break
    fi
    grep -q 'is in use' "$root/said" || fail "the tracker: $(<"$root/said")"
    line=''
done
[[ $line == 'tracker 1 on 127.0.0.1:'* ]] || fail "the tracker says '$line' after $try tries"
kill -TERM "$tracker"
wait "$tracker" || fail "the tracker ends with exit code $?"
tracker=''

# The same again, like an upgrade: the list keeps its text.
list=$(<"$root/etc/groupshare/tracker_info.txt")
dpkg_in_root --install "$package"
[[ $(<"$root/etc/groupshare/tracker_info.txt") == "$list" ]] || fail 'a new version replaces the list'

# Without the programs, the files of trackers and operators stay until a purge.
dpkg_in_root --remove groupshare
[[ ! -e $root/usr/bin/groupshare-tracker ]] || fail 'the programs are there after the removal'
[[ -s $state/tracker.key && -s $root/etc/groupshare/tracker_info.txt ]] || fail 'the removal takes the key or the list'
dpkg_in_root --purge groupshare
left=$(files)
[[ -z $left && ! -e $state && ! -e $root/etc/groupshare ]] || fail "after the purge there is still: $left"
! grep -q '^groupshare:' "$root/etc/passwd" "$root/etc/group" || fail 'the user is there after the purge'
