//! `health`: what each check of the daemon finds, and what to do.

use super::describe::Lines;
use super::exit::Code;
use super::session::Session;
use crate::daemon::health::Level;
use crate::wire::api::HealthDocument;

/// Has the checks run, and prints them.
pub(super) fn run(session: &mut Session<'_>) -> anyhow::Result<Code> {
    let health = session.client()?.health()?;
    if session.output.is_json() {
        session.output.document(&health)?;
    } else {
        session.output.line(told(&health))?;
    }
    Ok(code(&health.health))
}

/// A daemon that does not do what it is there for is as good as one that does not answer; so is one that says what
/// this program does not know.
fn code(health: &str) -> Code {
    match Level::ALL.into_iter().find(|level| level.word() == health) {
        Some(Level::Healthy) => Code::Success,
        Some(Level::Degraded) => Code::Failure,
        Some(Level::Unhealthy) | None => Code::Unavailable,
    }
}

/// A line for each check, and below it what to do.
fn told(health: &HealthDocument) -> String {
    let mut lines = Lines::default();
    lines.add("Health", &health.health);
    for check in &health.checks {
        lines.add(&check.name, format!("{}: {}", check.health, check.says));
        lines.maybe("  to do", check.advice.as_ref());
    }
    lines.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::CheckDocument;

    #[test]
    fn people_read_what_is_wrong_and_what_to_do() {
        let check = |name: &str, health: &str, says: &str, advice: Option<&str>| CheckDocument {
            name: name.to_owned(),
            health: health.to_owned(),
            says: says.to_owned(),
            advice: advice.map(str::to_owned),
            took_ms: 1,
        };
        let checks = vec![
            check("store", "healthy", "the queue can be written", None),
            check("disk", "degraded", "only 1M is free", Some("free some")),
        ];
        let expected = "\
Health:         degraded
store:          healthy: the queue can be written
disk:           degraded: only 1M is free
  to do:        free some";
        assert_eq!(told(&HealthDocument { health: "degraded".to_owned(), checks }), expected);
    }

    #[test]
    fn each_level_has_an_exit_status() {
        let numbers = ["healthy", "degraded", "unhealthy", "odd"].map(|word| code(word).number());
        assert_eq!(numbers, [0, 1, 69, 69]);
    }
}
