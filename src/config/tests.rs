//! The whole way from files to settings.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use proptest::prelude::{any, proptest};

use super::{Environment, Flags, Level, Mode, RootTasks, RunnerStart, Settings, Source, load};
use crate::task::{OnInterrupt, QueueName};

/// A user's home of its own, with nothing in it.
struct Home {
    directory: tempfile::TempDir,
    environment: Environment,
    flags: Flags,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment {
            mode: Mode::User,
            uid: nix::unistd::geteuid().as_raw(),
            cores: NonZeroU32::new(4).unwrap(),
            variables: BTreeMap::from([
                ("XDG_CONFIG_HOME".into(), directory.path().join("c").into()),
                ("XDG_STATE_HOME".into(), "/s".into()),
                ("XDG_RUNTIME_DIR".into(), "/r".into()),
            ]),
            root: directory.path().to_owned(),
        };
        Self { directory, environment, flags: Flags::default() }
    }

    fn set(&mut self, variable: &str, value: impl Into<std::ffi::OsString>) {
        self.environment.variables.insert(variable.into(), value.into());
    }

    /// Writes a file below the configuration directory.
    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.environment.config_directory().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn load(&self) -> Settings {
        load(&self.environment, &self.flags).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The faults as text, the directory left out.
    fn faults(&self) -> Vec<String> {
        let prefix = format!("{}/", self.environment.config_directory().display());
        let error = load(&self.environment, &self.flags).expect_err("refused");
        error.faults().iter().map(|fault| fault.to_string().replace(&prefix, "")).collect()
    }
}

fn shown(settings: &Settings) -> BTreeMap<String, String> {
    settings.values().iter().map(|entry| (entry.key.to_string(), entry.text.clone())).collect()
}

fn source_of(settings: &Settings, key: &str) -> Source {
    settings.values().iter().find(|entry| entry.key.to_string() == key).unwrap().source.clone()
}

#[test]
fn without_any_file_the_defaults_hold() {
    let settings = Home::new().load();
    assert_eq!(settings.paths.state_directory, Path::new("/s/taskdaemon"));
    assert_eq!(settings.paths.socket, Path::new("/r/taskdaemon/control.sock"));
    assert_eq!(settings.host.slots, 4);
    assert_eq!(settings.tasks.on_interrupt, OnInterrupt::Retry);
    assert_eq!(settings.security.allow_root_tasks, RootTasks::Refused);
    assert_eq!(settings.queues.keys().collect::<Vec<_>>(), [&QueueName::default()]);
    assert!(settings.values().iter().all(|entry| entry.source == Source::Default));
}

#[test]
fn later_files_then_the_environment_then_flags_win_and_each_source_is_remembered() {
    let mut home = Home::new();
    let main = home.file("config.yml", "log:\n  level: warn\nhost: {slots: 3}\nintake:\n  min_free: 1G\n");
    let early = home.file("config.d/10-a.yml", "host:\n  slots: 5\nqueues:\n  gpu: {slots: 1}\n");
    let late = home.file("config.d/20-b.yml", "host:\n  slots: 6\nqueues:\n  gpu: {max_length: 9}\n");
    home.file("config.d/30-c.yml.bak", "host:\n  slots: 7\n");
    home.file("config.d/.40-d.yml", "host:\n  slots: 8\n");
    home.set("TASKDAEMON_SOCKET", "/elsewhere/s.sock");
    home.set("TASKDAEMON_LOG_LEVEL", "debug");
    home.set("TASKDAEMON_RUNNER_START", "service");
    home.flags.log_level = Some(Level::Trace);

    let settings = home.load();
    assert_eq!(settings.files().collect::<Vec<_>>(), [main.as_path(), &early, &late]);
    assert_eq!(settings.host.slots, 6);
    assert_eq!(settings.intake.min_free, 1 << 30);
    let gpu = &settings.queues[&"gpu".parse().unwrap()];
    assert_eq!((gpu.slots, gpu.max_length), (Some(1), Some(9)));
    assert_eq!(settings.paths.socket, Path::new("/elsewhere/s.sock"));
    assert_eq!(settings.log.level, Level::Trace);
    assert_eq!(source_of(&settings, "log.level"), Source::Flag("--log-level"));
    assert_eq!(source_of(&settings, "paths.socket"), Source::Environment("TASKDAEMON_SOCKET"));
    assert_eq!(settings.runner.start, RunnerStart::Service);
    assert_eq!(source_of(&settings, "runner.start"), Source::Environment("TASKDAEMON_RUNNER_START"));
    assert_eq!(source_of(&settings, "host.slots").to_string(), format!("{}:2:10", late.display()));
    assert_eq!(source_of(&settings, "intake.min_free").to_string(), format!("{}:5:13", main.display()));
}

