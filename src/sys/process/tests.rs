use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
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

    fn run(&self) -> (Result<Started, StartError>, String) {
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
        let started = Starter::new(signal::block_all().unwrap()).unwrap().start(&program);
        drop(writer);
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        if let Ok(started) = started {
            // SAFETY: collects our own child.
            unsafe { libc::waitpid(started.pid, ptr::null_mut(), 0) };
        }
        (started, text)
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
    let program = Program {
        arguments: &["cat".into()],
        environment: &[],
        directory: b"/",
        umask: 0,
        nice: 0,
        limits: &[],
        input: reader.as_fd(),
        output: reader.as_fd(),
        domain: None,
        door: None,
    };
    let mut starter = Starter::new(signal::block_all().unwrap()).unwrap();
    let all: Vec<Started> = (0..40).map(|_| starter.start(&program).unwrap()).collect();
    for started in &all {
        assert_eq!(started.start_ticks, procfs::process(started.pid).unwrap().start_ticks);
    }
    drop(writer);
    for started in all {
        // SAFETY: collects our own child.
        unsafe { libc::waitpid(started.pid, ptr::null_mut(), 0) };
    }
}

#[test]
fn the_step_that_failed_is_told() {
    let failed = |case: &Case| case.run().0.unwrap_err();
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
