//! What clients and trackers say to each other. A request carries an id, and its reply repeats that id. Unasked
//! messages of the tracker have id 0. The tracker may answer any request with `Refused`.

mod call;
mod holding;
mod listing;
mod notice;
mod password;
mod reach;

use super::certificate::{Certificate, SignerKey};
use super::codec::{Blob, List, Text, wire_enum, wire_struct};
use super::contact::{ADDRS_MAX, INTERFACES_MAX, Interface};
use super::frame::message;
use super::handshake::Secret;
use super::mirror::Mirrored;
use super::refusal::Refusal;
use crate::model::digest::{InfoHash, KeyId};
use crate::model::id::{ClientId, CommandId, GroupRef, OpOrder, PeerId, PeerKey, RelayTicket, ShareRef};
use crate::model::manifest::Content;
use crate::model::name::pattern::NamePattern;
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::notice::Notice;
use crate::model::op::group_access::GroupAccess;
use std::net::SocketAddr;

pub use call::{CallWay, PassedCall, RelayPlace};
pub use holding::{BITFIELD_MAX, EDGES_MAX, HOLD_MORE_MAX, Holding};
pub use listing::{FileLine, FoundFile, GroupLine, MemberLine, Role, SearchPlace};
pub use password::{PASSWORD_LEN_MAX, Password};
pub use reach::ReachClass;

/// Most entries on one page of a list. The longest entry has about 500 bytes, so a page stays below half a frame.
pub const PAGE_MAX: usize = 1024;
/// Most bytes of a manifest in one message.
pub const MANIFEST_PART_MAX: usize = 64 * 1024;
/// Most peers that one answer names.
pub const PEERS_MAX: usize = 512;
/// Most groups that a login follows.
pub const FOLLOWED_MAX: usize = 64;
/// Most names in one message to a login that follows a group.
pub const CHANGED_MAX: usize = 128;
/// Longest session token in bytes.
pub const TOKEN_LEN_MAX: usize = 128;

