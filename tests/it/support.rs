//! A daemon of a test's own: the real binary on a temporary directory.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest that anything in a test may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A client that takes longer hangs, though it may wait for all that the long form of a test submits.
const HANGS: Duration = Duration::from_secs(600);

/// Whether the long form of a test was asked for.
pub(crate) fn full() -> bool {
    std::env::var_os("TASKDAEMON_FULL").is_some_and(|value| value == "1")
}

/// How often each task wrote its ID into the file, a line each time.
pub(crate) fn lines_by_task(ledger: &Path) -> BTreeMap<i64, usize> {
    let mut lines = BTreeMap::new();
    for line in fs::read_to_string(ledger).unwrap_or_default().lines() {
        *lines.entry(line.parse().expect("an ID")).or_insert(0) += 1;
    }
    lines
}

/// Waits until `condition` gives a value; fails with `what` after [`DEADLINE`].
pub(crate) fn eventually<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, what, condition)
}

/// Waits until `condition` gives a value; fails with `what` after `deadline`.
pub(crate) fn within<T>(deadline: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A daemon with its own directories; ended, with its runner and all tasks, when dropped.
pub(crate) struct Daemon {
    directory: tempfile::TempDir,
    child: Option<Child>,
    binary: PathBuf,
}

impl Daemon {
    /// Starts one with the shipped defaults and two slots.
    pub(crate) fn new() -> Self {
        Self::with("host:\n  slots: 2\n")
    }

    /// Starts one with this configuration.
    pub(crate) fn with(configuration: &str) -> Self {
        let mut daemon = Self::unstarted(configuration);
        daemon.start();
        daemon
    }

    /// Prepares one without starting it.
    pub(crate) fn unstarted(configuration: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let daemon = Self { directory, child: None, binary: env!("CARGO_BIN_EXE_taskdaemon").into() };
        daemon.configure(configuration);
        daemon
    }

    /// A path in the test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where it keeps its state.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/control.sock")
    }

    /// Writes the configuration file.
    pub(crate) fn configure(&self, configuration: &str) {
        // The tests' daemon runs as whoever runs the tests, which is root on build machines.
        let allow = "security:\n  allow_root_tasks: yes, run tasks as root\n";
        fs::write(self.path("config.yml"), format!("{configuration}{allow}")).expect("the configuration is written");
    }

    /// Adds lines to its last section, which is `security`.
    pub(crate) fn configure_security(&self, lines: &str) {
        let mut file = fs::OpenOptions::new().append(true).open(self.path("config.yml")).expect("it is there");
        file.write_all(lines.as_bytes()).expect("the configuration is written");
    }

    /// Writes the configuration file for a daemon that root starts, to become `mail`, with its tasks as `games`:
    /// users that every host has. Where the tests are not root's, it says so and returns false.
    #[allow(clippy::print_stderr, reason = "says what a test leaves out")]
    pub(crate) fn configure_two_users(&mut self, configuration: &str) -> bool {
        if !nix::unistd::Uid::effective().is_root() {
            eprintln!("left out: only root can be several users");
            return false;
        }
        self.hand_over(0, 0);
        let users = "security:\n  user: mail\n  group: mail\n  runner_user: games\n  runner_group: games\n";
        fs::write(self.path("config.yml"), format!("{configuration}{users}")).expect("the configuration is written");
        true
    }

    /// The binary with these arguments, pointed at this daemon.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        self.point(command.args(arguments));
        command
    }

    /// Points `command` at this daemon.
    pub(crate) fn point(&self, command: &mut Command) {
        command
            .env("TASKDAEMON_CONFIG", self.path("config.yml"))
            .env("TASKDAEMON_STATE_DIRECTORY", self.state())
            .env("TASKDAEMON_RUNTIME_DIRECTORY", self.path("run"))
            .env("TASKDAEMON_LOG_FILE", self.path("log"))
            .env_remove("TASKDAEMON_SOCKET")
            .current_dir(self.directory.path());
    }

    /// Starts the daemon in the foreground and waits until it answers.
    pub(crate) fn start(&mut self) {
        self.spawn();
        self.wait_ready();
    }

    /// Starts the daemon in the background, which must succeed; returns its process.
    pub(crate) fn start_in_background(&self) -> i32 {
        let said: Value = serde_json::from_str(&self.ok(&["start", "--json"])).expect("JSON");
        i32::try_from(said["pid"].as_i64().expect("a pid")).expect("a pid")
    }

    /// Starts the daemon in the foreground.
    pub(crate) fn spawn(&mut self) {
        let command = self.command(&["start", "--foreground"]);
        self.spawn_by(command);
    }

    /// Starts the daemon in the foreground by a command of the test's own.
    pub(crate) fn spawn_by(&mut self, mut command: Command) {
        command.stdin(Stdio::null());
        self.spawn_with(command);
    }

    /// The same, with the standard input that the command has.
    pub(crate) fn spawn_with(&mut self, mut command: Command) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("the log opens");
        command.stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("the daemon starts"));
    }

    /// Runs a copy of the program, which the test may replace.
    pub(crate) fn use_own_binary(&mut self) {
        let copy = self.path("taskdaemon");
        // Not by this process: what another test's thread forks meanwhile would hold it open, and it could not run.
        let copied = Command::new("cp").arg(&self.binary).arg(&copy).status();
        assert!(copied.expect("cp runs").success(), "the program is copied");
        self.binary = copy;
    }

    /// The program that runs.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Gives the test's directory to a user, who can then run the daemon, and puts the program where all users
    /// reach it.
    pub(crate) fn hand_over(&mut self, uid: u32, gid: u32) {
        self.use_own_binary();
        std::os::unix::fs::chown(self.directory.path(), Some(uid), Some(gid)).expect("the directory changes hands");
        fs::set_permissions(self.directory.path(), fs::Permissions::from_mode(0o755)).expect("others may pass");
    }

    /// Starts the daemon in the foreground, as the host's own, as another user.
    pub(crate) fn spawn_as(&mut self, uid: u32, gid: u32) {
        let mut command = self.command(&["start", "--system", "--foreground"]);
        command.uid(uid).gid(gid).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("the daemon starts"));
    }

    /// Waits until the daemon answers.
    pub(crate) fn wait_ready(&mut self) {
        eventually("the daemon answers", || {
            let child = self.child.as_mut().expect("a daemon");
            if let Some(status) = child.try_wait().expect("the daemon can be asked for") {
                panic!("the daemon ended with {status}: {}", self.log());
            }
            let (code, _) = self.try_http("GET", "/v1/status", "")?;
            (code == 200).then_some(())
        });
    }

    /// The daemon's process.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().expect("a daemon").id()).expect("a pid")
    }

    /// The runner's process.
    pub(crate) fn runner_pid(&self) -> i32 {
        eventually("the runner is linked", || {
            let (_, status) = self.try_http("GET", "/v1/status", "")?;
            i32::try_from(status.pointer("/runner/pid")?.as_i64()?).ok()
        })
    }

    /// How many sockets the daemon has open.
    pub(crate) fn open_sockets(&self) -> usize {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the daemon's descriptors").flatten();
        let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// Sends the daemon a signal.
    pub(crate) fn signal(&self, signal: i32) {
        kill(self.pid(), signal);
    }

    /// kill -9 of the daemon alone.
    pub(crate) fn kill(&mut self) {
        self.signal(9);
        self.reap();
    }

    /// kill -9 of the daemon, the runner and its keeper.
    pub(crate) fn kill_all(&mut self) {
        let runner = self.runner_pid();
        kill(parent(runner), 9);
        kill(runner, 9);
        self.kill();
    }

    /// kill -9 of the runner and the daemon.
    pub(crate) fn kill_both(&mut self) {
        let runner = self.runner_pid();
        kill(runner, 9);
        self.kill();
    }

    /// Waits for the daemon's end.
    pub(crate) fn reap(&mut self) -> std::process::ExitStatus {
        let child = self.child.as_mut().expect("a daemon");
        let status = eventually("the daemon ends", || child.try_wait().expect("the daemon can be asked for"));
        self.child = None;
        status
    }

    /// TERM, and the wait for its end.
    pub(crate) fn stop(&mut self) -> std::process::ExitStatus {
        self.signal(15);
        self.reap()
    }

    /// What the daemon logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Runs the client, and kills it where it hangs.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let client = command.spawn().expect("the client runs");
        let pid = i32::try_from(client.id()).expect("a pid");
        let (ended, end) = channel::<()>();
        let watch = thread::spawn(move || {
            if end.recv_timeout(HANGS) == Err(RecvTimeoutError::Timeout) {
                kill(pid, 9);
            }
        });
        let output = client.wait_with_output().expect("the client can be waited for");
        drop(ended);
        watch.join().expect("the watch ends");
        output
    }

    /// Runs the client, which must succeed; returns what it printed, without the last line's end.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}: {errors}\ndaemon: {}", output.status, self.log());
        String::from_utf8(output.stdout).expect("UTF-8").trim_end_matches('\n').to_owned()
    }

    /// Submits a command; returns the ID.
    pub(crate) fn submit(&self, arguments: &[&str]) -> String {
        self.ok(&[&["submit"], arguments].concat())
    }

    /// Submits JSON lines in one call; returns the IDs.
    pub(crate) fn batch(&self, lines: &str) -> Vec<i64> {
        let path = self.path("batch");
        fs::write(&path, lines).expect("the batch is written");
        let ids = self.ok(&["submit", "--batch", path.to_str().expect("UTF-8")]);
        ids.lines().map(|id| id.parse().expect("an ID a line")).collect()
    }

    /// One task as the API tells it.
    pub(crate) fn task(&self, id: &str) -> Value {
        self.get(&format!("/v1/tasks/{id}"))
    }

    /// The state of one task.
    pub(crate) fn task_state(&self, id: &str) -> String {
        self.task(id)["state"].as_str().expect("a state").to_owned()
    }

    /// Waits until a task is in this state.
    pub(crate) fn wait_state(&self, id: &str, state: &str) {
        eventually(&format!("task {id} is {state}"), || (self.task_state(id) == state).then_some(()));
    }

    /// GET; the answer must be 200.
    pub(crate) fn get(&self, path: &str) -> Value {
        let (code, body) = self.http("GET", path, "");
        assert_eq!(code, 200, "{path}: {body}");
        body
    }

    /// One HTTP request on a connection of its own.
    pub(crate) fn http(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.try_http(method, path, body).unwrap_or_else(|| panic!("{method} {path}: no answer; {}", self.log()))
    }

    fn try_http(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some((code, serde_json::from_str(body).unwrap_or(Value::Null)))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.is_some() {
            let runner = self.try_http("GET", "/v1/status", "").and_then(|(_, s)| s.pointer("/runner/pid")?.as_i64());
            self.signal(9);
            self.reap();
            if let Some(runner) = runner {
                let runner = i32::try_from(runner).expect("a pid");
                kill(parent(runner), 9);
                kill(runner, 9);
            }
        }
        // What is ended may have started something meanwhile.
        while end_everything_below(self.directory.path()) {}
    }
}

