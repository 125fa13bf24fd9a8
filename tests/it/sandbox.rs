//! Promise S7: the daemon locks itself in, says so, and works all the same.

use std::fs;

use super::support::{Daemon, eventually};

fn status(pid: i32, thread: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim_start_matches(':').trim().to_owned()
}

#[test]
fn s7_every_thread_is_filtered_and_without_capabilities_and_the_runner_is_not() {
    let daemon = Daemon::new();
    assert_eq!(daemon.run(&["submit", "--wait", "--", "true"]).status.code(), Some(0));
    let pid = daemon.pid();
    let threads: Vec<_> = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().collect();
    assert!(threads.len() > 1);
    for thread in threads {
        let thread = thread.file_name().into_string().unwrap();
        assert_eq!(status(pid, &thread, "Seccomp"), "2");
        assert_eq!(status(pid, &thread, "NoNewPrivs"), "1");
        assert_eq!(u64::from_str_radix(&status(pid, &thread, "CapEff"), 16), Ok(0));
        assert_eq!(u64::from_str_radix(&status(pid, &thread, "CapPrm"), 16), Ok(0));
    }
    let runner = daemon.runner_pid();
    assert_eq!(status(runner, &runner.to_string(), "Seccomp"), "0");
    assert_eq!(status(runner, &runner.to_string(), "NoNewPrivs"), "0", "sudo works in tasks of a daemon of one's own");
}

#[test]
fn s7_status_tells_what_is_in_force() {
    let daemon = Daemon::new();
    let sandbox = daemon.get("/v1/status")["sandbox"].clone();
    assert!(
        sandbox["in_force"].as_array().unwrap().iter().any(|part| part == "no system calls but those of a daemon"),
        "{sandbox}"
    );
    assert_eq!(sandbox["missing"].as_array().unwrap().len(), 0, "{sandbox}");
    let words = daemon.ok(&["status"]);
    assert!(words.contains("Sandbox:") && words.contains("its own files alone"), "{words}");
}

#[test]
fn s7_one_that_is_off_is_told_to_be_missing() {
    let mut daemon = Daemon::unstarted("");
    daemon.configure_security("  sandbox: off\n");
    daemon.start();
    let sandbox = daemon.get("/v1/status")["sandbox"].clone();
    assert_eq!(sandbox["in_force"].as_array().unwrap().len(), 0, "{sandbox}");
    assert!(sandbox["missing"][0].as_str().unwrap().contains("security.sandbox is off"), "{sandbox}");
    assert_eq!(status(daemon.pid(), &daemon.pid().to_string(), "Seccomp"), "0");
}

#[test]
fn s7_required_starts_where_the_kernel_has_all_of_it() {
    let mut daemon = Daemon::unstarted("");
    daemon.configure_security("  sandbox: required\n");
    daemon.start();
    assert_eq!(daemon.run(&["submit", "--wait", "--", "true"]).status.code(), Some(0));
}

#[test]
fn s7_an_upgrade_stays_in_the_sandbox_and_adds_no_second_one() {
    let daemon = Daemon::new();
    let filters = || status(daemon.pid(), &daemon.pid().to_string(), "Seccomp_filters");
    let before = filters();
    for _ in 0..20 {
        daemon.ok(&["upgrade"]);
    }
    assert_eq!(filters(), before);
    let sandbox = daemon.get("/v1/status")["sandbox"].clone();
    assert!(!sandbox["in_force"].as_array().unwrap().is_empty(), "{sandbox}");
    let id = daemon.submit(&["--", "sleep", "1000"]);
    eventually("it runs", || (daemon.task_state(&id) == "running").then_some(()));
    daemon.ok(&["cancel", &id]);
}

#[test]
fn s7_a_program_out_of_the_sandboxs_reach_is_refused_with_where_to_put_it() {
    let daemon = Daemon::new();
    let refused = daemon.run(&["upgrade", "--binary", "/bin/true"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    let reach = std::path::Path::new(env!("CARGO_BIN_EXE_taskdaemon")).parent().unwrap().display();
    assert!(said.contains(&format!("reaches programs in {reach} alone: put it there")), "{said}");
    assert!(said.contains("the daemon goes on as it was"), "{said}");
}
