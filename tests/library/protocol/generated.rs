//! Any value of any message survives encoding and decoding.

use super::damage::for_all;
use super::schema;
use groupshare::model::digest::{InfoHash, KeyId, Sha1Digest};
use groupshare::model::id::{
    ClientId, CommandId, GroupRef, OpId, OpOrder, Origin, PeerKey, RelayTicket, Seen, SessionId, ShareRef, UserRef,
};
use groupshare::model::manifest::{Content, FileAttributes, FileEntry, FileTime, Manifest};
use groupshare::model::name::pattern::NamePattern;
use groupshare::model::name::{FileName, GroupId, NameError, UserId};
use groupshare::model::notice::{ChangeKind, Notice, UnplacedChange};
use groupshare::model::op::floor::{FloorMark, FloorProposal};
use groupshare::model::op::group_access::GroupAccess;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::model::path::RelPath;
use groupshare::model::piece::block::BlockLen;
use groupshare::model::piece::{Layout, SIZE_MAX};
use groupshare::wire::certificate::{Certificate, SignerKey};
use groupshare::wire::client_tracker::*;
use groupshare::wire::codec::{Blob, List, Payload, Text, Wire, from_bytes, to_bytes};
use groupshare::wire::contact::{Contact, Interface};
use groupshare::wire::frame::{self, Frame, Message};
use groupshare::wire::handshake::Secret;
use groupshare::wire::manifest;
use groupshare::wire::mirror::{AddressToken, Mirrored};
use groupshare::wire::peer::{PeerReply, PeerRequest};
use groupshare::wire::tracker_tracker::LinkMessage;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Strategy;
use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A checked name made from any text, sometimes with a suffix.
fn name<T: Debug>(
    from_input: fn(&str) -> Result<T, NameError>,
    with_suffix: fn(&T, u32) -> T,
) -> impl Strategy<Value = T> {
    let text = prop_oneof!["[a-z]{1,20}", "[^~/\\p{C}]{1,15}", "[äöüßéñ日本語тест -]{1,15}"];
    (text, prop::option::weighted(0.2, 2u32..)).prop_filter_map("is a name", move |(text, suffix)| {
        let name = from_input(&text).ok()?;
        Some(suffix.map_or_else(|| name, |n| with_suffix(&from_input(&text).expect("it was one"), n)))
    })
}

fn user() -> impl Strategy<Value = UserId> {
    name(UserId::from_input, UserId::with_suffix)
}

fn group() -> impl Strategy<Value = GroupId> {
    name(GroupId::from_input, GroupId::with_suffix)
}

fn file() -> impl Strategy<Value = FileName> {
    name(FileName::from_input, FileName::with_suffix)
}

fn password() -> impl Strategy<Value = Password> {
    ".{1,40}".prop_filter_map("is not empty", |text| Password::new(&text))
}

fn password_hash() -> impl Strategy<Value = PasswordHash> {
    "\\$argon2id\\$[a-zA-Z0-9+/$=,]{0,120}".prop_map(|text| PasswordHash(text.into()))
}

fn blob<const MAX: usize>() -> impl Strategy<Value = Blob<MAX>> {
    vec(any::<u8>(), 0..100).prop_map(|bytes| Blob::new(bytes).expect("few bytes"))
}

fn list<T: Debug, const MAX: usize>(of: impl Strategy<Value = T>) -> impl Strategy<Value = List<T, MAX>> {
    vec(of, 0..6.min(MAX + 1)).prop_map(|values| List::new(values).expect("few values"))
}

fn about() -> impl Strategy<Value = Text<512>> {
    ".{0,40}".prop_map(|text| Text::new(&text).expect("a short text"))
}

fn command() -> impl Strategy<Value = CommandId> {
    any::<[u8; 16]>().prop_map(CommandId)
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<[u8; 16]>().prop_map(SessionId)
}

