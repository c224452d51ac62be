//! What a wiretap has heard, put together.

use crate::common::wiretap::Wiretap;

impl Wiretap {
    /// Everything that went through, in both directions.
    pub(crate) fn seen(&self) -> Vec<u8> {
        self.passed().into_iter().flat_map(|(_, _, bytes)| bytes).collect()
    }

    /// What each of those who have connected has said, in the order of their connections.
    pub(crate) fn said(&self) -> Vec<Vec<u8>> {
        let mut said = Vec::new();
        for (connection, asked, bytes) in self.passed() {
            said.resize(said.len().max(connection + 1), Vec::new());
            if asked {
                said[connection].extend(bytes);
            }
        }
        said
    }

    /// Whether these bytes went through next to each other.
    pub(crate) fn saw(&self, bytes: &[u8]) -> bool {
        self.seen().windows(bytes.len()).any(|window| window == bytes)
    }
}
