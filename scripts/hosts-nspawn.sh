# shellcheck shell=bash
# Hosts in systemd-nspawn: a root file system by mmdebstrap, and a copy of it by overlayfs; sourced by scripts/hosts,
# which sets `self`, `patience` and `unattended`.
# shellcheck disable=SC2154

readonly nspawn_base=(adduser ca-certificates curl jq libsqlite3-0 logrotate procps sqlite3)
readonly nspawn_systemd=(systemd systemd-sysv dbus dbus-user-session libpam-systemd udev)
# Commands that a task runs on any day, and some that only a task with more rights runs.
readonly nspawn_everyday=(at git iproute2 iputils-ping perl python3 strace sudo)

# What building a package needs; Rust itself comes from this machine.
readonly nspawn_builder=(binutils dpkg-dev gcc git libc6-dev libsqlite3-dev pkg-config rpm)

# Prints the Debian release of a host, and its packages: all that a story needs, for it has no network. Usage: contents HOST
contents() {
    case "$1" in
        systemd-252) printf '%s\n' bookworm "${nspawn_base[@]}" "${nspawn_systemd[@]}" "${nspawn_everyday[@]}" ;;
        systemd-257) printf '%s\n' trixie "${nspawn_base[@]}" "${nspawn_systemd[@]}" "${nspawn_everyday[@]}" ;;
        sysvinit) printf '%s\n' bookworm "${nspawn_base[@]}" sysvinit-core sysv-rc initscripts insserv ifupdown ;;
        builder) printf '%s\n' bookworm "${nspawn_base[@]}" "${nspawn_systemd[@]}" "${nspawn_builder[@]}" ;;
        builder-sysvinit)
            contents sysvinit
            printf '%s\n' "${nspawn_builder[@]}"
            ;;
        openrc) printf '%s\n' bookworm "${nspawn_base[@]}" sysvinit-core openrc initscripts insserv ifupdown ;;
        rpm) printf '%s\n' bookworm "${nspawn_base[@]}" "${nspawn_systemd[@]}" rpm dnf ;;
    esac
}

# Why a host of this kind cannot be booted here; nothing and success if it can.
check_nspawn() {
    local command
    for command in mmdebstrap systemd-nspawn nsenter unshare pgrep; do
        command -v "$command" >/dev/null || { say "$command is missing; scripts/setup installs it" && return 1; }
    done
    unshare --mount --pid --fork true 2>/dev/null || { say "this machine grants no namespaces" && return 1; }
    [ -n "$(cgroup_roots)" ] || { say "/sys/fs/cgroup is read-only" && return 1; }
}

# All that decides what is prepared. Usage: recipe_nspawn HOST
recipe_nspawn() {
    contents "$1"
    declare -f prepare_nspawn settle_nspawn settle_inittab
}

# Makes a root file system. Usage: prepare_nspawn HOST DIRECTORY
prepare_nspawn() {
    local release packages
    { read -r release && mapfile -t packages; } < <(contents "$1")
    mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' \
        --dpkgopt=force-unsafe-io --include="$(IFS=, && printf '%s' "${packages[*]}")" "$release" "$2"
    settle_nspawn "$1" "$2"
}

# Makes it ready to boot. Usage: settle_nspawn HOST DIRECTORY
settle_nspawn() {
    local unit
    printf '%s\n' "$1" >"$2/etc/hostname"
    printf '127.0.0.1 localhost %s\n' "$1" >"$2/etc/hosts"
    # There is no network: `apt-get update` reads what a story adds, and nothing else.
    : >"$2/etc/apt/sources.list"
    if [ -x "$2/lib/systemd/systemd" ]; then
        # With an ID of its own, a boot is not the first one, at which systemd would enable what it finds.
        sha256sum <<<"$1" | cut -c1-32 >"$2/etc/machine-id"
        mkdir -p "$2/var/log/journal"
        for unit in apt-daily apt-daily-upgrade dpkg-db-backup; do
            # They would hold dpkg's lock at times of their own.
            ln -sf /dev/null "$2/etc/systemd/system/$unit.timer"
        done
    else
        settle_inittab "$2/etc/inittab"
        printf 'auto lo\niface lo inet loopback\n' >"$2/etc/network/interfaces"
    fi
}

# Takes away the terminals, which it has not, and has the end of a boot told. Usage: settle_inittab FILE
settle_inittab() {
    sed -i -e '/getty/d' "$1"
    printf 'up:2345:once:/usr/bin/touch /run/host-is-up\n' >>"$1"
}

# The roots of the control group hierarchies that systemd uses, whichever version.
cgroup_roots() {
    local root
    for root in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
        [ ! -w "$root/cgroup.procs" ] || printf '%s\n' "$root"
    done
}

# Boots a copy and stays until it is down. Usage: boot_nspawn UP BIND…
boot_nspawn() {
    local up=$1 root keeper
    mkdir "$up"/{upper,work,root}
    mkfifo "$up/says"
    # What runs in the background has no standard input of its own.
    exec 3<&0
    # In a process namespace of its own: when its first process ends, all do, and the mounts go with them.
    (
        while read -r root; do
            # Two hosts in one control group would take each other's processes for theirs.
            mkdir "$root/taskdaemon-host.$$"
            printf '%s\n' "$BASHPID" >"$root/taskdaemon-host.$$/cgroup.procs"
        done < <(cgroup_roots)
        exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc -- \
            "$self" keep nspawn "$unattended" "$@" >"$up/says"
    ) &
    keeper=$!
    printf '%s\n' "$keeper" >"$up/keeper"
    announce_nspawn "$up" "$keeper" <"$up/says" &
    wait
    rm -f "$up/leader"
    say down
    # Whoever attached may look at it, until its standard input ends.
    cat >/dev/null
}

