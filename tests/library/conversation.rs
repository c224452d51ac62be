//! The bytes of a wiretap, put together.

use crate::common::wiretap::Wiretap;

impl Wiretap {
    /// Everything that went through, in both directions.
    pub(crate) fn seen(&self) -> Vec<u8> {
        self.passed().into_iter().flat_map(|(_, _, bytes)| bytes).collect()
    }

    /// Whether these consecutive bytes went through.
    pub(crate) fn saw(&self, bytes: &[u8]) -> bool {
        self.seen().windows(bytes.len()).any(|window| window == bytes)
    }
}
