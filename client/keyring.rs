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

/// The effect of a new key.
#[derive(Debug, PartialEq, Eq)]
pub enum Put {
    /// The key is of a new group, or equals the known one.
    AsItWas,
    /// It replaces another key of its group.
    Rekeyed,
    /// The key was not taken, because the group has a new name.
    Renamed,
}

/// The differences after all keys were replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The groups whose key changed or is gone.
    pub rekeyed: Vec<GroupRef>,
    /// The new names of groups, by their former names.
    pub renamed: HashMap<GroupId, GroupId>,
}

impl Keyring {
    /// Takes a key from the tracker, unless its group has a new name. Then other groups may have new names too, and the
    /// client has to fetch all keys.
    pub fn put(&self, key: GroupKey) -> Put {
        let mut keys = self.keys.lock();
        let put = match keys.get(&key.group) {
            Some(old) if old.name != key.name => return Put::Renamed,
            Some(old) if old.id != key.id => Put::Rekeyed,
            _ => Put::AsItWas,
        };
        keys.insert(key.group, key);
        put
    }

    /// Takes all keys of the user, as listed.
    pub fn replace_all(&self, list: Vec<GroupKey>) -> Changes {
        let new: HashMap<_, _> = list.into_iter().map(|key| (key.group, key)).collect();
        let old = std::mem::replace(&mut *self.keys.lock(), new.clone());
        let mut changes = Changes::default();
        for old in old.into_values() {
            let new = new.get(&old.group);
            if new.is_none_or(|new| new.id != old.id) {
                changes.rekeyed.push(old.group);
            }
            if let Some(new) = new.filter(|new| new.name != old.name) {
                changes.renamed.insert(old.name, new.name.clone());
            }
        }
        changes
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

    /// The group and the secret of a key id that a peer named.
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
        assert_eq!(keyring.put(key(1, 1)), Put::AsItWas, "the first one replaces nothing");
        assert_eq!(keyring.put(key(1, 1)), Put::AsItWas, "the same one again");
        assert_eq!(keyring.put(key(1, 2)), Put::Rekeyed);
        assert_eq!(keyring.by_id(KeyId([1; 16])), None);
        assert_eq!(keyring.by_id(KeyId([2; 16])), Some((key(1, 2).group, Secret([2; 32]))));
    }

    #[test]
    fn a_list_tells_which_groups_have_changed() {
        let keyring = Keyring::default();
        keyring.replace_all(vec![key(1, 1), key(2, 2), key(3, 3)]);
        let mut changes = keyring.replace_all(vec![key(1, 1), key(2, 9)]);
        changes.rekeyed.sort_unstable();
        assert_eq!(changes.rekeyed, [key(2, 2).group, key(3, 3).group]);
        assert_eq!(keyring.of_group(key(3, 3).group), None);
    }

    #[test]
    fn groups_get_their_new_names_together() {
        let keyring = Keyring::default();
        let named = |group, name| GroupKey { name, ..key(group, 1) };
        let lab = GroupId::parse("lab").expect("a name");
        keyring.replace_all(vec![named(1, lab.clone()), named(2, lab.with_suffix(2))]);
        let renamed = [named(1, lab.with_suffix(2)), named(2, lab.with_suffix(3))];
        assert_eq!(keyring.put(renamed[0].clone()), Put::Renamed);
        assert_eq!(
            keyring.group_named(&lab),
            Some(key(1, 1).group),
            "the group keeps its name until the other one has the new name"
        );
        let changes = keyring.replace_all(renamed.to_vec());
        let expected = [(lab.clone(), lab.with_suffix(2)), (lab.with_suffix(2), lab.with_suffix(3))];
        assert_eq!(changes, Changes { rekeyed: Vec::new(), renamed: HashMap::from(expected) });
        assert_eq!(keyring.group_named(&lab.with_suffix(2)), Some(key(1, 1).group));
    }
}