fn client() -> impl Strategy<Value = ClientId> {
    any::<[u8; 16]>().prop_map(ClientId)
}

fn info_hash() -> impl Strategy<Value = InfoHash> {
    any::<[u8; 32]>().prop_map(InfoHash)
}

fn origin() -> impl Strategy<Value = Origin> {
    any::<(u16, u64)>().prop_map(|(tracker, incarnation)| Origin { tracker, incarnation })
}

fn op_id() -> impl Strategy<Value = OpId> {
    (origin(), any::<u64>()).prop_map(|(origin, seq)| OpId { origin, seq })
}

fn order() -> impl Strategy<Value = OpOrder> {
    (any::<u64>(), origin()).prop_map(|(lamport, origin)| OpOrder { lamport, origin })
}

fn floor_mark() -> impl Strategy<Value = FloorMark> {
    any::<(u64, [u8; 32])>().prop_map(|(lamport, base)| FloorMark { lamport, base })
}

fn floor_proposal() -> impl Strategy<Value = Arc<FloorProposal>> {
    let seen = (origin(), any::<u64>()).prop_map(|(origin, seq)| Seen { origin, seq });
    let participants = prop::collection::btree_set(any::<u16>(), 0..6);
    let fields = (floor_mark(), floor_mark(), vec(seen, 0..6), participants);
    fields.prop_map(|(after, mark, mut vector, participants)| {
        vector.sort_by_key(|seen| seen.origin);
        vector.dedup_by_key(|seen| seen.origin);
        Arc::new(FloorProposal { after, mark, vector, participants: participants.into_iter().collect() })
    })
}

fn change_kind() -> impl Strategy<Value = ChangeKind> {
    prop::sample::select(&ChangeKind::ALL[..])
}

fn unplaced_change() -> impl Strategy<Value = UnplacedChange> {
    let fields = (change_kind(), prop::option::of(group()), prop::option::of(file()));
    fields.prop_map(|(kind, group, file)| UnplacedChange { kind, group, file })
}

fn user_ref() -> impl Strategy<Value = UserRef> {
    op_id().prop_map(UserRef)
}

fn group_ref() -> impl Strategy<Value = GroupRef> {
    op_id().prop_map(GroupRef)
}

fn share_ref() -> impl Strategy<Value = ShareRef> {
    op_id().prop_map(ShareRef)
}

fn content() -> impl Strategy<Value = Content> {
    let layout = (0..=SIZE_MAX).prop_map(|size| Layout::new(size).expect("not too long"));
    let fields = (layout, any::<[u8; 20]>(), info_hash(), any::<u32>());
    fields.prop_map(|(layout, sha1, info_hash, file_count)| {
        let sha1 = Sha1Digest(sha1);
        Content { layout, sha1, info_hash, file_count }
    })
}

fn addr() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn peer_key() -> impl Strategy<Value = PeerKey> {
    any::<[u8; 32]>().prop_map(PeerKey)
}

fn certificate() -> impl Strategy<Value = Certificate> {
    let fields = (client(), user(), peer_key(), any::<u64>(), any::<([u8; 32], [u8; 32])>());
    fields.prop_map(|(client, user, key, end, (front, back))| {
        let signature = [front, back].concat().try_into().expect("64 bytes");
        Certificate { client, user, key, end, signature }
    })
}

fn interface() -> impl Strategy<Value = Interface> {
    any::<(IpAddr, u8)>().prop_map(|(ip, prefix)| Interface { ip, prefix })
}

fn contact() -> impl Strategy<Value = Contact> {
    let place = (addr(), any::<u16>(), list(interface()), prop::option::of(addr()), list(addr()));
    let fields = (certificate(), place, any::<[u8; 16]>(), any::<u16>());
    fields.prop_map(|(certificate, (seen, port, interfaces, announced, proved), machine, round_trip_ms)| Contact {
        certificate,
        seen,
        port,
        interfaces,
        announced,
        proved,
        machine,
        round_trip_ms,
    })
}

