//! The daemon in numbers, as text for those who collect them.
//!
//! [`text`] writes the figures of one moment in either [`Form`]; nothing is kept between two.
//!
//! It must not know the engine's inside: what is counted is counted there.

mod plain;
mod sample;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::context::About;
use crate::engine::Metrics;
use crate::sys::usage::Usage;
use sample::Sample;

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format 0.0.4 of Prometheus, which older programs read.
    Plain,
}

impl Form {
    /// The form that a header `Accept` asks for; OpenMetrics where it takes anything.
    pub(super) fn accepted(accept: &str) -> Self {
        let takes = |name: &str| accept.split(',').any(|range| range.split(';').next().map(str::trim) == Some(name));
        if takes("text/plain") && !takes("application/openmetrics-text") { Self::Plain } else { Self::OpenMetrics }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The figures as text.
pub(super) fn text(figures: Metrics, about: &About, form: Form) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Sample { figures, about: about.clone(), usage: Usage::now() }));
    let mut text = String::new();
    if let Err(error) = encode(&mut text, &registry) {
        // A string takes whatever is written; it is cut short where a value could not be.
        tracing::error!(%error, "the figures could not be written");
    }
    match form {
        Form::OpenMetrics => text,
        Form::Plain => plain::from_open_metrics(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_form_is_for_those_who_take_no_other() {
        assert_eq!(Form::accepted(""), Form::OpenMetrics);
        assert_eq!(Form::accepted("*/*"), Form::OpenMetrics);
        assert_eq!(Form::accepted("text/plain;version=0.0.4"), Form::Plain);
        let both = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
        assert_eq!(Form::accepted(both), Form::OpenMetrics);
    }
}
