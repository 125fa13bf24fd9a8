//! The command line: arguments in, text and an exit status out.
//!
//! [`main`] parses, one file per noun acts; `output` alone prints, `exit` has every exit status, `failure` says what
//! to try next. `parse`, `quote`, `human`, `table` and `describe` are pure.
//!
//! It must not know the store, the executor or HTTP: what is asked goes through the client.

mod act;
mod args;
mod config;
mod daemon;
mod describe;
mod ending;
mod environment;
mod events;
mod exit;
mod failure;
mod follow;
mod generate;
mod health;
mod human;
mod list;
mod logs;
mod manual;
mod output;
mod parse;
mod place;
mod progress;
mod queue;
mod quote;
mod request;
mod restart;
mod schedule;
mod service;
mod session;
mod show;
mod status;
mod submit;
mod table;
mod upgrade;
mod wait;

use crate::app;
use crate::wire::api;
use args::{Arguments, Verb};
use exit::Code;
use session::Session;

/// Runs the command line of this process, and tells with what status it is to end.
#[must_use]
pub fn main() -> u8 {
    let line: Vec<_> = std::env::args_os().collect();
    // Before anything else is touched: a runner lives long, and its memory counts.
    if line.get(1).is_some_and(|verb| verb == app::RUNNER) {
        return ended(daemon::runner(&line[2..])).number();
    }
    let arguments = match Arguments::read(&line) {
        Ok(arguments) => arguments,
        Err(error) => {
            output::usage(&error);
            let code = if error.use_stderr() { Code::Usage } else { Code::Success };
            return code.number();
        }
    };
    let mut session = Session::new(&arguments.globals);
    ended(dispatch(&mut session, &arguments.verb).and_then(|code| {
        session.output.flush()?;
        Ok(code)
    }))
    .number()
}

/// The exit status, after the failure was told.
fn ended(result: anyhow::Result<Code>) -> Code {
    result.unwrap_or_else(|error| {
        let error: &(dyn std::error::Error + 'static) = error.as_ref();
        let code = failure::code(error);
        if code != Code::Unread {
            output::failure(failure::log(error), &failure::message(error), failure::hint(error));
        }
        code
    })
}

fn dispatch(session: &mut Session<'_>, verb: &Verb) -> anyhow::Result<Code> {
    match verb {
        Verb::Submit(options) => submit::run(session, options),
        Verb::List(options) => list::run(session, options),
        Verb::Show(options) => show::run(session, options),
        Verb::Logs(options) => logs::run(session, options),
        Verb::Wait(options) => wait::run(session, options),
        Verb::Cancel(options) => act::run(session, api::Verb::Cancel, options),
        Verb::Signal(options) => act::signal(session, options),
        Verb::Retry(options) => act::run(session, api::Verb::Retry, options),
        Verb::Hold(options) => act::run(session, api::Verb::Hold, options),
        Verb::Release(options) => act::run(session, api::Verb::Release, options),
        Verb::Prioritise(options) => act::prioritise(session, options),
        Verb::Rm(options) => act::run(session, api::Verb::Remove, options),
        Verb::Prune(options) => act::prune(session, options),
        Verb::Queue(options) => queue::run(session, options),
        Verb::Schedule(options) => schedule::run(session, options),
        Verb::Events(options) => events::run(session, options),
        Verb::Start(options) => daemon::start(session, options),
        Verb::Status(options) => daemon::status(session, options),
        Verb::Health => health::run(session),
        Verb::Stop(options) => daemon::stop(session, options),
        Verb::Restart(options) => restart::run(session, options),
        Verb::Reload => daemon::reload(session),
        Verb::Upgrade(options) => upgrade::run(session, options),
        Verb::Config(options) => config::run(session, options),
        Verb::Service(options) => service::run(session, options),
        Verb::Completions(options) => generate::completions(session, options),
        Verb::Man(options) => generate::man(session, options),
    }
}
