//! The protocol as the code defines it: every message with its fields, every struct, every cap. Also a second encoder,
//! which knows types only by their names, like a reader of docs/PROTOCOL.md.

use groupshare::model::digest::Sha1Digest;
use groupshare::model::manifest::{FILES_MAX, FOLDERS_MAX, FileEntry};
use groupshare::model::name::pattern::PATTERN_LEN_MAX;
use groupshare::model::name::{FILE_LEN_MAX, USER_LEN_MAX};
use groupshare::model::notice::{Notice, UnplacedChange};
use groupshare::model::op::floor::{FloorMark, FloorProposal};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::model::path::{COMPONENTS_MAX, PATH_LEN_MAX};
use groupshare::model::piece::{PIECE_LEN, PIECES_MAX, SIZE_MAX};
use groupshare::wire::certificate::Certificate;
use groupshare::wire::client_tracker::*;
use groupshare::wire::codec::{DecodeError, Wire, from_bytes, to_bytes};
use groupshare::wire::contact::{ADDRS_MAX, Contact, INTERFACES_MAX, Interface, PROVED_MAX};
use groupshare::wire::frame::{EARLY_FRAME_LEN_MAX, FRAME_LEN_MAX, Frame, HEADER_LEN, LENGTH_LEN, Message};
use groupshare::wire::manifest::{MANIFEST_LEN_MAX, SECTIONS_LEN_MAX, SECTIONS_RATIO_MAX};
use groupshare::wire::mirror::Mirrored;
use groupshare::wire::peer::{
    BLOCK_BITS_MAX, DESCRIBED_MAX, DIGESTS_LEN_MAX, NEWS_MAX, PeerReply, PeerRequest, REQUESTS_MAX,
};
use groupshare::wire::record_layer::RECORD_PLAIN_MAX;
use groupshare::wire::refusal::Refusal;
use groupshare::wire::tracker_tracker::{
    BASE_PART_MAX, LinkMessage, OPS_FRAME_LEN_MAX, OPS_MAX, ORIGINS_MAX, SEEN_MAX, SHORT_MANIFEST_MAX, WANTED_MAX,
};

/// Name and type of a field. The type has no spaces.
pub(super) type Field = (String, String);

/// One variant of a message or value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant {
    pub number: u8,
    pub name: String,
    pub fields: Vec<Field>,
}

/// The messages of a direction, or a value with variants.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub name: &'static str,
    pub variants: Vec<Variant>,
}

/// A type by its plain name: no paths, no spaces, no braces.
pub(super) fn plain(type_name: &str) -> String {
    let mut out = String::new();
    for c in type_name.chars().filter(|c| !" {}`".contains(*c)) {
        if c == ':' {
            // Removes the part of the path before the name.
            let start = out.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
            out.truncate(start);
        } else {
            out.push(c);
        }
    }
    // The container of a value does not affect its bytes.
    ["Contact", "PassedCall", "FloorProposal"].iter().fold(out, |out, name| out.replace(&format!("Arc<{name}>"), name))
}

/// A row of a `KINDS` table: number, name, fields with names and types.
type Kind<'a> = (u8, &'a str, &'a [(&'a str, &'a str)]);

fn from_kinds(name: &'static str, kinds: &[Kind<'_>]) -> Choice {
    let field = |&(name, of): &(&str, &str)| (name.to_owned(), plain(of));
    let variant = |&(number, name, fields): &Kind<'_>| Variant {
        number,
        name: name.to_owned(),
        fields: fields.iter().map(field).collect(),
    };
    Choice { name, variants: kinds.iter().map(variant).collect() }
}

fn type_of<T>(_: &T) -> String {
    plain(std::any::type_name::<T>())
}

/// Makes a function that returns the name and the fields of a value's variant, and a list of all variants' names. It
/// compiles only if all variants and all fields are named.
macro_rules! describe {
    ($function:ident, $names:ident, $type:ident { $($variant:ident { $($field:ident),* })* }) => {
        fn $function(value: &$type) -> Variant {
            match value {
                $($type::$variant { $($field),* } => Variant {
                    number: value.kind(),
                    name: stringify!($variant).to_owned(),
                    fields: vec![$((stringify!($field).to_owned(), type_of($field))),*],
                },)*
            }
        }
        const $names: &[&str] = &[$(stringify!($variant)),*];
    };
}