#[test]
fn a_named_file_is_read_alone_and_must_exist() {
    let mut home = Home::new();
    home.file("config.yml", "host: {slots: 3}");
    home.file("config.d/a.yml", "host: {slots: 4}");
    let other = home.file("other", "log: {level: warn}");
    home.set("TASKDAEMON_CONFIG", other.as_os_str());
    assert_eq!(home.load().files().collect::<Vec<_>>(), [other]);

    home.flags.config = Some(home.environment.config_directory().join("missing.yml"));
    assert_eq!(home.faults(), ["missing.yml: cannot be read: No such file or directory (os error 2)"]);
}

#[test]
fn every_fault_of_every_file_is_told_at_once_with_its_place_and_reason() {
    let mut home = Home::new();
    home.file(
        "config.yml",
        "\
log:
  levle: info
  format: xml
host:
  slots: 0
  slots: 2
tasks:
  timeout: 90
  nice: 20
  output_cap: 64 parsecs
  limits: [cpu]
  stop_grace: 3 fortnights
queues:
  GPU: {slots: 1}
  ok: {slots: many, breaker: {failures: 2, cooldown:}}
security:
  allow_root_tasks: yes
",
    );
    home.file("config.d/a.yml", "colour: 1\nintake: {min_free: -1, max_tasks: 0}\n");
    home.set("TASKDAEMON_STATE_DIRECTORY", "relative");
    home.set("TASKDAEMON_LOG_LEVEL", "loud");
    home.flags.slots = Some(0);
    assert_eq!(
        home.faults(),
        [
            "config.d/a.yml:1:1: colour: is not a known key; known here: paths, log, host, tasks, queues, intake, \
             retention, api, health, hooks, store, runner, security",
            "config.d/a.yml:2:20: intake.min_free: needs a size such as 64M, not the number -1",
            "config.d/a.yml:2:35: intake.max_tasks: must be from 1 to 4294967295, not 0",
            "config.yml:2:3: log.levle: is not a known key; did you mean level?",
            "config.yml:3:11: log.format: needs text or json, not the text \"xml\"",
            "config.yml:5:10: host.slots: needs auto, or a whole number from 1 to 65536, not the number 0",
            "config.yml:6:3: host.slots: is already set in line 5",
            "config.yml:8:12: tasks.timeout: needs a duration such as 90s or 1h30m, or none, not the number 90",
            "config.yml:9:9: tasks.nice: must be from -20 to 19, not 20",
            "config.yml:10:15: tasks.output_cap: needs a size such as 64M: \"parsecs\" is not a unit",
            "config.yml:11:11: tasks.limits: needs a section of keys, not a list",
            "config.yml:12:15: tasks.stop_grace: needs a duration such as 90s or 1h30m: \"fortnights\" is not a unit",
            "config.yml:14:3: queues.GPU: is not the name of a queue: queue name \"GPU\" must be 1 to 64 of a-z, 0-9, '.', '_' and '-', and start with a letter or a digit",
            "config.yml:15:15: queues.ok.slots: needs a whole number, or none, not the text \"many\"",
            "config.yml:15:52: queues.ok.breaker.cooldown: needs a duration such as 90s or 1h30m, not nothing",
            "config.yml:17:21: security.allow_root_tasks: needs no, or the words: yes, run tasks as root, not the \
             text \"yes\"",
            "$TASKDAEMON_LOG_LEVEL: log.level: needs one of error, warn, info, debug, trace, not the text \"loud\"",
            "$TASKDAEMON_STATE_DIRECTORY: paths.state_directory: needs an absolute path, not the text \"relative\"",
            "--slots: host.slots: needs auto, or a whole number from 1 to 65536, not the number 0",
        ]
    );
}

