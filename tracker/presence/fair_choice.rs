//! Which holders a client is told of where there are more than a message has room for. Pure.

use crate::wire::client_tracker::PEERS_MAX;
use std::collections::HashMap;
use std::hash::Hash;

/// Most clients of one user that a client is told of.
pub(super) const USER_PEERS_MAX: usize = 32;

/// Chooses [`PEERS_MAX`] of these at most, in this order and fairly by user. Of each user the first is chosen before the
/// second of any. Sorts no more than it needs to.
pub(super) fn fairly<T, U: Eq + Hash + Copy, O: Ord>(
    all: impl Iterator<Item = T>,
    user_of: impl Fn(&T) -> U,
    order: impl Fn(&T) -> O,
) -> Vec<T> {
    let mut by_user: HashMap<U, Vec<T>> = HashMap::new();
    all.for_each(|one| by_user.entry(user_of(&one)).or_default().push(one));
    let mut chosen: Vec<(usize, T)> = Vec::new();
    for (_, mut own) in by_user {
        if own.len() > USER_PEERS_MAX {
            own.select_nth_unstable_by_key(USER_PEERS_MAX, &order);
            own.truncate(USER_PEERS_MAX);
        }
        own.sort_unstable_by_key(&order);
        chosen.extend((0..).zip(own));
    }
    if chosen.len() > PEERS_MAX {
        chosen.select_nth_unstable_by_key(PEERS_MAX, |(number, one)| (*number, order(one)));
        chosen.truncate(PEERS_MAX);
    }
    let mut chosen: Vec<T> = chosen.into_iter().map(|(_, one)| one).collect();
    chosen.sort_unstable_by_key(order);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_all_named_in_order() {
        let all = [("ann", 3), ("bob", 4), ("ann", 1), ("bob", 2)];
        let named = fairly(all.into_iter(), |one| one.0, |one| one.1);
        assert!(named.into_iter().map(|one| one.1).eq(1..=4));
    }

    #[test]
    fn one_user_with_thousands_of_clients_has_a_part_and_everybody_else_is_named() {
        let crowd = (0..10_000).map(|number| ("crowd".to_owned(), number));
        let others = (0..PEERS_MAX - 10).map(|number| (format!("user{number}"), 10_000 + number));
        let all: Vec<_> = crowd.chain(others).collect();
        let named = fairly(all.iter(), |one| &one.0, |one| one.1);
        assert_eq!(named.len(), PEERS_MAX);
        let of_crowd: Vec<_> = named.iter().filter(|one| one.0 == "crowd").map(|one| one.1).collect();
        assert!(of_crowd.into_iter().eq(0..10), "the first of them, in their order");
        let alone = fairly(0..10_000, |_| "crowd", |&number| number);
        assert!(alone.into_iter().eq(0..USER_PEERS_MAX));
    }
}