describe!(describe_notice, NOTICES, Notice {
    Accepted { group }
    Rejected { group }
    Removed { group }
    UserRenamed { from, to }
    GroupRenamed { from, to }
    ShareRenamed { group, from, to }
    DecisionOverridden { group, user }
    RequestOverridden { group }
    ShareOverridden { group, name }
    GroundGone { kind, file }
    Unplaced { change }
    Older { count }
    PasswordOverridden {}
    PasswordReset {}
    SessionsEnded {}
    AccountDisabled {}
    AccountEnabled {}
    GroupGiven { group }
    GroupTaken { group, to }
    GroupDeleted { group }
    NewVersion { group, name, author }
    Added { group, by }
    OwnerMade { group, by }
    OwnerDropped { group, by }
});

describe!(describe_op_body, OP_BODIES, OpBody {
    CreateUser { name, password }
    ChangePassword { user, former, password }
    CreateGroup { name, founder }
    RequestJoin { group, user }
    AcceptRequest { group, user, by }
    RejectRequest { group, user, by }
    LeaveGroup { group, user }
    RemoveMember { group, user, by }
    CreateShare { group, user, name, content, replaces }
    JoinShare { share, user }
    LeaveShare { share, user }
    ReadNotices { user, through, shown }
    ProposeFloor { floor }
    ReadyForFloor { proposal }
    PromiseFloor { proposal, floor }
    ForgetTracker { tracker }
    UnforgetTracker { tracker }
    NoteUnplaced { user, change }
    MakeUser { name, password }
    ResetPassword { user, password }
    EndSessions { user }
    DisableUser { user }
    EnableUser { user }
    DeleteUser { user }
    GiveGroup { group, user }
    DeleteGroup { group }
    EndSession { user, session, through_s }
    MakeOwner { group, user, by }
    DropOwner { group, user, by }
    AddMember { group, user, by }
    SetGroup { group, access, by }
    SetAdding { user, allowed }
});

fn described<T>(name: &'static str, values: &[(T, &str)], describe: fn(&T) -> Variant, names: &[&str]) -> Choice {
    let variants: Vec<Variant> = values.iter().map(|(value, _)| describe(value)).collect();
    assert!(variants.iter().map(|variant| &variant.name).eq(names), "every {name} has a sample, in order");
    Choice { name, variants }
}

/// All types with variants.
pub(super) fn choices() -> Vec<Choice> {
    vec![
        from_kinds("Request", Request::KINDS),
        from_kinds("Reply", Reply::KINDS),
        from_kinds("PeerRequest", PeerRequest::KINDS),
        from_kinds("PeerReply", PeerReply::KINDS),
        from_kinds("LinkMessage", LinkMessage::KINDS),
        from_kinds("Holding", Holding::KINDS),
        described("Notice", &super::golden::notices(), describe_notice, NOTICES),
        described("OpBody", &super::golden::op_bodies(), describe_op_body, OP_BODIES),
    ]
}

/// The directions. One of them is for both sides, and its variants are messages of their own.
pub(super) const DIRECTIONS: [&str; 5] = ["Request", "Reply", "PeerRequest", "PeerReply", "LinkMessage"];

/// The caps of lists in structs. The compiler tells only their values.
const CAPS: [(&str, usize); 3] =
    [("ADDRS_MAX", ADDRS_MAX), ("INTERFACES_MAX", INTERFACES_MAX), ("PROVED_MAX", PROVED_MAX)];

fn field_type<T, F>(_: impl Fn(&T) -> &F) -> String {
    let of = plain(std::any::type_name::<F>());
    CAPS.iter().fold(of, |of, (name, value)| of.replace(&format!(",{value}>"), &format!(",{name}>")))
}

