//! Looks at the addresses of this machine, and ends connections from an address that it has no more, as after a move to
//! another network: nobody would tell that they are dead. A thread of its own, since others may wait for such a
//! connection.

use crate::client::app::login::Login;
use crate::client::reach::gone::{GoneAddresses, is_from};
use crate::client::reach::interfaces::all_addresses;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How often it looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks until nothing can come on `closed` any more.
pub(super) fn watch(login: &Login, closed: &Receiver<()>) {
    let mut addresses = GoneAddresses::default();
    loop {
        // Without the list nothing is known to be gone.
        if let Some(gone) = all_addresses().and_then(|present| addresses.look(present)) {
            let node = login.node();
            // First the link: it brings the new address to the members.
            node.link.end_from(|local| is_from(Some(local), &gone));
            node.seeder.end_from(&gone);
            if let Some(session) = login.session() {
                session.engine().end_from(gone);
            }
        }
        if closed.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}
