//! Reads the state from its canonical form: decodes the tables of facts and builds the rest from them.

use super::VERSION;
use crate::model::id::{CommandId, OpId, OpOrder, Origin};
use crate::model::notice::Notice;
use crate::tracker::state::account::ENDED_MAX;
use crate::tracker::state::floor_table::FloorTable;
use crate::tracker::state::key::{ByName, OpKey};
use crate::tracker::state::sparse_array::SparseArray;
use crate::tracker::state::tables::{
    AccountStanding, AliasRow, Created, EndedSession, GroupNo, GroupRow, MemberRow, OriginRow, ShareNo, ShareRow,
    State, UserNo, UserRow,
};
use crate::wire::codec::{DecodeError, Decoder, Wire};
use imbl::OrdMap;

const OUT_OF_RANGE: DecodeError = DecodeError::Value("a row of a state");

impl State {
    /// Reads what [`State::encode`] wrote. Refuses most rows that contradict each other, as far as the check is quick.
    /// Whether the bytes are the written ones is for a checksum to tell.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_parts([bytes])
    }

    /// As [`State::decode`], from bytes in parts of any length. Holds one part and one row in memory beside the state.
    pub fn decode_parts<B: AsRef<[u8]>>(parts: impl IntoIterator<Item = B>) -> Result<Self, DecodeError> {
        let from = &mut Rows { parts: parts.into_iter(), buffer: Vec::new(), at: 0 };
        let mut state = State::new();
        state.take_head(from)?;
        state.take_origins(from)?;
        unique(from.value::<u64>()? == 1)?;
        state.floors = from.value::<FloorTable>()?;
        state.take_aliases(from)?;
        let shares = state.take_users(from)?;
        state.take_groups(from)?;
        state.take_shares(from)?;
        for (user, shares) in (0..).zip(shares) {
            let user = state.users.get_mut(user).ok_or(OUT_OF_RANGE)?;
            for number in shares {
                let share = state.shares.get(number.0).ok_or(OUT_OF_RANGE)?;
                unique(user.shares.insert((share.group, number)).is_none())?;
            }
        }
        for _ in 0..from.value::<u64>()? {
            let take = |from: &mut Decoder<'_>| Ok((UserNo::take(from)?, OpOrder::take(from)?, u32::take(from)?));
            let (key, notice) = from.row(|from| Ok((take(from)?, Notice::take(from)?)))?;
            let user = state.users.get_mut(key.0.0).ok_or(OUT_OF_RANGE)?;
            user.unread += 1;
            unique(user.unread as usize <= Notice::UNREAD_MAX)?;
            unique(state.notices.insert(key, notice).is_none())?;
        }
        from.finish()?;
        Ok(state)
    }

    fn take_head<P: Parts>(&mut self, from: &mut Rows<P>) -> Result<(), DecodeError> {
        if from.row(|from| Ok((u64::take(from)?, u16::take(from)?)))? != (1, VERSION) {
            return Err(DecodeError::Value("the version of a state"));
        }
        self.folded = from.value()?;
        self.lamport = from.value()?;
        self.last = from.value()?;
        unique(self.lamport == self.last.map_or(0, |last: OpOrder| last.lamport))?;
        self.floor = from.value()?;
        self.origins = SparseArray::from_number(from.value()?);
        self.groups = SparseArray::from_number(from.value()?);
        self.shares = SparseArray::from_number(from.value()?);
        Ok(())
    }

    fn take_origins<P: Parts>(&mut self, from: &mut Rows<P>) -> Result<(), DecodeError> {
        let mut left = self.folded;
        for _ in 0..from.value::<u64>()? {
            let (number, origin, row) = from.row(|from| {
                let (number, origin) = (u32::take(from)?, Origin::take(from)?);
                Ok((number, origin, OriginRow { number, seq: u64::take(from)?, last: u64::take(from)? }))
            })?;
            left = left.checked_sub(row.seq).ok_or(OUT_OF_RANGE)?;
            unique(self.origins.fill(number, origin) && self.by_origin.insert(origin, row).is_none())?;
        }
        self.past = from.map()?;
        unique(self.past.keys().all(|origin| !self.by_origin.contains_key(origin)))?;
        self.trackers = from.map()?;
        unique(self.origins.values().chain(self.past.keys()).all(|origin| self.trackers.contains_key(&origin.tracker)))
    }

    fn take_aliases<P: Parts>(&mut self, from: &mut Rows<P>) -> Result<(), DecodeError> {
        self.aliases = from.map()?;
        self.stand_ins = self.aliases.iter().map(|(&id, &AliasRow { of, .. })| (of, id)).collect();
        unique(self.aliases.values().all(|alias| !self.aliases.contains_key(&alias.of)))
    }

    /// Takes the users. Returns what each one shares; the shares' groups are still unknown.
    fn take_users<P: Parts>(&mut self, from: &mut Rows<P>) -> Result<Vec<Vec<ShareNo>>, DecodeError> {
        let mut all = Vec::new();
        for _ in 0..from.value::<u64>()? {
            let (row, shares) = from.row(take_user)?;
            let user = self.users.next().map(UserNo).ok_or(OUT_OF_RANGE)?;
            self.take_created(row.id, Created::User(user))?;
            unique(self.user_names.insert(ByName::new(&row.name), user).is_none())?;
            unique(row.commands.iter().all(|(_, op)| op.origin() < self.origins.used()))?;
            self.users.push(row);
            all.push(shares);
        }
        Ok(all)
    }

    fn take_groups<P: Parts>(&mut self, from: &mut Rows<P>) -> Result<(), DecodeError> {
        for _ in 0..from.value::<u64>()? {
            let (number, group, members, requests) = from.row(take_group)?;
            let group = self.settle_group(number, group, members, &requests)?;
            self.take_created(group.id, Created::Group(number))?;
            if group.owner.is_some() {
                unique(self.group_names.insert(ByName::new(&group.name), number).is_none())?;
                unique(group.idle == 0)?;
            } else {
                self.hidden_groups.insert((group.idle, number));
            }
            unique(self.groups.fill(number.0, group))?;
        }
        Ok(())
    }

    /// Takes a group with its members and the users who ask to join. The files come later.
    fn settle_group(
        &mut self,
        number: GroupNo,
        mut group: GroupRow,
        members: Vec<MemberTaken>,
        requests: &[UserNo],
    ) -> Result<GroupRow, DecodeError> {
        unique(!group.deleted || (members.is_empty() && requests.is_empty()))?;
        for (member, added_by) in members {
            let user = self.users.get_mut(member.user.0).ok_or(OUT_OF_RANGE)?;
            unique(user.standing != AccountStanding::Deleted)?;
            user.memberships += 1;
            let key = (number, Some(ByName::new(&user.name)));
            unique(self.roster.insert(key, member).is_none())?;
            group.member_count += 1;
            self.memberships.insert((member.user, Some(group.name.clone()), number));
            self.ranks.insert((number, member.rank, member.user));
            if let Some(owner) = added_by {
                unique(self.users.get(owner.0).is_some())?;
                self.added.insert((member.user, number), owner);
            }
            if let Some(place) = member.owner {
                self.owners.insert((number, place, member.user));
            }
        }
        let is_member = |user: UserNo| self.users.get(user.0).is_some() && self.is_member_no(number, user);
        unique(group.founder.is_none_or(is_member))?;
        group.owner = self.owners_of(number).next();
        unique(group.owner.is_some() == (group.member_count > 0))?;
        if let Some(owner) = group.owner {
            self.users.get_mut(owner.0).ok_or(OUT_OF_RANGE)?.owned += 1;
        }
        for &waiting in requests {
            let user = self.users.get_mut(waiting.0).ok_or(OUT_OF_RANGE)?;
            unique(user.standing != AccountStanding::Deleted)?;
            user.requests.insert(number);
            unique(group.requests.insert(ByName::new(&user.name), waiting).is_none())?;
        }
        Ok(group)
    }

    fn take_shares<P: Parts>(&mut self, from: &mut Rows<P>) -> Result<(), DecodeError> {
        for _ in 0..from.value::<u64>()? {
            let (number, share) = from.row(|from| Ok((ShareNo::take(from)?, ShareRow::take(from)?)))?;
            self.take_created(share.id, Created::Share(number))?;
            let group = self.groups.get_mut(share.group.0).ok_or(OUT_OF_RANGE)?;
            unique(self.users.get(share.author.0).is_some() && (share.successor.is_none() || share.sharer_count == 0))?;
            if share.sharer_count > 0 {
                unique(group.files.insert(ByName::new(&share.name), number).is_none())?;
                unique(share.idle == 0)?;
                self.listed += 1;
            } else {
                unique(group.owner.is_some() || share.idle <= group.idle)?;
                self.hidden_shares.insert((share.idle, number));
            }
            unique(self.shares.fill(number.0, share))?;
        }
        Ok(())
    }

    fn take_created(&mut self, id: OpId, made: Created) -> Result<(), DecodeError> {
        let seen = self.seen(id.origin);
        // The state knows nothing of an origin that was dropped long ago.
        unique(id.seq > 0 && (seen == 0 || id.seq <= seen) && self.made.insert(id, made).is_none())
    }
}

