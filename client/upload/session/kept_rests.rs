//! Data of pieces that full sockets have not taken yet: encrypted bytes, which cannot be made again.

use crate::model::name::UserId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The limit of all kept bytes. At the limit, a connection encrypts only one record of a piece at a time.
const KEPT_MAX: usize = 8 * 1024 * 1024;
/// The limit for the connections of one member.
const USER_KEPT_MAX: usize = 1024 * 1024;

/// All kept data.
#[derive(Debug, Default)]
pub(in crate::client::upload) struct KeptRests {
    // Locked, but never while sending.
    state: Mutex<KeptState>,
}

#[derive(Debug, Default)]
struct KeptState {
    len: usize,
    users: HashMap<UserId, usize>,
}

impl KeptRests {
    /// Whether to encrypt more than a record at a time for this member.
    pub(super) fn has_room(&self, user: &UserId) -> bool {
        let state = self.state.lock();
        state.len < KEPT_MAX && state.users.get(user).is_none_or(|len| *len < USER_KEPT_MAX)
    }

    /// Keeps a copy of these bytes for a connection of this member.
    pub(super) fn keep(self: &Arc<Self>, user: &UserId, bytes: &[u8]) -> KeptRest {
        let mut state = self.state.lock();
        state.len += bytes.len();
        *state.users.entry(user.clone()).or_default() += bytes.len();
        drop(state);
        KeptRest { all: self.clone(), user: user.clone(), bytes: bytes.to_vec(), sent: 0 }
    }
}

/// The kept data of one piece, until this is dropped.
#[derive(Debug)]
pub(super) struct KeptRest {
    all: Arc<KeptRests>,
    user: UserId,
    bytes: Vec<u8>,
    sent: usize,
}

impl KeptRest {
    pub(super) fn left(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Notes that this many of the bytes are sent.
    pub(super) fn pass(&mut self, len: usize) {
        self.sent += len;
    }
}

impl Drop for KeptRest {
    fn drop(&mut self) {
        let mut state = self.all.state.lock();
        state.len -= self.bytes.len();
        if let Some(len) = state.users.get_mut(&self.user) {
            *len -= self.bytes.len();
            if *len == 0 {
                state.users.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    impl KeptRests {
        /// The number of kept bytes.
        pub(in crate::client::upload) fn len(&self) -> usize {
            self.state.lock().len
        }
    }

    #[test]
    fn a_member_and_all_of_them_have_so_much_kept_and_then_little_at_a_time() {
        let kept = Arc::new(KeptRests::default());
        let piece = vec![7; 512 * 1024];
        let mut rests = Vec::new();
        while kept.has_room(&user("slow")) {
            rests.push(kept.keep(&user("slow"), &piece));
        }
        assert_eq!(kept.len(), USER_KEPT_MAX);
        assert!(kept.has_room(&user("ann")), "others have room");
        for number in 0.. {
            let name = user(&format!("slow{number}"));
            if !kept.has_room(&name) {
                break;
            }
            rests.push(kept.keep(&name, &piece));
        }
        assert_eq!(kept.len(), KEPT_MAX);
        let mut one = rests.swap_remove(0);
        one.pass(piece.len() - 1);
        assert_eq!(one.left(), [7]);
        drop(one);
        assert!(kept.has_room(&user("slow")));
        drop(rests);
        assert_eq!(kept.len(), 0);
        assert!(kept.state.lock().users.is_empty());
    }
}
