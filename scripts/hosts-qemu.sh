# shellcheck shell=bash
# A whole machine in QEMU, with a kernel of its own: control groups that limit, and a plug that can be pulled; sourced by
# scripts/hosts. Its disk is prepared here; tests/hosts/machine.rs boots it, and cuts its power.

# All that is in it: what boots, what the package needs, and what stories use.
readonly qemu_packages=(
    systemd systemd-sysv dbus linux-image-cloud-amd64 adduser init-system-helpers libsqlite3-0 logrotate procps
)

# What a story has no use for, and would only make each boot longer.
readonly qemu_masked=(
    systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service
    systemd-timesyncd.service systemd-random-seed.service systemd-update-utmp.service
    systemd-update-utmp-runlevel.service systemd-binfmt.service systemd-pstore.service systemd-pcrphase.service
    systemd-pcrphase-sysinit.service systemd-logind.service e2scrub_reap.service kmod-static-nodes.service
    getty.target dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount
    sys-kernel-config.mount sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer logrotate.timer
    systemd-tmpfiles-clean.timer
    modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service
    modprobe@fuse.service modprobe@loop.service systemd-modules-load.service systemd-remount-fs.service
    systemd-user-sessions.service systemd-journal-flush.service systemd-sysusers.service systemd-repart.service
    systemd-tmpfiles-setup-dev.service systemd-firstboot.service systemd-machine-id-commit.service
    systemd-ask-password-wall.path systemd-ask-password-console.path dbus.service dbus.socket
    remote-fs.target cryptsetup.target veritysetup.target integritysetup.target
)

# Why a machine cannot be booted here; nothing and success if it can.
check_qemu() {
    local command
    for command in mmdebstrap qemu-system-x86_64 mkfs.ext4; do
        command -v "$command" >/dev/null || { say "$command is missing; scripts/setup installs it" && return 1; }
    done
    [ "$(uname -m)" = x86_64 ] || { say "its kernel is one for x86_64" && return 1; }
}

# All that decides what is prepared. Usage: recipe_qemu HOST
recipe_qemu() {
    printf '%s\n' "${qemu_packages[@]}" "${qemu_masked[@]}"
    declare -f prepare_qemu settle_qemu
}

# Makes a directory with a disk and the kernel that boots it. Usage: prepare_qemu HOST DIRECTORY
prepare_qemu() {
    local root=$2/root
    mkdir -p "$2"
    mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' --include="$(IFS=, && printf '%s' "${qemu_packages[*]}")" \
        bookworm "$root"
    settle_qemu "$root"
    mv "$root"/boot/vmlinuz-* "$2/kernel"
    # That of Debian has to load what a disk needs. NVMe and ext4 are in this kernel itself, so it needs none.
    rm -f "$root"/boot/initrd.img-*
    mkfs.ext4 -q -F -d "$root" "$2/disk" 1G
    rm -rf "$root"
}

# Makes it ready to boot. Usage: settle_qemu ROOT
settle_qemu() {
    local unit
    printf 'machine\n' >"$1/etc/hostname"
    : >"$1/etc/apt/sources.list"
    # With an ID of its own, a boot is not the first one, at which systemd would enable what it finds.
    sha256sum <<<machine | cut -c1-32 >"$1/etc/machine-id"
    mkdir -p "$1/var/log/journal"
    for unit in "${qemu_masked[@]}"; do
        ln -sf /dev/null "$1/etc/systemd/system/$unit"
    done
    cat >"$1/usr/local/sbin/line" <<'SCRIPT'
#!/bin/bash
# Runs what comes in over the serial line, a line of base64 each, and answers with its status and what it said.
stty raw -echo
export HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
printf 'ready\n'
while IFS= read -r command; do
    base64 -d <<<"$command" >/run/line.sh
    bash /run/line.sh >/run/line.out 2>&1 </dev/null
    printf '%s %s\n' "$?" "$(base64 -w0 /run/line.out)"
done
SCRIPT
    chmod 755 "$1/usr/local/sbin/line"
    cat >"$1/etc/systemd/system/line.service" <<'UNIT'
[Unit]
Description=Commands over the serial line

[Service]
StandardInput=tty-force
StandardOutput=tty
TTYPath=/dev/ttyS1
ExecStart=/usr/local/sbin/line
KillMode=process
UNIT
    mkdir -p "$1/etc/systemd/system/multi-user.target.wants"
    ln -sf ../line.service "$1/etc/systemd/system/multi-user.target.wants/line.service"
}

boot_qemu() {
    die "a machine is booted by its stories: cargo test --test hosts machine"
}

forget_qemu() {
    :
}
