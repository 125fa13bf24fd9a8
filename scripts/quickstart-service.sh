# shellcheck shell=bash
# The quickstart's daemon where it is a service: installed as a package, and purged at the end; sourced by
# scripts/quickstart.
# shellcheck disable=SC2154

readonly drop_in=/etc/systemd/system/taskdaemon-runner.service.d
readonly ours=(/etc/taskdaemon /var/lib/taskdaemon /var/log/taskdaemon /run/taskdaemon /usr/bin/taskdaemon "$drop_in")
installed=

# Whether an init runs this host, that would run the service. A container may have any other program there.
has_init() {
    [ -d /run/systemd/system ] || { [ "$(cat /proc/1/comm)" = init ] && [ -p /run/initctl ]; }
}

# Whether the package can be installed here and purged again, and nothing of anybody's goes with it.
is_for_service() {
    local path
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null && has_init || return 1
    for path in "${ours[@]}"; do
        if [ -e "$path" ]; then
            say "There is a $path: taskdaemon is or was installed here, and stays as it is."
            return 1
        fi
    done
    ! getent passwd taskdaemon taskdaemon-runner >/dev/null
}

# What the service's tasks write to is outside /tmp, of which they have their own.
prepare_service() {
    unset "${!TASKDAEMON_@}"
    export DEBIAN_FRONTEND=noninteractive
    chmod 755 "$work"
    mkdir "$work/job"
    write_job
    if [ -d /run/systemd/system ]; then
        mkdir "$drop_in"
        printf '[Service]\nReadWritePaths=%s\n' "$work/job" >"$drop_in/quickstart.conf"
    fi
}

install_service() {
    local deb
    deb=$(echo "$PWD"/target/dist/taskdaemon_*.deb)
    cd "$work/job" || return
    tell "The service, as whoever installs the package has it."
    installed=1
    show apt-get -qq -o Dpkg::Use-Pty=0 install --yes --no-install-recommends "$deb"
    chown taskdaemon-runner: "$work/job"
    # shellcheck disable=SC2034
    as_task=(runuser --user taskdaemon-runner --)
    wait_until "the service's start" has '"health":"healthy"' taskdaemon status --json
    # Through a pipe, systemd pages nothing.
    show service taskdaemon status | cat
    show taskdaemon status
}

# Whether nothing of the service runs.
is_gone() {
    ! pgrep -f '^/usr/bin/taskdaemon' >/dev/null
}

# Purges the package, and what is the quickstart's own: its accounts too, for their tasks wrote to one place alone.
remove_service() {
    local path
    installed=
    tell "The package is purged."
    show apt-get -qq -o Dpkg::Use-Pty=0 purge --yes taskdaemon
    wait_until "the service's end" is_gone
    rm -rf "$drop_in"
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
    for path in taskdaemon taskdaemon-runner; do
        userdel "$path"
    done
    for path in "${ours[@]}"; do
        [ ! -e "$path" ] || die "purging the package left $path"
    done
    say "The host is as it was."
}

# After a failure: says what the service said, and takes away what is there.
clean_up_service() {
    if [ -n "$installed" ]; then
        if [ -d /run/systemd/system ]; then
            journalctl --no-pager --lines 30 --unit 'taskdaemon*' >&2 || true
        else
            tail -n 30 /var/log/taskdaemon/daemon.log >&2 || true
        fi
        (remove_service) >&2 || true
    fi
    rm -rf "$drop_in"
}