fn found() -> impl Strategy<Value = ReachClass> {
    use ReachClass::{NoAnswer, NotTried, OtherProgram, Reached, Refused};
    prop::sample::select(&[Reached, Refused, NoAnswer, OtherProgram, NotTried][..])
}

fn way() -> impl Strategy<Value = CallWay> {
    prop::sample::select(&[CallWay::Back, CallWay::Punch, CallWay::Relay][..])
}

fn ticket() -> impl Strategy<Value = RelayTicket> {
    any::<[u8; 16]>().prop_map(RelayTicket)
}

fn mirrored() -> impl Strategy<Value = Mirrored> {
    (addr(), any::<AddressToken>()).prop_map(|(addr, token)| Mirrored { addr, token })
}

fn passed_call() -> impl Strategy<Value = PassedCall> {
    let relay = prop::option::of((any::<u16>(), ticket()).prop_map(|(tracker, ticket)| RelayPlace { tracker, ticket }));
    let what = (share_ref(), group_ref(), info_hash(), way());
    let fields = (what, certificate(), list(addr()), any::<u16>(), relay);
    fields.prop_map(|((share, group, info_hash, way), caller, addrs, start_ms, relay)| PassedCall {
        share,
        group,
        info_hash,
        way,
        caller,
        addrs,
        start_ms,
        relay,
    })
}

fn peer() -> impl Strategy<Value = Peer> {
    let fields = (client(), user(), peer_key(), list(addr()), any::<u32>());
    fields.prop_map(|(client, user, key, addrs, held)| Peer { client, user, key, addrs, held })
}

fn group_key() -> impl Strategy<Value = GroupKey> {
    let fields = (group_ref(), group(), any::<[u8; 16]>(), any::<[u8; 32]>());
    fields.prop_map(|(group, name, id, key)| GroupKey { group, name, id: KeyId(id), key: Secret(key) })
}

fn group_line() -> impl Strategy<Value = GroupLine> {
    let role = prop::sample::select(&[Role::Stranger, Role::Requested, Role::Member, Role::Owner][..]);
    let fields = (group(), user(), any::<u32>(), any::<u32>(), access(), role);
    fields.prop_map(|(name, owner, owner_count, member_count, access, role)| GroupLine {
        name,
        owner,
        owner_count,
        member_count,
        access,
        role,
    })
}

fn access() -> impl Strategy<Value = GroupAccess> {
    prop::sample::select(&GroupAccess::ALL[..])
}

fn member_line() -> impl Strategy<Value = MemberLine> {
    (user(), any::<bool>(), any::<u32>()).prop_map(|(name, owner, online)| MemberLine { name, owner, online })
}

fn file_line() -> impl Strategy<Value = FileLine> {
    let fields = (file(), content(), user(), any::<u32>(), any::<u32>());
    fields.prop_map(|(name, content, author, sharer_count, online)| FileLine {
        name,
        content,
        author,
        sharer_count,
        online,
    })
}

/// One strategy for each variant: its fields, each with the strategy behind it.
macro_rules! variants {
    ($type:ident { $($variant:ident { $($field:ident: $strategy:expr),* })* }) => {
        vec![$(
            #[allow(unused_parens)]
            ($($strategy,)* Just(())).prop_map(|($($field,)* ())| $type::$variant { $($field),* }).boxed()
        ),*]
    };
}

