//! The table of refusals: every reason for a refusal, with its number on the wire and its words.

use super::codec::Text;
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $words:literal;)*) => {
        /// Why a request is refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Code {
            $($(#[$doc])* $name = $number,)*
        }

        impl Code {
            /// Every code, in the order of the numbers.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// Its name, as the table has it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Code::$name => stringify!($name),)*
                }
            }

            /// The code with this number.
            pub fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Code::$name),)*
                    _ => None,
                }
            }

            /// The words for a person.
            pub fn words(self) -> &'static str {
                match self {
                    $(Code::$name => $words,)*
                }
            }
        }
    };
}

codes! {
    /// The bytes are not a message of this protocol. The connection ends.
    Malformed = 1, "The message is malformed";
    /// A frame or list is over its cap. The connection ends.
    TooLarge = 2, "The message is too large";
    /// The kind of message is unknown. The connection ends.
    UnknownKind = 3, "The kind of message is unknown";
    /// One of both sides is from before version 4 of the protocol, and knows neither `TooOld` nor `TooNew`. The
    /// connection ends.
    Version = 4, "The other side is older than version 1.0, have it upgraded";
    /// There are too many connections, in all or from this address. The connection ends.
    Busy = 5, "Too many connections, try again later";
    /// The program is closing. The connection ends.
    Closing = 6, "The other side is closing";
    /// The tracker could not make the change durable. Nothing has changed.
    Unavailable = 7, "The tracker cannot save changes now";
    /// Too many attempts. A later one may succeed.
    SlowDown = 8, "Too many attempts, wait a little and try again";
    /// The tracker is taking over the state of the others, and saves no changes until it has that.
    Joining = 9, "The tracker is taking over what the others have";
    /// All numbers for accounts, groups or files have been used. Deleted ones count.
    UsedUp = 10, "No more accounts, groups or files can be made";
    /// The operator of this tracker forbids changes by clients. Other trackers may take the change.
    ReadOnly = 11, "This tracker is read-only, its operator lets no changes through";
    /// The user would have more of something than a user may have. The refusal says of what.
    QuotaReached = 12, "This would be over a limit";
    /// All users together would have more of something than they may have. The refusal says of what.
    InstallationFull = 13, "The installation is full";
    /// The version of the caller is newer than those that are spoken here. The connection ends.
    TooNew = 14, "The other side is older than this program, have it upgraded";
    /// The version of the caller is older than those that are spoken here. The connection ends.
    TooOld = 15, "This program is older than the other side, install the newer version";

    /// The request needs a login.
    NotLoggedIn = 20, "Please login first";
    /// The user or the password is wrong. The tracker does not tell which.
    BadLogin = 21, "Invalid username or password";
    /// The session has ended: the password has changed, or this tracker does not know the account.
    SessionEnded = 22, "The session has ended, please login again";
    /// The name is taken.
    UserExists = 23, "User already exists";
    /// There is no such user.
    NoSuchUser = 24, "User does not exist";
    /// The password is empty or longer than 1,024 bytes.
    BadPassword = 25, "A password has 1 to 1024 bytes";
    /// Names with `~` cannot be chosen.
    ReservedName = 26, "'~' is reserved and cannot be chosen in a name";
    /// This connection is logged in already.
    AlreadyLoggedIn = 27, "Already logged in, please logout first";
    /// Another tracker knows the session, and this one has not heard of it yet. The session is valid there, and here
    /// later.
    NotHeardYet = 28, "This tracker has not heard of the session yet";
    /// The password is right, but the operator has disabled the account.
    AccountDisabled = 29, "The account is disabled, ask the operator";
    /// Only the operator makes accounts.
    AccountsClosed = 30, "Only the operator makes accounts here, ask for one";
    /// The name of a user or group mixes alphabets, or has invisible or misleading characters.
    MisleadingName = 31, "A name must not mix alphabets or have signs that mislead, choose another";

    /// The name is taken.
    GroupExists = 40, "Group already exists";
    /// There is no such group.
    NoSuchGroup = 41, "Group does not exist";
    /// The user is already a member.
    AlreadyMember = 42, "Already a member of this group";
    /// The user has already asked.
    RequestPending = 43, "Join request already pending";
    /// That user has not asked to join.
    NoSuchRequest = 44, "No pending request from this user";
    /// The user is not a member.
    NotMember = 45, "You are not a member of this group";
    /// The user is not an owner.
    NotOwner = 46, "You are not the owner of this group";
    /// The user to remove is not a member.
    TargetNotMember = 47, "That user is not a member of this group";
    /// Owners leave with `leave_group`. They do not remove themselves.
    RemoveSelf = 48, "The owner leaves with leave_group";
    /// That member is already an owner.
    AlreadyOwner = 49, "Already an owner of this group";
    /// That user is not an owner of the group.
    TargetNotOwner = 50, "That user is not an owner of this group";
    /// No other owner can remove the founder, or end the founder's ownership.
    FounderStays = 51, "Only the founder can end the founder's membership or ownership";
    /// A group always has an owner.
    LastOwner = 52, "The group needs an owner, make another one first or leave with leave_group";
    /// The user allows no owner to add the user to a group.
    AddingForbidden = 53, "That user cannot be added by owners, but can ask to join";
    /// Nobody can ask to join.
    GroupClosed = 54, "The group is closed, only its owners let somebody in";

    /// Other content is shared under this name.
    FileExists = 60, "Another file is shared under this name";
    /// Nothing is shared under this name.
    NoSuchFile = 61, "File does not exist in this group";
    /// The user does not share it.
    NotSharing = 62, "You are not sharing this file";
    /// The tracker lacks the manifest. The client sends it and asks again.
    NeedManifest = 63, "The tracker needs the list of pieces first";
    /// The manifest is not well-formed, or its hash is another one.
    BadManifest = 64, "The list of pieces is not valid";
    /// The share was dropped, since nobody had shared it for a long time.
    Forgotten = 65, "This file is gone, nobody has shared it for a long time";

    /// The peer does not know the key id: the group's key has changed, or the asker never had it.
    UnknownKey = 80, "The peer does not know this group key";
    /// The peer does not serve this content in this group.
    NotServed = 81, "The peer does not serve this file";
    /// The peer does not have the piece.
    NoSuchPiece = 82, "The peer does not have this piece";
    /// The file on disk is not the one that was shared.
    FileChanged = 83, "The file on disk is no longer the one that was shared";
    /// The piece is on its way to another member, who will give it on. Others wait for the peer's limited uplink.
    OnItsWay = 84, "The peer gives this piece to another member just now";
    /// The called client is not logged in, or its user is not a member.
    PeerOffline = 85, "The peer is offline";
    /// The tracker does not relay bytes between members.
    NoRelay = 86, "This tracker relays nothing";
    /// All places of the relay are taken, or all that one of the two users may have. The refusal says which.
    RelayFull = 87, "The relay has no more places";
    /// Another client than the called one listens here.
    OtherClient = 88, "Another client listens here";
    /// The calling client's certificate has ended, or no tracker of this installation signed it for that client.
    BadCertificate = 89, "The certificate of the client is not valid or has ended";
    /// The ticket for the relay is unknown, used, or too old; or the other side did not come.
    BadTicket = 90, "The ticket for the relay is not good, or the other side did not come";
    /// No tracker has just seen the client at the address from which it wants to dial.
    NotSeenThere = 91, "No tracker has seen the client at this address";

    /// The asking tracker and the asked one have different cluster keys.
    OtherCluster = 100, "The trackers' cluster keys differ, copy the key file of one to the other";
    /// The asking tracker has the number of the asked one, or of another tracker that is connected to it.
    TrackerNumber = 101, "Another tracker runs under this number";
    /// The trackers have forgotten the number of the asking tracker, and take nothing from it.
    Retired = 102, "This tracker number was forgotten, say unforget at another tracker";
}

