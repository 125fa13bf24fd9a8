//! Which unit of systemd a process belongs to, told from its control group: cgroups(7).

use std::fs;
use std::io;

/// A service of systemd's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name, as `mydaemon.service`.
    pub name: String,
    /// Whether it is one of a login user's own.
    pub user: bool,
}

/// The service that process `pid` is run by; `None` where it is run by none, or by the one that runs this process
/// too: then it was started as this process was.
///
/// # Errors
/// NotFound where there is no such process.
pub fn of_process(pid: i32) -> io::Result<Option<Unit>> {
    let (its, own) = (fs::read_to_string(format!("/proc/{pid}/cgroup"))?, fs::read_to_string("/proc/self/cgroup")?);
    Ok(path(&its).filter(|its| Some(*its) != path(&own)).and_then(unit))
}

/// The path in systemd's hierarchy: the only one, or the one of that name.
fn path(groups: &str) -> Option<&str> {
    let named = |prefix: &str| groups.lines().find_map(|line| line.strip_prefix(prefix));
    let old = || groups.lines().find_map(|line| line.split_once(":name=systemd:").map(|(_, path)| path));
    old().or_else(|| named("0::"))
}

fn unit(path: &str) -> Option<Unit> {
    // A service may divide its group further.
    let name = path.split('/').rfind(|part| !part.is_empty() && !part.starts_with('.') && part.contains('.'))?;
    let user = path.contains("/user@");
    (name.ends_with(".service") && !name.starts_with("user@")).then(|| Unit { name: name.to_owned(), user })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(groups: &str) -> Option<(String, bool)> {
        path(groups).and_then(unit).map(|unit| (unit.name, unit.user))
    }

    #[test]
    fn services_are_told_from_logins() {
        let service = |name: &str, user| Some((name.to_owned(), user));
        assert_eq!(told("0::/system.slice/taskdaemon.service\n"), service("taskdaemon.service", false));
        assert_eq!(told("0::/system.slice/taskdaemon.service/daemon\n"), service("taskdaemon.service", false));
        let user = "/user.slice/user-1000.slice/user@1000.service";
        assert_eq!(told(&format!("0::{user}/app.slice/taskdaemon.service\n")), service("taskdaemon.service", true));
        assert_eq!(told(&format!("0::{user}/init.scope\n")), None);
        assert_eq!(told("0::/user.slice/user-1000.slice/session-3.scope\n"), None);
        assert_eq!(told("5:cpu:/x\n1:name=systemd:/system.slice/a.service\n0::/\n"), service("a.service", false));
        assert_eq!(told("0::/\n"), None);
        assert_eq!(told(""), None);
    }
}
