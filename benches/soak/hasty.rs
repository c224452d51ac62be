//! Users in haste. Each makes a group and leaves it at once, again and again, so that floors come all the time.

use crate::common::client::Client;
use crate::common::group_maker::GroupMaker;
use crate::common::installation::Installation;
use crate::common::names::{command, group};
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::frame::UNASKED;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Most requests on their way at once, and the pause before the next ones.
const AT_ONCE: (u32, Duration) = (64, Duration::from_millis(50));

/// A user in haste.
pub(crate) struct Hasty<'a> {
    installation: &'a Installation,
    name: String,
    /// The user with the session.
    user: GroupMaker,
    /// The tracker to try next, from 0 on.
    turn: usize,
    made: u32,
    /// How many changes were answered.
    pub answered: u64,
}

impl<'a> Hasty<'a> {
    /// A new user that begins at this tracker, counted from 0.
    pub(crate) fn arrive(installation: &'a Installation, turn: usize) -> Self {
        let name = format!("hasty{turn}");
        let mut client = installation.connect(turn + 1).expect("it listens");
        let user = GroupMaker::new(&mut client, &name, true);
        Self { installation, name, user, turn, made: 0, answered: 0 }
    }

    /// Makes changes at one tracker after the other until it is time to stop.
    pub(crate) fn work(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            let count = self.installation.addrs.len();
            // A stopped tracker refuses the connection. One that was away may not know the session yet.
            if let Ok(mut client) = self.installation.connect(self.turn % count + 1)
                && self.user.resume(&mut client)
            {
                while !stop.load(Ordering::SeqCst) && self.hurry(&mut client) {
                    thread::sleep(AT_ONCE.1);
                }
            }
            self.turn += 1;
        }
    }

    /// Makes some changes. False if the tracker is gone. A refused change is not repeated.
    fn hurry(&mut self, client: &mut Client) -> bool {
        let ids = 1000..1000 + AT_ONCE.0;
        for id in ids.clone() {
            let name = group(&format!("{}x{}", self.name, self.made / 2));
            let request = match self.made % 2 {
                0 => Request::CreateGroup { command: command(), group: name },
                _ => Request::LeaveGroup { command: command(), group: name },
            };
            self.made += 1;
            if client.sender.send(id, &request).is_err() {
                return false;
            }
        }
        let mut waits_for = ids;
        while !waits_for.is_empty() {
            match client.next() {
                Ok((UNASKED, _)) => {}
                Ok((_, reply)) => {
                    self.answered += u64::from(matches!(reply, Reply::Done {}));
                    waits_for.next();
                }
                Err(_) => return false,
            }
        }
        true
    }
}
