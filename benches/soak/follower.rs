//! A user that follows the group. Its shares come by themselves, through kills of the program.

use super::films::GROUP;
use super::people::{KILL_ONE_OF, Sharer, arrive, login, rest};
use crate::common::installation::Installation;
use crate::common::program::Program;
use groupshare::client::picker::split_mix::SplitMix;
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The user, and the user's folder.
const NAME: &str = "erin";

pub(crate) struct Follower<'a> {
    installation: &'a Installation,
    pub program: Program,
    dice: SplitMix,
    /// How often the program was killed.
    pub kills: u64,
}

impl<'a> Follower<'a> {
    /// A new user. The sharer adds this user to the group.
    pub(crate) fn arrive(installation: &'a Installation, sharer: &mut Sharer, dice: SplitMix) -> Self {
        let mut program = arrive(installation, NAME, 2, &[]);
        sharer.add(NAME, &mut program);
        Self { installation, program, dice, kills: 0 }
    }

    fn inbox(&self) -> PathBuf {
        self.installation.folder.path().join(NAME).join("inbox")
    }

    /// Begins with an empty folder. The program is killed now and then until it is time to stop.
    pub(crate) fn work(&mut self, stop: &AtomicBool) {
        self.program.said(&format!("unfollow_group {GROUP}"));
        for entry in fs::read_dir(self.inbox()).into_iter().flatten() {
            let name = entry.expect("it is read").file_name();
            self.program.said(&format!("stop_share {GROUP} {}", name.display()));
        }
        // In the first round there is no such folder.
        let _ = fs::remove_dir_all(self.inbox());
        self.program.until(&format!("follow_group {GROUP} inbox --all"), "Following the group");
        while !stop.load(Ordering::SeqCst) {
            rest(&mut self.dice, Duration::from_secs(8), stop);
            if self.dice.below(KILL_ONE_OF) == 0 {
                self.program.signal(Signal::KILL);
                self.program.end();
                self.kills += 1;
                self.program = self.installation.person_again(NAME, &[]);
                self.program.until(&login(NAME), "Login successful");
            }
        }
    }

    /// Waits until the folder equals the sharer's folder.
    pub(crate) fn verify(&self, sharer: &Sharer) {
        sharer.verify_followed(&self.inbox());
    }
}
