//! Shares of a client.

use super::client::{Client, Share};
use super::manifest::manifest;

impl Client {
    /// Sends the manifest of a file of `pieces` pieces and shares it. Another `seed` makes it another file.
    pub(crate) fn offer(&mut self, group_name: &str, name: &str, pieces: u32, seed: u8) -> Share {
        let (bytes, content) = manifest(name, pieces, seed);
        self.put_manifest(group_name, &bytes, &content);
        self.share(group_name, name, &content)
    }
}