impl Code {
    /// Whether the share is gone for the user. Other refusals mean that it is not available now.
    pub fn is_gone(self) -> bool {
        matches!(self, Code::NoSuchGroup | Code::NotMember | Code::NoSuchFile | Code::Forgotten)
    }

    /// Whether the same request may succeed a moment later.
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            Code::Busy
                | Code::Closing
                | Code::Unavailable
                | Code::SlowDown
                | Code::Joining
                | Code::ReadOnly
                | Code::NotHeardYet
        )
    }
}

/// A refusal: the reason, and what it is about if that helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub code: Code,
    /// The name or condition that the refusal is about. It may be empty. Untrusted if it comes from the far side.
    pub about: String,
}

impl Refusal {
    /// Longest `about` in bytes.
    pub const ABOUT_LEN_MAX: usize = 512;

    /// A refusal about a name or condition.
    pub fn about(code: Code, about: impl fmt::Display) -> Self {
        let mut about = about.to_string();
        while about.len() > Self::ABOUT_LEN_MAX {
            about.pop();
        }
        Self { code, about }
    }

    /// The refusal in a received message. An unknown code counts as malformed.
    pub fn received(code: u16, about: &Text<{ Self::ABOUT_LEN_MAX }>) -> Self {
        Self { code: Code::from_number(code).unwrap_or(Code::Malformed), about: about.as_str().to_owned() }
    }

    /// The text of `about` for a message. It is empty if it is longer than a message can carry.
    pub fn about_text(&self) -> Text<{ Self::ABOUT_LEN_MAX }> {
        Text::new(&self.about).or_else(|| Text::new("")).expect("the empty text fits any cap")
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, about: String::new() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.words())?;
        if !self.about.is_empty() {
            write!(f, ": {}", self.about)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_number_and_numbers_ascend() {
        for &code in Code::ALL {
            assert_eq!(Code::from_number(code as u16), Some(code));
        }
        assert!(Code::ALL.is_sorted());
        assert_eq!(Code::from_number(0), None);
    }

    #[test]
    fn a_long_subject_is_cut_at_a_character() {
        let refusal = Refusal::about(Code::NoSuchFile, "é".repeat(Refusal::ABOUT_LEN_MAX));
        assert_eq!(refusal.about.len(), Refusal::ABOUT_LEN_MAX);
    }
}
