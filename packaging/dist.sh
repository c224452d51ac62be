#!/usr/bin/env bash
# dist.sh FOLDER [STEP...]: makes a release of the commit that is checked out. `make dist` runs it.
#
#   source    groupshare-VERSION.tar.gz: the files of the commit
#   programs  groupshare-VERSION-ARCHITECTURE-linux-LIBC.tar.gz: the programs and what `make install` puts beside them
#   deb       the Debian package
#   sums      SHA256SUMS of these
#
# Without a step it makes all of them. What it made there before goes. The same commit, the same compilers and the same
# config.toml of cargo make the same bytes in any folder. Programs are built of the source archive alone, so no source that
# is not committed gets in. CARGO and MAKE name other tools.

set -eu -o pipefail
umask 022
unset MAKEFLAGS MFLAGS MAKELEVEL
export LC_ALL=C.UTF-8 TZ=UTC
cargo=${CARGO:-cargo} rustc=${RUSTC:-rustc} make=${MAKE:-make}

fail() {
    echo "$1" >&2
    exit 1
}

(($#)) || fail 'dist.sh needs a folder: packaging/dist.sh target/dist'
mkdir -p "$1"
out=$(cd "$1" && pwd -P)
shift
(($#)) || set -- source programs deb sums
cd "$(dirname "$0")/.."
checkout=$(pwd -P)
# The settings of whoever calls change no byte.
git() {
    command git -c tar.umask=0022 -c core.autocrlf=false -c core.eol=lf -c core.attributesFile=/dev/null \
        -c log.showSignature=false "$@"
}
top=$(git rev-parse --show-cdup 2>&1) || fail "A release is made of a commit, run make dist in a clone; git says: $top"
[[ $top == '' ]] || fail 'A release is made of a commit, but this folder is no git checkout: run make dist in a clone'

version=$(git show HEAD:Cargo.toml | sed -n 's/^version = "\(.*\)"$/\1/p')
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
name=groupshare-$version
# What is built lies here between two calls: libraries that stayed the same are not compiled again.
build=$out/build
source=$build/$name

host=$("$rustc" -vV | sed -n 's/^host: //p')
musl=${host%%-*}-unknown-linux-musl

# The target whose programs run without any library, or nothing where it cannot be built.
static_target() {
    [[ -d $("$rustc" --print target-libdir --target "$musl" 2>/dev/null) ]] && command -v musl-gcc >/dev/null && echo "$musl"
}

# pack FOLDER FILE: an archive whose bytes depend on nothing but names, modes and contents. Folders may inherit a group.
pack() {
    tar -C "$(dirname "$1")" --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --mode=ug-s -cf - "$(basename "$1")" | gzip -9n >"$2.new"
    mv "$2.new" "$2"
}

make_source() {
    local changed
    changed=$(git status --porcelain | wc -l)
    ((changed == 0)) || echo "Not in the release: $changed uncommitted changes. It has what commit $(git rev-parse --short HEAD) has"
    git archive --format=tar --prefix="$name/" HEAD |
        gzip -9n >"$out/$name.tar.gz.new"
    mv "$out/$name.tar.gz.new" "$out/$name.tar.gz"
}

# Unpacks the sources where they are built, once. Files are new, so that cargo sees what has changed.
unpacked=false
unpack() {
    ! $unpacked || return 0
    unpacked=true
    [[ -f $out/$name.tar.gz ]] || make_source
    rm -rf "${source:?}"
    mkdir -p "$build"
    tar -C "$build" -xzmf "$out/$name.tar.gz"
}

# Folders of this machine that no program may name, and what stands for each of them: lines of `folder=name`. The last
# one that fits holds.
build_paths() {
    local cargo_home=${CARGO_HOME:-$HOME/.cargo} sysroot hash
    sysroot=$("$rustc" --print sysroot)
    hash=$("$rustc" -vV | sed -n 's/^commit-hash: //p')
    [[ ${HOME%/} == '' ]] || printf '%s=home\n' "${HOME%/}"
    printf '%s=checkout\n' "$checkout"
    printf '%s=cargo\n' "$cargo_home" "$(readlink -f "$cargo_home")"
    # A compiler of the distribution lies where every machine has folders.
    [[ $sysroot == /usr ]] || printf '%s=toolchain\n' "$sysroot"
    # So the compiler names the standard library's files where it has no copy of them.
    printf '%s/lib/rustlib/src/rust=/rustc/%s\n' "$sysroot" "$hash"
    printf '%s=build\n' "$build"
    printf '%s=groupshare\n' "$source"
}

# compile TARGET: the programs for it, without debug information and symbols.
compile() {
    local rust_flags='' c_flags='' line
    while read -r line; do
        rust_flags+=${rust_flags:+$'\x1f'}--remap-path-prefix=$line
        c_flags+=" -ffile-prefix-map='$line'"
    done < <(build_paths)
    (
        cd "$source"
        CARGO_ENCODED_RUSTFLAGS=$rust_flags CC_SHELL_ESCAPED_FLAGS=1 CFLAGS=$c_flags \
            $cargo build --release --locked --bins --target "$1" --target-dir "$build/target" \
            --config 'profile.release.debug=false' --config 'profile.release.strip="symbols"'
    )
    local program
    for program in tracker client; do
        cp "$build/target/$1/release/$program" "$source/$program/$program"
        check_paths "$source/$program/$program"
    done
}

# check_paths PROGRAM: it names none of the folders.
check_paths() {
    local folder
    while IFS='=' read -r folder _; do
        ! grep -aqF -- "$folder/" "$1" ||
            fail "The program $(basename "$1") names $folder, a folder of this machine: strings ${1@Q} | grep -F -- ${folder@Q}"
    done < <(build_paths)
}

# glibc_of PROGRAM: the oldest release of glibc with which it starts.
glibc_of() {
    grep -ao 'GLIBC_2\.[0-9.]*' "$1" | sed 's/GLIBC_//' | sort -Vu | tail -n 1
}

make_programs() {
    local target libc stage package
    target=$(static_target) || target=''
    unpack
    if [[ -n $target ]]; then
        libc=static
        compile "$target"
    else
        libc=glibc
        compile "$host"
        echo "The programs are not static but need glibc $(glibc_of "$source/client/client") or newer:" \
            "rustup target add $musl and apt install musl-tools make them static"
    fi
    stage=$build/stage
    package=$build/$name-${host%%-*}-linux-$libc
    rm -rf "$stage" "$package"
    $make -C "$source" --no-print-directory install DESTDIR="$stage" PREFIX=/usr/local >/dev/null
    mv "$stage/usr/local" "$package"
    rm "$package/share/doc/groupshare/.folders"
    "$source/packaging/third-party.sh" >"$package/share/doc/groupshare/third-party"
    pack "$package" "$out/$(basename "$package").tar.gz"
    rm -rf "$stage" "$package"
}

make_deb() {
    command -v dpkg-deb >/dev/null || { echo 'No Debian package: dpkg-deb is missing'; return; }
    unpack
    compile "$host"
    "$source/packaging/deb/build.sh" >/dev/null
    mv "$source"/packaging/deb/*.deb "$out/"
}

make_sums() {
    (cd "$out" && shopt -s nullglob && sha256sum groupshare[-_]*.{tar.gz,deb} >SHA256SUMS)
}

# Compiling takes minutes: what is missing at the end of it is said first.
[[ " $* " != *' deb '* ]] || ! command -v dpkg-deb >/dev/null || packaging/deb/build.sh --tools
rm -f "$out"/groupshare[-_]*.{tar.gz,deb} "$out/SHA256SUMS"
for step; do
    "make_$step"
done
(cd "$out" && for file in *; do [[ ! -f $file ]] || echo "Made $out/$file"; done)
