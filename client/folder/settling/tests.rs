//! The folder and its group agree in the end, for random events and even when events are lost.

use super::*;
use crate::model::name::tests::file;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn names(count: usize) -> Vec<FileName> {
    (0..count).map(|n| file(&format!("d/{n:04}"))).collect()
}

/// A folder with this many shared files. The look of each is its number.
fn folder(count: usize) -> (Settling<u64>, Vec<FileName>, Instant) {
    let names = names(count);
    let shared = names.iter().cloned().zip(0..).collect();
    (Settling::new(shared), names, Instant::now())
}

/// Removes these files. Returns the next step once they are at rest.
fn remove(folder: &mut Settling<u64>, names: &[FileName], now: Instant) -> GoneStep {
    names.iter().for_each(|name| folder.touched(name.clone(), None, now));
    rest(folder, &BTreeMap::new(), now + REST);
    folder.gone(now + REST)
}

/// Looks at the due files.
fn rest(folder: &mut Settling<u64>, disk: &BTreeMap<FileName, u64>, now: Instant) {
    for name in folder.due(now) {
        let found = disk.get(&name).copied();
        folder.rested(name, found, now);
    }
}

#[test]
fn a_file_is_shared_once_it_has_stood_still_for_two_seconds() {
    let (mut folder, _, now) = folder(0);
    let name = file("film.mkv");
    folder.touched(name.clone(), Some(1), now);
    folder.touched(name.clone(), Some(2), now + SECOND);
    assert_eq!((folder.due(now + REST), folder.next_due()), (vec![], Some(now + 3 * SECOND)));
    // Written to without an event, as through mapped memory.
    folder.rested(name.clone(), Some(3), now + 3 * SECOND);
    assert_eq!(folder.next_share(|_| false), None);
    folder.rested(name.clone(), Some(3), now + 5 * SECOND);
    assert_eq!(folder.next_share(|_| false), Some((name.clone(), 3, None)));
    folder.is_shared(&name, 3);
    assert!(folder.is_settled());
    folder.touched(name.clone(), Some(3), now + 9 * SECOND);
    folder.rested(name, Some(3), now + 11 * SECOND);
    assert!(folder.is_settled(), "it is shared as it is");
}

/// Two names of one file, both shared.
fn linked() -> (Settling<u64>, [FileName; 2], Instant) {
    let names = ["a", "b"].map(file);
    (Settling::new(names.iter().map(|name| (name.clone(), 1)).collect()), names, Instant::now())
}

#[test]
fn a_write_under_one_name_of_a_file_has_its_other_names_looked_at() {
    let (folder, [a, b], _) = linked();
    assert_eq!(folder.linked(&BTreeSet::from([a.clone()])), BTreeSet::from([b.clone()]));
    assert_eq!(folder.linked(&BTreeSet::from([a, b])), BTreeSet::new());
}

#[test]
fn names_of_one_file_get_others_each_for_itself_and_end_each_for_itself() {
    let (mut folder, [a, b], now) = linked();
    let [c, d] = ["c", "d"].map(file);
    for (name, found) in [(&a, None), (&b, None), (&c, Some(1)), (&d, Some(1))] {
        folder.touched(name.clone(), found, now);
    }
    rest(&mut folder, &BTreeMap::from([(c.clone(), 1), (d.clone(), 1)]), now + REST);
    let now = now + REST;
    assert_eq!(folder.gone(now), GoneStep::Wait, "both come again");
    for (name, from) in [(&c, &a), (&d, &b)] {
        assert_eq!(folder.next_share(|_| false), Some((name.clone(), 1, Some(from.clone()))));
        folder.is_shared(name, 1);
    }
    assert_eq!(folder.gone(now), GoneStep::Withdraw(vec![a.clone(), b.clone()]));
    [a, b].iter().for_each(|name| folder.is_withdrawn(name, now));
    assert_eq!((folder.gone_count(), folder.is_settled()), (0, true));
    // One of the two goes, and the other stays.
    assert_eq!(remove(&mut folder, std::slice::from_ref(&c), now), GoneStep::Withdraw(vec![c.clone()]));
    folder.is_withdrawn(&c, now + REST);
    assert_eq!((folder.shared_count(), folder.linked(&BTreeSet::from([d.clone()]))), (1, BTreeSet::new()));
}

