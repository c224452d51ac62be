//! How much the attackers do: a little in `make check`, everything they can in `make hostile`.

use std::time::Duration;

/// How long attackers go on at full scale.
const FULL: Duration = Duration::from_secs(60);

/// How long attackers go on in this run. `None` at small scale, where they do a few rounds. `HOSTILE=full` asks for
/// full scale, and `HOSTILE=SECONDS` for full scale during that time.
pub(crate) fn time() -> Option<Duration> {
    let asked = std::env::var("HOSTILE").ok().filter(|asked| !asked.is_empty())?;
    Some(asked.parse().map_or(FULL, Duration::from_secs))
}

/// The number for this run.
pub(crate) fn of(small: usize, full: usize) -> usize {
    if time().is_some() { full } else { small }
}
