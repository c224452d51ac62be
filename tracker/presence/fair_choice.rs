//! Chooses which holders to name to a client if there are more than a message has room for. Also chooses which clients
//! hear of a new holder in a crowd. Pure.

use super::client_key::ClientKey;
use crate::wire::client_tracker::PEERS_MAX;
use std::cmp::Reverse;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The most clients of one user that a client is told of.
pub(super) const USER_PEERS_MAX: usize = 32;
/// In a crowd, this many of the named peers are those that hold most, so that clients find rare pieces. All others are
/// chosen at random: otherwise all clients would dial the same few.
const FULLEST: usize = PEERS_MAX / 8;
/// All clients that lack pieces hear at once of the first few holders: without these no client can begin. If there
/// were many more, a crowd would dial them all and find no room.
const TOLD_TO_ALL: usize = 4;
/// How many clients hear of each later holder. So each member hears of as many, which is what a download connects to.
/// The others hear of the holder when they ask next. So the traffic grows with the crowd, and not with its square.
const TOLD_MAX: usize = 64;

/// Chooses at most `count_max` of these, in this order and fairly by user: every user's first one comes before any
/// user's second one. Sorts only as much as needed.
pub(super) fn fairly<T: Copy, U: Ord, O: Ord>(
    all: impl Iterator<Item = T>,
    count_max: usize,
    user_of: impl Fn(&T) -> U,
    order: impl Fn(&T) -> O,
) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    // They usually come in this order: then the sort only looks at each once.
    all.sort_by_key(&user_of);
    let mut chosen: Vec<(usize, T)> = Vec::with_capacity(all.len());
    for own in all.chunk_by_mut(|one, other| user_of(one) == user_of(other)) {
        if own.len() > USER_PEERS_MAX {
            own.select_nth_unstable_by_key(USER_PEERS_MAX, &order);
        }
        let first = own.len().min(USER_PEERS_MAX);
        own[..first].sort_unstable_by_key(&order);
        chosen.extend((0..first).zip(own.iter().copied()));
    }
    if chosen.len() > count_max {
        chosen.select_nth_unstable_by_key(count_max, |(number, one)| (*number, order(one)));
        chosen.truncate(count_max);
    }
    let mut chosen: Vec<T> = chosen.into_iter().map(|(_, one)| one).collect();
    chosen.sort_unstable_by_key(order);
    chosen
}

/// The holders to name to a client, with how much each holds: at most [`PEERS_MAX`], fairly by user, those that hold
/// more first. In a crowd each client gets a choice of its own.
pub(super) fn named_to(asking: ClientKey, holders: impl Iterator<Item = (ClientKey, u32)>) -> Vec<(ClientKey, u32)> {
    let mut all: Vec<_> = holders.map(|(key, held)| (key, held, chance(asking, key))).collect();
    let user_of = |one: &(ClientKey, u32, u64)| one.0.user;
    let by_held = |&(key, held, chance): &(ClientKey, u32, u64)| (Reverse(held), chance, key);
    let mut named;
    if all.len() <= PEERS_MAX {
        named = fairly(all.into_iter(), PEERS_MAX, user_of, by_held);
    } else {
        let fullest = fairly(all.iter().copied(), FULLEST, user_of, by_held);
        let fullest: HashSet<ClientKey> = fullest.into_iter().map(|(key, ..)| key).collect();
        // The fullest come first, whatever their chance.
        all.iter_mut().filter(|(key, ..)| fullest.contains(key)).for_each(|(.., chance)| *chance = 0);
        named = fairly(all.into_iter(), PEERS_MAX, user_of, |&(key, _, chance)| (chance, key));
        named.sort_unstable_by_key(by_held);
    }
    named.into_iter().map(|(key, held, _)| (key, held)).collect()
}

/// Which of the clients that lack pieces hear of a new holder, given the number of holders.
pub(super) fn told_of(holder: ClientKey, holders: usize, mut lacking: Vec<ClientKey>) -> Vec<ClientKey> {
    if holders > TOLD_TO_ALL && lacking.len() > TOLD_MAX {
        lacking.select_nth_unstable_by_key(TOLD_MAX, |&key| (chance(holder, key), key));
        lacking.truncate(TOLD_MAX);
    }
    lacking
}

