//! Why a member was not reached, in one line.

use super::eyeballs::dial_fault::AddressFault;
use crate::wire::refusal::Code;
use std::fmt;

/// The maximum number of addresses to name. Further ones are only counted.
const NAMED_MAX: usize = 3;

/// The result of a call, for one of the ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCall {
    /// This client has no tracker to ask.
    NoTracker,
    /// The tracker has not answered.
    SilentTracker,
    /// The tracker has refused.
    Refused(Code),
    /// The relay has no free place. The tracker says whose places are taken.
    NoPlace(String),
    /// The tracker passed the call on, but no connection came.
    InVain,
}

/// Why there is no connection to a member: each way that was tried, with its result.
#[derive(Debug, Default)]
pub struct Unreached {
    pub addrs: Vec<AddressFault>,
    pub back: Option<NoCall>,
    pub punch: Option<NoCall>,
    pub relay: Option<NoCall>,
}

impl Unreached {
    /// Whether a host has refused a connection with this code at one of the addresses.
    pub fn says(&self, code: Code) -> bool {
        self.addrs.iter().any(|fault| fault.fault.code() == Some(code))
    }

    /// Whether other clients listen at all of the addresses.
    pub fn is_elsewhere(&self) -> bool {
        let says = |fault: &AddressFault| fault.fault.code() == Some(Code::OtherClient);
        !self.addrs.is_empty() && self.addrs.iter().all(says)
    }

    /// Whether the tracker has passed a call on.
    pub fn was_called(&self) -> bool {
        [&self.back, &self.punch, &self.relay].contains(&&Some(NoCall::InVain))
    }

    /// Whether the tracker passes no further call on for now.
    pub fn is_called_too_often(&self) -> bool {
        [&self.back, &self.punch, &self.relay].contains(&&Some(NoCall::Refused(Code::SlowDown)))
    }

    /// Whether the tracker has no relay.
    pub fn lacks_relay(&self) -> bool {
        self.relay == Some(NoCall::Refused(Code::NoRelay))
    }

    fn back_in_words(&self) -> Option<String> {
        Some(match self.back.as_ref()? {
            NoCall::NoTracker => "cannot be called (no tracker)".to_owned(),
            NoCall::SilentTracker => "cannot be called (your tracker does not answer)".to_owned(),
            NoCall::Refused(Code::PeerOffline) => "does not call back (offline)".to_owned(),
            NoCall::Refused(Code::SlowDown) => "does not call back (called too often)".to_owned(),
            NoCall::Refused(code) => format!("does not call back ({})", code.words()),
            NoCall::InVain | NoCall::NoPlace(_) => "does not call back".to_owned(),
        })
    }

    fn punch_in_words(&self) -> Option<&'static str> {
        // A tracker's reason to pass no call on is the same for all ways, and the first way has told it.
        (self.punch == Some(NoCall::InVain)).then_some("no way through both firewalls")
    }

    fn relay_in_words(&self) -> Option<String> {
        Some(match self.relay.as_ref()? {
            NoCall::Refused(Code::NoRelay) => "no relay".to_owned(),
            NoCall::NoPlace(whose) if whose.is_empty() => "no place at the relay".to_owned(),
            NoCall::NoPlace(whose) => format!("no place at the relay ({whose})"),
            NoCall::InVain => "the relay failed".to_owned(),
            NoCall::NoTracker | NoCall::SilentTracker | NoCall::Refused(_) => return None,
        })
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.addrs.iter().take(NAMED_MAX).map(ToString::to_string);
        let more = self.addrs.len().saturating_sub(NAMED_MAX);
        let more = (more > 0).then(|| format!("{more} more of its addresses neither"));
        let none = self.addrs.is_empty().then(|| "it has no address that could be dialed".to_owned());
        let parts = named.chain(more).chain(none).chain(self.back_in_words());
        let parts = parts.chain(self.punch_in_words().map(str::to_owned)).chain(self.relay_in_words());
        f.write_str(&parts.collect::<Vec<_>>().join(", "))
    }
}

impl std::error::Error for Unreached {}

#[cfg(test)]
mod tests {
    use super::super::eyeballs::dial_fault::DialFault;
    use super::*;
    use crate::wire::handshake::HandshakeError;
    use std::io;

    fn refused(host: u8) -> AddressFault {
        let fault = DialFault::Connect(io::ErrorKind::ConnectionRefused.into());
        AddressFault { addr: ([192, 0, 2, host], 18000).into(), fault }
    }

    #[test]
    fn one_stranger_at_one_address_excuses_no_failure_at_the_others() {
        let other = |host| AddressFault {
            fault: DialFault::Handshake(HandshakeError::Refused(Some(Code::OtherClient))),
            ..refused(host)
        };
        let why = |addrs| Unreached { addrs, ..Unreached::default() };
        assert!(why(vec![other(1), other(2)]).is_elsewhere());
        let mixed = why(vec![other(1), refused(2)]);
        assert!(!mixed.is_elsewhere() && mixed.says(Code::OtherClient));
        assert!(!why(Vec::new()).is_elsewhere());
    }

    #[test]
    fn every_way_has_its_words_and_a_tracker_is_blamed_once() {
        let offline = Some(NoCall::Refused(Code::PeerOffline));
        let relay = Some(NoCall::Refused(Code::NoRelay));
        let why = Unreached { addrs: vec![refused(9)], back: offline.clone(), punch: offline, relay };
        let expected = "192.0.2.9:18000 refused the connection, does not call back (offline), no relay";
        assert_eq!(why.to_string(), expected);
        let vain = Some(NoCall::InVain);
        let why = Unreached { addrs: Vec::new(), back: vain.clone(), punch: vain.clone(), relay: vain };
        let expected = "it has no address that could be dialed, does not call back, no way through both firewalls, \
                        the relay failed";
        assert_eq!(why.to_string(), expected);
        let alone = Some(NoCall::NoTracker);
        let addrs = (1..6).map(refused).collect();
        let why = Unreached { addrs, back: alone.clone(), punch: alone.clone(), relay: alone };
        let told = why.to_string();
        assert!(told.contains("192.0.2.3:18000 refused the connection, 2 more of its addresses neither"), "{told}");
        assert!(told.ends_with(", cannot be called (no tracker)"), "{told}");
    }
}
