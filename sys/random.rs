//! Random bytes from the system.

use ring::rand::{SecureRandom, SystemRandom};
use std::io;

/// Bytes that nobody can guess.
///
/// # Errors
/// The system gives no random bytes.
pub fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map(|()| bytes).map_err(|_| io::Error::other("the system gives no random bytes"))
}
