//! Watches the addresses of this machine, and ends connections from an address that the machine has lost, as after a
//! move to another network. Otherwise no one would notice that these connections are dead. A thread of its own does
//! this, because other threads may wait for such a connection.

use crate::client::app::login::Login;
use crate::client::reach::gone::{GoneAddresses, is_from};
use crate::client::reach::interfaces::all_addresses;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Watches until all senders of `closed` are gone.
pub(super) fn watch(login: &Login, closed: &Receiver<()>) {
    let mut addresses = GoneAddresses::default();
    loop {
        // Without the list of addresses the thread treats none as lost.
        if let Some(gone) = all_addresses().and_then(|present| addresses.look(present)) {
            let node = login.node();
            // The link ends first: its reconnection tells the members the new address.
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