/// Names and types of the fields of a struct. It compiles only if all fields are named.
macro_rules! fields {
    ($($type:ident { $($field:ident),* })*) => {
        vec![$({
            let _all_are_named = |$type { $($field: _),* }: &$type| {};
            let fields = vec![$((stringify!($field).to_owned(), field_type(|value: &$type| &value.$field))),*];
            (stringify!($type), fields)
        }),*]
    };
}

/// Every value that is just its fields one after the other.
pub(super) fn structs() -> Vec<(&'static str, Vec<Field>)> {
    use groupshare::model::id::{OpId, OpOrder, Origin, Seen};
    use groupshare::model::manifest::Content;
    let mut structs = fields! {
        Origin { tracker, incarnation }
        OpId { origin, seq }
        OpOrder { lamport, origin }
        FloorMark { lamport, base }
        FloorProposal { after, mark, vector, participants }
        UnplacedChange { kind, group, file }
        Content { layout, sha1, info_hash, file_count }
        FileEntry { path, len }
        GroupLine { name, owner, owner_count, member_count, access, role }
        MemberLine { name, owner, online }
        FileLine { name, content, author, sharer_count, online }
        FoundFile { group, file }
        SearchPlace { group, name }
        Peer { client, user, key, addrs, held }
        Certificate { client, user, key, end, signature }
        Interface { ip, prefix }
        Contact { certificate, seen, port, interfaces, announced, proved, machine, round_trip_ms }
        Mirrored { addr, token }
        RelayPlace { tracker, ticket }
        PassedCall { share, group, info_hash, way, caller, addrs, start_ms, relay }
        GroupKey { group, name, id, key }
        Op { id, lamport, command, body }
        Seen { origin, seq }
    };
    // The model has the caps of these, and keeps them as plain lists.
    for (_, of) in structs.iter_mut().flat_map(|(_, fields)| fields) {
        let cap = match of.as_str() {
            "Vec<Seen>" => "List<Seen,VECTOR_MAX>",
            "Vec<u16>" => "List<u16,PARTICIPANTS_MAX>",
            _ => continue,
        };
        *of = cap.to_owned();
    }
    structs
}

/// Every limit by its name.
pub(super) fn limits() -> Vec<(&'static str, u64)> {
    macro_rules! named {
        ($($name:ident),* $(,)?) => { vec![$((stringify!($name), $name as u64)),*] };
    }
    let mut limits = named![
        FRAME_LEN_MAX,
        EARLY_FRAME_LEN_MAX,
        HEADER_LEN,
        LENGTH_LEN,
        RECORD_PLAIN_MAX,
        PAGE_MAX,
        FOLLOWED_MAX,
        CHANGED_MAX,
        PATTERN_LEN_MAX,
        PEERS_MAX,
        ADDRS_MAX,
        INTERFACES_MAX,
        PROVED_MAX,
        HOLD_MORE_MAX,
        NEWS_MAX,
        DESCRIBED_MAX,
        DIGESTS_LEN_MAX,
        BLOCK_BITS_MAX,
        REQUESTS_MAX,
        ORIGINS_MAX,
        SEEN_MAX,
        OPS_MAX,
        OPS_FRAME_LEN_MAX,
        SHORT_MANIFEST_MAX,
        WANTED_MAX,
        BASE_PART_MAX,
        BITFIELD_MAX,
        EDGES_MAX,
        TOKEN_LEN_MAX,
        PASSWORD_LEN_MAX,
        MANIFEST_PART_MAX,
        MANIFEST_LEN_MAX,
        SECTIONS_LEN_MAX,
        SECTIONS_RATIO_MAX,
        FILES_MAX,
        FOLDERS_MAX,
        PATH_LEN_MAX,
        COMPONENTS_MAX,
        USER_LEN_MAX,
        FILE_LEN_MAX,
        PIECE_LEN,
        PIECES_MAX,
        SIZE_MAX,
    ];
    limits.push(("ABOUT_LEN_MAX", Refusal::ABOUT_LEN_MAX as u64));
    limits.push(("VECTOR_MAX", FloorProposal::VECTOR_MAX as u64));
    limits.push(("PARTICIPANTS_MAX", FloorProposal::PARTICIPANTS_MAX as u64));
    limits.push(("PASSWORD_HASH_LEN_MAX", PasswordHash::LEN_MAX as u64));
    limits
}

