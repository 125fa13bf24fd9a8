//! A whole machine in QEMU: a kernel of its own, whose control groups limit, and a plug that can be pulled.
//!
//! Its disk is a copy of what `scripts/hosts prepare machine` makes, and stays over a power cut. A serial line takes
//! commands, another one what is said between them. Nothing is left of it when it is dropped, nor when this process dies.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::host::{DEADLINE, told};
use crate::package;

/// A boot in an emulator of a machine that does more than this.
const BOOT: Duration = Duration::from_secs(300);

/// What a command came to.
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) text: String,
}

/// A machine, on or off.
pub(crate) struct Machine {
    directory: TempDir,
    prepared: PathBuf,
    power: Option<Power>,
}

/// What there is of it while it is on.
struct Power {
    qemu: Child,
    line: BufReader<UnixStream>,
    /// What is written to /dev/ttyS2, line by line.
    says: Receiver<String>,
}

/// `scripts/hosts` with these arguments, which must succeed; what it says.
fn script(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(package::source().join("scripts/hosts"));
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("scripts/hosts runs");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(told(&output))
    }
}

impl Machine {
    /// A fresh one with the package installed and its service running; `None`, said on standard error, where there can
    /// be none.
    #[allow(clippy::print_stderr, reason = "says what a test leaves out")]
    pub(crate) fn with_taskdaemon() -> Option<Self> {
        if let Err(reason) = script(&["check", "machine"]) {
            eprintln!("left out: {}", reason.trim());
            return None;
        }
        script(&["prepare", "machine"]).unwrap();
        let prepared = PathBuf::from(script(&["path", "machine"]).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let mut machine = Self { directory, prepared, power: None };
        let (prepared, disk) = (machine.prepared.join("disk"), machine.path("disk"));
        let copied = Command::new("cp").arg("--sparse=always").arg(prepared).arg(disk).status();
        assert!(copied.unwrap().success());
        std::fs::copy(package::deb(), machine.path("package")).unwrap();
        // A disk has whole blocks.
        let package = File::options().write(true).open(machine.path("package")).unwrap();
        let length = package.metadata().unwrap().len();
        package.set_len(length.next_multiple_of(4096)).unwrap();
        machine.power_on();
        machine.run(&format!("head -c {length} /dev/nvme1n1 >/root/taskdaemon.deb"));
        machine.run("dpkg --install /root/taskdaemon.deb");
        machine.run("taskdaemon status --wait 60");
        Some(machine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Switches it on, and waits until it takes commands.
    pub(crate) fn power_on(&mut self) {
        assert!(self.power.is_none(), "it is on");
        let (line, says) = (self.path("line"), self.path("says"));
        let listen = |path: &Path| {
            let _ = std::fs::remove_file(path);
            UnixListener::bind(path).unwrap()
        };
        let (line_door, says_door) = (listen(&line), listen(&says));
        // It is killed when whoever started it is gone, whatever became of that.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"]);
        // Emulated, also where there is /dev/kvm: that one can be opened need not mean that it works.
        command.args("-accel tcg,thread=multi -M q35 -cpu qemu64,+rdrand -smp 2 -m 1024".split(' '));
        command.args("-nodefaults -display none -no-reboot".split(' '));
        command.arg("-serial").arg(format!("file:{}", self.path("console").display()));
        for door in [&line, &says] {
            command.arg("-serial").arg(format!("unix:{}", door.display()));
        }
        // What the guest wrote to its disk, this machine keeps when QEMU is killed; what it had not is lost.
        for (name, options) in [("disk", "cache=writeback"), ("package", "readonly=on")] {
            let path = self.path(name);
            command.arg("-drive").arg(format!("file={},if=none,id={name},format=raw,{options}", path.display()));
            command.arg("-device").arg(format!("nvme,drive={name},serial={name}"));
        }
        command.arg("-kernel").arg(self.prepared.join("kernel"));
        command
            .arg("-append")
            .arg("root=/dev/nvme0n1 rw console=ttyS0 panic=-1 quiet systemd.show_status=0 mitigations=off audit=0");
        let mut qemu = command.stdin(Stdio::null()).spawn().expect("setpriv runs");
        let deadline = Instant::now() + BOOT;
        let line = BufReader::new(accept(&line_door, &mut qemu, deadline));
        let says = lines(accept(&says_door, &mut qemu, deadline));
        self.power = Some(Power { qemu, line, says });
        assert_eq!(self.hear(BOOT), "ready");
    }

    /// Pulls the plug: what was not flushed to the disk is lost.
    pub(crate) fn cut_power(&mut self) -> Vec<String> {
        let mut power = self.power.take().expect("it is on");
        power.qemu.kill().unwrap();
        power.qemu.wait().unwrap();
        power.says.iter().collect()
    }

    /// The next line that is written to /dev/ttyS2.
    #[track_caller]
    pub(crate) fn next_word(&mut self) -> String {
        let power = self.power.as_mut().expect("it is on");
        power.says.recv_timeout(DEADLINE).expect("it says something")
    }

    fn hear(&mut self, patience: Duration) -> String {
        let console = self.path("console");
        let power = self.power.as_mut().expect("it is on");
        power.line.get_ref().set_read_timeout(Some(patience)).unwrap();
        let mut text = String::new();
        if let Err(error) = power.line.read_line(&mut text) {
            panic!("the machine does not answer: {error}\n{}", std::fs::read_to_string(console).unwrap_or_default());
        }
        text.trim_end().to_owned()
    }

    /// Runs a line of shell as root, which may fail.
    pub(crate) fn attempt(&mut self, line: &str) -> Said {
        println!("# {line}");
        let power = self.power.as_mut().expect("it is on");
        power.line.get_mut().write_all(format!("{}\n", encode(line)).as_bytes()).unwrap();
        let answer = self.hear(DEADLINE * 2);
        let (status, text) = answer.split_once(' ').unwrap_or((&answer, ""));
        let said = Said { status: status.parse().unwrap_or(-1), text: decode(text) };
        println!("{}", said.text);
        said
    }

    /// Runs a line of shell as root, which must succeed; gives what it said, without the last newline.
    #[track_caller]
    pub(crate) fn run(&mut self, line: &str) -> String {
        let said = self.attempt(line);
        assert_eq!(said.status, 0, "{line}\nsaid {}", said.text);
        said.text.trim_end_matches('\n').to_owned()
    }

    /// Waits until a line of shell succeeds.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, line: &str) {
        let start = Instant::now();
        while self.attempt(line).status != 0 {
            assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {line}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", std::fs::read_to_string(self.path("console")).unwrap_or_default());
        }
        if let Some(mut power) = self.power.take() {
            let _ = power.qemu.kill();
            let _ = power.qemu.wait();
        }
    }
}

fn accept(door: &UnixListener, qemu: &mut Child, deadline: Instant) -> UnixStream {
    door.set_nonblocking(true).unwrap();
    loop {
        match door.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                return stream;
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}"),
        }
        assert!(qemu.try_wait().unwrap().is_none(), "QEMU ended");
        assert!(Instant::now() < deadline, "QEMU does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lines(stream: UnixStream) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line.trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    receiver
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(text: &str) -> String {
    let mut coded = String::new();
    for part in text.as_bytes().chunks(3) {
        let bits = part.iter().chain([&0, &0]).take(3).fold(0usize, |bits, byte| bits << 8 | usize::from(*byte));
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = if at > part.len() { '=' } else { char::from(DIGITS[bits >> shift & 63]) };
            let _ = write!(coded, "{digit}");
        }
    }
    coded
}

fn decode(coded: &str) -> String {
    let digits = coded.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let digits: Vec<usize> = digits.collect();
    let bytes = digits.chunks(4).flat_map(|part| {
        let bits = part.iter().chain([&0, &0, &0]).take(4).fold(0, |bits, digit| bits << 6 | digit);
        let bytes = [bits >> 16 & 255, bits >> 8 & 255, bits & 255].map(|byte| u8::try_from(byte).unwrap_or(0));
        bytes.into_iter().take(part.len() * 3 / 4)
    });
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}

#[test]
fn what_goes_over_the_line_arrives_as_it_was() {
    for text in ["", "a", "ab", "abc", "abcd", "it's \u{e4}\n\0"] {
        assert_eq!(decode(&encode(text)), text);
    }
    assert_eq!(encode("ab"), "YWI=");
}
