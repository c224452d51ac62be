//! Metrics for a monitoring system, and the health of this tracker, over HTTP.

mod counters;
mod door;
mod exposition;
mod gauges;
mod http;
mod observed;
mod process;

pub use counters::{BegunCommand, CommitMeter, Metrics, NO_COMMAND};
pub use door::MetricsDoor;
pub use gauges::{Gauges, LimitGauge, LinkGauge};
pub use observed::{Observed, Unwell};