fn requests() -> Vec<BoxedStrategy<Request>> {
    let after_user = || prop::option::of(user());
    let after_group = || prop::option::of(group());
    variants!(Request {
        CreateUser { command: command(), user: user(), password: password() }
        Login { client: client(), user: user(), password: password() }
        Resume { client: client(), token: blob() }
        Logout {}
        ChangePassword { command: command(), old: password(), new: password() }
        CreateGroup { command: command(), group: group() }
        JoinGroup { command: command(), group: group() }
        LeaveGroup { command: command(), group: group() }
        ListRequests { group: group(), after: after_user() }
        AcceptRequest { command: command(), group: group(), user: user() }
        RejectRequest { command: command(), group: group(), user: user() }
        RemoveMember { command: command(), group: group(), user: user() }
        ListGroups { after: after_group() }
        ListMembers { group: group(), after: after_user() }
        ListFiles { group: group(), after: prop::option::of(file()) }
        PutManifest { group: group(), info_hash: info_hash(), total: any::<u32>(), offset: any::<u32>(), part: blob() }
        ShareFile { command: command(), group: group(), name: file(), content: content() }
        StopShare { command: command(), group: group(), name: file() }
        FindShare { group: group(), name: file() }
        GetManifest { share: share_ref(), offset: any::<u32>() }
        Announce {
            key: peer_key(),
            port: any::<u16>(),
            interfaces: list(interface()),
            announced: prop::option::of(addr()),
            machine: any::<[u8; 16]>(),
            round_trip_ms: any::<u16>()
        }
        Hold { share: share_ref(), holding: prop::strategy::Union::new(holdings()) }
        FindPeers { share: share_ref() }
        ListKeys { after: after_group() }
        Heartbeat {}
        ReadNotices { command: command(), through: order() }
        Call { share: share_ref(), user: user(), client: client(), way: way(), from: prop::option::of(mirrored()) }
        CheckReach {}
        MakeOwner { command: command(), group: group(), user: user() }
        DropOwner { command: command(), group: group(), user: user() }
        AddMember { command: command(), group: group(), user: user() }
        SetGroup { command: command(), group: group(), access: access() }
        SetAdding { command: command(), allowed: any::<bool>() }
        FindFiles { group: after_group(), pattern: pattern(), after: prop::option::of(search_place()) }
        Follow { groups: list(group()) }
    })
}

fn found_file() -> impl Strategy<Value = FoundFile> {
    (group(), file_line()).prop_map(|(group, file)| FoundFile { group, file })
}

fn pattern() -> impl Strategy<Value = NamePattern> {
    "[a-zA-Zäö*?\\[\\]!^-]{1,40}".prop_map(|text| NamePattern::new(&text).expect("a pattern"))
}

fn search_place() -> impl Strategy<Value = SearchPlace> {
    (group(), prop::option::of(file())).prop_map(|(group, name)| SearchPlace { group, name })
}

fn holdings() -> Vec<BoxedStrategy<Holding>> {
    variants!(Holding {
        All {}
        Nothing {}
        Exactly { bits: blob() }
        More { pieces: list(any::<u32>()) }
        Runs { edges: list(any::<u32>()) }
        Count { held: any::<u32>() }
    })
}

fn replies() -> Vec<BoxedStrategy<Reply>> {
    variants!(Reply {
        Refused { code: any::<u16>(), about: about() }
        Done {}
        LoggedIn { user: user(), token: blob() }
        Groups { groups: list(group_line()), more: any::<bool>() }
        Users { users: list(user()), more: any::<bool>() }
        Members { members: list(member_line()), more: any::<bool>() }
        Files { files: list(file_line()), more: any::<bool>() }
        Share {
            share: share_ref(),
            group: group_ref(),
            name: file(),
            content: content(),
            author: user(),
            shared_by_you: any::<bool>()
        }
        ManifestPart { total: any::<u32>(), part: blob() }
        Announced {
            certificate: certificate(),
            signer: any::<[u8; 32]>().prop_map(SignerKey),
            now_s: any::<u64>(),
            tracker: any::<u16>(),
            relay: any::<bool>(),
            seen: addr(),
            token: blob()
        }
        Peers { peers: list(peer()), newer: prop::option::of(share_ref()) }
        Keys { keys: list(group_key()), more: any::<bool>() }
        CallPassed { addrs: list(addr()), start_ms: any::<u16>(), ticket: prop::option::of(ticket()) }
        Found { files: list(found_file()), next: prop::option::of(search_place()) }
        NewKey { key: group_key() }
        GroupLost { group: group_ref(), name: group() }
        PeerUp { share: share_ref(), peer: peer() }
        ShareEnded { share: share_ref() }
        Noticed { order: order(), notice: prop::strategy::Union::new(notices()) }
        SessionOver {}
        JoinRequested { group: group(), user: user() }
        Reach { addr: addr(), found: found() }
        Called { call: passed_call() }
        Superseded { old: share_ref(), new: share_ref(), group: group(), name: file(), author: user() }
        GroupChanged { group: group(), names: list(file()), more: any::<bool>() }
    })
}

