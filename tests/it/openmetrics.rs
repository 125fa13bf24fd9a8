//! The text of `/metrics`, read as strictly as OpenMetrics 1.0 has it.

use std::collections::{BTreeMap, BTreeSet};

/// A sample's labels.
pub(crate) type Labels = BTreeMap<String, String>;

/// One family of figures.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    unit: Option<String>,
    pub(crate) samples: Vec<(String, Labels, f64)>,
}

/// What a text says, by family.
#[derive(Debug, Default)]
pub(crate) struct Figures(pub(crate) BTreeMap<String, Family>);

impl Figures {
    /// Reads it; panics with the line where a rule is broken.
    pub(crate) fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF and a line break");
        let mut families = BTreeMap::new();
        let mut current: Option<String> = None;
        for line in body.lines() {
            assert!(!line.is_empty() && line != "# EOF" && line.trim() == line, "{line:?}");
            if let Some(told) = line.strip_prefix("# ") {
                about(told, &mut current, &mut families);
            } else {
                let name = current.as_ref().unwrap_or_else(|| panic!("a sample before its family: {line:?}"));
                let family: &mut Family = families.get_mut(name).expect("it was begun");
                family.samples.push(sample(line));
            }
        }
        let figures = Self(families);
        figures.0.iter().for_each(|(name, family)| family.check(name));
        figures
    }

    /// The value of the sample with this name and these labels.
    pub(crate) fn value(&self, sample: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut all = self.0.values().flat_map(|family| &family.samples);
        let found = all.find(|(name, has, _)| name == sample && *has == labels);
        found.unwrap_or_else(|| panic!("no {sample} {labels:?}")).2
    }
}

fn about(told: &str, current: &mut Option<String>, families: &mut BTreeMap<String, Family>) {
    let (what, rest) = told.split_once(' ').expect("a keyword");
    let (name, text) = rest.split_once(' ').expect("a name and a text");
    assert!(is_name(name), "{name:?}");
    if current.as_deref() != Some(name) {
        // A family stands together, so that its name comes up once.
        assert!(families.insert(name.to_owned(), Family::default()).is_none(), "{name} is interrupted");
        *current = Some(name.to_owned());
    }
    let family = families.get_mut(name).expect("it was begun");
    assert!(family.samples.is_empty(), "{name}: what it is stands before its samples");
    match what {
        "TYPE" => assert!(std::mem::replace(&mut family.kind, text.to_owned()).is_empty(), "{name}: two types"),
        "HELP" => assert!(std::mem::replace(&mut family.help, text.to_owned()).is_empty(), "{name}: two helps"),
        "UNIT" => assert!(family.unit.replace(text.to_owned()).is_none(), "{name}: two units"),
        other => panic!("{other:?} is no keyword"),
    }
}

fn is_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

fn sample(line: &str) -> (String, Labels, f64) {
    let (head, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = match head.split_once('{') {
        Some((name, labels)) => (name, pairs(labels.strip_suffix('}').expect("a closing brace"))),
        None => (head, Labels::new()),
    };
    assert!(is_name(name), "{line:?}");
    let value = match value {
        "+Inf" => f64::INFINITY,
        value => value.parse().unwrap_or_else(|_| panic!("{line:?} has no number")),
    };
    (name.to_owned(), labels, value)
}

fn pairs(mut text: &str) -> Labels {
    let mut labels = Labels::new();
    while !text.is_empty() {
        let (key, rest) = text.split_once("=\"").expect("a label with its value");
        assert!(is_name(key) && !key.contains(':'), "{key:?}");
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => break at + 1,
                (_, '\\') => match chars.next().expect("an escape").1 {
                    'n' => value.push('\n'),
                    c @ ('"' | '\\') => value.push(c),
                    other => panic!("\\{other} is no escape"),
                },
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(key.to_owned(), value).is_none(), "{key} stands twice");
        text = &rest[end..];
        text = text.strip_prefix(',').unwrap_or(text);
    }
    labels
}

impl Family {
    fn check(&self, name: &str) {
        assert!(!self.help.is_empty() && !self.kind.is_empty(), "{name}: {self:?}");
        assert!(self.help.ends_with('.'), "{name}: {}", self.help);
        if let Some(unit) = &self.unit {
            assert!(name.ends_with(&format!("_{unit}")), "{name} ends with its unit {unit}");
        }
        // What names itself after its kind or with an abbreviated unit is found fault with by promtool.
        for bad in ["_total", "_info", "_counter", "_gauge", "_ms", "_millis"] {
            assert!(!name.ends_with(bad), "{name}");
        }
        let suffixes: &[&str] = match self.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            other => panic!("{name}: the kind {other}"),
        };
        let mut seen = BTreeSet::new();
        for (sample, labels, value) in &self.samples {
            let suffix = sample.strip_prefix(name).unwrap_or_else(|| panic!("{sample} stands in {name}"));
            assert!(suffixes.contains(&suffix), "{sample} of a {}", self.kind);
            assert!(seen.insert((sample, labels)), "{sample} {labels:?} stands twice");
            assert!(self.kind == "gauge" || *value >= 0.0, "{sample} {value}");
            assert!(self.kind != "info" || (*value - 1.0).abs() < f64::EPSILON, "{sample} {value}");
        }
        if self.kind == "histogram" {
            self.check_histograms(name);
        }
    }

    fn check_histograms(&self, name: &str) {
        let mut by_labels: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        for (sample, labels, value) in &self.samples {
            let mut labels = labels.clone();
            if sample.ends_with("_bucket") {
                let bound = labels.remove("le").unwrap_or_else(|| panic!("{name}: a bucket without le"));
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a bound") };
                by_labels.entry(labels).or_default().push((bound, *value));
            }
        }
        for (labels, buckets) in by_labels {
            assert!(
                buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1),
                "{name} {labels:?}: {buckets:?}"
            );
            let (bound, all) = buckets.last().expect("a bucket");
            assert!(bound.is_infinite(), "{name} {labels:?}");
            let count = self.samples.iter().find(|(sample, of, _)| sample.ends_with("_count") && *of == labels);
            assert!(count.is_some_and(|(.., count)| (count - all).abs() < f64::EPSILON), "{name} {labels:?}");
        }
    }
}

#[test]
fn a_text_that_breaks_a_rule_is_found_out() {
    let good = "# HELP a A.\n# TYPE a counter\na_total{q=\"x\\\"y\"} 3\n# EOF\n";
    let labels = [("q", "x\"y")];
    assert!((Figures::read(good).value("a_total", &labels) - 3.0).abs() < f64::EPSILON);
    for (is, becomes) in [
        ("# EOF\n", ""),
        ("a_total", "a"),
        ("A.", "A"),
        ("counter", "number"),
        (" 3", " x"),
        ("3\n", "3\na_total{q=\"x\\\"y\"} 4\n"),
    ] {
        let bad = good.replacen(is, becomes, 1);
        assert!(std::panic::catch_unwind(|| Figures::read(&bad)).is_err(), "{bad}");
    }
}
