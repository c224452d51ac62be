#!/bin/sh
# boot.sh WORK UNIT OPTIONS LIST TRACKER: boots systemd on a copy of this machine's files, which ends with it. It runs
# in namespaces of its own for mounts, processes, names, messages and control groups. WORK is an empty folder.
set -eu
work=$1 unit=$2 options=$3 list=$4 tracker=$5

mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/inner" "$work/root"
root=$work/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/inner" "$root"
# Inside, nothing of the kernel can be changed.
mount -t proc proc "$root/proc"
mount -o bind,ro "$root/proc/sys" "$root/proc/sys"
mount -t tmpfs tmpfs "$root/sys"
mkdir -p "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"

# There are no other units.
mkdir "$root/run/units" "$root/run/before"
for target in sysinit basic shutdown umount network-online multi-user default; do
    printf '[Unit]\nDescription=%s\n' "$target" >"$root/run/units/$target.target"
done
cp "$unit" "$root/run/units/groupshare-tracker@.service"
rm -rf "$root/var/lib/groupshare" "$root/etc/groupshare"
mkdir "$root/etc/groupshare"
cp "$options" "$root/etc/groupshare/tracker.conf"
cp "$list" "$root/etc/groupshare/tracker_info.txt"
cp "$tracker" "$root/usr/local/bin/groupshare-tracker"
if ! grep -q '^groupshare:' "$root/etc/passwd"; then
    echo 'groupshare:x:64991:64991::/var/lib/groupshare:/usr/sbin/nologin' >>"$root/etc/passwd"
    echo 'groupshare:x:64991:' >>"$root/etc/group"
fi

cd "$root"
pivot_root . run/before
umount -l /run/before
exec env -i container=test SYSTEMD_UNIT_PATH=/run/units PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /usr/lib/systemd/systemd --system --unit=default.target --log-target=console