fn notices() -> Vec<BoxedStrategy<Notice>> {
    variants!(Notice {
        Accepted { group: group() }
        Rejected { group: group() }
        Removed { group: group() }
        UserRenamed { from: user(), to: user() }
        GroupRenamed { from: group(), to: group() }
        ShareRenamed { group: group(), from: file(), to: file() }
        DecisionOverridden { group: group(), user: user() }
        RequestOverridden { group: group() }
        ShareOverridden { group: group(), name: file() }
        GroundGone { kind: change_kind(), file: prop::option::of(file()) }
        Unplaced { change: unplaced_change() }
        Older { count: any::<u64>() }
        PasswordOverridden {}
        PasswordReset {}
        SessionsEnded {}
        AccountDisabled {}
        AccountEnabled {}
        GroupGiven { group: group() }
        GroupTaken { group: group(), to: user() }
        GroupDeleted { group: group() }
        NewVersion { group: group(), name: file(), author: user() }
        Added { group: group(), by: user() }
        OwnerMade { group: group(), by: user() }
        OwnerDropped { group: group(), by: user() }
    })
}

fn block_bits<const MAX: usize>() -> impl Strategy<Value = Blob<MAX>> {
    vec(any::<u8>(), 0..=MAX).prop_map(|bits| Blob::new(bits).expect("no more than the cap"))
}

fn block_len() -> impl Strategy<Value = BlockLen> {
    (10..=15u8).prop_map(|exponent| BlockLen::from_exponent(exponent).expect("one of them"))
}

fn asks() -> Vec<BoxedStrategy<PeerRequest>> {
    variants!(PeerRequest {
        Open { info_hash: info_hash() }
        GetPiece { piece: any::<u32>() }
        KeepAlive {}
        BadPiece { piece: any::<u32>() }
        Describe { block_len: block_len(), pieces: list(any::<u32>()) }
        GetBlocks { piece: any::<u32>(), block_len: block_len(), blocks: block_bits() }
    })
}

fn answers() -> Vec<BoxedStrategy<PeerReply>> {
    variants!(PeerReply {
        Refused { code: any::<u16>(), about: about() }
        Opened { bits: blob() }
        Piece { data: Just(Payload { len: 0 }) }
        Alive {}
        Digests { digests: blob() }
        News { pieces: list(any::<u32>()) }
        Give { info_hash: info_hash() }
    })
}

fn seen<const MAX: usize>() -> impl Strategy<Value = List<Seen, MAX>> {
    list((origin(), any::<u64>()).prop_map(|(origin, seq)| Seen { origin, seq }))
}

