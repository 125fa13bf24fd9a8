//! OpenMetrics to the text format 0.0.4 of Prometheus: families are named as their samples are, and kinds, units and
//! the end that it does not know are left out.

/// The same figures in the older form.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + text.len() / 16);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (name, kind) =
            match (line.strip_prefix("# HELP "), lines.peek().and_then(|next| next.strip_prefix("# TYPE "))) {
                (Some(_), Some(kind)) => kind.split_once(' ').unwrap_or((kind, "")),
                (Some(_) | None, _) => {
                    if !line.starts_with("# UNIT ") && line != "# EOF" {
                        plain.extend([line, "\n"]);
                    }
                    continue;
                }
            };
        let (suffix, kind) = match kind {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            other => ("", other),
        };
        let help = line.split_once("# HELP ").and_then(|(_, rest)| rest.split_once(' ')).map_or("", |(_, help)| help);
        plain.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
        lines.next();
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::from_open_metrics;

    #[test]
    fn counters_and_infos_are_named_as_their_samples() {
        let open = "# HELP a_b Bees.\n# TYPE a_b counter\n# UNIT a_b b\na_b_total{q=\"x y\"} 3\n\
            # HELP c See.\n# TYPE c info\nc_info{v=\"1\"} 1\n# HELP d Dee.\n# TYPE d gauge\nd 1.5\n# EOF\n";
        let plain = "# HELP a_b_total Bees.\n# TYPE a_b_total counter\na_b_total{q=\"x y\"} 3\n\
            # HELP c_info See.\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n# HELP d Dee.\n# TYPE d gauge\nd 1.5\n";
        assert_eq!(from_open_metrics(open), plain);
    }
}
