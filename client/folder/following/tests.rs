//! The results of offers, by example and for random events.

use super::*;
use crate::model::name::tests::{file, user};
use proptest::prelude::*;

const PLENTY: (u64, u64) = (1 << 40, 1 << 41);
const OF_FILES: Supply = Supply { free: 1 << 30, total: 1 << 31 };

fn offer(name: &str, version: u8, size: u64, author: &str) -> Offer {
    let info_hash = InfoHash([version; 32]);
    Offer { name: file(name), info_hash, size: size * ROOM_MIN, files: 1, author: user(author) }
}

fn disk((free, total): (u64, u64), files: Option<Supply>) -> DiskRoom {
    DiskRoom { bytes: Supply { free, total }, files }
}

fn following(max_size: u64) -> Following {
    Following::new(max_size * ROOM_MIN, BTreeMap::new(), BTreeMap::new())
}

fn begin(following: &mut Following, (free, total): (u64, u64)) -> (Vec<Begin>, Option<NoRoom>) {
    following.begin(&BTreeSet::new(), disk((free, total), Some(OF_FILES)))
}

fn arrives(following: &mut Following, name: &FileName) {
    let came = following.arrived(name).expect("it ran");
    following.put(name.clone(), came);
}

/// Takes in an offer and lets it come.
fn came(following: &mut Following, offered: Offer) {
    let name = offered.name.clone();
    assert_eq!(following.offered(offered, Here::Nothing), Verdict::Waits);
    assert_eq!(begin(following, PLENTY).0.len(), 1);
    arrives(following, &name);
}

#[test]
fn a_new_file_comes_once_and_its_sharers_next_version_takes_its_place() {
    let mut following = following(1000);
    came(&mut following, offer("a/f", 1, 10, "ann"));
    assert_eq!(following.offered(offer("a/f", 1, 10, "ann"), Here::Nothing), Verdict::Known, "deleting means own");
    assert_eq!(following.offered(offer("a/f", 2, 20, "ann"), Here::AsItCame), Verdict::Waits);
    let (begun, lacking) = begin(&mut following, PLENTY);
    assert_eq!((begun, lacking), (vec![Begin { offer: offer("a/f", 2, 20, "ann"), replaces: true }], None));
    assert_eq!(following.offered(offer("a/f", 2, 20, "ann"), Here::AsItCame), Verdict::Known);
    arrives(&mut following, &file("a/f"));
    assert_eq!(following.came(&file("a/f")).map(|came| came.size), Some(20 * ROOM_MIN));
}

#[test]
fn an_offer_that_would_clobber_or_hide_is_passed_over_and_told_once() {
    let mut following = following(1000);
    came(&mut following, offer("f", 1, 10, "ann"));
    let other = Verdict::PassedOver(PassedOver::OtherAuthor(user("ann")));
    assert_eq!(following.offered(offer("f", 2, 10, "bob"), Here::AsItCame), other);
    assert_eq!(following.offered(offer("f", 2, 10, "bob"), Here::AsItCame), Verdict::Known);
    let changed = Verdict::PassedOver(PassedOver::ChangedHere);
    assert_eq!(following.offered(offer("f", 3, 10, "ann"), Here::Other), changed);
    for name in [".profile", "a/.git/config", "film.part"] {
        let hidden = Verdict::PassedOver(PassedOver::Name);
        assert_eq!(following.offered(offer(name, 1, 10, "ann"), Here::Nothing), hidden, "{name}");
    }
    assert_eq!(begin(&mut following, PLENTY), (vec![], None));
}

#[test]
fn no_sharer_fills_the_room_alone_and_what_waits_comes_once_there_is_room() {
    let mut following = following(1000);
    came(&mut following, offer("a", 1, 500, "ann"));
    following.offered(offer("b", 2, 1, "ann"), Here::Nothing);
    assert_eq!(begin(&mut following, PLENTY), (vec![], Some(NoRoom::Sharer(user("ann")))));
    following.offered(offer("c", 3, 250, "bob"), Here::Nothing);
    assert_eq!(begin(&mut following, PLENTY).0.len(), 1, "bob has a part too");
    following.offered(offer("d", 4, 600, "bob"), Here::Nothing);
    assert_eq!(begin(&mut following, PLENTY).1, Some(NoRoom::Sharer(user("ann"))));
    following.set_removed(&file("a"), true);
    let (begun, lacking) = begin(&mut following, PLENTY);
    assert_eq!((begun.len(), lacking), (1, Some(NoRoom::Sharer(user("bob")))));
}

