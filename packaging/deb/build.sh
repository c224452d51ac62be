#!/usr/bin/env bash
# Makes packaging/deb/groupshare_VERSION_ARCHITECTURE.deb of the built programs, and tries it out. `make deb` builds
# them first. The same sources and programs make the same package. DEBFULLNAME and DEBEMAIL name its maker. With --tools it
# only looks whether the tools for it are here.

set -eu
umask 022
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/../.."

for tool in dpkg-deb dpkg-shlibdeps strip groff man fakeroot systemd-sysusers; do
    command -v "$tool" >/dev/null || {
        echo "$tool is needed for the package, but is missing: apt install dpkg-dev binutils groff-base man-db fakeroot systemd" >&2
        exit 1
    }
done
[[ ${1-} != --tools ]] || exit 0

# A man page with a warning from groff or man is wrong.
for page in packaging/*.1; do
    said=$({ groff -mandoc -Tutf8 -ww -z "$page" && man --warnings -l "$page" >/dev/null; } 2>&1) && [[ -z $said ]] || {
        printf '%s: %s\n' "$page" "$said" >&2
        exit 1
    }
done

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
architecture=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-groupshare maintainers} <${DEBEMAIL:-maintainers@groupshare.invalid}>"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH
package="groupshare_$version-1_$architecture.deb"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
doc=$root/usr/share/doc/groupshare

${MAKE:-make} --no-print-directory install DESTDIR="$root" PREFIX=/usr ZSH_DIR=share/zsh/vendor-completions >/dev/null
install -D -m 644 packaging/deb/tracker_info.txt "$root/etc/groupshare/tracker_info.txt"
install -m 644 packaging/tracker.conf "$root/etc/groupshare/tracker.conf"
mkdir -p "$root/var/lib/groupshare"
rm "$doc/.folders"
strip --strip-unneeded -R .comment -R .note "$root"/usr/bin/*
gzip -9n "$root"/usr/share/man/man1/*.1

# Debian's own names for the files beside a program.
rm "$doc/LICENSE-MIT" "$doc/LICENSE-APACHE"
mv "$doc/CHANGELOG.md" "$doc/changelog"
sed -i 's|](CHANGELOG.md)|](changelog.gz)|; s|](LICENSE-[A-Z]*)|](copyright)|g' "$doc/README.md"
printf 'groupshare (%s-1) unstable; urgency=medium\n\n  * Built from the sources of %s; changelog.gz says what is new.\n\n -- %s  %s\n' \
    "$version" "$version" "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" >"$doc/changelog.Debian"
expat=$(sed '1,2d; s/^$/./; s/^/ /' LICENSE-MIT)
awk -v expat="$expat" '$0 == "@expat@" { $0 = expat } { print }' packaging/deb/copyright >"$doc/copyright"

packaging/third-party.sh >"$doc/third-party"
gzip -9n "$doc/changelog" "$doc/changelog.Debian" "$doc/third-party"

mkdir "$work/debian" "$root/DEBIAN"
printf 'Source: groupshare\n\nPackage: groupshare\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O root/usr/bin/* | sed -n 's/^shlibs:Depends=//p')
size=$(du -k -s --apparent-size "$root" | cut -f1)
sed "s|@version@|$version-1|; s|@architecture@|$architecture|; s|@maintainer@|$maintainer|; s|@size@|$size|; s|@depends@|$depends|" \
    packaging/deb/control.in >"$root/DEBIAN/control"
install -m 644 packaging/deb/conffiles "$root/DEBIAN"
install -m 755 packaging/deb/postinst packaging/deb/prerm packaging/deb/postrm "$root/DEBIAN"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
dpkg-deb --root-owner-group --build "$root" "$work/$package" >/dev/null

fakeroot packaging/deb/try.sh "$work/$package"
mv "$work/$package" "packaging/deb/$package"
echo "Made packaging/deb/$package"