wire_enum! {
    /// From a client to a tracker.
    Request {
        /// Makes an account. Answer: `Done`. Refusals: `UserExists`, `ReservedName`, `MisleadingName`,
        /// `AlreadyLoggedIn`, `SlowDown`, `InstallationFull`, `AccountsClosed`.
        1 CreateUser {
            command: CommandId,
            user: UserId,
            password: Password,
        }
        /// Logs in on this connection. Answer: `LoggedIn`. Refusals: `BadLogin`, `AccountDisabled`, `AlreadyLoggedIn`,
        /// `SlowDown`; `SessionEnded` where the password was changed while it was checked.
        2 Login {
            client: ClientId,
            /// The name that was chosen for the account, or its present name.
            user: UserId,
            password: Password,
        }
        /// Logs in with the token of an earlier login. Answer: `LoggedIn`. Refusals: `SessionEnded`, `NotHeardYet`,
        /// `SlowDown`, `AlreadyLoggedIn`.
        3 Resume {
            client: ClientId,
            token: Blob<TOKEN_LEN_MAX>,
        }
        /// Ends the login on this connection, and its session: the tokens are void. Answer: `Done`. Refusals: those of
        /// a tracker that takes no changes; the login then ends all the same, and the tokens are valid until they
        /// expire.
        4 Logout {}
        /// Changes the password and ends every other session of the user. Answer: `LoggedIn` with a new token.
        /// Refusals: `BadLogin`, `SlowDown`; `SessionEnded` where the password was changed while it was checked.
        5 ChangePassword {
            command: CommandId,
            old: Password,
            new: Password,
        }
        /// Makes a group. Answer: `Done`. Refusals: `GroupExists`, `ReservedName`, `MisleadingName`, `QuotaReached`,
        /// `InstallationFull`.
        6 CreateGroup {
            command: CommandId,
            group: GroupId,
        }
        /// Asks to join a group. Answer: `Done`. Refusals: `NoSuchGroup`, `AlreadyMember`, `RequestPending`,
        /// `GroupClosed`, `QuotaReached`, `SlowDown`.
        7 JoinGroup {
            command: CommandId,
            group: GroupId,
        }
        /// Leaves a group, or withdraws a request to join. Answer: `Done`. Refusals: `NoSuchGroup`, `NotMember`.
        8 LeaveGroup {
            command: CommandId,
            group: GroupId,
        }
        /// Lists requests to join; for owners. Answer: `Users`. Refusals: `NoSuchGroup`, `NotMember`, `NotOwner`.
        9 ListRequests {
            group: GroupId,
            /// The last name of the page before.
            after: Option<UserId>,
        }
        /// Lets a user in. Answer: `Done`. Refusals: `NoSuchGroup`, `NotMember`, `NotOwner`, `NoSuchUser`,
        /// `NoSuchRequest`, `AlreadyMember`, `QuotaReached`.
        10 AcceptRequest {
            command: CommandId,
            group: GroupId,
            user: UserId,
        }
        /// Turns a request down. Answer: `Done`. Refusals: `NoSuchGroup`, `NotMember`, `NotOwner`, `NoSuchUser`,
        /// `NoSuchRequest`, `AlreadyMember`.
        11 RejectRequest {
            command: CommandId,
            group: GroupId,
            user: UserId,
        }
        /// Removes a member. Answer: `Done`. Refusals: `NoSuchGroup`, `NotMember`, `NotOwner`, `NoSuchUser`,
        /// `TargetNotMember`, `RemoveSelf`, `FounderStays`.
        12 RemoveMember {
            command: CommandId,
            group: GroupId,
            user: UserId,
        }
        /// Lists all groups. Answer: `Groups`.
        13 ListGroups {
            /// The last name of the page before.
            after: Option<GroupId>,
        }
        /// Lists the members of a group. Answer: `Members`. Refusals: `NoSuchGroup`, `NotMember`.
        14 ListMembers {
            group: GroupId,
            /// The last name of the page before.
            after: Option<UserId>,
        }
        /// Lists what is shared in a group. Answer: `Files`. Refusals: `NoSuchGroup`, `NotMember`.
        15 ListFiles {
            group: GroupId,
            /// The last name of the page before.
            after: Option<FileName>,
        }
        /// Sends a part of a manifest, in order, before the share that needs the manifest. Answer: `Done`. Refusals:
        /// `NoSuchGroup`, `NotMember`, `BadManifest`, `QuotaReached`, `InstallationFull`.
        16 PutManifest {
            /// The group of that share.
            group: GroupId,
            info_hash: InfoHash,
            /// Length of the whole manifest in bytes.
            total: u32,
            offset: u32,
            part: Blob<MANIFEST_PART_MAX>,
        }
        /// Shares content. Answer: `Share`. Refusals: `NoSuchGroup`, `NotMember`, `FileExists`, `NeedManifest`,
        /// `BadManifest`, `ReservedName`, `QuotaReached`, `InstallationFull`.
        17 ShareFile {
            command: CommandId,
            group: GroupId,
            name: FileName,
            content: Content,
        }
        /// Stops sharing, on all clients of the user. Answer: `Done`. Refusals: `NoSuchGroup`, `NotMember`,
        /// `NoSuchFile`, `NotSharing`.
        18 StopShare {
            command: CommandId,
            group: GroupId,
            name: FileName,
        }
        /// Asks for the share under a name. Answer: `Share`. Refusals: `NoSuchGroup`, `NotMember`, `NoSuchFile`.
        19 FindShare {
            group: GroupId,
            name: FileName,
        }
        /// Asks for a part of a share's manifest. Answer: `ManifestPart`. Refusals: `NoSuchFile`, `Forgotten`,
        /// `SlowDown`.
        20 GetManifest {
            share: ShareRef,
            offset: u32,
        }
        /// Tells the tracker the client's key and the addresses for its peers, and asks for a certificate of them. The
        /// client repeats this before the certificate ends. Answer: `Announced`. Refusals: `SlowDown`.
        21 Announce {
            /// The key of this run of the client.
            key: PeerKey,
            port: u16,
            /// The addresses of the client's machine at which it listens.
            interfaces: List<Interface, INTERFACES_MAX>,
            /// One more address at which the client is reachable, set by its user.
            announced: Option<SocketAddr>,
            /// Equal for clients that reach each other through the loopback interface.
            machine: [u8; 16],
            /// How long the tracker took to answer the client.
            round_trip_ms: u16,
        }
        /// Says which pieces of a share this client holds. Answer: `Done`. Refusals: `NoSuchFile`, `Forgotten`.
        22 Hold {
            share: ShareRef,
            holding: Holding,
        }
        /// Asks which clients hold pieces of a share. As long as this client holds not all of them, later holders come
        /// as `PeerUp`. Answer: `Peers`. Refusals: `NoSuchFile`, `Forgotten`.
        23 FindPeers {
            share: ShareRef,
        }
        /// Asks for the keys of the user's groups. Answer: `Keys`.
        24 ListKeys {
            /// The last name of the page before.
            after: Option<GroupId>,
        }
        /// Shows that the client is alive. Answer: `Done`.
        25 Heartbeat {}
        /// Says that the user has seen notices. Answer: `Done`.
        26 ReadNotices {
            command: CommandId,
            through: OpOrder,
        }
        /// Asks the tracker to call a client that cannot be dialed. That client hears `Called`, here or at its own
        /// tracker. Answer: `CallPassed`. Refusals: `NoSuchFile`, `Forgotten`, `PeerOffline`, `SlowDown`, `NoRelay`,
        /// `RelayFull`, `NotSeenThere`.
        27 Call {
            share: ShareRef,
            user: UserId,
            client: ClientId,
            way: CallWay,
            /// For `Punch`: the address from which the caller dials, if that is not its listening port.
            from: Option<Mirrored>,
        }
        /// Asks the tracker to test whether others can reach this client. It hears `Reach` later. Answer: `Done`.
        28 CheckReach {}
        /// Makes a member one more owner. Answer: `Done`. Refusals: `NoSuchGroup`, `NotMember`, `NotOwner`,
        /// `NoSuchUser`, `TargetNotMember`, `AlreadyOwner`, `QuotaReached`.
        29 MakeOwner {
            command: CommandId,
            group: GroupId,
            user: UserId,
        }
        /// Makes an owner a plain member. Answer: `Done`. Refusals: `NoSuchGroup`, `NotMember`, `NotOwner`,
        /// `NoSuchUser`, `TargetNotOwner`, `FounderStays`, `LastOwner`.
        30 DropOwner {
            command: CommandId,
            group: GroupId,
            user: UserId,
        }
        /// Makes a user a member. The user need not have asked. Answer: `Done`. Refusals: `NoSuchGroup`, `NotMember`,
        /// `NotOwner`, `NoSuchUser`, `AlreadyMember`, `AddingForbidden`, `QuotaReached`, `SlowDown`.
        31 AddMember {
            command: CommandId,
            group: GroupId,
            user: UserId,
        }
        /// Decides how users get into a group. Answer: `Done`. Refusals: `NoSuchGroup`, `NotMember`, `NotOwner`.
        32 SetGroup {
            command: CommandId,
            group: GroupId,
            access: GroupAccess,
        }
        /// Allows owners to add the user to their groups, or forbids it. Answer: `Done`.
        33 SetAdding {
            command: CommandId,
            allowed: bool,
        }
        /// Searches shares by name, in one group or in all groups of the user. Answer: `Found`. Refusals:
        /// `NoSuchGroup`, `NotMember`.
        34 FindFiles {
            /// `None` searches every group of the user.
            group: Option<GroupId>,
            pattern: NamePattern,
            /// The end of the page before.
            after: Option<SearchPlace>,
        }
        /// Sets the groups that this login follows, in place of the earlier ones. The login then hears `GroupChanged`
        /// of them. Groups without the user as a member do not count. Answer: `Done`.
        35 Follow {
            groups: List<GroupId, FOLLOWED_MAX>,
        }
    }
}
message!(Request);