fn limit(name: &str) -> usize {
    let found = limits().into_iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no limit is called {name}")).1 as usize
}

/// Decodes bytes as a value or message of this name, and encodes it again.
pub(super) fn recode(name: &str, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    fn value<T: Wire>(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        from_bytes::<T>(bytes).map(|value| to_bytes(&value))
    }
    fn message<M: Message>(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let (&kind, body) = bytes.split_first().ok_or(DecodeError::Truncated)?;
        let message: M = Frame::new(kind, 7, body).message()?;
        let mut out = vec![message.kind()];
        message.put_body(&mut out);
        Ok(out)
    }
    match name {
        "Request" => message::<Request>(bytes),
        "Reply" => message::<Reply>(bytes),
        "PeerRequest" => message::<PeerRequest>(bytes),
        // The data of a piece stays in its frame. The decoder returns only its length.
        "PeerReply" => message::<PeerReply>(bytes).map(|mut out| {
            if out == [3] {
                out.extend_from_slice(&bytes[1..]);
            }
            out
        }),
        "LinkMessage" => message::<LinkMessage>(bytes),
        "Holding" => value::<Holding>(bytes),
        "Notice" => value::<Notice>(bytes),
        "OpBody" => value::<OpBody>(bytes),
        "Op" => value::<Op>(bytes),
        "FileEntry" => value::<FileEntry>(bytes),
        "Sha1Digest" => value::<Sha1Digest>(bytes),
        "Manifest" => value::<groupshare::model::manifest::Manifest>(bytes),
        other => panic!("{other} is not decoded by its name"),
    }
}

/// The size of an example value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Shortest,
    Longest,
}

fn number(width: usize, value: usize) -> Vec<u8> {
    (value as u64).to_be_bytes()[8 - width..].to_vec()
}

fn counted(width: usize, (min, max): (usize, usize), size: Size, item: impl Fn() -> Vec<u8>) -> Vec<u8> {
    let count = if size == Size::Longest { max } else { min };
    [number(width, count), item().repeat(count)].concat()
}

/// The longest form of a name has a suffix.
fn name(max: usize, size: Size) -> Vec<u8> {
    let text = match size {
        Size::Shortest => "n".to_owned(),
        Size::Longest => "n".repeat(max) + "~4294967295",
    };
    [number(2, text.len()), text.into_bytes()].concat()
}

/// `Blob<N>` becomes `Blob` and `["N"]`.
fn generic(of: &str) -> (&str, Vec<&str>) {
    match of.split_once('<') {
        Some((name, rest)) => (name, rest.trim_end_matches('>').split(',').collect()),
        None => (of, Vec::new()),
    }
}

