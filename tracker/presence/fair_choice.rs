//! Which holders a client is told of where there are more than a message has room for. Pure.

use crate::wire::client_tracker::PEERS_MAX;
use std::collections::HashMap;
use std::hash::Hash;

/// Most clients of one user that a client is told of.
pub(super) const USER_PEERS_MAX: usize = 32;

/// Chooses [`PEERS_MAX`] of these at most, fairly by user, and keeps their order. Of each user the first is chosen
/// before the second of any.
pub(super) fn fairly<T, U: Eq + Hash>(all: Vec<T>, user_of: impl Fn(&T) -> U) -> Vec<T> {
    let mut counts: HashMap<U, usize> = HashMap::new();
    let numbered = all.into_iter().map(|one| {
        let count = counts.entry(user_of(&one)).or_default();
        *count += 1;
        (*count, one)
    });
    let mut chosen: Vec<_> = numbered.filter(|(number, _)| *number <= USER_PEERS_MAX).enumerate().collect();
    chosen.sort_by_key(|(_, (number, _))| *number);
    chosen.truncate(PEERS_MAX);
    chosen.sort_by_key(|(place, _)| *place);
    chosen.into_iter().map(|(_, (_, one))| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_all_named_in_their_order() {
        let all = vec![("ann", 5), ("bob", 4), ("ann", 3), ("bob", 2)];
        assert_eq!(fairly(all.clone(), |one| one.0), all);
    }

    #[test]
    fn one_user_with_thousands_of_clients_has_a_part_and_everybody_else_is_named() {
        let crowd = (0..10_000).map(|number| ("crowd".to_owned(), number));
        let others = (0..PEERS_MAX - 10).map(|number| (format!("user{number}"), number));
        let named = fairly(crowd.chain(others).collect(), |one| one.0.clone());
        assert_eq!(named.len(), PEERS_MAX);
        assert_eq!(named.iter().filter(|one| one.0 == "crowd").count(), 10);
        assert_eq!(named[..2], [("crowd".to_owned(), 0), ("crowd".to_owned(), 1)], "the first of them, in their order");
        let alone = fairly((0..10_000).collect(), |_| "crowd");
        assert!(alone.into_iter().eq(0..USER_PEERS_MAX));
    }
}
