//! Promise T8: a full disk stops intake with a clear error, and loses nothing accepted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::{Daemon, eventually};

/// A small file system of a test's own.
struct Disk(PathBuf);

impl Disk {
    fn mount(place: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(place).unwrap();
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(place).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(place.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn t8_a_full_disk_stops_intake_in_words_and_loses_nothing() {
    let mut daemon = Daemon::unstarted("host:\n  slots: 2\nintake:\n  min_free: 16M\n");
    let Some(_disk) = Disk::mount(&daemon.state(), "64M") else {
        eprintln!("left out: only root can mount the small file system that this test fills");
        return;
    };
    daemon.start();
    let running = daemon.submit(&["--", "sh", "-c", "until test -e flag; do sleep 0.01; done; exit 5"]);
    daemon.wait_state(&running, "running");
    let mut accepted = vec![running.clone()];
    let stuffing = daemon.path("stuffing");
    fs::write(&stuffing, vec![b'x'; 4 << 20]).unwrap();
    let refused = eventually("the disk is full", || {
        let output = daemon.run(&["submit", "--stdin", stuffing.to_str().unwrap(), "--", "sha256sum"]);
        if output.status.success() {
            accepted.push(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        (!output.status.success()).then_some(output)
    });
    let words = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(75), "{words}");
    assert!(words.contains("free"), "{words}");
    fs::write(daemon.state().join("ballast"), vec![0; 64 << 20]).unwrap_err();
    fs::write(daemon.path("flag"), "").unwrap();
    daemon.kill();
    fs::remove_file(daemon.state().join("ballast")).unwrap();
    daemon.start();
    for id in &accepted[1..] {
        daemon.wait_state(id, "succeeded");
    }
    daemon.wait_state(&running, "failed");
    assert_eq!(daemon.task(&running)["history"][0]["outcome"]["code"], 5);
}

#[test]
fn t8_ends_that_could_not_be_written_are_written_once_there_is_room() {
    let mut daemon = Daemon::unstarted("host:\n  slots: 2\nintake:\n  min_free: 64K\n");
    let Some(_disk) = Disk::mount(&daemon.state(), "8M") else {
        eprintln!("left out: only root can mount the small file system that this test fills");
        return;
    };
    daemon.start();
    let flag = daemon.path("flag");
    let script = format!("until test -e {}; do sleep 0.01; done; exit 6", flag.display());
    let ids: Vec<String> = (0..2).map(|_| daemon.submit(&["--", "sh", "-c", &script])).collect();
    for id in &ids {
        daemon.wait_state(id, "running");
    }
    let ballast = daemon.state().join("ballast");
    fs::write(&ballast, vec![0; 16 << 20]).unwrap_err();
    let refused = daemon.run(&["submit", "--", "true"]);
    assert_eq!(refused.status.code(), Some(75), "{}", String::from_utf8_lossy(&refused.stderr));
    fs::write(flag, "").unwrap();
    eventually("both ended", || {
        let running = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            fs::read(entry.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&script))
        });
        (!running).then_some(())
    });
    fs::remove_file(ballast).unwrap();
    for id in &ids {
        daemon.wait_state(id, "failed");
        assert_eq!(daemon.task(id)["history"][0]["outcome"]["code"], 6);
    }
    eventually("intake opens again", || daemon.run(&["submit", "--", "true"]).status.success().then_some(()));
}

#[test]
fn t6_a_damaged_store_is_refused_in_words_and_kept() {
    let mut daemon = Daemon::new();
    let id = daemon.submit(&["--hold", "--", "true"]);
    daemon.stop();
    let queue = fs::read_dir(daemon.state()).unwrap().flatten().map(|entry| entry.path());
    let queue = { queue }.find(|path| path.extension().is_some_and(|end| end == "db")).unwrap();
    let intact = fs::read(&queue).unwrap();
    for damage in [
        Vec::new(),
        intact[..intact.len() / 2].to_vec(),
        b"not a database, but long enough to look like one".repeat(100),
    ] {
        fs::write(&queue, &damage).unwrap();
        let output = daemon.run(&["start", "--foreground"]);
        let words = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || !words.contains("damaged") {
            panic!("{} bytes of {}: {}: {words}", damage.len(), intact.len(), output.status);
        }
        assert_eq!(fs::read(&queue).unwrap(), damage, "it was left as it was");
    }
    fs::write(&queue, intact).unwrap();
    daemon.start();
    assert_eq!(daemon.task_state(&id), "held");
}

#[test]
fn t8_output_that_fills_the_disk_ends_in_a_recorded_end_and_can_be_pruned() {
    let mut daemon = Daemon::unstarted("host:\n  slots: 2\nintake:\n  min_free: 16M\n");
    let Some(_disk) = Disk::mount(&daemon.state(), "64M") else {
        eprintln!("left out: only root can mount the small file system that this test fills");
        return;
    };
    daemon.start();
    let script = "head -c 150000000 /dev/zero; exit 7";
    let ended = daemon.run(&["submit", "--wait", "--output-cap", "200M", "--", "sh", "-c", script]);
    assert_eq!(ended.status.code(), Some(7), "{}", daemon.log());
    let id = String::from_utf8_lossy(&ended.stdout).trim().to_owned();
    let cost = &daemon.task(&id)["history"][0]["cost"];
    let bytes = |name: &str| cost[name].as_u64().unwrap_or_else(|| panic!("{name} of {cost}"));
    assert!(bytes("output_bytes") > 32 << 20, "{cost}");
    assert_eq!(bytes("output_bytes") + bytes("dropped_bytes"), 150_000_000);
    assert!(daemon.log().contains("reserve was given up"), "{}", daemon.log());
    let status = daemon.get("/v1/status");
    assert_eq!((status["health"].as_str(), status["intake"].as_bool()), (Some("unhealthy"), Some(false)), "{status}");
    assert_eq!(daemon.run(&["submit", "--", "true"]).status.code(), Some(75));
    eventually("the output is pruned", || daemon.run(&["rm", &id]).status.success().then_some(()));
    eventually("intake opens again", || daemon.run(&["submit", "--wait", "--", "true"]).status.success().then_some(()));
    let reserve = daemon.state().join("queue.db-reserve");
    assert_eq!(fs::metadata(reserve).unwrap().len(), 4 << 20, "the next full disk finds it whole");
    assert_eq!(daemon.get("/v1/status")["health"], "healthy");
}

#[test]
fn t8_tasks_wait_while_the_disk_is_full_and_start_once_there_is_room() {
    let mut daemon = Daemon::unstarted("host:\n  slots: 2\nintake:\n  min_free: 16M\n");
    let Some(_disk) = Disk::mount(&daemon.state(), "64M") else {
        eprintln!("left out: only root can mount the small file system that this test fills");
        return;
    };
    daemon.start();
    let line = serde_json::json!({ "shell": "head -c 70000000 /dev/zero; exit 7", "output_cap_bytes": 200 << 20 });
    let ids = daemon.batch(&vec![line.to_string(); 6].join("\n"));
    let listed = |state: &str| daemon.get(&format!("/v1/tasks?state={state}"))["tasks"].as_array().unwrap().clone();
    let mut ended = 0;
    while ended < ids.len() {
        eventually("nothing runs", || {
            let queued = listed("queued").first().map(|task| task["id"].to_string());
            let waits = queued.map(|id| daemon.task(&id)["waits_for"].to_string());
            let held_back = waits.is_none_or(|why| why.contains("the disk is full"));
            (held_back && listed("running").is_empty()).then_some(())
        });
        ended += listed("failed").len();
        eventually("all is pruned", || daemon.run(&["prune", "--all"]).status.success().then_some(()));
    }
    eventually("intake opens again", || daemon.run(&["submit", "--wait", "--", "true"]).status.success().then_some(()));
}