#[test]
fn of_two_names_one_comes_again_and_the_other_is_gone() {
    let (mut folder, [a, b], now) = linked();
    for (name, found) in [(&a, None), (&b, None), (&file("c"), Some(1))] {
        folder.touched(name.clone(), found, now);
    }
    rest(&mut folder, &BTreeMap::from([(file("c"), 1)]), now + REST);
    folder.is_shared(&file("c"), 1);
    assert_eq!(folder.gone(now + REST), GoneStep::Withdraw(vec![a.clone()]));
    folder.is_withdrawn(&a, now + REST);
    assert_eq!(folder.gone(now + REST), GoneStep::Withdraw(vec![b]));
}

#[test]
fn a_file_being_read_holds_up_no_other_file() {
    let (mut folder, _, now) = folder(0);
    let disk: BTreeMap<FileName, u64> = ["a film", "b"].map(file).into_iter().zip(1..).collect();
    disk.iter().for_each(|(name, look)| folder.touched(name.clone(), Some(*look), now));
    rest(&mut folder, &disk, now + REST);
    let next = folder.next_share(|name| name.as_str() == "a film");
    assert_eq!(next, Some((file("b"), 2, None)));
    assert!(folder.is_ready(&file("a film"), 1) && !folder.is_ready(&file("a film"), 2));
    folder.touched(file("a film"), Some(3), now + REST);
    assert!(!folder.is_ready(&file("a film"), 1), "it need not be read to its end");
}

#[test]
fn a_refused_file_is_not_tried_again_until_it_changes() {
    let (mut folder, _, now) = folder(0);
    let name = file("f");
    folder.touched(name.clone(), Some(1), now);
    folder.rested(name.clone(), Some(1), now + REST);
    folder.is_refused(&name, 1);
    folder.scanned(&BTreeMap::from([(name.clone(), 1)]), |_| false, now + REST);
    assert!(folder.is_settled());
    folder.scanned(&BTreeMap::from([(name.clone(), 2)]), |_| false, now + REST);
    assert!(!folder.is_settled());
    folder.rested(name.clone(), Some(2), now + REST * 2);
    assert_eq!(folder.next_share(|_| false), Some((name, 2, None)));
}

#[test]
fn one_file_that_is_gone_is_withdrawn_and_many_or_most_of_them_only_after_a_yes() {
    for (count, removed, asked) in
        [(1, 1, false), (2, 1, false), (2, 2, true), (100, 20, false), (100, 21, true), (10, 5, true), (10, 4, false)]
    {
        let (mut folder, names, now) = folder(count);
        let step = remove(&mut folder, &names[..removed], now);
        let withdraw = GoneStep::Withdraw(names[..removed].to_vec());
        assert_eq!(step, if asked { GoneStep::Ask(removed) } else { withdraw }, "{removed} of {count}");
        if asked {
            assert_eq!(folder.gone(now + REST), GoneStep::Wait, "asked once");
            assert!(folder.is_settled());
            folder.consent(now + REST);
            assert_eq!(folder.gone(now + REST), GoneStep::Withdraw(names[..removed].to_vec()));
        }
    }
}

#[test]
fn twenty_and_then_some_within_a_minute_are_too_many_and_after_it_they_are_not() {
    for (later, asked) in [(30 * SECOND, true), (70 * SECOND, false)] {
        let (mut folder, names, now) = folder(100);
        assert!(matches!(remove(&mut folder, &names[..20], now), GoneStep::Withdraw(_)));
        names[..20].iter().for_each(|name| folder.is_withdrawn(name, now + REST));
        let step = remove(&mut folder, &names[20..23], now + later);
        assert_eq!(step == GoneStep::Ask(3), asked, "{step:?}");
    }
}

