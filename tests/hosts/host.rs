//! A host of a story's own: boots it, does in it what an administrator would, and ends it whatever happens.
//!
//! `scripts/hosts` boots and keeps it, and ends it when this process is gone: it holds the other end of its standard
//! input. So nothing is left of a host after a panic, Ctrl-C or SIGKILL.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::package;

/// The longest that a boot, a command or a condition may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// The characters that are shown of what a command said.
const MOST_SHOWN: usize = 4000;

/// The hosts that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Debian 12.
    Systemd252,
    /// Debian 13.
    Systemd257,
    /// Debian 12 with sysvinit-core and no systemd.
    Sysvinit,
    /// The same, its scripts run by OpenRC.
    Openrc,
    /// Debian 12 with rpm and dnf.
    Rpm,
    /// Debian 12 with what building needs, and this source at its own path.
    Builder,
    /// The same with sysvinit-core.
    BuilderSysvinit,
}

impl Kind {
    /// The kind that a test is named after.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "systemd_252" => Self::Systemd252,
            "systemd_257" => Self::Systemd257,
            "sysvinit" => Self::Sysvinit,
            "openrc" => Self::Openrc,
            "rpm" => Self::Rpm,
            "builder" => Self::Builder,
            "builder_sysvinit" => Self::BuilderSysvinit,
            _ => panic!("there is no host {name}"),
        }
    }

    /// What `scripts/hosts` calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Systemd252 => "systemd-252",
            Self::Systemd257 => "systemd-257",
            Self::Sysvinit => "sysvinit",
            Self::Openrc => "openrc",
            Self::Rpm => "rpm",
            Self::Builder => "builder",
            Self::BuilderSysvinit => "builder-sysvinit",
        }
    }

    /// Whether systemd is its first process.
    pub(crate) fn has_systemd(self) -> bool {
        matches!(self, Self::Systemd252 | Self::Systemd257 | Self::Rpm | Self::Builder)
    }
}