#[test]
fn a_file_that_is_not_yaml_is_told_beside_the_faults_of_the_others() {
    let home = Home::new();
    home.file("config.yml", "log: [\n");
    home.file("config.d/a.yml", b"host: {slots: \xff}");
    home.file("config.d/b.yml", vec![b'#'; (1 << 20) + 1]);
    let faults = home.faults();
    assert_eq!(faults[0], "config.d/a.yml:1:15: is not valid UTF-8");
    assert_eq!(faults[1], "config.d/b.yml: is larger than 1048576 bytes");
    assert!(faults[2].starts_with("config.yml:2:1: log: is not valid YAML: "), "{faults:?}");
}

#[test]
fn running_tasks_as_root_takes_the_words() {
    let home = Home::new();
    home.file("config.yml", "security:\n  allow_root_tasks: yes, run tasks as root\n");
    assert_eq!(home.load().security.allow_root_tasks, RootTasks::Allowed);
}

#[test]
fn a_file_that_anyone_can_write_is_refused_and_so_is_a_directory() {
    let home = Home::new();
    let file = home.file("config.yml", "");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o646)).unwrap();
    home.file("config.d/a.yml", "host: {slots: 9}");
    let drop_ins = home.environment.config_directory().join("config.d");
    fs::set_permissions(drop_ins, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(
        home.faults(),
        [
            "config.d: is writable by everyone; remove that with chmod o-w",
            "config.yml: is writable by everyone; remove that with chmod o-w",
        ]
    );
}

#[test]
fn in_system_mode_a_file_that_is_not_roots_is_refused() {
    let mut home = Home::new();
    home.environment.mode = Mode::System;
    let file = home.file("config.yml", "");
    if !nix::unistd::geteuid().is_root() {
        // The file is ours, and we are not root.
        assert!(home.faults()[0].ends_with("and must belong to root"));
        return;
    }
    assert!(load(&home.environment, &home.flags).is_ok());
    std::os::unix::fs::chown(file, Some(4242), None).unwrap();
    assert_eq!(home.faults(), ["config.yml: belongs to user 4242, and must belong to root"]);
}

#[test]
fn a_pipe_or_a_directory_in_the_place_of_the_file_is_told_and_does_not_block() {
    let mut home = Home::new();
    let pipe = home.directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    home.flags.config = Some(pipe);
    assert!(home.faults()[0].ends_with("pipe: is not a regular file"));
    home.flags.config = Some(home.directory.path().to_owned());
    assert!(home.faults()[0].ends_with(": is not a regular file"));
}

#[test]
fn what_one_value_demands_of_another_is_checked() {
    let mut home = Home::new();
    home.file("config.yml", "host:\n  stop_grace: 2m\n");
    home.set("XDG_RUNTIME_DIR", format!("/{}", "r".repeat(90)));
    assert_eq!(
        home.faults(),
        [
            "default: paths.socket: is a path of 115 bytes, and a socket's may have 107 at most (unix(7)); choose a \
             shorter runtime directory",
            "config.yml:2:15: host.shutdown_timeout: must be longer than host.stop_grace, which is 2m",
        ]
    );
}

#[test]
fn a_breaker_exists_once_its_failures_are_said() {
    let home = Home::new();
    home.file("config.yml", "queues:\n  default: {breaker: {failures: 3}}\n  b: {breaker: {cooldown: 5m}}\n");
    let queues = home.load().queues;
    let breaker = queues[&QueueName::default()].breaker.unwrap();
    assert_eq!((breaker.failures, breaker.cooldown_ms), (3, 60_000));
    assert_eq!(queues[&"b".parse().unwrap()].breaker, None);
}

