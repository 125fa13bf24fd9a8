//! `config`: whether the configuration is right, and what it comes to.

use serde_json::json;

use super::args::{Config, ConfigVerb};
use super::exit::Code;
use super::session::Session;
use crate::config::{ConfigError, Settings};

/// Does what the options say.
pub(super) fn run(session: &mut Session<'_>, options: &Config) -> anyhow::Result<Code> {
    match options.verb {
        ConfigVerb::Check => check(session),
        ConfigVerb::Show => show(session),
    }
}

fn check(session: &mut Session<'_>) -> anyhow::Result<Code> {
    match session.place().settings() {
        Ok(settings) => {
            let files: Vec<_> = settings.files().map(|path| path.display().to_string()).collect();
            if session.output.is_json() {
                session.output.document(&json!({ "valid": true, "files": files, "faults": [] }))?;
            } else if files.is_empty() {
                session.output.line("the configuration is right: there is no file, and the defaults hold")?;
            } else {
                session.output.line(format_args!("the configuration is right: {}", files.join(", ")))?;
            }
            Ok(Code::Success)
        }
        Err(error) if session.output.is_json() => {
            session.output.document(&faults(&error))?;
            Ok(Code::Config)
        }
        Err(error) => Err(error.into()),
    }
}

fn faults(error: &ConfigError) -> serde_json::Value {
    let faults: Vec<_> = error
        .faults()
        .iter()
        .map(|fault| {
            json!({ "where": fault.source.to_string(), "key": fault.key.to_string(), "what": fault.to_string() })
        })
        .collect();
    json!({ "valid": false, "faults": faults })
}

fn show(session: &mut Session<'_>) -> anyhow::Result<Code> {
    let settings: Settings = session.place().settings()?;
    if session.output.is_json() {
        session.output.document(&settings.render_json())?;
    } else {
        session.output.bytes(settings.render().as_bytes())?;
    }
    Ok(Code::Success)
}
