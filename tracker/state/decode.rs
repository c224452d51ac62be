//! The state from its canonical form: the tables are read, and what follows from them is made anew.

use super::encode::VERSION;
use super::key::{ByName, OpKey};
use super::tables::{
    Created, GroupNo, GroupRow, MemberRow, OriginRow, ShareNo, ShareRow, State, TrackerRow, UserNo, UserRow,
};
use crate::model::id::{CommandId, OpId, OpOrder, Origin};
use crate::model::notice::Notice;
use crate::wire::codec::{DecodeError, Decoder, Wire};
use imbl::OrdMap;

const OUT_OF_RANGE: DecodeError = DecodeError::Value("a row of a state");

impl State {
    /// Reads what [`State::encode`] wrote. Refuses rows that no state has together, as far as that is quick to see. A
    /// checksum has to tell whether the bytes are those that were written.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Decoder::new(bytes);
        let mut state = State::new();
        state.take_head(&mut from)?;
        let mut users = table(&mut from, take_user)?;
        let mut groups = table(&mut from, |from| take_group(from, &users))?;
        for (number, group) in (0..).map(GroupNo).zip(&groups) {
            for member in group.roster.values() {
                users[member.user.0 as usize].row.groups.insert(number);
            }
        }
        let shares: Vec<ShareRow> = table(&mut from, ShareRow::take)?;
        for (number, share) in (0..).map(ShareNo).zip(&shares) {
            let group = groups.get_mut(share.group.0 as usize).ok_or(OUT_OF_RANGE)?;
            if share.sharer_count > 0 {
                unique(group.files.insert(ByName::new(&share.name), number).is_none())?;
                state.listed += 1;
            }
        }
        for user in &mut users {
            for number in user.shares.drain(..) {
                let share = shares.get(number.0 as usize).ok_or(OUT_OF_RANGE)?;
                user.row.shares.insert((share.group, number));
            }
        }
        let user_count = users.len();
        state.fill(users, groups, shares)?;
        for _ in 0..u64::take(&mut from)? {
            let key = (UserNo::take(&mut from)?, OpOrder::take(&mut from)?, u32::take(&mut from)?);
            unique((key.0.0 as usize) < user_count)?;
            unique(state.notices.insert(key, Notice::take(&mut from)?).is_none())?;
        }
        from.finish()?;
        Ok(state)
    }

    fn take_head(&mut self, from: &mut Decoder<'_>) -> Result<(), DecodeError> {
        if (u64::take(from)?, u16::take(from)?) != (1, VERSION) {
            return Err(DecodeError::Value("the version of a state"));
        }
        self.folded = u64::take(from)?;
        self.lamport = u64::take(from)?;
        self.last = Wire::take(from)?;
        unique(self.lamport == self.last.map_or(0, |last: OpOrder| last.lamport))?;
        let mut left = self.folded;
        for number in 0..u64::take(from)? {
            let number = u32::try_from(number).map_err(|_| OUT_OF_RANGE)?;
            let (origin, seq) = (Origin::take(from)?, u64::take(from)?);
            left = left.checked_sub(seq).ok_or(OUT_OF_RANGE)?;
            self.origins.push_back(origin);
            unique(self.by_origin.insert(origin, OriginRow { number, seq, made: OrdMap::new() }).is_none())?;
        }
        unique(left == 0)?;
        for _ in 0..u64::take(from)? {
            let (number, tracker) = (u16::take(from)?, TrackerRow::take(from)?);
            unique(self.trackers.insert(number, tracker).is_none())?;
        }
        unique(self.origins.iter().all(|origin| self.trackers.contains_key(&origin.tracker)))?;
        for _ in 0..u64::take(from)? {
            let (id, other) = (OpId::take(from)?, OpId::take(from)?);
            unique(self.alias(id, other))?;
        }
        Ok(())
    }

    /// Puts the rows where they belong, with their names and what was made by which op.
    fn fill(&mut self, users: Vec<TakenUser>, groups: Vec<GroupRow>, shares: Vec<ShareRow>) -> Result<(), DecodeError> {
        for (number, TakenUser { mut row, commands, .. }) in (0..).map(UserNo).zip(users) {
            self.take_created(row.id, Created::User(number))?;
            unique(self.user_names.insert(ByName::new(&row.name), number).is_none())?;
            unique(commands.iter().all(|(_, op)| (op.origin() as usize) < self.origins.len()))?;
            row.commands = commands.into_iter().collect();
            self.users.push(row);
        }
        for (number, group) in (0..).map(GroupNo).zip(groups) {
            self.take_created(group.id, Created::Group(number))?;
            if group.owner.is_some() {
                unique(self.group_names.insert(ByName::new(&group.name), number).is_none())?;
            }
            self.groups.push(group);
        }
        for (number, share) in (0..).map(ShareNo).zip(shares) {
            self.take_created(share.id, Created::Share(number))?;
            self.shares.push(share);
        }
        Ok(())
    }

    fn take_created(&mut self, id: OpId, made: Created) -> Result<(), DecodeError> {
        let row = self.by_origin.get_mut(&id.origin).ok_or(OUT_OF_RANGE)?;
        unique(id.seq > 0 && id.seq <= row.seq && row.made.insert(id.seq, made).is_none())
    }
}

