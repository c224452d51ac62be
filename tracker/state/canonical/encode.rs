//! Writes the canonical form.

use super::VERSION;
use crate::tracker::state::key::OpKey;
use crate::tracker::state::tables::{
    AccountStanding, AliasRow, EndedSession, GroupNo, GroupRow, MemberRow, PastOrigin, ShareNo, ShareRow, State,
    TrackerRow, UserNo, UserRow,
};
use crate::wire::codec::{DecodeError, Decoder, Wire, wire_struct};
use ring::digest::{Context, SHA256};
use std::convert::Infallible;

/// About how many bytes go to `taker` at a time.
const CHUNK_LEN: usize = 64 * 1024;

wire_struct!(TrackerRow { forgotten });
wire_struct!(PastOrigin { seq, last });
wire_struct!(AliasRow { of, made });
wire_struct!(EndedSession { session, through_s });
wire_struct!(UserNo { 0 });
wire_struct!(GroupNo { 0 });
wire_struct!(ShareNo { 0 });
wire_struct!(MemberRow { user, rank, owner });
wire_struct!(ShareRow { id, group, name, content, author, successor, sharer_count, idle });

impl Wire for AccountStanding {
    fn put(&self, out: &mut Vec<u8>) {
        let number: u8 = match self {
            AccountStanding::Active => 0,
            AccountStanding::Disabled => 1,
            AccountStanding::Deleted => 2,
        };
        number.put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match u8::take(from)? {
            0 => Ok(AccountStanding::Active),
            1 => Ok(AccountStanding::Disabled),
            2 => Ok(AccountStanding::Deleted),
            _ => Err(DecodeError::Value("the standing of an account")),
        }
    }
}

impl Wire for OpKey {
    fn put(&self, out: &mut Vec<u8>) {
        self.origin().put(out);
        self.seq().put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self::new(u32::take(from)?, u64::take(from)?))
    }
}

impl State {
    /// Hands the canonical form to `taker` part by part. Stops at the first error of `taker`.
    pub fn encode<E>(&self, taker: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut out = Out { buffer: Vec::with_capacity(2 * CHUNK_LEN), taker };
        out.table(1, [()], |(), out| {
            VERSION.put(out);
            self.folded.put(out);
            self.lamport.put(out);
            self.last.put(out);
            self.floor.put(out);
            [self.origins.used(), self.groups.used(), self.shares.used()].iter().for_each(|used| used.put(out));
        })?;
        out.table(self.origins.len(), self.origins.iter(), |(number, origin), out| {
            let row = self.by_origin[origin];
            number.put(out);
            origin.put(out);
            row.seq.put(out);
            row.last.put(out);
        })?;
        out.table(self.past.len(), &self.past, put_pair)?;
        out.table(self.trackers.len(), &self.trackers, put_pair)?;
        out.table(1, [()], |(), out| self.floors.put(out))?;
        out.table(self.aliases.len(), &self.aliases, put_pair)?;
        out.table(self.users.len(), self.users.values(), put_user)?;
        out.table(self.groups.len(), self.groups.iter(), |group, out| self.put_group(group, out))?;
        out.table(self.shares.len(), self.shares.iter(), |(number, share), out| {
            number.put(out);
            share.put(out);
        })?;
        out.table(self.notices.len(), &self.notices, |((user, at, index), notice), out| {
            user.put(out);
            at.put(out);
            index.put(out);
            notice.put(out);
        })?;
        (out.taker)(&out.buffer)
    }

    /// SHA-256 of the canonical form. Trackers that know the same ops have the same digest.
    pub fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        let Ok(()) = self.encode(|part| {
            context.update(part);
            Ok::<(), Infallible>(())
        });
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        out
    }

    fn put_group(&self, (number, group): (u32, &GroupRow), out: &mut Vec<u8>) {
        let GroupRow { id, name, owner: _, founder, access, idle, joined, led, chain, .. } = group;
        let GroupRow { member_count, requests, files: _, deleted, .. } = group;
        number.put(out);
        id.put(out);
        name.put(out);
        idle.put(out);
        joined.put(out);
        led.put(out);
        founder.put(out);
        access.put(out);
        chain.put(out);
        deleted.put(out);
        u64::from(*member_count).put(out);
        for member in self.members_behind(GroupNo(number), None) {
            member.put(out);
            self.added.get(&(member.user, GroupNo(number))).copied().put(out);
        }
        (requests.len() as u64).put(out);
        requests.values().for_each(|user| user.put(out));
    }
}

fn put_pair<K: Wire, V: Wire>((key, value): (&K, &V), out: &mut Vec<u8>) {
    key.put(out);
    value.put(out);
}

fn put_user(user: &UserRow, out: &mut Vec<u8>) {
    let UserRow { id, made_by, commands, name, password, password_op, sessions_since, standing, shares, .. } = user;
    let UserRow { ended, void_through_s, forbids_adding, .. } = user;
    id.put(out);
    made_by.put(out);
    name.put(out);
    password.put(out);
    password_op.put(out);
    sessions_since.put(out);
    standing.put(out);
    (shares.len() as u64).put(out);
    shares.iter().for_each(|(_, share)| share.put(out));
    (commands.len() as u64).put(out);
    for (command, op) in commands {
        command.put(out);
        op.put(out);
    }
    void_through_s.put(out);
    forbids_adding.put(out);
    (ended.len() as u64).put(out);
    ended.iter().for_each(|ended| ended.put(out));
}

/// Gathers rows into parts of about [`CHUNK_LEN`].
struct Out<F> {
    buffer: Vec<u8>,
    taker: F,
}

impl<F> Out<F> {
    fn table<T, E>(
        &mut self,
        count: usize,
        rows: impl IntoIterator<Item = T>,
        put: impl Fn(T, &mut Vec<u8>),
    ) -> Result<(), E>
    where
        F: FnMut(&[u8]) -> Result<(), E>,
    {
        (count as u64).put(&mut self.buffer);
        for row in rows {
            put(row, &mut self.buffer);
            if self.buffer.len() >= CHUNK_LEN {
                (self.taker)(&self.buffer)?;
                self.buffer.clear();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, OpId, Origin};
    use crate::model::name::UserId;
    use crate::model::op::{Op, OpBody, PasswordHash};

    #[test]
    fn the_form_comes_in_parts_and_stops_when_the_taker_does() {
        let mut state = State::new();
        for seq in 1..=2000 {
            let origin = Origin { tracker: 1, incarnation: 1 };
            let name = UserId::parse(&format!("user {seq}")).expect("a name");
            let body = OpBody::CreateUser { name, password: PasswordHash("p".into()) };
            let command = CommandId(u128::from(seq).to_be_bytes());
            state.apply(&Op { id: OpId { origin, seq }, lamport: seq, command, body });
        }
        let mut parts = Vec::new();
        let whole: Result<(), Infallible> = state.encode(|part| {
            parts.push(part.len());
            Ok(())
        });
        assert_eq!(whole, Ok(()));
        assert!(parts.len() > 2 && parts.iter().all(|len| *len <= 2 * CHUNK_LEN));
        let mut taken = 0;
        let stopped = state.encode(|_| {
            taken += 1;
            if taken == 2 { Err("no room") } else { Ok(()) }
        });
        assert_eq!((stopped, taken), (Err("no room"), 2));
    }
}
