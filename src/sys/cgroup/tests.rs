use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::*;

/// A group that this test may do with as it likes; removed at its end.
struct Given(PathBuf);

impl Given {
    /// None where this user may make no groups: it takes root, or a user that was given one.
    fn new(name: &str) -> Option<Self> {
        let path = own_path().unwrap()?.join(format!("test-{name}-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        Some(Self(path))
    }

    fn directory(&self) -> OwnedFd {
        File::open(&self.0).unwrap().into()
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        wait_for(|| {
            for entry in fs::read_dir(&self.0).unwrap().flatten() {
                let _ = fs::remove_dir(entry.path());
            }
            fs::remove_dir(&self.0).is_ok()
        });
    }
}

struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn enter(&self, group: &Group) {
        File::from(group.door().unwrap()).write_all(self.0.id().to_string().as_bytes()).unwrap();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it never came about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_own_group_is_found_where_there_is_one() {
    let found = own().unwrap();
    assert_eq!(found.is_some(), fs::read_to_string("/proc/self/cgroup").unwrap().contains("0::/"));
    assert_eq!(own_path().unwrap().is_some_and(|path| path.join("cgroup.procs").exists()), found.is_some());
}

#[test]
fn whoever_takes_a_group_stands_in_a_leaf_and_others_are_killed_and_counted_together() {
    let Some(given) = Given::new("take") else { return };
    let owner = Sleeper::new();
    let tree = Tree::take_for(given.directory(), owner.0.id()).unwrap();
    let moved = fs::read_to_string(given.0.join("runner/cgroup.procs")).unwrap();
    assert_eq!(moved.trim(), owner.0.id().to_string());

    let (group, _) = tree.make("1.1", &Ceilings { nice: 5, ..Ceilings::default() }).unwrap();
    assert_eq!(tree.make("1.1", &Ceilings::default()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    let mut task = Sleeper::new();
    task.enter(&group);
    assert_eq!(group.processes().unwrap(), [i32::try_from(task.0.id()).unwrap()]);
    assert_eq!(tree.groups().unwrap().iter().map(|group| group.name().to_owned()).collect::<Vec<_>>(), ["1.1"]);
    assert!(!tree.remove(&group).unwrap());
    let path = path_of(i32::try_from(task.0.id()).unwrap()).unwrap();
    assert!(group.is_on(&path) && !group.is_on(&path_of(1).unwrap()), "{path}");

    group.kill().unwrap();
    task.0.wait().unwrap();
    wait_for(|| tree.remove(&group).unwrap());
    assert!(tree.remove(&group).unwrap());
    assert!(tree.groups().unwrap().is_empty());
    assert!(Path::new(&format!("/proc/{}", owner.0.id())).exists());
}

#[test]
fn a_tree_and_its_groups_are_handed_over_by_their_numbers() {
    let Some(given) = Given::new("handover") else { return };
    let owner = Sleeper::new();
    let tree = Tree::take_for(given.directory(), owner.0.id()).unwrap();
    let (group, _) = tree.make("2.1", &Ceilings::default()).unwrap();
    let task = Sleeper::new();
    task.enter(&group);
    let record = serde_json::to_string(&(&tree, &group)).unwrap();
    std::mem::forget((tree, group));
    let (tree, group): (Tree, Group) = serde_json::from_str(&record).unwrap();
    assert_eq!(group.processes().unwrap().len(), 1);
    drop(task);
    wait_for(|| tree.remove(&group).unwrap());
}

#[test]
fn a_value_is_found_by_its_whole_name() {
    let text = "usage_usec 30\nuser_usec 10\nsystem_usec 20\n";
    assert_eq!(value(text, "user_usec"), Some(10));
    assert_eq!(value(text, "user"), None);
    assert_eq!(value("", "oom_kill"), None);
}
