//! Whether the process stood still: stopped by a signal, or on a machine that was frozen.

use std::time::Duration;

/// Nobody who waits is kept longer than this by a busy machine.
const BUSY_MAX: Duration = Duration::from_secs(2);

/// How long the process stood still in a wait that was to take no longer than `planned`, and `took` this long. `None` if
/// it did not.
pub(crate) fn stood_still(planned: Duration, took: Duration) -> Option<Duration> {
    let late = took.saturating_sub(planned);
    (late > BUSY_MAX).then_some(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_is_none_that_stood_still() {
        let second = Duration::from_secs(1);
        assert_eq!(stood_still(second, second / 2), None);
        assert_eq!(stood_still(second, 3 * second), None);
        assert_eq!(stood_still(second, 121 * second), Some(120 * second));
    }
}