# Tells, at each boot that is done, the first process of the host as this machine knows it. Usage: announce_nspawn UP KEEPER
announce_nspawn() {
    local word leader
    while read -r word; do
        leader=$(pgrep -P "$(pgrep -P "$(pgrep -P "$2")" -x systemd-nspawn)") || continue
        printf '%s\n' "$leader" >"$1/leader.new"
        mv "$1/leader.new" "$1/leader"
        say "$word $leader"
    done
}

# The first process of a namespace: mounts, boots, boots again after a reboot. Usage: keep_nspawn UNATTENDED UP BIND…
keep_nspawn() {
    local up=$2 nspawn status=133 options=() option over=$2/over
    # Volatile: what is synced need not be on the disk, since nothing outlives the machine anyway.
    mount -t overlay overlay -o "lowerdir=$(<"$up/prepared"),upperdir=$up/upper,workdir=$up/work,volatile" "$up/root"
    # In memory: overlayfs takes no upper directory that is inside the lower one, as it may be here.
    mkdir "$over" && mount -t tmpfs tmpfs "$over"
    for option in "${@:3}"; do
        if [[ $option == --over=* ]]; then
            over=$(mktemp -d "$2/over/XXXXXX")
            mkdir "$over"/{upper,work,root}
            mount -t overlay overlay -o "lowerdir=${option#*=},upperdir=$over/upper,workdir=$over/work" "$over/root"
            option=--bind=$over/root:${option#*=}
        fi
        options+=("$option")
    done
    trap 'exit 143' TERM
    [ -n "$1" ] || { cat <&3 >/dev/null && kill -TERM 1; } >/dev/null &
    while [ "$status" -eq 133 ]; do
        status=0
        # Landlock is not among the calls that nspawn 252 lets through.
        TERM=dumb systemd-nspawn --quiet --directory="$up/root" --machine="$(<"$up/host")" --register=no --keep-unit \
            --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" --private-network \
            --boot --console=read-only --link-journal=no "${options[@]}" </dev/null 3<&- >>"$up/console" 2>&1 &
        nspawn=$!
        tell_when_up "$nspawn" &
        wait "$nspawn" || status=$?
    done
    return "$status"
}

# Says "up" when the host that this systemd-nspawn keeps has booted. Usage: tell_when_up PROCESS
tell_when_up() {
    local leader
    while [ -e "/proc/$1" ]; do
        if leader=$(pgrep -P "$1") && grep -qsP '^NSpid:.*\t1$' "/proc/$leader/status" && has_booted "$leader"; then
            say up
            return
        fi
        sleep 0.05
    done
}

# Whether all that belongs to a boot is done, well or not. Usage: has_booted LEADER
has_booted() {
    local state
    if [ -S "/proc/$1/root/run/systemd/private" ]; then
        state=$(nsenter --target "$1" --all systemctl is-system-running --wait 2>/dev/null)
        [ "$state" = running ] || [ "$state" = degraded ] || [ "$state" = maintenance ]
    else
        [ -e "/proc/$1/root/run/host-is-up" ]
    fi
}

# Ends what is left of a host, and its control groups. Usage: forget_nspawn UP
forget_nspawn() {
    local root deadline=$((SECONDS + patience)) pid keeper
    pid=$(cat "$1/pid" 2>/dev/null || true)
    keeper=$(cat "$1/keeper" 2>/dev/null || true)
    if grep -qszxF -e "$1" "/proc/${keeper:-none}/cmdline"; then
        kill -KILL "$keeper" 2>/dev/null || true
    fi
    for root in /sys/fs/cgroup{,/unified,/systemd}/taskdaemon-host."$pid"; do
        while [ -d "$root" ] && ! find "$root" -depth -type d -exec rmdir {} + 2>/dev/null; do
            [ "$SECONDS" -lt "$deadline" ] || die "what ran in $root does not end"
            sleep 0.02
        done
    done
}

# Runs a command as root, with what a login would give it. Usage: run_nspawn LEADER COMMAND…
run_nspawn() {
    local leader=$1
    shift
    nsenter --target "$leader" --all env -i HOME=/root LANG=C.UTF-8 TERM="${TERM-dumb}" DEBIAN_FRONTEND=noninteractive \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# Prints what a host had to say, up or down. Usage: log_nspawn UP
log_nspawn() {
    say "── console"
    tail -n 100 "$1/console" | tr -d '\r'
    if [ -d "$1/upper/var/log/journal" ]; then
        say "── journal"
        journalctl --directory="$1/upper/var/log/journal" --no-pager --no-hostname --lines=300 --output=short-precise
    fi
    find "$1/upper/var/log" -name '*.log' -not -path '*/apt/*' -not -name 'dpkg.log' -not -name alternatives.log \
        -size +0 2>/dev/null | while read -r file; do
        say "── ${file#"$1/upper"}"
        tail -n 100 "$file"
    done
}