fn links() -> Vec<BoxedStrategy<LinkMessage>> {
    let holding = || prop::strategy::Union::new(holdings());
    variants!(LinkMessage {
        Hello { tracker: any::<u16>(), instance: any::<[u8; 16]>(), floor: floor_mark(), seen: seen() }
        Ops { ops: list(ops()) }
        Have { floor: floor_mark(), seen: seen(), digest: any::<Option<[u8; 32]>>() }
        Manifest { info_hash: info_hash(), total: any::<u32>(), offset: any::<u32>(), part: blob() }
        Refused { code: any::<u16>(), about: about() }
        Online { user: user_ref(), client: client(), contact: prop::option::of(contact().prop_map(Arc::new)) }
        Offline { user: user_ref(), client: client() }
        Holds { user: user_ref(), client: client(), share: share_ref(), holding: holding() }
        AllTold {}
        WantManifests { info_hashes: list(info_hash()) }
        GiveAgain { seen: seen() }
        Call { user: user_ref(), client: client(), call: passed_call().prop_map(Arc::new) }
        AreYouThere {}
        Here {}
        SeenMore { seen: seen() }
        WantBase { floor: floor_mark() }
        Base { floor: floor_mark(), total: any::<u64>(), offset: any::<u64>(), part: blob() }
        NoBase { floor: floor_mark() }
    })
}

fn op_bodies() -> Vec<BoxedStrategy<OpBody>> {
    let replaces = || prop::option::of(share_ref());
    variants!(OpBody {
        CreateUser { name: user(), password: password_hash() }
        ChangePassword { user: user_ref(), former: op_id(), password: password_hash() }
        CreateGroup { name: group(), founder: user_ref() }
        RequestJoin { group: group_ref(), user: user_ref() }
        AcceptRequest { group: group_ref(), user: user_ref(), by: user_ref() }
        RejectRequest { group: group_ref(), user: user_ref(), by: user_ref() }
        LeaveGroup { group: group_ref(), user: user_ref() }
        RemoveMember { group: group_ref(), user: user_ref(), by: user_ref() }
        CreateShare { group: group_ref(), user: user_ref(), name: file(), content: content(), replaces: replaces() }
        JoinShare { share: share_ref(), user: user_ref() }
        LeaveShare { share: share_ref(), user: user_ref() }
        ReadNotices { user: user_ref(), through: order(), shown: any::<[u8; 32]>() }
        ProposeFloor { floor: floor_proposal() }
        ReadyForFloor { proposal: op_id() }
        PromiseFloor { proposal: op_id(), floor: floor_proposal() }
        ForgetTracker { tracker: any::<u16>() }
        UnforgetTracker { tracker: any::<u16>() }
        NoteUnplaced { user: user_ref(), change: unplaced_change() }
        MakeUser { name: user(), password: password_hash() }
        ResetPassword { user: user_ref(), password: password_hash() }
        EndSessions { user: user_ref() }
        DisableUser { user: user_ref() }
        EnableUser { user: user_ref() }
        DeleteUser { user: user_ref() }
        GiveGroup { group: group_ref(), user: user_ref() }
        DeleteGroup { group: group_ref() }
        EndSession { user: user_ref(), session: session(), through_s: any::<u64>() }
        MakeOwner { group: group_ref(), user: user_ref(), by: user_ref() }
        DropOwner { group: group_ref(), user: user_ref(), by: user_ref() }
        AddMember { group: group_ref(), user: user_ref(), by: user_ref() }
        SetGroup { group: group_ref(), access: access(), by: user_ref() }
        SetAdding { user: user_ref(), allowed: any::<bool>() }
    })
}

fn ops() -> impl Strategy<Value = Op> {
    let fields = (op_id(), any::<u64>(), command(), prop::strategy::Union::new(op_bodies()));
    fields.prop_map(|(id, lamport, command, body)| Op { id, lamport, command, body })
}