#[test]
fn a_twentieth_of_the_disk_stays_free() {
    let mut following = following(1000);
    following.offered(offer("a", 1, 100, "ann"), Here::Nothing);
    assert_eq!(begin(&mut following, (149 * ROOM_MIN, 1000 * ROOM_MIN)), (vec![], Some(NoRoom::Disk)));
    assert_eq!(begin(&mut following, (150 * ROOM_MIN, 1000 * ROOM_MIN)).0.len(), 1);
}

#[test]
fn a_twentieth_of_the_files_that_the_disk_can_have_stays_free() {
    let mut following = following(1000);
    for n in 0..3 {
        following.offered(offer(&n.to_string(), n, 0, "ann"), Here::Nothing);
    }
    let of = |free| disk(PLENTY, Some(Supply { free, total: 1000 }));
    let mut begin = |room| {
        let (begun, lacking) = following.begin(&BTreeSet::new(), room);
        (begun.len(), lacking)
    };
    assert_eq!(begin(of(54)), (0, Some(NoRoom::Files)));
    assert_eq!(begin(of(60)), (2, Some(NoRoom::Files)));
    assert_eq!(begin(disk(PLENTY, None)), (1, None));
}

#[test]
fn names_that_take_no_room_are_forgotten_once_the_group_has_them_no_longer() {
    let mut following = following(1000);
    for (name, version) in [("stays", 1), ("goes", 2), ("lies", 3)] {
        came(&mut following, offer(name, version, 10, "ann"));
    }
    for name in [".a", ".b"] {
        following.offered(offer(name, 1, 10, "ann"), Here::Nothing);
    }
    ["stays", "goes"].iter().for_each(|name| following.set_removed(&file(name), true));
    assert_eq!(following.roomless_count(), 4);
    let shared = BTreeSet::from(["stays", ".b"].map(file));
    assert!(following.keep_only(&shared) && !following.keep_only(&shared));
    assert_eq!(following.all_came().keys().cloned().collect::<Vec<_>>(), ["lies", "stays"].map(file));
    assert_eq!(following.passed().keys().cloned().collect::<Vec<_>>(), [file(".b")]);
    assert_eq!(following.offered(offer("goes", 2, 10, "ann"), Here::Nothing), Verdict::Waits, "it is new then");
}

#[test]
fn a_download_of_an_old_version_makes_way_for_the_new_one() {
    let mut following = following(1000);
    following.offered(offer("a", 1, 100, "ann"), Here::Nothing);
    begin(&mut following, PLENTY);
    assert!(following.outdated().is_empty());
    assert_eq!(following.offered(offer("a", 2, 100, "ann"), Here::Nothing), Verdict::Waits);
    assert_eq!((begin(&mut following, PLENTY).0, following.outdated()), (vec![], vec![file("a")]));
    following.let_go(&file("a"));
    assert_eq!(begin(&mut following, PLENTY).0.len(), 1);
}

#[test]
fn a_failed_file_is_tried_again_or_passed_over() {
    let mut following = following(1000);
    following.offered(offer("a", 1, 100, "ann"), Here::Nothing);
    begin(&mut following, PLENTY);
    assert_eq!(following.failed(&file("a"), true), None);
    assert_eq!(begin(&mut following, PLENTY).0.len(), 1);
    assert_eq!(following.failed(&file("a"), false), Some(InfoHash([1; 32])));
    assert_eq!(following.offered(offer("a", 1, 100, "ann"), Here::Nothing), Verdict::Known);
}

#[test]
fn an_empty_file_takes_room_and_sharers_without_files_take_none() {
    let mut following = following(10);
    for author in ["eve", "eva", "evi"] {
        following.offered(offer(author, 1, 100, author), Here::Nothing);
    }
    for n in 0..9 {
        following.offered(offer(&n.to_string(), n + 10, 0, "ann"), Here::Nothing);
        for Begin { offer, .. } in begin(&mut following, PLENTY).0 {
            arrives(&mut following, &offer.name);
        }
    }
    assert_eq!(following.counts(), (5, 7));
}

#[test]
fn a_sharer_who_gives_nothing_holds_up_nobody() {
    let mut following = following(1000);
    for n in 0..6 {
        following.offered(offer(&format!("eve{n}"), n, 1, "eve"), Here::Nothing);
        following.offered(offer(&format!("zoe{n}"), n + 10, 1, "zoe"), Here::Nothing);
    }
    let begun = begin(&mut following, PLENTY).0;
    let of_eve: BTreeSet<FileName> =
        begun.iter().filter(|it| it.offer.author == user("eve")).map(|it| it.offer.name.clone()).collect();
    assert_eq!((begun.len(), of_eve.len()), (8, RUNNING_OF_ONE_MAX));
    assert!(begin(&mut following, PLENTY).0.is_empty());
    // A failed offer waits behind the others.
    following.failed(&file("eve0"), true);
    assert_eq!(begin(&mut following, PLENTY).0[0].offer.name, file("eve4"));
    assert_eq!(
        following.begin(&of_eve, disk(PLENTY, Some(OF_FILES))).0.len(),
        2,
        "what stands still leaves its turn to others"
    );
}