/// Whether a process has ended; who collects it takes its time on some hosts.
pub(crate) fn has_ended(pid: i32) -> bool {
    let state = || fs::read_to_string(format!("/proc/{pid}/stat")).ok()?.rsplit_once(") ")?.1.chars().next();
    state().is_none_or(|state| state == 'Z')
}

/// Waits until a process holds another one by descriptor, to wait for its end.
pub(crate) fn await_watching(pid: i32) {
    eventually("it watches another process", || {
        let mut open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten().flat_map(|fd| fs::read_link(fd.path()));
        open.any(|file| *file == *"anon_inode:[pidfd]").then_some(())
    });
}

/// The process that started this one.
pub(crate) fn parent(pid: i32) -> i32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.and_then(|pid| pid.trim().parse().ok()).expect("the process has a parent")
}

/// Ends what a test left behind: every process that works in the test's directory or has it in its environment.
/// Whether there was any.
fn end_everything_below(directory: &Path) -> bool {
    let mut found = false;
    let mark = format!("TASKDAEMON_RUNTIME_DIRECTORY={}", directory.join("run").display());
    let within = |link: &str, entry: &fs::DirEntry| {
        fs::read_link(entry.path().join(link)).is_ok_and(|at| at.starts_with(directory))
    };
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let marked = environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes());
        if marked || within("cwd", &entry) {
            kill(pid, 9);
            found = true;
        }
    }
    found
}

/// kill(2), for processes of the test's own.
pub(crate) fn kill(pid: i32, signal: i32) {
    let signal = nix::sys::signal::Signal::try_from(signal).expect("a signal");
    // The process may have ended meanwhile, which is as good.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
}