/// Folders of files in order, with as many digests as their lengths need.
fn manifests() -> impl Strategy<Value = Manifest> {
    let component = "[a-zà-ÿ~ .-]{1,6}[a-z]";
    let paths = prop::collection::btree_set(vec(component, 1..4), 1..12);
    let times = vec((any::<bool>(), any::<i64>(), 0..1_000_000_000u32), 12);
    let parts = (component, paths, vec(0..2_000_000u64, 12), any::<u8>(), proptest::option::of(times));
    parts.prop_map(|(root, paths, lens, digest, times)| {
        let mut kept: Vec<&Vec<String>> = Vec::new();
        for path in &paths {
            // A path below a kept file is left out.
            if !kept.iter().any(|folder| path.starts_with(folder)) {
                kept.push(path);
            }
        }
        let path = |path: &Vec<String>| RelPath::parse(&format!("{root}/{}", path.join("/"))).expect("a path");
        let files: Vec<_> = kept.iter().zip(lens).map(|(p, len)| FileEntry { path: path(p), len }).collect();
        let layout = groupshare::model::manifest::check_files(&files).expect("in order");
        let count = files.len();
        let pieces = vec![Sha1Digest([digest; 20]); layout.count() as usize];
        let manifest = Manifest::new(files, pieces).expect("as many as it takes");
        let Some(times) = times else { return manifest };
        let attributes = times.into_iter().take(count).map(|(executable, seconds, nanoseconds)| FileAttributes {
            executable,
            modified: FileTime::new(seconds, nanoseconds).expect("below a second"),
        });
        manifest.with_attributes(attributes.collect()).expect("one for each file")
    })
}

/// Every variant is generated, and each survives encoding and decoding. `more` adds a check.
fn round_trip<T: Wire + Debug + PartialEq>(name: &str, variants: Vec<BoxedStrategy<T>>, more: fn(u32, &T) -> bool) {
    let choice = schema::choices().into_iter().find(|choice| choice.name == name).expect("it is in the list");
    let numbers: Vec<u8> = choice.variants.iter().map(|variant| variant.number).collect();
    assert_eq!(variants.len(), numbers.len(), "every {name} is generated");
    for (strategy, number) in variants.into_iter().zip(numbers) {
        for_all(80, &(strategy, any::<u32>()), |(value, request)| {
            let bytes = to_bytes(&value);
            assert_eq!(bytes[0], number);
            assert_eq!(from_bytes::<T>(&bytes).as_ref(), Ok(&value));
            assert!(more(request, &value));
        });
    }
}

/// Whether a message survives a frame.
fn frames<M: Message + PartialEq>(request: u32, message: &M) -> bool {
    let bytes = frame::of(request, message);
    let frame = Frame::parse(&bytes).expect("a whole frame");
    frame.request == request && frame.kind == message.kind() && frame.message::<M>().as_ref() == Ok(message)
}

#[test]
fn every_request_goes_through_its_bytes_unchanged() {
    round_trip("Request", requests(), frames);
}

#[test]
fn every_reply_goes_through_its_bytes_unchanged() {
    round_trip("Reply", replies(), frames);
}

#[test]
fn every_ask_goes_through_its_bytes_unchanged() {
    round_trip("PeerRequest", asks(), frames);
}

#[test]
fn every_answer_goes_through_its_bytes_unchanged() {
    round_trip("PeerReply", answers(), frames);
}

#[test]
fn every_message_between_trackers_goes_through_its_bytes_unchanged() {
    round_trip("LinkMessage", links(), frames);
}

#[test]
fn every_holding_goes_through_its_bytes_unchanged() {
    round_trip("Holding", holdings(), |_, _| true);
}

#[test]
fn every_notice_goes_through_its_bytes_unchanged() {
    round_trip("Notice", notices(), |_, _| true);
}

#[test]
fn every_op_goes_through_its_bytes_unchanged() {
    round_trip("OpBody", op_bodies(), |_, _| true);
    for_all(300, &ops(), |op| assert_eq!(from_bytes::<Op>(&to_bytes(&op)), Ok(op)));
}

#[test]
fn every_manifest_goes_through_its_bytes_unchanged_and_under_its_info_hash_only() {
    for_all(300, &manifests(), |manifest| {
        let (bytes, info_hash) = manifest::encode(&manifest).expect("short paths");
        assert_eq!(manifest::decode(&bytes, info_hash), Ok(manifest));
        assert!(manifest::decode(&bytes, InfoHash([0; 32])).is_err());
    });
}
