//! Metrics as text: families of gauges and counters, made for one scrape and thrown away. Knows nothing of what is measured.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::atomic::AtomicU64,
};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Names and values of labels.
pub(super) type Labels = Vec<(String, String)>;

/// Metrics with their values.
#[derive(Default)]
pub(super) struct Exposition {
    registry: Registry,
    gauges: BTreeMap<String, Family<Labels, Gauge<f64, AtomicU64>>>,
    counters: BTreeMap<String, Family<Labels, Counter<f64, AtomicU64>>>,
}

impl Exposition {
    /// Sets a gauge.
    pub(super) fn gauge(&mut self, name: &str, help: &str, labels: &Labels, value: f64) {
        let family = match self.gauges.get(name) {
            Some(family) => family,
            None => {
                let family = Family::default();
                self.registry
                    .register(name, help.trim_end_matches('.'), family.clone());
                self.gauges.entry(name.to_owned()).or_insert(family)
            }
        };
        family.get_or_create(&escaped(labels)).set(value);
    }

    /// Sets a counter, whose name is given without `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, labels: &Labels, value: f64) {
        let family = match self.counters.get(name) {
            Some(family) => family,
            None => {
                let family = Family::default();
                self.registry
                    .register(name, help.trim_end_matches('.'), family.clone());
                self.counters.entry(name.to_owned()).or_insert(family)
            }
        };
        family
            .get_or_create(&escaped(labels))
            .inner()
            .store(value.to_bits(), std::sync::atomic::Ordering::Relaxed);
    }

    /// Takes in metrics that are kept elsewhere.
    pub(super) fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// The text.
    ///
    /// # Errors
    /// Never in practice: a string is written.
    pub(super) fn text(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

/// Values as the format wants them; the encoder writes them as they are.
fn escaped(labels: &Labels) -> Labels {
    labels
        .iter()
        .map(|(name, value)| {
            let mut out = String::with_capacity(value.len());
            for c in value.chars() {
                match c {
                    '\\' => out.push_str("\\\\"),
                    '"' => out.push_str("\\\""),
                    '\n' => out.push_str("\\n"),
                    // Legal, and nothing that anybody wants in a label. Writing to a string cannot fail.
                    c if c.is_control() => {
                        let _ = write!(out, "\\\\u{{{:x}}}", u32::from(c));
                    }
                    c => out.push(c),
                }
            }
            (name.clone(), out)
        })
        .collect()
}