fn unique(holds: bool) -> Result<(), DecodeError> {
    if holds { Ok(()) } else { Err(OUT_OF_RANGE) }
}

/// Bytes in parts.
trait Parts: Iterator<Item: AsRef<[u8]>> {}

impl<P: Iterator<Item: AsRef<[u8]>>> Parts for P {}

/// Rows from bytes in parts.
struct Rows<P> {
    parts: P,
    /// The parts that are not used up yet.
    buffer: Vec<u8>,
    /// How many bytes of the buffer are used up.
    at: usize,
}

impl<P: Parts> Rows<P> {
    /// Takes what `row` reads. If the buffer ends before the row does, `row` begins again with more bytes.
    fn row<T>(&mut self, row: impl Fn(&mut Decoder<'_>) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        loop {
            let mut from = Decoder::new(&self.buffer[self.at..]);
            let taken = row(&mut from);
            let left = from.left();
            let is_cut = matches!(taken, Err(DecodeError::Truncated));
            if !is_cut || !self.fill() {
                self.at = self.buffer.len() - left;
                return taken;
            }
        }
    }

    fn value<T: Wire>(&mut self) -> Result<T, DecodeError> {
        self.row(T::take)
    }

    /// Keys and values, after their count.
    fn map<K: Wire + Ord + Clone, V: Wire + Clone>(&mut self) -> Result<OrdMap<K, V>, DecodeError> {
        let mut map = OrdMap::new();
        for _ in 0..self.value::<u64>()? {
            let (key, value) = self.row(|from| Ok((K::take(from)?, V::take(from)?)))?;
            unique(map.insert(key, value).is_none())?;
        }
        Ok(map)
    }

