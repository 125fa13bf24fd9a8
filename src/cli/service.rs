//! `service`: the daemon as a service of the host, for people without the package.

use std::path::Path;

use serde_json::json;

use super::args::{Kind, Service, ServiceVerb};
use super::exit::Code;
use super::session::Session;
use crate::app::service::{self, Manager, ServiceError, Step};

/// Does what the options say.
pub(super) fn run(session: &mut Session<'_>, options: &Service) -> anyhow::Result<Code> {
    match &options.verb {
        ServiceVerb::Print(options) => print(session, &meant(options.manager, options.program.as_deref())?.1)?,
        ServiceVerb::Install(options) => {
            let (manager, service) = meant(options.manager, options.program.as_deref())?;
            if options.dry_run {
                return planned(session, &service.installation()?);
            }
            service.permit("install")?;
            let steps = service.installation()?;
            let pid = told(session, |told| service.install(&steps, told))?;
            if session.output.is_json() {
                session.output.document(&json!({ "result": "installed", "manager": manager.name(), "pid": pid }))?;
            } else {
                session.output.line(format_args!("installed: process {pid} runs under {}", manager.name()))?;
            }
        }
        ServiceVerb::Uninstall(options) => {
            let (manager, service) = meant(options.manager, options.program.as_deref())?;
            if options.dry_run {
                return planned(session, &service.removal()?);
            }
            service.permit("uninstall")?;
            let steps = service.removal()?;
            told(session, |told| service.uninstall(&steps, told))?;
            let (result, said) = match steps.is_empty() {
                true => ("not-installed", "not installed: there was nothing to remove"),
                false => ("removed", "removed; the queue, the configuration and the users stay"),
            };
            if session.output.is_json() {
                session.output.document(&json!({ "result": result, "manager": manager.name() }))?;
            } else {
                session.output.line(said)?;
            }
        }
    }
    Ok(Code::Success)
}

/// The service that is meant.
fn meant(kind: Option<Kind>, program: Option<&Path>) -> Result<(Manager, service::Service), ServiceError> {
    let manager = match kind {
        Some(Kind::Systemd) => Manager::Systemd,
        Some(Kind::SystemdUser) => Manager::SystemdUser,
        Some(Kind::Sysv) => Manager::Sysv,
        Some(Kind::Openrc) => Manager::Openrc,
        Some(Kind::Launchd) => Manager::Launchd,
        None => Manager::detect().ok_or(ServiceError::Unknown)?,
    };
    Ok((manager, service::Service::new(manager, program)?))
}

/// Prints a script as it is, several files with the place of each above it.
fn print(session: &mut Session<'_>, service: &service::Service) -> anyhow::Result<()> {
    let files = service.files();
    if session.output.is_json() {
        let file = |file: &service::File| json!({ "path": file.path, "mode": format!("{:04o}", file.mode), "text": file.text });
        return Ok(session.output.document(&files.iter().map(file).collect::<Vec<_>>())?);
    }
    // What is one script is printed so that it can be written where it belongs; its companions are in the document.
    let is_alone = files.first().is_some_and(|file| ["#!", "<?"].iter().any(|head| file.text.starts_with(head)));
    let shown = if is_alone { &files[..1] } else { &files[..] };
    for file in shown {
        if !is_alone {
            session.output.line(format_args!("# {}", file.path.display()))?;
        }
        session.output.bytes(file.text.as_bytes())?;
    }
    Ok(())
}

/// Says what would be done.
fn planned(session: &mut Session<'_>, steps: &[Step]) -> anyhow::Result<Code> {
    let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    if session.output.is_json() {
        session.output.document(&json!({ "result": "planned", "steps": steps }))?;
    } else if steps.is_empty() {
        session.output.line("nothing to do")?;
    } else {
        steps.iter().try_for_each(|step| session.output.line(format_args!("would {step}")))?;
    }
    Ok(Code::Success)
}

/// Has it done, and says what is done.
fn told<T>(
    session: &mut Session<'_>,
    act: impl FnOnce(&mut dyn FnMut(&Step)) -> Result<T, ServiceError>,
) -> anyhow::Result<T> {
    let mut done = Vec::new();
    let result = act(&mut |step| done.push(step.to_string()));
    if !session.output.is_json() {
        done.iter().try_for_each(|step| session.output.line(step))?;
    }
    Ok(result?)
}
