use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::*;
use crate::sys::{fd, signal};

struct Case {
    arguments: Vec<Vec<u8>>,
    path: &'static str,
    directory: &'static str,
    limits: Vec<Limit>,
}

impl Case {
    fn sh(script: &str) -> Self {
        let arguments = ["sh", "-c", script].map(Vec::from).to_vec();
        Self { arguments, path: "/bin", directory: "/", limits: Vec::new() }
    }

    /// What became of it, with what it wrote.
    fn run(&self) -> (Result<Started, Failure>, String) {
        let (reader, writer) = fd::pipe().unwrap();
        let input = fd::null().unwrap();
        let program = Program {
            arguments: &self.arguments,
            environment: &["A=b".into(), format!("PATH={}", self.path).into()],
            directory: self.directory.as_bytes(),
            umask: 0o27,
            nice: 3,
            limits: &self.limits,
            input: input.as_fd(),
            output: writer.as_fd(),
            domain: None,
            door: None,
        };
        let mut starter = Starter::new(signal::block_all().unwrap()).unwrap();
        let started = starter.start(&program);
        drop(writer);
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        let outcome = match started {
            Ok(started) => starter.await_end(started).unwrap().failure.map_or(Ok(started), Err),
            Err(error) => Err(Failure { error, subject: Vec::new() }),
        };
        assert!(starter.is_idle());
        (outcome, text)
    }
}

/// A program without an environment, in the root directory.
fn plain<'a>(arguments: &'a [Vec<u8>], input_and_output: BorrowedFd<'a>) -> Program<'a> {
    Program {
        arguments,
        environment: &[],
        directory: b"/",
        umask: 0,
        nice: 0,
        limits: &[],
        input: input_and_output,
        output: input_and_output,
        domain: None,
        door: None,
    }
}

#[test]
fn a_program_gets_what_was_asked_for() {
    let mut case = Case::sh("pwd; umask; nice; ulimit -n; echo $A; ps -o pgid= -p $$ | tr -d ' '");
    case.directory = "/usr";
    case.limits = vec![Limit::new(Resource::OpenFiles, 77)];
    let (started, text) = case.run();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words.first(), Some(&"/usr"));
    assert_eq!(words.get(1), Some(&"0027"));
    assert!(text.contains("77\nb\n"), "{text}");
    assert!(text.ends_with(&format!("{}\n", started.unwrap().pid)) || !Path::new("/bin/ps").exists());
}

#[test]
fn the_start_time_is_that_of_proc() {
    let (reader, writer) = fd::pipe().unwrap();
    let mut starter = Starter::new(signal::block_all().unwrap()).unwrap();
    let all: Vec<Started> = (0..40).map(|_| starter.start(&plain(&["cat".into()], reader.as_fd())).unwrap()).collect();
    for started in &all {
        assert_eq!(started.start_ticks, procfs::process(started.pid).unwrap().start_ticks);
    }
    drop(writer);
    all.into_iter().for_each(|child| drop(starter.await_end(child).unwrap()));
}

#[test]
fn the_step_that_failed_is_told() {
    let failed = |case: &Case| case.run().0.unwrap_err().error;
    let mut case = Case::sh("");
    let mut told = |command: &str, path| {
        case.arguments = vec![command.into()];
        case.path = path;
        let error = failed(&case);
        (error.step, error.errno)
    };
    assert_eq!(told("passwd", "/no/such:/etc:/"), (Step::Execute, libc::EACCES));
    assert_eq!(told("no-such", "/no/such:/etc:/bin"), (Step::Search, libc::ENOENT));
    assert_eq!(told("/etc", ""), (Step::Execute, libc::EISDIR));
    assert_eq!(told("/no\0such", ""), (Step::Strings, libc::EINVAL));
    case.directory = "/no/such";
    assert_eq!(
        failed(&Case { arguments: vec!["sh".into()], ..case }),
        StartError { step: Step::Directory, errno: libc::ENOENT }
    );
    let mut case = Case::sh("");
    case.limits = vec![Limit { resource: libc::RLIMIT_CPU, values: libc::rlimit { rlim_cur: 2, rlim_max: 1 } }];
    assert_eq!(failed(&case), StartError { step: Step::Limit, errno: libc::EINVAL });
}

#[test]
fn a_failure_names_what_it_is_about() {
    let mut case = Case::sh("");
    case.directory = "/no/such";
    assert_eq!(case.run().0.unwrap_err().subject, b"/no/such");
    case.directory = "/";
    case.arguments = vec!["no-such".into()];
    assert_eq!(case.run().0.unwrap_err().subject, b"no-such");
}

/// A hundred children that share our memory at once, and each is told apart from the others.
#[test]
fn many_start_at_a_time_and_each_has_its_own_outcome() {
    let null = fd::null().unwrap();
    let mut starter = Starter::new(signal::block_all().unwrap()).unwrap();
    let children: Vec<(i32, Started)> = (0..100)
        .map(|number| {
            let known = vec!["sh".into(), "-c".into(), format!("exit {}", number % 7).into()];
            let arguments = if number % 3 == 0 { vec![format!("/no/such/{number}").into()] } else { known };
            (number, starter.start(&plain(&arguments, null.as_fd())).unwrap())
        })
        .collect();
    for (number, child) in children {
        let ended = starter.await_end(child).unwrap();
        if number % 3 == 0 {
            let failure = ended.failure.unwrap();
            assert_eq!(failure.subject, format!("/no/such/{number}").into_bytes());
            assert_eq!(failure.error, StartError { step: Step::Search, errno: libc::ENOENT });
        } else {
            assert_eq!((ended.failure, ended.exit), (None, Exit::Code(number % 7)));
        }
    }
    assert!(starter.is_idle());
}

/// What a shell does after fork(2) for the same reason: a signal to the group of a program that was just started arrives.
#[test]
fn the_group_of_a_child_is_there_from_the_beginning() {
    let null = fd::null().unwrap();
    let mut starter = Starter::new(signal::block_all().unwrap()).unwrap();
    for _ in 0..50 {
        let child = starter.start(&plain(&["sleep".into(), "1000".into()], null.as_fd())).unwrap();
        signal::send_group(child.pid, libc::SIGTERM).unwrap();
        let ended = starter.await_end(child).unwrap();
        assert_eq!(ended.exit, Exit::Signal { number: libc::SIGTERM, core_dumped: false });
        assert_eq!(ended.failure, None);
    }
}
