//! Users send the worst manifests, or use what they know of others' manifests. The tracker and its honest users notice
//! nothing.

use super::scale;
use crate::common::client::Client;
use crate::common::manifest::manifest;
use crate::common::names::{command, file, group};
use crate::common::tracker::TestTracker;
use groupshare::model::digest::InfoHash;
use groupshare::model::id::{OpId, ShareRef};
use groupshare::model::manifest::Content;
use groupshare::model::path::COMPONENTS_MAX;
use groupshare::tracker::ledger::quota::{Quota, Quotas};
use groupshare::tracker::oversight::limits::{Accounts, LimitSettings, Limits};
use groupshare::wire::client_tracker::{MANIFEST_PART_MAX, Reply, Request};
use groupshare::wire::codec::Blob;
use groupshare::wire::refusal::Code;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The parts of a manifest, as requests.
fn parts<'a>(group_name: &'a str, bytes: &'a [u8], info_hash: InfoHash) -> impl Iterator<Item = Request> + 'a {
    let total = bytes.len() as u32;
    bytes.chunks(MANIFEST_PART_MAX).enumerate().map(move |(number, part)| {
        let (offset, part) = ((number * MANIFEST_PART_MAX) as u32, Blob::new(part.to_vec()).expect("a part"));
        Request::PutManifest { group: group(group_name), info_hash, total, offset, part }
    })
}

/// A tracker where alice shares a film in her group, and mallory has a group of her own.
fn lab() -> (TestTracker, Client, Client, (Vec<u8>, Content)) {
    let tracker = TestTracker::start_with(|_| {});
    let (mut alice, mut mallory) = (tracker.user("alice"), tracker.user("mallory"));
    alice.create_group("lab");
    mallory.create_group("den");
    let (bytes, content) = manifest("film", 60_000, 1);
    alice.put_manifest("lab", &bytes, &content);
    alice.share("lab", "film", &content);
    (tracker, alice, mallory, (bytes, content))
}

#[test]
fn a_user_with_an_info_hash_alone_neither_shares_nor_learns_that_others_do() {
    let (_tracker, _alice, mut mallory, (bytes, content)) = lab();
    let (other_bytes, unknown) = manifest("film", 60_000, 2);
    for (bytes, content) in [(&bytes, content), (&other_bytes, unknown)] {
        let request = mallory.share_request("den", "film", &content);
        assert_eq!(mallory.refused(request.clone()), Code::NeedManifest);
        // Another name, another size, or some parts of it change nothing.
        let renamed = mallory.share_request("den", "movie", &content);
        assert_eq!(mallory.refused(renamed), Code::NeedManifest);
        let unsized_one = Content { file_count: 0, ..content };
        let unsized_one = mallory.share_request("den", "film", &unsized_one);
        assert_eq!(mallory.refused(unsized_one), Code::NeedManifest);
        let all: Vec<_> = parts("den", bytes, content.info_hash).collect();
        let (last, before) = all.split_last().expect("some");
        before.iter().for_each(|part| mallory.done(part.clone()));
        assert_eq!(mallory.refused(request.clone()), Code::NeedManifest);
        let Request::PutManifest { group, info_hash, total, offset, part } = last.clone() else { panic!("a part") };
        let mut wrong = part.as_bytes().to_vec();
        wrong[0] ^= 1;
        let part = Blob::new(wrong).expect("as long");
        let wrong = Request::PutManifest { group, info_hash, total, offset, part };
        assert_eq!(mallory.refused(wrong), Code::BadManifest);
        assert_eq!(mallory.refused(request.clone()), Code::NeedManifest);
        before.iter().chain([last]).for_each(|part| mallory.done(part.clone()));
        assert!(mallory.share_reply(request).shared_by_you, "the whole manifest was sent");
        // Content that the user shares in one group needs no manifest in another.
        mallory.create_group("attic");
        assert!(mallory.share("attic", "film", &content).shared_by_you);
        ["den", "attic"].iter().for_each(|name| mallory.leave(name));
        mallory.create_group("den");
    }
}

#[test]
fn a_command_that_was_carried_out_tells_nothing_of_what_a_foreign_group_shares() {
    let (_tracker, _alice, mut mallory, (bytes, content)) = lab();
    let (_, unknown) = manifest("film", 60_000, 2);
    let unsized_one = Content { file_count: 0, ..content };
    let made = command();
    mallory.done(Request::CreateGroup { command: made, group: group("cellar") });
    mallory.put_manifest("den", &bytes, &content);
    let own = mallory.share_request("den", "mine", &content);
    let Request::ShareFile { command: shared, .. } = own else { panic!("it shares") };
    mallory.ask(own);
    for command in [made, shared] {
        for content in [content, unsized_one, unknown] {
            let (group, name) = (group("lab"), file("film"));
            assert_eq!(mallory.refused(Request::ShareFile { command, group, name, content }), Code::NotMember);
        }
    }
}