/// The bytes of a valid value of a type.
pub(super) fn example(of: &str, size: Size) -> Vec<u8> {
    let bytes = |count| vec![0xb5; count];
    match generic(of) {
        ("u8", _) => bytes(1),
        ("u16", _) => bytes(2),
        ("u32", _) => bytes(4),
        ("u64", _) => bytes(8),
        ("bool", _) => vec![1],
        ("Option", inner) => match size {
            Size::Shortest => vec![0],
            Size::Longest => [vec![1], example(inner[0], size)].concat(),
        },
        ("Text", cap) => counted(2, (0, limit(cap[0])), size, || vec![b't']),
        ("Password", _) => counted(2, (1, limit("PASSWORD_LEN_MAX")), size, || vec![b'p']),
        ("PasswordHash", _) => counted(2, (0, limit("PASSWORD_HASH_LEN_MAX")), size, || vec![b'h']),
        ("Blob", cap) => counted(4, (0, limit(cap[0])), size, || vec![0xb5]),
        // Ascending lists begin with the number of a tracker.
        ("List", args) if ["VECTOR_MAX", "PARTICIPANTS_MAX"].contains(&args[1]) => {
            let count = if size == Size::Longest { limit(args[1]) } else { 0 };
            let rest = example(args[0], size).split_off(2);
            let item = |n| [number(2, n), rest.clone()].concat();
            [number(4, count), (0..count).flat_map(item).collect()].concat()
        }
        // A frame cannot hold that many of the longest ops.
        ("List", args) if args[0] == "Op" => counted(4, (0, OPS_MAX), size, || example("Op", Size::Shortest)),
        ("List", args) => counted(4, (0, limit(args[1])), size, || example(args[0], size)),
        ("Payload", _) => bytes(if size == Size::Longest { PIECE_LEN as usize } else { 1 }),
        ("Sha1Digest", _) => bytes(20),
        ("InfoHash" | "Fingerprint" | "Secret" | "PeerKey" | "SignerKey" | "[u8;32]", _) => bytes(32),
        ("[u8;40]", _) => bytes(40),
        ("[u8;64]", _) => bytes(64),
        ("KeyId" | "CommandId" | "ClientId" | "SessionId" | "RelayTicket" | "[u8;16]", _) => bytes(16),
        ("Layout", _) => number(8, SIZE_MAX as usize),
        ("BlockLen", _) => vec![12],
        ("IpAddr", _) if size == Size::Longest => [vec![6], bytes(16)].concat(),
        ("IpAddr", _) => [vec![4], bytes(4)].concat(),
        ("SocketAddr", _) => [example("IpAddr", size), bytes(2)].concat(),
        ("Role" | "CallWay" | "ReachClass" | "ChangeKind", _) => vec![3],
        ("GroupAccess", _) => vec![2],
        ("UserId" | "GroupId", _) => name(USER_LEN_MAX, size),
        ("FileName", _) => name(FILE_LEN_MAX, size),
        ("NamePattern", _) => counted(2, (1, PATTERN_LEN_MAX), size, || vec![b'*']),
        ("UserRef" | "GroupRef" | "ShareRef", _) => example("OpId", size),
        (composed, _) => example_of_fields(composed, size),
    }
}

fn example_of_fields(of: &str, size: Size) -> Vec<u8> {
    if let Some((_, fields)) = structs().into_iter().find(|(name, _)| *name == of) {
        return fields.iter().flat_map(|(_, of)| example(of, size)).collect();
    }
    let choice = choices().into_iter().find(|choice| choice.name == of);
    let variants = choice.unwrap_or_else(|| panic!("no type is called {of}")).variants;
    let examples = variants.iter().map(|variant| example_of_variant(variant, size));
    let by_len = |bytes: &Vec<u8>| bytes.len();
    match size {
        Size::Shortest => examples.min_by_key(by_len),
        Size::Longest => examples.max_by_key(by_len),
    }
    .expect("there are variants")
}

/// Number and fields of a variant.
pub(super) fn example_of_variant(variant: &Variant, size: Size) -> Vec<u8> {
    let fields = variant.fields.iter().flat_map(|(_, of)| example(of, size));
    [variant.number].into_iter().chain(fields).collect()
}

/// The beginning of a value that claims a length one over its cap, with the claimed length and the cap. `None` for
/// types without a length of their own.
pub(super) fn claim_over_cap(of: &str) -> Option<(Vec<u8>, usize, usize)> {
    let (width, cap) = match generic(of) {
        ("Text", cap) => (2, limit(cap[0])),
        ("Blob", cap) => (4, limit(cap[0])),
        ("List", args) => (4, limit(args[1])),
        ("Password", _) => (2, limit("PASSWORD_LEN_MAX")),
        ("PasswordHash", _) => (2, limit("PASSWORD_HASH_LEN_MAX")),
        ("UserId" | "GroupId", _) => (2, USER_LEN_MAX + 11),
        ("FileName", _) => (2, FILE_LEN_MAX + 11),
        ("RelPath", _) => (2, PATH_LEN_MAX),
        ("NamePattern", _) => (2, PATTERN_LEN_MAX),
        ("Option", inner) => {
            let (claim, len, cap) = claim_over_cap(inner[0])?;
            return Some(([vec![1], claim].concat(), len, cap));
        }
        _ => return None,
    };
    Some((number(width, cap + 1), cap + 1, cap))
}