impl Request {
    /// How much memory the reply takes up at most while the tracker makes it, in bytes: the message and its frame.
    /// `None` if it is only a few kilobytes.
    pub fn long_reply_len(&self) -> Option<usize> {
        match self {
            Request::ListGroups { .. }
            | Request::ListMembers { .. }
            | Request::ListRequests { .. }
            | Request::ListKeys { .. } => Some(PAGE_MAX * 640),
            Request::ListFiles { .. } => Some(PAGE_MAX * 832),
            Request::FindFiles { .. } => Some(PAGE_MAX * 960),
            Request::FindPeers { .. } => Some(PEERS_MAX * 768),
            Request::GetManifest { .. } => Some(3 * MANIFEST_PART_MAX),
            _ => None,
        }
    }
}

wire_enum! {
    /// From a tracker to a client. Kinds from 64 on come unasked.
    Reply {
        /// The tracker refuses the request, and nothing has changed.
        1 Refused {
            code: u16,
            about: Text<{ Refusal::ABOUT_LEN_MAX }>,
        }
        2 Done {}
        /// The login is valid.
        3 LoggedIn {
            /// The present name of the account.
            user: UserId,
            /// Resumes the session at any tracker.
            token: Blob<TOKEN_LEN_MAX>,
        }
        4 Groups {
            groups: List<GroupLine, PAGE_MAX>,
            more: bool,
        }
        5 Users {
            users: List<UserId, PAGE_MAX>,
            more: bool,
        }
        6 Members {
            members: List<MemberLine, PAGE_MAX>,
            more: bool,
        }
        7 Files {
            files: List<FileLine, PAGE_MAX>,
            more: bool,
        }
        8 Share {
            share: ShareRef,
            group: GroupRef,
            name: FileName,
            content: Content,
            /// The first sharer of it. While others share it, only this user may replace it.
            author: UserId,
            /// Whether the asking user is one of its sharers.
            shared_by_you: bool,
        }
        /// A part of a manifest.
        9 ManifestPart {
            /// Length of the whole manifest in bytes.
            total: u32,
            /// The part; empty at the end.
            part: Blob<MANIFEST_PART_MAX>,
        }
        /// The tracker tells others where the client is.
        10 Announced {
            certificate: Certificate,
            /// The key that must have signed a certificate. A peer without such a certificate proves nothing.
            signer: SignerKey,
            /// The tracker's time, in seconds since 1970.
            now_s: u64,
            /// The tracker's number.
            tracker: u16,
            /// Whether this tracker relays between members that cannot reach each other.
            relay: bool,
            /// Where the connection of the client comes from.
            seen: SocketAddr,
            /// Resumes the session at any tracker, in place of the token before.
            token: Blob<TOKEN_LEN_MAX>,
        }
        /// The clients that hold pieces of a share.
        11 Peers {
            /// Clients other than the asking one, those with more pieces first.
            peers: List<Peer, PEERS_MAX>,
            /// The share with the new version, if the asked share was replaced and somebody shares the new one. The
            /// asking client may go on with either.
            newer: Option<ShareRef>,
        }
        /// A page of the user's groups with their keys.
        12 Keys {
            keys: List<GroupKey, PAGE_MAX>,
            more: bool,
        }
        /// The tracker has passed the call on. Nobody tells whether the called client hears it.
        13 CallPassed {
            /// Where the called client may be, the likeliest address first.
            addrs: List<SocketAddr, ADDRS_MAX>,
            /// For `Punch`: how long to wait before both dial.
            start_ms: u16,
            /// For `Relay`: the caller's ticket for the relay of this tracker.
            ticket: Option<RelayTicket>,
        }
        /// The results of the search so far, by group and then by name.
        14 Found {
            files: List<FoundFile, PAGE_MAX>,
            /// Where the search goes on; `None` at its end.
            next: Option<SearchPlace>,
        }
        /// A group of the user has this key and name from now on. The user was let in, somebody left, or another group
        /// turned out to have the older claim to the name. Other groups may have new names then too: `ListKeys` tells.
        64 NewKey {
            key: GroupKey,
        }
        /// The user is no longer a member.
        65 GroupLost {
            group: GroupRef,
            name: GroupId,
        }
        /// Another client holds pieces of a share that this client downloads.
        66 PeerUp {
            share: ShareRef,
            peer: Peer,
        }
        /// The user no longer shares this.
        67 ShareEnded {
            share: ShareRef,
        }
        /// A notice for the user.
        68 Noticed {
            /// The notice's place, for `ReadNotices`.
            order: OpOrder,
            notice: Notice,
        }
        /// This login is over: the user changed the password elsewhere, or an operator has ended the session.
        69 SessionOver {}
        /// A user asks to join a group that this user owns.
        70 JoinRequested {
            group: GroupId,
            user: UserId,
        }
        /// The result of the tracker's attempt to reach this client at an address.
        71 Reach {
            addr: SocketAddr,
            found: ReachClass,
        }
        /// Another client that cannot dial this one calls it.
        72 Called {
            call: PassedCall,
        }
        /// The first sharer of a file has shared a new version in its place, and this user no longer shares the old
        /// one. The client may still give the old one to those who download it.
        73 Superseded {
            old: ShareRef,
            new: ShareRef,
            group: GroupId,
            /// The name of the new version.
            name: FileName,
            author: UserId,
        }
        /// A group that this login follows has a new share, or a new version of one.
        74 GroupChanged {
            group: GroupId,
            /// The names of these shares.
            names: List<FileName, CHANGED_MAX>,
            /// Whether there are more names. `ListFiles` tells them.
            more: bool,
        }
    }
}
message!(Reply);

impl Reply {
    pub fn refused(refusal: &Refusal) -> Self {
        Reply::Refused { code: refusal.code as u16, about: refusal.about_text() }
    }
}

/// A client that holds pieces of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub client: ClientId,
    pub user: UserId,
    /// The key of this run of the client.
    pub key: PeerKey,
    /// Where the client may be reachable, the likeliest address first.
    pub addrs: List<SocketAddr, ADDRS_MAX>,
    /// How many pieces the client holds.
    pub held: u32,
}
wire_struct!(Peer { client, user, key, addrs, held });

impl Peer {
    /// The client's name among peers.
    pub fn id(&self) -> PeerId {
        PeerId { user: self.user.clone(), client: self.client }
    }
}

/// A group of the user with its key, which proves membership between peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupKey {
    pub group: GroupRef,
    pub name: GroupId,
    pub id: KeyId,
    pub key: Secret,
}
wire_struct!(GroupKey { group, name, id, key });
wire_struct!(Secret { 0 });