#[derive(Debug, Clone)]
enum Doing {
    Offer(usize, u8, u64, usize, u8),
    Begin(u64),
    Arrive(usize),
    Fail(usize, bool),
    Remove(usize, bool),
    End(usize),
}

fn doings() -> impl Strategy<Value = Vec<Doing>> {
    let name = 0..6_usize;
    let one = prop_oneof![
        4 => (name.clone(), 0..3_u8, 1..60_u64, 0..3_usize, 0..3_u8)
            .prop_map(|(name, version, size, author, here)| Doing::Offer(name, version, size, author, here)),
        3 => (0..400_u64).prop_map(Doing::Begin),
        3 => name.clone().prop_map(Doing::Arrive),
        1 => (name.clone(), any::<bool>()).prop_map(|(name, again)| Doing::Fail(name, again)),
        1 => (name.clone(), any::<bool>()).prop_map(|(name, removed)| Doing::Remove(name, removed)),
        1 => name.prop_map(Doing::End),
    ];
    prop::collection::vec(one, 0..80)
}

proptest! {
    #[test]
    fn a_follower_keeps_to_its_room_under_any_offers_and_no_file_comes_twice(doings in doings()) {
        const NAMES: [&str; 6] = ["a", "b", "d/a", "d/b", ".c", "e"];
        let mut following = following(100);
        let mut running: BTreeMap<FileName, Offer> = BTreeMap::new();
        let mut here: BTreeMap<FileName, (u64, UserId)> = BTreeMap::new();
        for doing in doings {
            match doing {
                Doing::Offer(name, version, size, author, at) => {
                    let lies = [Here::Nothing, Here::AsItCame, Here::Other][usize::from(at)];
                    following.offered(offer(NAMES[name], version, size, ["ann", "bob", "eve"][author]), lies);
                }
                Doing::Begin(free) => {
                    let disk = (free * ROOM_MIN, 1000 * ROOM_MIN);
                    for Begin { offer, .. } in begin(&mut following, disk).0 {
                        prop_assert!(disk.0.saturating_sub(offer.size) >= disk.1 / 20);
                        prop_assert!(may_be_placed(&offer.name));
                        prop_assert!(!running.values().any(|it| it.info_hash == offer.info_hash));
                        prop_assert!(running.insert(offer.name.clone(), offer).is_none());
                    }
                    for author in ["ann", "bob", "eve"] {
                        let count = running.values().filter(|offer| offer.author.as_str() == author).count();
                        prop_assert!(count <= RUNNING_OF_ONE_MAX);
                    }
                }
                Doing::Arrive(name) => {
                    let name = file(NAMES[name]);
                    let arrived = following.arrived(&name);
                    prop_assert_eq!(arrived.is_some(), running.contains_key(&name));
                    arrived.into_iter().for_each(|came| following.put(name.clone(), came));
                    if let Some(offer) = running.remove(&name) {
                        here.insert(name, (offer.size, offer.author));
                    }
                }
                Doing::Fail(name, again) => {
                    following.failed(&file(NAMES[name]), again);
                    running.remove(&file(NAMES[name]));
                }
                Doing::Remove(name, removed) => {
                    following.set_removed(&file(NAMES[name]), removed);
                    if removed {
                        here.remove(&file(NAMES[name]));
                    }
                }
                Doing::End(name) => {
                    following.ended(&file(NAMES[name]));
                    following.let_go(&file(NAMES[name]));
                    running.remove(&file(NAMES[name]));
                }
            }
            let sizes = here.values().map(|(size, author)| (*size, author));
            let all: Vec<_> = sizes.chain(running.values().map(|offer| (offer.size, &offer.author))).collect();
            prop_assert!(all.iter().map(|(size, _)| size).sum::<u64>() <= 100 * ROOM_MIN);
            for author in ["ann", "bob", "eve"] {
                let part: u64 = all.iter().filter(|(_, of)| of.as_str() == author).map(|(size, _)| size).sum();
                prop_assert!(part <= 50 * ROOM_MIN, "{author} has {part}");
            }
        }
    }
}