fn unique(holds: bool) -> Result<(), DecodeError> {
    if holds { Ok(()) } else { Err(OUT_OF_RANGE) }
}

/// Rows with a count before them. A count that is too high ends with the bytes.
fn table<T>(
    from: &mut Decoder<'_>,
    mut row: impl FnMut(&mut Decoder<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut rows = Vec::new();
    for _ in 0..u64::take(from)? {
        rows.push(row(from)?);
    }
    Ok(rows)
}

/// A user as it is written.
struct TakenUser {
    row: UserRow,
    /// What the user shares: in which groups is not known yet.
    shares: Vec<ShareNo>,
    /// The user's last commands with their ops.
    commands: Vec<(CommandId, OpKey)>,
}

fn take_user(from: &mut Decoder<'_>) -> Result<TakenUser, DecodeError> {
    let row = UserRow {
        id: Wire::take(from)?,
        made_by: Wire::take(from)?,
        commands: Default::default(),
        name: Wire::take(from)?,
        password: Wire::take(from)?,
        password_set_by: Wire::take(from)?,
        groups: Default::default(),
        shares: Default::default(),
    };
    let shares = table(from, ShareNo::take)?;
    let commands = table(from, |from| Ok((CommandId::take(from)?, OpKey::take(from)?)))?;
    Ok(TakenUser { row, shares, commands })
}

/// A group without its files, which come later.
fn take_group(from: &mut Decoder<'_>, users: &[TakenUser]) -> Result<GroupRow, DecodeError> {
    let mut group = GroupRow {
        id: Wire::take(from)?,
        name: Wire::take(from)?,
        owner: None,
        joined: Wire::take(from)?,
        chain: Wire::take(from)?,
        roster: Default::default(),
        requests: Default::default(),
        files: Default::default(),
    };
    let members = table(from, MemberRow::take)?;
    group.owner = members.iter().min_by_key(|member| member.rank).map(|member| member.user);
    for member in members {
        let user = users.get(member.user.0 as usize).ok_or(OUT_OF_RANGE)?;
        unique(group.roster.insert(ByName::new(&user.row.name), member).is_none())?;
    }
    for number in table(from, UserNo::take)? {
        let user = users.get(number.0 as usize).ok_or(OUT_OF_RANGE)?;
        unique(group.requests.insert(ByName::new(&user.row.name), number).is_none())?;
    }
    Ok(group)
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
            // Only the op being folded needs this.
            (state.told, state.caused) = (0, Vec::new());
            prop_assert_eq!(format!("{decoded:?}"), format!("{state:?}"));
            prop_assert_eq!(encode(&decoded), bytes);
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
