//! The keys of the user's groups. A key proves membership between peers; every departure from a group changes it.

use crate::model::digest::KeyId;
use crate::model::id::GroupRef;
use crate::model::name::GroupId;
use crate::wire::client_tracker::GroupKey;
use crate::wire::handshake::Secret;
use parking_lot::Mutex;
use std::collections::HashMap;

/// The keys, by group and by id. A group has one key at a time.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: Mutex<HashMap<GroupRef, GroupKey>>,
}

impl Keyring {
    /// Takes a key that the tracker gave; true if it replaces another key of that group.
    pub fn put(&self, key: GroupKey) -> bool {
        let id = key.id;
        self.keys.lock().insert(key.group, key).is_some_and(|old| old.id != id)
    }

    /// Takes all keys of the user, as listed; gives the groups whose key changed or is gone.
    pub fn replace_all(&self, list: Vec<GroupKey>) -> Vec<GroupRef> {
        let new: HashMap<_, _> = list.into_iter().map(|key| (key.group, key)).collect();
        let mut keys = self.keys.lock();
        let changed = keys.values().filter(|old| new.get(&old.group).is_none_or(|key| key.id != old.id));
        let changed = changed.map(|old| old.group).collect();
        *keys = new;
        changed
    }

    /// Drops the key of a group.
    pub fn remove(&self, group: GroupRef) {
        self.keys.lock().remove(&group);
    }

    /// Drops all keys.
    pub fn clear(&self) {
        self.keys.lock().clear();
    }

    /// The key of a group.
    pub fn of_group(&self, group: GroupRef) -> Option<(KeyId, Secret)> {
        self.keys.lock().get(&group).map(|key| (key.id, key.key.clone()))
    }

    /// The group and the secret behind an id that a peer named.
    pub fn by_id(&self, id: KeyId) -> Option<(GroupRef, Secret)> {
        // A user is in few groups, so a look at each is cheaper than a second index.
        self.keys.lock().values().find(|key| key.id == id).map(|key| (key.group, key.key.clone()))
    }

    /// The group of this name, if the user is a member.
    pub fn group_named(&self, name: &GroupId) -> Option<GroupRef> {
        self.keys.lock().values().find(|key| key.name == *name).map(|key| key.group)
    }

    /// The names of the user's groups.
    pub fn names(&self) -> Vec<GroupId> {
        self.keys.lock().values().map(|key| key.name.clone()).collect()
    }

    /// The name of a group of the user.
    pub fn name_of(&self, group: GroupRef) -> Option<GroupId> {
        self.keys.lock().get(&group).map(|key| key.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin};

    fn key(group: u64, secret: u8) -> GroupKey {
        let group = GroupRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: group });
        let name = GroupId::parse("lab").expect("a name");
        GroupKey { group, name, id: KeyId([secret; 16]), key: Secret([secret; 32]) }
    }

    #[test]
    fn a_new_key_of_a_group_ends_the_old_one() {
        let keyring = Keyring::default();
        assert!(!keyring.put(key(1, 1)), "the first one replaces nothing");
        assert!(!keyring.put(key(1, 1)), "the same one again");
        assert!(keyring.put(key(1, 2)));
        assert_eq!(keyring.by_id(KeyId([1; 16])), None);
        assert_eq!(keyring.by_id(KeyId([2; 16])), Some((key(1, 2).group, Secret([2; 32]))));
    }

    #[test]
    fn a_list_tells_which_groups_have_changed() {
        let keyring = Keyring::default();
        keyring.replace_all(vec![key(1, 1), key(2, 2), key(3, 3)]);
        let mut changed = keyring.replace_all(vec![key(1, 1), key(2, 9)]);
        changed.sort_unstable();
        assert_eq!(changed, [key(2, 2).group, key(3, 3).group]);
        assert_eq!(keyring.of_group(key(3, 3).group), None);
    }
}