/// A number that depends only on these two. Clients with close numbers for one client have distant ones for others. So
/// a crowd does not split into groups that know only themselves.
fn chance(one: ClientKey, other: ClientKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    (one.client, other.client).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{ClientId, OpId, Origin, UserRef};

    #[test]
    fn few_are_all_named_in_order() {
        let all = [("ann", 3), ("bob", 4), ("ann", 1), ("bob", 2)];
        let named = fairly(all.into_iter(), PEERS_MAX, |one| one.0, |one| one.1);
        assert!(named.into_iter().map(|one| one.1).eq(1..=4));
    }

    #[test]
    fn one_user_with_thousands_of_clients_has_a_part_and_everybody_else_is_named() {
        let crowd = (0..10_000).map(|number| ("crowd".to_owned(), number));
        let others = (0..PEERS_MAX - 10).map(|number| (format!("user{number}"), 10_000 + number));
        let all: Vec<_> = crowd.chain(others).collect();
        let named = fairly(all.iter(), PEERS_MAX, |one| &one.0, |one| one.1);
        assert_eq!(named.len(), PEERS_MAX);
        let of_crowd: Vec<_> = named.iter().filter(|one| one.0 == "crowd").map(|one| one.1).collect();
        assert!(of_crowd.into_iter().eq(0..10), "the first of them, in their order");
        let alone = fairly(0..10_000, PEERS_MAX, |_| "crowd", |&number| number);
        assert!(alone.into_iter().eq(0..USER_PEERS_MAX));
    }

    /// A client of a user of its own.
    fn key(number: u64) -> ClientKey {
        let user = UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: number });
        ClientKey { user, client: ClientId(u128::from(number).to_be_bytes()) }
    }

    #[test]
    fn in_a_crowd_the_fullest_are_named_to_everybody_and_all_others_about_equally_often() {
        let (crowd, askers) = (4096, 400);
        let mut times = vec![0; crowd];
        for asker in 0..askers {
            // No two hold the same number of pieces, and the last ones hold most.
            let named = named_to(key(10_000 + asker), (0..crowd).map(|number| (key(number as u64), number as u32)));
            assert!(named.is_sorted_by_key(|(_, held)| Reverse(*held)) && named.len() == PEERS_MAX);
            named.iter().for_each(|(_, held)| times[*held as usize] += 1);
        }
        let (others, fullest) = times.split_at(crowd - FULLEST);
        assert!(fullest.iter().all(|times| *times == askers));
        // 44 each on average, and none is far from that.
        assert!(others.iter().all(|times| (15..80).contains(times)), "{others:?}");
    }

    #[test]
    fn a_crowd_does_not_fall_into_groups_that_know_nobody_else() {
        let crowd = 4096;
        let names = |asker| named_to(key(asker), (0..crowd).map(|number| (key(number), 1))).into_iter();
        let near: HashSet<_> = names(0).map(|(key, _)| key).collect();
        let far: HashSet<_> = near.iter().take(30).flat_map(|key| names(key.user.0.seq)).map(|(key, _)| key).collect();
        assert!(far.len() > crowd as usize * 9 / 10, "{} are known to those who are known", far.len());
    }

    #[test]
    fn in_a_crowd_a_few_clients_hear_of_each_new_holder_and_each_client_of_some() {
        let lacking: Vec<_> = (0..2000).map(key).collect();
        assert_eq!(told_of(key(5000), TOLD_TO_ALL, lacking.clone()).len(), 2000, "the first ones");
        let mut times = vec![0; lacking.len()];
        for holder in 0..2000 {
            let told = told_of(key(5000 + holder), TOLD_TO_ALL + 1, lacking.clone());
            assert_eq!(told.len(), TOLD_MAX);
            told.iter().for_each(|key| times[key.user.0.seq as usize] += 1);
        }
        assert!(times.iter().all(|times| (20..120).contains(times)), "{times:?}");
        let few = lacking[..TOLD_MAX].to_vec();
        assert_eq!(told_of(key(5000), 3000, few.clone()), few, "no more than that lack pieces");
    }
}
