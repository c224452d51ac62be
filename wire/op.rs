//! Ops as bytes, for the journal and for the links between trackers.

use super::codec::{DecodeError, Decoder, List, Text, Wire, wire_struct, wire_variants};
use crate::model::id::Seen;
use crate::model::notice::{ChangeKind, UnplacedChange};
use crate::model::op::floor::{FloorMark, FloorProposal};
use crate::model::op::group_access::GroupAccess;
use crate::model::op::{Op, OpBody, PasswordHash};

wire_struct!(Op { id, lamport, command, body });
wire_struct!(FloorMark { lamport, base });
wire_struct!(UnplacedChange { kind, group, file });

wire_variants!(OpBody {
    1 CreateUser { name, password }
    2 ChangePassword { user, former, password }
    3 CreateGroup { name, founder }
    4 RequestJoin { group, user }
    5 AcceptRequest { group, user, by }
    6 RejectRequest { group, user, by }
    7 LeaveGroup { group, user }
    8 RemoveMember { group, user, by }
    9 CreateShare { group, user, name, content, replaces }
    10 JoinShare { share, user }
    11 LeaveShare { share, user }
    12 ReadNotices { user, through, shown }
    13 ProposeFloor { floor }
    14 ReadyForFloor { proposal }
    15 PromiseFloor { proposal, floor }
    16 ForgetTracker { tracker }
    17 UnforgetTracker { tracker }
    18 NoteUnplaced { user, change }
    19 MakeUser { name, password }
    20 ResetPassword { user, password }
    21 EndSessions { user }
    22 DisableUser { user }
    23 EnableUser { user }
    24 DeleteUser { user }
    25 GiveGroup { group, user }
    26 DeleteGroup { group }
    27 EndSession { user, session, through_s }
    28 MakeOwner { group, user, by }
    29 DropOwner { group, user, by }
    30 AddMember { group, user, by }
    31 SetGroup { group, access, by }
    32 SetAdding { user, allowed }
});

impl Wire for PasswordHash {
    fn put(&self, out: &mut Vec<u8>) {
        Text::<{ PasswordHash::LEN_MAX }>::new(&self.0).expect("made by Argon2, shorter than the cap").put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Text::<{ PasswordHash::LEN_MAX }>::take(from).map(|text| PasswordHash(text.as_str().into()))
    }
}

impl Wire for FloorProposal {
    fn put(&self, out: &mut Vec<u8>) {
        self.after.put(out);
        self.mark.put(out);
        put_list(&self.vector, out);
        put_list(&self.participants, out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (after, mark) = (Wire::take(from)?, Wire::take(from)?);
        let vector = List::<Seen, { Self::VECTOR_MAX }>::take(from)?.into_vec();
        let participants = List::<u16, { Self::PARTICIPANTS_MAX }>::take(from)?.into_vec();
        let ascend = vector.is_sorted_by(|a, b| a.origin < b.origin) && participants.is_sorted_by(|a, b| a < b);
        ascend.then_some(Self { after, mark, vector, participants }).ok_or(DecodeError::Value("a floor"))
    }
}

fn put_list<T: Wire>(values: &[T], out: &mut Vec<u8>) {
    // A tracker checks that a proposal fits before it proposes a floor.
    (values.len() as u32).put(out);
    values.iter().for_each(|value| value.put(out));
}

impl Wire for GroupAccess {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u8).put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let number = u8::take(from)?;
        let access = GroupAccess::ALL.into_iter().find(|access| *access as u8 == number);
        access.ok_or(DecodeError::Value("who gets into a group"))
    }
}

impl Wire for ChangeKind {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u8).put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let number = u8::take(from)?;
        let kind = ChangeKind::ALL.into_iter().find(|kind| *kind as u8 == number);
        kind.ok_or(DecodeError::Value("a kind of change"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{from_bytes, to_bytes};
    use super::*;
    use crate::model::id::{CommandId, GroupRef, OpId, Origin, UserRef};

    fn id(seq: u64) -> OpId {
        OpId { origin: Origin { tracker: 3, incarnation: 5 }, seq }
    }

    fn password(len: usize) -> OpBody {
        OpBody::ResetPassword { user: UserRef(id(1)), password: PasswordHash("h".repeat(len).as_str().into()) }
    }

    #[test]
    fn an_op_is_its_id_its_counter_its_command_and_its_body() {
        let body = OpBody::RequestJoin { group: GroupRef(id(1)), user: UserRef(id(2)) };
        let op = Op { id: id(7), lamport: 9, command: CommandId([0xcc; 16]), body };
        let bytes = to_bytes(&op);
        assert_eq!(bytes.len(), 18 + 8 + 16 + 1 + 18 + 18);
        assert_eq!(bytes[..18], to_bytes(&id(7)));
        assert_eq!((bytes[25], bytes[26], bytes[42]), (9, 0xcc, 4));
        assert_eq!(from_bytes(&bytes), Ok(op));
        for cut in 0..bytes.len() {
            assert_eq!(from_bytes::<Op>(&bytes[..cut]), Err(DecodeError::Truncated), "{cut}");
        }
    }

    #[test]
    fn a_password_hash_is_read_up_to_its_cap() {
        let longest = to_bytes(&password(PasswordHash::LEN_MAX));
        assert_eq!(from_bytes(&longest), Ok(password(PasswordHash::LEN_MAX)));
        let mut over = longest;
        // The length stands behind the number of the body and the user.
        over[19..21].copy_from_slice(&(PasswordHash::LEN_MAX as u16 + 1).to_be_bytes());
        let (len, max) = (PasswordHash::LEN_MAX + 1, PasswordHash::LEN_MAX);
        assert_eq!(from_bytes::<OpBody>(&over), Err(DecodeError::OverCap { len, max }));
    }

    #[test]
    fn the_lists_of_a_floor_ascend() {
        let floor = |seen: &[u64], participants: &[u16]| {
            let vector = seen.iter().map(|&incarnation| Seen { origin: Origin { tracker: 1, incarnation }, seq: 1 });
            let (after, mark) = (FloorMark::default(), FloorMark { lamport: 1, base: [1; 32] });
            let floor = FloorProposal { after, mark, vector: vector.collect(), participants: participants.to_vec() };
            from_bytes(&to_bytes(&floor)) == Ok(floor)
        };
        assert!(floor(&[1, 2], &[1, 2]));
        assert!(!floor(&[2, 1], &[1, 2]) && !floor(&[1, 1], &[1]));
        assert!(!floor(&[1], &[2, 1]) && !floor(&[1], &[1, 1]));
    }

    #[test]
    fn a_number_that_no_body_has_is_unknown() {
        assert_eq!(from_bytes::<OpBody>(&[0]), Err(DecodeError::UnknownKind(0)));
        assert_eq!(from_bytes::<OpBody>(&[200]), Err(DecodeError::UnknownKind(200)));
    }
}