#[test]
fn files_that_get_other_names_are_moved_however_many_they_are() {
    let (mut folder, names, now) = folder(500);
    let moved: BTreeMap<FileName, u64> = (0..500).map(|n| (file(&format!("e/{n:04}")), n)).collect();
    for name in folder.below("d") {
        folder.touched(name, None, now);
    }
    moved.iter().for_each(|(name, look)| folder.touched(name.clone(), Some(*look), now));
    rest(&mut folder, &moved, now + REST);
    let mut withdrawn = 0;
    while let Some((name, look, from)) = folder.next_share(|_| false) {
        assert_eq!(from.as_ref(), Some(&names[look as usize]));
        folder.is_shared(&name, look);
        match folder.gone(now + REST) {
            GoneStep::Withdraw(names) => names.iter().for_each(|name| {
                folder.is_withdrawn(name, now + REST);
                withdrawn += 1;
            }),
            step => panic!("{step:?}"),
        }
    }
    assert_eq!((withdrawn, folder.shared_count()), (500, 500));
    assert!(folder.is_settled());
}

#[test]
fn files_that_are_back_before_the_answer_stay_shared() {
    let (mut folder, names, now) = folder(4);
    assert_eq!(remove(&mut folder, &names, now), GoneStep::Ask(4));
    let disk: BTreeMap<_, _> = names.iter().cloned().zip(0..).collect();
    folder.scanned(&disk, |_| false, now + REST);
    folder.consent(now + REST);
    rest(&mut folder, &disk, now + REST * 2);
    assert_eq!((folder.gone(now + REST * 2), folder.shared_count()), (GoneStep::Wait, 4));
    assert!(folder.is_settled());
}

#[test]
fn a_yes_counts_for_what_is_found_to_be_gone_a_moment_later_and_not_for_what_goes_afterwards() {
    for (later, asked) in [(Duration::ZERO, false), (CONSENT, true)] {
        let (mut folder, names, now) = folder(10);
        folder.consent(now);
        assert_eq!(folder.gone(now + later), GoneStep::Wait);
        let step = remove(&mut folder, &names[..8], now + later);
        assert_eq!(step == GoneStep::Ask(8), asked, "{step:?}");
    }
}

#[test]
fn a_file_that_cannot_be_looked_at_is_not_gone() {
    let (mut folder, names, now) = folder(3);
    folder.touched(names[0].clone(), None, now);
    folder.unknown(&names[0]);
    folder.scanned(&BTreeMap::from([(names[2].clone(), 2)]), |name| *name != names[2], now);
    assert_eq!((folder.gone(now + REST), folder.shared_count(), folder.is_settled()), (GoneStep::Wait, 3, true));
}

#[test]
fn nobody_waits_for_a_file_that_changes_all_the_time() {
    let (mut folder, names, now) = folder(1);
    for second in 0..10_u32 {
        assert!(!folder.is_done(false, now + SECOND * second) || second == 0);
        folder.touched(names[0].clone(), Some(u64::from(second) + 7), now + SECOND * second);
    }
    let later = now + BUSY;
    assert!(folder.is_done(false, later) && !folder.is_settled());
    assert_eq!(folder.busy(later), Some(&names[0]));
    folder.touched(file("other"), Some(1), later);
    assert!(!folder.is_done(false, later));
}

#[test]
fn a_refused_file_is_tried_again_when_the_user_wants_it() {
    let (mut folder, _, now) = folder(0);
    let disk = BTreeMap::from([(file("f"), 1)]);
    folder.is_refused(&file("f"), 1);
    folder.scanned(&disk, |_| false, now);
    assert!(folder.is_settled());
    folder.retry();
    folder.scanned(&disk, |_| false, now);
    rest(&mut folder, &disk, now + REST);
    assert_eq!(folder.next_share(|_| false), Some((file("f"), 1, None)));
}