    /// At least doubles the bytes in the buffer, so that a long row is not read too often. Returns false if no more
    /// come.
    fn fill(&mut self) -> bool {
        self.buffer.drain(..self.at);
        self.at = 0;
        let before = self.buffer.len();
        while self.buffer.len() <= 2 * before {
            let Some(part) = self.parts.next() else { break };
            self.buffer.extend_from_slice(part.as_ref());
        }
        self.buffer.len() > before
    }

    /// Refuses bytes that are left over.
    fn finish(&mut self) -> Result<(), DecodeError> {
        let more = self.fill() || self.at < self.buffer.len();
        if more { Err(DecodeError::Trailing(self.buffer.len())) } else { Ok(()) }
    }
}

/// Rows, after their count. If the count is too high, the bytes end early, and decoding fails.
fn table<T>(
    from: &mut Decoder<'_>,
    row: impl Fn(&mut Decoder<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut rows = Vec::new();
    for _ in 0..u64::take(from)? {
        rows.push(row(from)?);
    }
    Ok(rows)
}

/// A group's number, the group without its members and files, its members, and the users who ask to join.
type GroupTaken = (GroupNo, GroupRow, Vec<MemberTaken>, Vec<UserNo>);

/// A member, and the owner who put the member into the group, unless the member has chosen it.
type MemberTaken = (MemberRow, Option<UserNo>);

fn take_group(from: &mut Decoder<'_>) -> Result<GroupTaken, DecodeError> {
    let number = GroupNo::take(from)?;
    let group = GroupRow {
        id: Wire::take(from)?,
        name: Wire::take(from)?,
        owner: None,
        idle: Wire::take(from)?,
        joined: Wire::take(from)?,
        led: Wire::take(from)?,
        founder: Wire::take(from)?,
        access: Wire::take(from)?,
        chain: Wire::take(from)?,
        deleted: Wire::take(from)?,
        member_count: 0,
        requests: Default::default(),
        files: Default::default(),
    };
    let member = |from: &mut Decoder<'_>| Ok((MemberRow::take(from)?, Wire::take(from)?));
    Ok((number, group, table(from, member)?, table(from, UserNo::take)?))
}

/// A user without groups and shares, and the numbers of the shares.
fn take_user(from: &mut Decoder<'_>) -> Result<(UserRow, Vec<ShareNo>), DecodeError> {
    let mut row = UserRow {
        id: Wire::take(from)?,
        made_by: Wire::take(from)?,
        commands: Default::default(),
        name: Wire::take(from)?,
        password: Wire::take(from)?,
        password_op: Wire::take(from)?,
        sessions_since: Wire::take(from)?,
        ended: Default::default(),
        void_through_s: 0,
        standing: Wire::take(from)?,
        memberships: 0,
        owned: 0,
        requests: Default::default(),
        shares: Default::default(),
        unread: 0,
        forbids_adding: false,
    };
    let shares = table(from, ShareNo::take)?;
    let commands = table(from, |from| Ok((CommandId::take(from)?, OpKey::take(from)?)))?;
    row.commands = commands.into_iter().collect();
    row.void_through_s = Wire::take(from)?;
    row.forbids_adding = Wire::take(from)?;
    row.ended = table(from, EndedSession::take)?.into_iter().collect();
    unique(row.ended.len() <= ENDED_MAX)?;
    Ok((row, shares))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::op::Op;
    use crate::tracker::state::tests::histories;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn fold(ops: &[Op]) -> State {
        let mut state = State::new();
        ops.iter().for_each(|op| state.apply(op));
        state
    }

    fn encode(state: &State) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Ok(()) = state.encode(|part| {
            bytes.extend_from_slice(part);
            Ok::<(), Infallible>(())
        });
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn any_state_survives_with_all_that_follows_from_it(ops in histories()) {
            let mut state = fold(&ops);
            let bytes = encode(&state);
            let decoded = State::decode(&bytes).expect("its canonical form");
            decoded.check();
            // Only the op that the fold is working on needs this.
            (state.told, state.caused) = (0, Vec::new());
            prop_assert_eq!(format!("{decoded:?}"), format!("{state:?}"));
            prop_assert_eq!(encode(&decoded), &bytes[..]);
            for len in [1, 7, 100] {
                let decoded = State::decode_parts(bytes.chunks(len)).expect("the same in parts");
                prop_assert_eq!(encode(&decoded), &bytes[..]);
            }
            let long = [&bytes[..], &[0]].concat();
            prop_assert_eq!(State::decode_parts(long.chunks(50)).err(), Some(DecodeError::Trailing(1)));
        }

        #[test]
        fn damaged_bytes_never_panic(ops in histories(), at in any::<u32>(), value in any::<u8>()) {
            let mut bytes = encode(&fold(&ops));
            let at = at as usize % bytes.len();
            prop_assert!(State::decode(&bytes[..at]).is_err());
            bytes[at] = value;
            let _ = State::decode(&bytes);
        }
    }
}
