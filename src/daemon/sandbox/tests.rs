//! What the kernel says to a process in the sandbox. Each test runs in a process of its own: this program, once more.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use nix::errno::Errno;

use super::commands::{looks_refused, signals_refused};
use super::{Commands, Sandbox, library_directories};

/// Tells the child that it is one, and where it may write.
const DIRECTORY: &str = "SANDBOX_TEST_DIRECTORY";

/// Runs `test` again in a process of its own, and in that `inside`, with a directory that it may write to.
fn in_a_child(test: &str, inside: impl FnOnce(PathBuf)) {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return inside(directory.into());
    }
    let directory = tempfile::tempdir().unwrap();
    let name = format!("daemon::sandbox::tests::{test}");
    let arguments = [OsString::from(name), "--exact".into(), "--test-threads=1".into(), "--nocapture".into()];
    let output =
        Command::new(std::env::current_exe().unwrap()).args(arguments).env(DIRECTORY, directory.path()).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Enters it with one directory to write to, and the libraries to read. The thread of a test is a process to Landlock,
/// but not the only thread: so the parts are entered one by one.
fn enter(directory: PathBuf) {
    let sandbox = Sandbox {
        write: vec![directory],
        read: vec!["/proc".into()],
        execute: library_directories(),
        ..Sandbox::default()
    };
    let mut report = super::Report::default();
    super::without_capabilities().unwrap();
    super::files::restrict(&sandbox, &mut report);
    super::calls::restrict().unwrap();
    assert_eq!(report.missing, [""; 0], "the kernel that tests run on has all of it");
}

fn refused(result: io::Result<impl Sized>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::PermissionDenied)
}

#[test]
fn its_own_files_alone_are_there() {
    in_a_child("its_own_files_alone_are_there", |directory| {
        enter(directory.clone());
        fs::write(directory.join("own"), "x").unwrap();
        fs::rename(directory.join("own"), directory.join("renamed")).unwrap();
        assert_eq!(fs::read(directory.join("renamed")).unwrap(), b"x");
        fs::remove_file(directory.join("renamed")).unwrap();
        assert!(refused(fs::OpenOptions::new().append(true).open("/etc/passwd")));
        assert!(refused(fs::read("/etc/passwd")));
        assert!(refused(fs::write(directory.with_extension("beside"), "x")));
    });
}

#[test]
fn no_program_is_executed_and_what_is_written_is_not_either() {
    in_a_child("no_program_is_executed_and_what_is_written_is_not_either", |directory| {
        let copy = directory.join("program");
        fs::copy("/bin/true", &copy).unwrap();
        enter(directory);
        assert!(refused(Command::new("/bin/sh").arg("-c").arg("true").status()));
        assert!(refused(Command::new(copy).status()), "what may be written may not be executed");
    });
}

#[test]
fn nothing_on_the_network_is_reached_and_local_sockets_are() {
    in_a_child("nothing_on_the_network_is_reached_and_local_sockets_are", |directory| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        enter(directory);
        assert!(refused(TcpStream::connect(address)));
        assert!(refused(UdpSocket::bind("127.0.0.1:0")));
        let netlink = nix::sys::socket::socket(
            nix::sys::socket::AddressFamily::Netlink,
            nix::sys::socket::SockType::Raw,
            nix::sys::socket::SockFlag::empty(),
            None,
        );
        assert_eq!(netlink.map(drop), Err(Errno::EPERM));
        UnixDatagram::unbound().unwrap();
        TcpListener::bind("127.0.0.1:0").unwrap();
    });
}

#[test]
fn the_kernel_and_other_processes_are_out_of_reach() {
    in_a_child("the_kernel_and_other_processes_are_out_of_reach", |directory| {
        let parent = nix::unistd::getppid();
        enter(directory);
        let refused = |errno: nix::Result<()>| errno == Err(Errno::EPERM);
        assert!(refused(nix::sys::signal::kill(parent, None)), "a signal");
        assert!(refused(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER)), "a namespace");
        assert!(refused(nix::unistd::setuid(nix::unistd::Uid::from_raw(65_534))), "another user");
        assert!(refused(nix::unistd::chroot("/")), "another root");
        assert!(refused(nix::unistd::sethostname("x")), "the host's name");
        assert!(fs::read(format!("/proc/{parent}/environ")).is_err(), "another's environment");
        // Threads still start, and processes that only compute.
        std::thread::spawn(|| {}).join().unwrap();
    });
}

#[test]
fn commands_keep_all_but_what_is_the_hosts() {
    in_a_child("commands_keep_all_but_what_is_the_hosts", |directory| {
        let parent = nix::unistd::getppid();
        super::calls::restrict_commands().unwrap();
        assert_eq!(nix::unistd::sethostname("x"), Err(Errno::EPERM), "the host's name");
        let script = "echo x >f && sed -i s/x/y/ f && mv f g && grep -q y g && nice -n 1 true";
        assert!(Command::new("sh").args(["-c", script]).current_dir(directory).status().unwrap().success());
        // The filter leaves that; a domain does not.
        assert!(fs::read_link(format!("/proc/{parent}/fd/0")).is_ok());
        UdpSocket::bind("127.0.0.1:0").unwrap();
    });
}

/// What a command of its own domain still does with files and its own children.
fn works_with_files_and_children(directory: &std::path::Path) {
    fs::create_dir(directory.join("a")).unwrap();
    fs::write(directory.join("file"), "x").unwrap();
    fs::rename(directory.join("file"), directory.join("a/file")).unwrap();
    fs::hard_link(directory.join("a/file"), directory.join("link")).unwrap();
    assert!(Command::new("sh").args(["-c", "sleep 60 & kill $!"]).status().unwrap().success());
}

#[test]
fn a_domain_of_its_own_keeps_a_command_from_other_processes_and_from_no_file() {
    in_a_child("a_domain_of_its_own_keeps_a_command_from_other_processes_and_from_no_file", |directory| {
        let parent = nix::unistd::getppid();
        signals_refused().unwrap().restrict_self().unwrap();
        assert!(refused(fs::read_link(format!("/proc/{parent}/fd/0"))), "another's descriptor");
        assert_eq!(nix::sys::signal::kill(parent, None), Err(Errno::EPERM));
        works_with_files_and_children(&directory);
    });
}

#[test]
fn an_older_kernels_domain_refuses_all_but_signals() {
    in_a_child("an_older_kernels_domain_refuses_all_but_signals", |directory| {
        let parent = nix::unistd::getppid();
        looks_refused().unwrap().restrict_self().unwrap();
        assert!(refused(fs::read_link(format!("/proc/{parent}/fd/0"))), "another's descriptor");
        assert_eq!(nix::sys::signal::kill(parent, None), Ok(()));
        works_with_files_and_children(&directory);
    });
}

#[test]
fn what_the_kernel_can_do_for_commands_is_told() {
    let report = Commands::outlook();
    assert_eq!(report.in_force, ["no look into one another", "no signal to one another"]);
    assert_eq!(report.missing, [""; 0], "the kernel that tests run on has all of it");
}
