//! Whether the process stood still: a signal had stopped it, or the machine was frozen.

use std::time::Duration;

/// A busy machine delays a waiting thread by no more than this.
const BUSY_MAX: Duration = Duration::from_secs(2);

/// How long the process stood still during a wait that was planned to take `planned` and took `took`. `None` if it did
/// not stand still.
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
