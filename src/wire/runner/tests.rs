//! What a side of version 1 said, byte for byte: recorded once, and understood for as long as [`OLDEST`] is 1.

use super::*;

fn key(task: i64) -> Key {
    Key { task, attempt: 2 }
}

fn ended() -> Ended {
    Ended {
        cause: Cause::Timeout,
        usage: Usage { user_us: 1, system_us: 2, max_rss_bytes: 4096 },
        output_bytes: 5,
        dropped_bytes: 6,
        ..Ended::new(key(8), End::Signalled { signal: 15, core_dumped: false }, 300, 400)
    }
}

fn spawn() -> ToRunner {
    ToRunner::Spawn(Box::new(Spawn {
        key: key(7),
        arguments: vec![b"ls".to_vec(), b"-l".to_vec()],
        directory: b"/".to_vec(),
        environment: vec![(b"A".to_vec(), b"b".to_vec())],
        umask: 0o22,
        limits: Limits { cpu_seconds: Some(9), ..Limits::default() },
        nice: -1,
        timeout_ms: Some(1_000),
        stop_signal: 15,
        grace_ms: 10_000,
        output_cap_bytes: 1 << 20,
        has_input: true,
    }))
}

fn to_runner() -> Vec<(ToRunner, &'static str)> {
    let leftover = Leftover { key: key(7), process: Some((42, 4_711)) };
    vec![
        (ToRunner::Hello { version: 1, instance: "ab".into() }, "0001026162"),
        (spawn(), "010e0202026c73022d6c012f0101410162120109000000000101e8071e904e80804001"),
        (ToRunner::Stop { key: key(7), signal: 15, grace_ms: 10 }, "020e021e0a"),
        (ToRunner::Signal { key: key(7), signal: 10 }, "030e0214"),
        (ToRunner::Acknowledge(vec![key(7), key(8)]), "04020e021002"),
        (ToRunner::Sweep(Sweep { leftovers: vec![leftover], grace_ms: 5 }), "05010e020154e72405"),
        (ToRunner::Drain { patience_ms: 3 }, "0603"),
        (ToRunner::Leave, "07"),
    ]
}

fn from_runner() -> Vec<(FromRunner, &'static str)> {
    let running = Running { key: key(7), pid: 42, start_ticks: 4_711, started_at_us: 200 };
    let welcome = Welcome {
        version: 1,
        runner: "r".into(),
        pid: 41,
        boot: "b".into(),
        running: vec![running],
        ended: vec![ended()],
    };
    let fault = End::NotStarted { fault: Fault::CommandNotFound, errno: 2, subject: b"x".to_vec() };
    vec![
        (FromRunner::Welcome(welcome), "00010172520162010e0254e7249003011002011e0001d804a006010280200506"),
        (FromRunner::Refused { version: 1, instance: "i".into() }, "01010169"),
        (FromRunner::Started(running), "020e0254e7249003"),
        (FromRunner::Ended(ended()), "031002011e0001d804a006010280200506"),
        (FromRunner::Ended(Ended::new(key(9), fault, 1, 2)), "03120202000401780002040000000000"),
        (FromRunner::Swept { keys: vec![key(7)], survivors: vec![42] }, "04010e020154"),
    ]
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_version_1_said_is_understood_and_said_in_the_same_bytes() {
    for (message, recorded) in to_runner() {
        assert_eq!(hex(&postcard::to_allocvec(&message).unwrap()), recorded, "{message:?}");
        assert_eq!(postcard::from_bytes::<ToRunner>(&bytes(recorded)).unwrap(), message);
    }
    for (message, recorded) in from_runner() {
        assert_eq!(hex(&postcard::to_allocvec(&message).unwrap()), recorded, "{message:?}");
        assert_eq!(postcard::from_bytes::<FromRunner>(&bytes(recorded)).unwrap(), message);
    }
}

#[test]
fn ends_are_written_down_by_their_names_and_read_back() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Written(#[serde(with = "by_key")] std::collections::BTreeMap<Key, Ended>);
    let written = Written([(key(8), ended())].into());
    let text = serde_json::to_string(&written).unwrap();
    assert_eq!(serde_json::from_str::<Written>(&text).unwrap(), written);
}
