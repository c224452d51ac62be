//! The way back to a base that was kept aside, as docs/OPERATIONS.md describes it.

use crate::common::client::Client;
use crate::common::kept_tracker::{KeptSetup, KeptTracker};
use crate::common::names::user;
use crate::common::wait::wait_until;
use std::fs;

#[test]
fn a_base_that_was_kept_aside_can_be_brought_back() {
    let one = KeptTracker::start(KeptSetup::new(1, &[]));
    Client::connect(one.addr).create_user("alice");
    one.look(|server| {
        let core = server.core();
        let pinned = core.committer.pin(core.state().lamport()).expect("its disk works").expect("all is durable");
        assert!(core.committer.establish(&pinned, &*core.bases).expect("its disk works"));
    });
    let setup = one.stop();
    // Only the state below the floor is left.
    let journal = setup.folder.path().join("journal");
    let mut bases = 0;
    for entry in fs::read_dir(&journal).expect("there") {
        let path = entry.expect("readable").path();
        match path.extension().is_some_and(|ending| ending == "base") {
            true => {
                fs::rename(&path, journal.join("base.incoming")).expect("renamed");
                bases += 1;
            }
            false => fs::remove_file(path).expect("moved aside"),
        }
    }
    assert_eq!(bases, 1);
    let one = KeptTracker::start(setup);
    assert!(one.state().user_named(&user("alice")).is_some());
    let two = KeptTracker::start(KeptSetup::new(2, &[(1, one.addr)]));
    wait_until("the other one takes over what it has", || two.state().user_named(&user("alice")).is_some());
    Client::connect(one.addr).create_user("bob");
    wait_until("changes go on", || two.state().user_named(&user("bob")).is_some());
}