#[derive(Debug, Clone)]
enum Doing {
    Write(usize),
    Remove(usize),
    Move(usize, usize),
    /// Events are lost: only a scan sees later changes.
    Unseen(usize),
    Scan,
    Later(u64),
}

fn doings() -> impl Strategy<Value = Vec<Doing>> {
    let name = 0..6_usize;
    let one = prop_oneof![
        3 => name.clone().prop_map(Doing::Write),
        2 => name.clone().prop_map(Doing::Remove),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Doing::Move(from, to)),
        1 => name.prop_map(Doing::Unseen),
        1 => Just(Doing::Scan),
        4 => (1..30_u64).prop_map(Doing::Later),
    ];
    prop::collection::vec(one, 0..60)
}

/// A disk, the group, and the time of each file's last change.
struct World {
    folder: Settling<u64>,
    disk: BTreeMap<FileName, u64>,
    group: BTreeMap<FileName, u64>,
    changed: BTreeMap<FileName, Instant>,
    now: Instant,
    looks: u64,
}

impl World {
    fn put(&mut self, name: &FileName, look: Option<u64>, seen: bool) {
        match look {
            Some(look) => drop(self.disk.insert(name.clone(), look)),
            None => drop(self.disk.remove(name)),
        }
        self.changed.insert(name.clone(), self.now);
        if seen {
            self.folder.touched(name.clone(), look, self.now);
        }
    }

    fn carry_out(&mut self) {
        rest(&mut self.folder, &self.disk, self.now);
        while let Some((name, look, _)) = self.folder.next_share(|_| false) {
            if self.disk.get(&name) != Some(&look) {
                // The file changes while it is read.
                self.folder.touched(name.clone(), self.disk.get(&name).copied(), self.now);
                continue;
            }
            assert!(self.changed[&name] + REST <= self.now, "{name} is not at rest");
            self.group.insert(name.clone(), look);
            self.folder.is_shared(&name, look);
        }
        loop {
            match self.folder.gone(self.now) {
                GoneStep::Withdraw(names) => {
                    for name in names {
                        self.group.remove(&name);
                        self.folder.is_withdrawn(&name, self.now);
                    }
                }
                GoneStep::Ask(_) => self.folder.consent(self.now),
                GoneStep::Wait => return,
            }
        }
    }
}

proptest! {
    #[test]
    fn the_group_has_the_files_of_the_folder_at_rest_whatever_happens(doings in doings()) {
        let names = names(6);
        let mut world = World {
            folder: Settling::new(BTreeMap::new()),
            disk: BTreeMap::new(),
            group: BTreeMap::new(),
            changed: BTreeMap::new(),
            now: Instant::now(),
            looks: 0,
        };
        for doing in doings {
            match doing {
                Doing::Write(name) | Doing::Unseen(name) => {
                    world.looks += 1;
                    let look = Some(world.looks);
                    world.put(&names[name], look, matches!(doing, Doing::Write(_)));
                }
                Doing::Remove(name) => world.put(&names[name], None, true),
                Doing::Move(from, to) if from != to => {
                    if let Some(look) = world.disk.get(&names[from]).copied() {
                        world.put(&names[from], None, true);
                        world.put(&names[to], Some(look), true);
                    }
                }
                Doing::Move(..) => {}
                Doing::Scan => world.folder.scanned(&world.disk, |_| false, world.now),
                Doing::Later(tenths) => {
                    world.now += Duration::from_millis(100) * tenths as u32;
                    world.carry_out();
                }
            }
        }
        for _ in 0..4 {
            world.folder.scanned(&world.disk, |_| false, world.now);
            world.now += REST;
            world.carry_out();
        }
        prop_assert_eq!(&world.group, &world.disk);
        prop_assert!(world.folder.is_settled());
    }
}