#[test]
fn what_is_shown_loads_again_to_the_same_values() {
    let home = Home::new();
    home.file(
        "config.yml",
        "paths: {socket: '/odd: #name'}\nqueues: {a.b: {slots: 2}, '7': {max_length: 3}, 'true': {}}\n\
         security: {allow_root_tasks: 'yes, run tasks as root'}\napi: {group: 'no'}\ntasks: {stop_signal: SIGINT}\n",
    );
    let settings = home.load();
    let again = Home::new();
    again.file("config.yml", settings.render());
    assert_eq!(shown(&settings), shown(&again.load()));
    let json = settings.render_json();
    assert_eq!(json["queues"]["a.b"]["slots"]["value"], 2);
    assert_eq!(json["tasks"]["stop_grace"]["value"], 10_000);
    assert_eq!(json["intake"]["min_free"]["text"], "64M");
    assert_eq!(json["tasks"]["timeout"]["value"], serde_json::Value::Null);
    assert_eq!(json["api"]["max_connections"]["source"], "default");
}

#[test]
fn a_reload_tells_what_needs_a_restart() {
    let home = Home::new();
    let old = home.load();
    home.file("config.yml", "api: {max_connections: 9}\nlog: {level: warn}\nstore: {cache: 2M}\n");
    let needed: Vec<String> = home.load().restart_needed(&old).iter().map(ToString::to_string).collect();
    assert_eq!(needed, ["api.max_connections"]);
}

#[test]
fn the_shipped_file_loads_and_documents_every_default_as_it_is() {
    let shipped = include_str!("../../etc/config.yml");
    let mut home = Home::new();
    home.environment.mode = Mode::System;
    home.environment.root = PathBuf::from("/");
    home.environment.variables.clear();
    home.environment.uid = 0;

    let file = home.directory.path().join("config.yml");
    home.flags.config = Some(file.clone());
    let load_text = |text: &str| {
        fs::write(&file, text).unwrap();
        // Ownership is another test's matter.
        let environment =
            Environment { mode: Mode::User, uid: nix::unistd::geteuid().as_raw(), ..home.environment.clone() };
        let mut settings = load(&environment, &home.flags).unwrap_or_else(|error| panic!("{error}"));
        // Where things are differs from one mode to the other.
        settings.values.retain(|entry| entry.key.parts()[0] != "paths" && entry.key.parts() != ["log", "file"]);
        shown(&settings)
    };
    let defaults = load_text("");
    assert_eq!(load_text(shipped), defaults, "the file as shipped changes nothing");

    let documented = uncommented(shipped);
    assert_eq!(load_text(&documented), defaults, "every default is documented as it is");
    for (key, _) in defaults {
        let name = key.rsplit('.').next().unwrap();
        assert!(shipped.contains(&format!("#{name}: ")), "{key} is documented");
    }
    for path in
        ["/var/lib/taskdaemon", "/run/taskdaemon", "/run/taskdaemon/control.sock", "/var/log/taskdaemon/daemon.log"]
    {
        assert!(documented.contains(path), "{path} is documented");
    }
}

/// Turns `#key:` into `key:`; remarks have a blank after the `#`.
fn uncommented(text: &str) -> String {
    let line = |line: &str| {
        let rest = line.trim_start();
        let indent = &line[..line.len() - rest.len()];
        match rest.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => {
                format!("{indent}{key}\n")
            }
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut faults = Vec::new();
        super::file::read(&Path::new("x").into(), &bytes, &mut faults);
    }

    #[test]
    fn no_mixture_of_yaml_makes_the_reader_panic(
        text in "(log|queues|default|slots|[a-z]|: |\n|  |- |\\[|\\]|\\{|\\}|,|&a|\\*a|!t|'|\"|#|\\||>|\\?|7|---|\\.\\.\\.|\t){0,40}"
    ) {
        let mut faults = Vec::new();
        super::file::read(&Path::new("x").into(), text.as_bytes(), &mut faults);
    }
}
