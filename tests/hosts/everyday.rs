//! Promise S5: what tasks can do in the unit's sandbox, what they cannot, and what the drop-ins give back.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::host::{Host, Kind};
use crate::package;
use crate::stories::stories;
use crate::units::property;

stories! {
    everyday_commands_pass_as_tasks on [systemd_252, systemd_257];
}

/// Commands of any day, by name; each in a directory of its own.
const EVERYDAY: &[(&str, &str)] = &[
    ("awk", r#"awk "BEGIN { exit !(1 + 1 == 2) }""#),
    ("boot id", "cat /proc/sys/kernel/random/boot_id"),
    ("chmod", "touch f && chmod 600 f"),
    ("chown to self", r#"touch f && chown "$(id -u):$(id -g)" f"#),
    ("chrt", "chrt --batch 0 true"),
    ("cp -a", "cp -a /etc/hostname . && mv hostname h && rm h"),
    ("curl localhost", SERVE),
    ("date", "date --utc"),
    ("dd", "dd if=/dev/zero of=f bs=1K count=8 conv=fsync"),
    ("df", "df /"),
    ("/dev/shm", "echo x >/dev/shm/story && rm /dev/shm/story"),
    ("du", "du --summarize /usr/share/doc"),
    ("env", r#"env A=1 sh -c "test \$A = 1""#),
    ("fallocate", "truncate --size=1M f && fallocate --length 64K g"),
    ("find", "find /etc -maxdepth 1 -name passwd | grep -q ."),
    ("flock", "flock f true"),
    ("free", "free"),
    ("getent", "getent passwd root"),
    (
        "git",
        "git init --quiet r && cd r && git -c user.name=a -c user.email=a@b commit --quiet --allow-empty --message=x",
    ),
    ("gzip", "seq 1000 >f && gzip f && gunzip f.gz && test -s f"),
    ("hostname", "uname --nodename"),
    ("ionice", "ionice --class 3 true"),
    ("ip addr", "ip -brief address"),
    ("kill", "sleep 100 & kill $!"),
    ("ln -s", "ln --symbolic /etc/hostname l && readlink l"),
    ("logger", "logger hello"),
    ("lscpu", "lscpu"),
    ("mkfifo", "mkfifo p && { echo x >p & } && read -r y <p && test $y = x"),
    ("mktemp", "mktemp && mktemp --tmpdir=/var/tmp"),
    ("nice", "nice --adjustment=5 true"),
    ("nohup", "nohup true"),
    ("nproc", "nproc"),
    ("perl", "perl -e 1"),
    ("ps", "ps -e"),
    ("python", PYTHON),
    ("renice", "renice -n 3 --pid $$"),
    ("rm -r", "mkdir --parents a/b && touch a/b/c && rm --recursive a"),
    ("script", "script --quiet --command true /dev/null"),
    ("sed -i", "echo a >f && sed -i s/a/b/ f && grep -q b f"),
    ("setsid", "setsid --wait true"),
    ("sort", "seq 100 | sort --numeric-sort --reverse | head -n 1 | grep -q 100"),
    ("sqlite3", r#"sqlite3 f "create table t (x); insert into t values (1)""#),
    ("ss", "ss --listening --tcp"),
    ("tar", "tar --create --file=a.tar /etc/hostname && tar --extract --file=a.tar && test -f etc/hostname"),
    ("taskset", "taskset --cpu-list 0 true"),
    ("timeout", "timeout 5 true"),
    ("top", "top -b -n 1"),
    ("touch -d", "touch --date=2020-01-01 f"),
    ("ulimit", "ulimit -n 2048"),
    ("uptime", "uptime"),
    ("/var/tmp", "touch /var/tmp/story"),
    ("xargs", "seq 3 | xargs -n 1 -P 2 echo | grep -q 3"),
];

const SERVE: &str = "python3 -m http.server --bind 127.0.0.1 8123 & server=$!; \
     until curl --fail --silent http://127.0.0.1:8123/; do kill -0 $server || exit 1; sleep 0.1; done; kill $server";

const PYTHON: &str = r#"python3 -c "import ctypes, multiprocessing, socket, subprocess, tempfile, threading
multiprocessing.Lock(); subprocess.run([\"true\"], check=True); socket.getaddrinfo(\"localhost\", 80)
threading.Thread(target=print).start(); tempfile.TemporaryFile().close()""#;

/// What the sandbox costs, as its comments say; `relaxed.conf` and `home.conf` give it back.
const COSTS: &[(&str, &str)] = &[
    ("at", "echo true | at now"),
    ("chmod g+s", "mkdir d && chmod g+s d && test -g d"),
    ("/home", "ls /home/member/file"),
    ("host's /tmp", "test -e /tmp/of-the-host"),
    ("ping", "ping -c 1 -W 5 127.0.0.1"),
    ("ps of others", "ps -p 1"),
    ("strace", "strace -o /dev/null true"),
    ("sudo", "sudo --non-interactive true"),
    ("unshare", "unshare --user true"),
    ("write to /srv", "touch /srv/data/story"),
];

/// Runs them all as tasks, and tells which succeeded.
fn outcomes(host: &Host, label: &str) -> BTreeMap<&'static str, bool> {
    let commands = || EVERYDAY.iter().chain(COSTS);
    let mut batch = String::new();
    for (_, command) in commands() {
        let script = format!("cd \"$(mktemp --directory)\" && {{ {command}\n}}");
        let task = serde_json::json!({ "command": ["/bin/sh", "-c", script], "label": label, "timeout_ms": 60_000 });
        writeln!(batch, "{task}").unwrap();
    }
    host.write("/root/batch", batch);
    let ids = host.run("taskdaemon submit --batch /root/batch");
    host.run(&format!("taskdaemon wait --label {label} || true"));
    let list = host.run(&format!("taskdaemon list --json --limit 0 --label {label}"));
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let list = list.as_array().unwrap();
    let succeeded = |id: &str| {
        let found = list.iter().find(|task| task["id"].as_u64() == id.parse().ok());
        found.unwrap_or_else(|| panic!("no task {id}"))["state"] == "succeeded"
    };
    commands().zip(ids.lines()).map(|((name, _), id)| (*name, succeeded(id))).collect()
}

fn everyday_commands_pass_as_tasks(host: &mut Host) {
    host.install();
    host.run("useradd --create-home member && touch /home/member/file && chmod 755 /home/member");
    host.run("install --directory --owner=taskdaemon-runner /srv/data && touch /tmp/of-the-host");
    host.run("echo 'taskdaemon-runner ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/story");
    host.run("echo 'host: {slots: 4}' >/etc/taskdaemon/config.d/story.yml && systemctl reload taskdaemon");
    let confined = outcomes(host, "confined");

    if host.kind == Kind::Systemd257 {
        // Its ping(8) gains no right, and needs what linux-sysctl-defaults sets; then it works in both.
        host.run("sysctl --write net.ipv4.ping_group_range='0 2147483647'");
    }
    // Each as it says in its head.
    host.run("mkdir /etc/systemd/system/taskdaemon-runner.service.d");
    for name in ["relaxed.conf", "home.conf"] {
        let example = package::source().join("systemd/examples").join(name);
        host.put(&example, &format!("/etc/systemd/system/taskdaemon-runner.service.d/{name}"));
    }
    host.run("systemctl daemon-reload && systemd-analyze verify --man=no taskdaemon-runner.service");
    let daemon = property(host, "taskdaemon", "MainPID");
    host.run("systemctl restart taskdaemon-runner");
    host.run("taskdaemon status --wait 30");
    let relaxed = outcomes(host, "relaxed");

    let word = |passes: bool| if passes { "passes" } else { "fails" };
    println!("{:16}{:10}with relaxed.conf and home.conf", "as a task", "as it is");
    for (name, passes) in &confined {
        println!("{name:16}{:10}{}", word(*passes), word(relaxed[name]));
    }
    println!("{} of {} pass as it is", confined.values().filter(|passes| **passes).count(), confined.len());
    let failing = |found: &BTreeMap<&'static str, bool>| -> Vec<&str> {
        found.iter().filter(|(_, passes)| !**passes).map(|(name, _)| *name).collect()
    };
    let mut costs: Vec<&str> = COSTS.iter().map(|(name, _)| *name).collect();
    costs.sort_unstable();
    assert_eq!(failing(&confined), costs);
    assert_eq!(failing(&relaxed), [""; 0]);
    // The daemon has kept its own.
    assert_eq!(property(host, "taskdaemon", "MainPID"), daemon);
    assert_eq!(host.run("taskdaemon status --json | jq --compact-output .sandbox.missing"), "[]");
}
