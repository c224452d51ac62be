//! Ops as bytes: what the journal keeps and what trackers send each other.

use super::codec::{DecodeError, Decoder, Text, Wire, wire_struct, wire_variants};
use crate::model::op::{Op, OpBody, PasswordHash};

wire_struct!(Op { id, lamport, command, body });

wire_variants!(OpBody {
    1 CreateUser { name, password }
    2 ChangePassword { user, password }
    3 CreateGroup { name, founder }
    4 RequestJoin { group, user }
    5 AcceptRequest { group, user, by }
    6 RejectRequest { group, user, by }
    7 LeaveGroup { group, user }
    8 RemoveMember { group, user, by }
    9 CreateShare { group, user, name, content, replaces }
    10 JoinShare { share, user }
    11 LeaveShare { share, user }
    12 ReadNotices { user, through }
});

impl Wire for PasswordHash {
    fn put(&self, out: &mut Vec<u8>) {
        Text::<{ PasswordHash::LEN_MAX }>::new(&self.0).expect("made by Argon2, shorter than the cap").put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Text::<{ PasswordHash::LEN_MAX }>::take(from).map(|text| PasswordHash(text.as_str().into()))
    }
}