/// `scripts/hosts` with these arguments.
fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new(package::source().join("scripts/hosts"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What a command said on both.
pub(crate) fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Why no host of this kind can be booted here, if so.
pub(crate) fn why_not(kind: Kind) -> Option<String> {
    let output = script(&["check", kind.name()]).output().expect("scripts/hosts runs");
    (!output.status.success()).then(|| told(&output).trim().to_owned())
}

/// A host that is up; ended, with all that runs in it, when dropped.
pub(crate) struct Host {
    /// What it is.
    pub(crate) kind: Kind,
    name: String,
    keeper: Child,
    /// What the keeper says: `up PID` at each boot, `down` at the end.
    says: Receiver<String>,
}

impl Host {
    /// Boots a fresh one.
    pub(crate) fn boot(kind: Kind) -> Self {
        Self::boot_with(kind, &[])
    }

    /// Boots a fresh one with options of `scripts/hosts boot`, as `--bind` is.
    pub(crate) fn boot_with(kind: Kind, options: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{}.{}.{}", kind.name(), std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut command = script(&["boot", kind.name(), "--as", &name, "--attached"]);
        let mut keeper =
            command.args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("scripts/hosts runs");
        let says = lines(keeper.stdout.take().expect("it is piped"));
        let host = Self { kind, name, keeper, says };
        host.await_word("up ");
        host
    }

    /// Boots a fresh one and installs taskdaemon, which then runs.
    pub(crate) fn with_taskdaemon(kind: Kind) -> Self {
        let host = Self::boot(kind);
        host.install();
        host
    }

    /// Installs the package of this source with apt; its service then runs.
    pub(crate) fn install(&self) {
        self.put(package::deb(), "/root/taskdaemon.deb");
        self.run("apt-get install --yes /root/taskdaemon.deb");
        self.run("taskdaemon status --wait 30");
    }

    /// The process of the daemon, as it says itself.
    #[track_caller]
    pub(crate) fn daemon(&self) -> String {
        self.run("cat /run/taskdaemon/daemon.pid")
    }

    /// Puts the program alone where administrators put theirs: nothing else of the package is there then.
    pub(crate) fn put_program(&self) {
        self.put(package::deb(), "/root/taskdaemon.deb");
        self.run(
            "dpkg-deb --extract /root/taskdaemon.deb /root/x && install /root/x/usr/bin/taskdaemon /usr/local/bin",
        );
        self.run("rm -r /root/x");
    }

    /// Waits until the keeper says a line that begins so.
    fn await_word(&self, word: &str) {
        // Preparing comes before the first boot, where that was not done.
        let line = self.says.recv_timeout(5 * DEADLINE);
        assert!(
            line.as_ref().is_ok_and(|line| line.starts_with(word)),
            "{} said {line:?} instead of {word}",
            self.name
        );
    }

    /// A command that is yet to run: a line of shell, as root, with an environment like a login's.
    fn command(&self, line: &str) -> Command {
        self.command_within(DEADLINE, line)
    }

    fn command_within(&self, limit: Duration, line: &str) -> Command {
        let mut command = Command::new("timeout");
        let limit = limit.as_secs().to_string();
        command.args(["--kill-after=5", &limit]).arg(package::source().join("scripts/hosts"));
        command.args(["run", &self.name, "--", "sh", "-c", line]).stdin(Stdio::null());
        command
    }

    /// Runs a line of shell, which may fail.
    pub(crate) fn attempt(&self, line: &str) -> Output {
        println!("# {line}");
        let output = self.command(line).output().expect("it runs");
        let told = told(&output);
        print!("{}", told.char_indices().nth(MOST_SHOWN).map_or(told.as_str(), |(end, _)| &told[..end]));
        output
    }

    /// Runs a line of shell, which must succeed; gives what it wrote to standard output, without the last newline.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> String {
        let output = self.attempt(line);
        assert!(output.status.success(), "on {}: {line}\nended with {}: {}", self.name, output.status, told(&output));
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
    }

    /// Runs a line of shell, which must end with this status; gives all it said.
    #[track_caller]
    pub(crate) fn fails(&self, status: i32, line: &str) -> String {
        let output = self.attempt(line);
        let told = told(&output);
        assert_eq!(output.status.code(), Some(status), "on {}: {line}\nsaid {told}", self.name);
        told
    }

    /// Runs a line of shell as another user, which must succeed; gives what it wrote to standard output.
    #[track_caller]
    pub(crate) fn run_as(&self, user: &str, line: &str) -> String {
        self.run(&as_user(user, line))
    }

    /// Starts a line of shell and leaves it running while others do; its output is piped.
    pub(crate) fn spawn(&self, line: &str) -> Child {
        self.command_within(5 * DEADLINE, line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
    }

    /// Waits until a line of shell succeeds.
    #[track_caller]
    pub(crate) fn wait_until(&self, line: &str) {
        let start = Instant::now();
        loop {
            let output = self.command(line).output().expect("it runs");
            if output.status.success() {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "on {}: not within {DEADLINE:?}: {line}: {}", self.name, told(&output));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes a file.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let mut child = self.command(&format!("cat >'{path}'")).stdin(Stdio::piped()).spawn().expect("it runs");
        child.stdin.take().expect("it is piped").write_all(content.as_ref()).expect("it is read");
        assert!(child.wait().expect("it ends").success(), "{path} is not written");
    }

    /// Copies a file of this machine into the host.
    #[track_caller]
    pub(crate) fn put(&self, from: &Path, to: &str) {
        self.write(to, std::fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())));
    }

    /// What is in a file.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        let output = self.command(&format!("cat '{path}'")).output().expect("it runs");
        assert!(output.status.success(), "{path}: {}", told(&output));
        output.stdout
    }

    /// Reboots it as an administrator does, and waits until it is up again.
    pub(crate) fn reboot(&mut self) {
        // The command's own end is not sure: the host may take it away first.
        self.attempt("reboot");
        self.await_word("up ");
    }

    /// Has it shut down, and waits until it is.
    pub(crate) fn power_off(&mut self) {
        self.attempt("poweroff");
        self.await_word("down");
    }

    /// What `scripts/hosts` knows it by.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether `scripts/hosts list` names a host.
    pub(crate) fn is_listed(name: &str) -> bool {
        Self::list().lines().any(|line| line.split(' ').next() == Some(name))
    }

    /// What hosts there are, and which are up.
    pub(crate) fn list() -> String {
        told(&script(&["list"]).output().expect("scripts/hosts runs"))
    }

    /// Kills the process that keeps it, as nothing but SIGKILL does.
    pub(crate) fn kill_keeper(&mut self) {
        self.keeper.kill().expect("it is a child");
    }

    /// What it had to say: the console, the journal, the logs.
    pub(crate) fn log(&self) -> String {
        told(&script(&["log", &self.name]).output().expect("scripts/hosts runs"))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.log());
        }
        // Its standard input ends with this.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A line of shell for another user.
pub(crate) fn as_user(user: &str, line: &str) -> String {
    format!("runuser --user {user} -- sh -c '{}'", line.replace('\'', r"'\''"))
}

/// The lines of a pipe, as they come.
fn lines(pipe: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// All that a child of [`Host::spawn`] wrote to standard output, once it has ended well.
#[track_caller]
pub(crate) fn finish(mut child: Child) -> String {
    let mut text = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut text).expect("it is text");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{text}{}", told(&output));
    text
}