#[test]
fn an_id_tells_nobody_outside_of_the_group_whether_it_is_that_of_a_share() {
    let (_tracker, mut alice, mut mallory, (_, content)) = lab();
    let share = alice.share("lab", "film", &content).share;
    let about = |seq| ShareRef(OpId { seq, ..share.0 });
    let told: Vec<_> = (1..=share.0.seq).map(|seq| mallory.refused(Request::FindPeers { share: about(seq) })).collect();
    assert!(told.iter().all(|code| *code == Code::Forgotten), "{told:?}");
    assert_eq!(mallory.refused(Request::GetManifest { share, offset: 0 }), Code::Forgotten);
    let unheard = about(share.0.seq + 1000);
    assert_eq!(mallory.refused(Request::FindPeers { share: unheard }), Code::NoSuchFile);
}

#[test]
fn a_login_shares_nothing_that_another_login_of_the_connection_has_brought() {
    let (tracker, _alice, mut mallory, (bytes, content)) = lab();
    mallory.put_manifest("den", &bytes, &content);
    mallory.done(Request::Logout {});
    drop(tracker.user("trudy"));
    mallory.log_in("trudy");
    mallory.create_group("cave");
    let request = mallory.share_request("cave", "film", &content);
    assert_eq!(mallory.refused(request), Code::NeedManifest);
}

#[test]
fn how_much_room_a_list_takes_that_others_share_is_no_answer_either() {
    let (tracker, _alice, mut mallory, (bytes, content)) = lab();
    let (_, unknown) = manifest("film", 60_000, 2);
    let mut quotas = Quotas::NONE;
    quotas.set(Quota::ManifestBytes, bytes.len() as u64 / 2);
    let settings = LimitSettings { quotas, accounts: Accounts::Open };
    tracker.server.core().oversight.limits.change(&settings);
    let told = [content, unknown].map(|content| {
        let shared = mallory.share_request("den", "film", &content);
        let brought = parts("den", &bytes, content.info_hash).next().expect("one");
        (mallory.ask(shared), mallory.ask(brought))
    });
    assert_eq!(told[0], told[1]);
    assert!(matches!(told[0].0, Reply::Refused { code, .. } if Code::from_number(code) == Some(Code::NeedManifest)));
}

/// A manifest of a folder with empty files at these paths.
fn folder(paths: impl Iterator<Item = String>) -> (Vec<u8>, InfoHash) {
    let (mut count, mut files) = (0_u32, Vec::new());
    for path in paths {
        count += 1;
        files.extend_from_slice(&(path.len() as u16).to_be_bytes());
        files.extend_from_slice(path.as_bytes());
        files.extend_from_slice(&[0; 8]);
    }
    let hashed = [&count.to_be_bytes()[..], &files, &[0; 4]].concat();
    let digest = ring::digest::digest(&ring::digest::SHA256, &hashed);
    let bytes = [&b"GSMANIF\x02"[..], &(hashed.len() as u32).to_be_bytes(), &hashed, &[0]].concat();
    (bytes, InfoHash(digest.as_ref().try_into().expect("32 bytes")))
}

#[test]
fn a_folder_deeper_than_any_is_refused_at_its_first_path() {
    let (_tracker, _alice, mut mallory, _) = lab();
    let deep = |components: usize| vec!["a"; components].join("/");
    for (components, right) in [(COMPONENTS_MAX, true), (COMPONENTS_MAX + 1, false), (1500, false)] {
        let (bytes, info_hash) = folder((0..40).map(|number| format!("{}/{number:04}", deep(components - 1))));
        let mut answers = parts("den", &bytes, info_hash).map(|part| mallory.ask(part));
        let first = answers.next().expect("one");
        assert_eq!(first == Reply::Done {}, right, "{components}");
        drop(answers);
    }
}

#[test]
fn lists_at_their_worst_keep_nobody_elses_from_coming_in() {
    let limits = Arc::new(Limits::new(LimitSettings { quotas: Quotas::NONE, accounts: Accounts::Open }));
    let tracker = TestTracker::start_with(|settings| settings.oversight.limits = limits);
    let mut honest = tracker.user("ann");
    honest.create_group("lab");
    let mut eve = tracker.user("eve");
    eve.create_group("den");
    drop(eve);
    // The deepest paths, made of characters that take long to compare.
    let deep = "x\u{301}/".repeat(COMPONENTS_MAX - 2);
    let files = scale::of(500, 50_000);
    let (worst, info_hash) = folder((0..files).map(|number| format!("d/{deep}{number:06}")));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..scale::of(8, 100) {
            scope.spawn(|| {
                let mut eve = tracker.client();
                eve.log_in("eve");
                while !over.load(Ordering::Relaxed) {
                    // Too many at once are told to slow down.
                    let goes_on = |part| !over.load(Ordering::Relaxed) && matches!(eve.ask(part), Reply::Done {});
                    let _ = parts("den", &worst, info_hash).all(goes_on);
                }
            });
        }
        for seed in 0..scale::of(20, 200) {
            let name = format!("film{seed}");
            let (bytes, content) = manifest(&name, 5000, seed as u8);
            honest.put_manifest("lab", &bytes, &content);
            assert!(honest.share("lab", &name, &content).shared_by_you);
        }
        over.store(true, Ordering::Relaxed);
    });
}
