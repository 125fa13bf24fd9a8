//! `show`: tasks, whole.

use super::args::Show;
use super::describe;
use super::exit::Code;
use super::session::Session;

/// Does what the options say.
pub(super) fn run(session: &mut Session<'_>, options: &Show) -> anyhow::Result<Code> {
    let mut client = session.client()?;
    for (index, id) in options.ids.iter().enumerate() {
        let task = client.show(*id, options.environment)?;
        if session.output.is_json() {
            session.output.document(&task)?;
            continue;
        }
        if index > 0 {
            session.output.line("")?;
        }
        session.output.line(describe::task(&task, &Session::clock()))?;
    }
    Ok(Code::Success)
}
