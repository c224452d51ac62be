//! The text of a scrape, in the text format 0.0.4 of Prometheus.

use super::counters::Metrics;
use super::observed::Observed;
use super::process;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use std::fmt;
use std::time::SystemTime;

/// The content type of the text, for HTTP.
pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// All metrics.
pub(super) fn exposition(
    metrics: &Metrics,
    observed: &dyn Observed,
    started: SystemTime,
) -> Result<String, fmt::Error> {
    let gauges = observed.gauges();
    let mut now = Registry::with_prefix("groupshare");
    let build = Family::<[(&'static str, &'static str); 1], Gauge>::default();
    build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
    now.register("build_info", "The version of the program", build);
    let mut one = |name: &str, help: &str, is: bool| now.register(name, help, ConstGauge::new(i64::from(is)));
    one("up", "Whether the tracker runs; 0 while it starts", gauges.is_some());
    one("ready", "Whether the tracker serves clients and can write to its disk", observed.ready().is_ok());
    gauges.iter().for_each(|gauges| gauges.register(&mut now));
    let mut process = Registry::default();
    process::register(&mut process, started);
    let mut text = String::new();
    for registry in [&metrics.registry, &now, &process] {
        prometheus_text::encode(&mut text, registry)?;
    }
    Ok(text)
}
