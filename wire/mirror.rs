//! How a client learns from which address its tracker sees a connection come. The client sends the preface. The tracker
//! answers with the address and a token. By the token the tracker later knows that it has seen this address.
//!
//! The bytes of the answer are inverted, since some NATs rewrite addresses that they find in the data.

use super::codec::{Decoder, Wire, wire_struct};
use super::handshake::{Dialect, HandshakeError, preface};
use super::refusal::Code;
use std::io::{self, Read};
use std::net::{Ipv6Addr, SocketAddr};

/// The first byte of the answer. A refusal in the clear begins with 0.
const SEEN: u8 = 1;
/// An IP in its IPv6 form, a port and the token.
type Inverted = [u8; 18 + size_of::<AddressToken>()];
/// A tracker gives this token to a client that connects from an address. Without the cluster key nobody can make one.
pub type AddressToken = [u8; 40];

/// An address at which a tracker has seen a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mirrored {
    pub addr: SocketAddr,
    pub token: AddressToken,
}
wire_struct!(Mirrored { addr, token });

/// What a client sends to learn from where its connection comes.
pub fn mirror_greeting() -> Vec<u8> {
    preface(Dialect::Mirror, None)
}

/// What the tracker answers.
pub fn mirror_answer(seen: Mirrored) -> Vec<u8> {
    let ip = match seen.addr {
        SocketAddr::V4(addr) => addr.ip().to_ipv6_mapped(),
        SocketAddr::V6(addr) => *addr.ip(),
    };
    let said = ip.octets().into_iter().chain(seen.addr.port().to_be_bytes()).chain(seen.token);
    [SEEN].into_iter().chain(said.map(|byte| !byte)).collect()
}

/// Takes the next bytes of the answer, behind those `heard` before. Returns the address once it is complete.
pub fn take_mirrored(stream: &mut impl Read, heard: &mut Vec<u8>) -> Result<Option<Mirrored>, HandshakeError> {
    let mut bytes = [0; 1 + size_of::<Inverted>()];
    let left = bytes.len().saturating_sub(heard.len());
    match stream.read(&mut bytes[..left]) {
        Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        Ok(read) => heard.extend(&bytes[..read]),
        Err(error) if [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock].contains(&error.kind()) => {}
        Err(error) => return Err(error.into()),
    }
    match heard[..] {
        [] | [0] | [0, 0] | [0, 0, _] => Ok(None),
        [0, 0, high, low] => Err(HandshakeError::Refused(Code::from_number(u16::from_be_bytes([high, low])))),
        [SEEN, ref said @ ..] => {
            let Ok(said) = Inverted::try_from(said) else {
                return Ok(None);
            };
            let said = said.map(|byte| !byte);
            let mut said = Decoder::new(&said);
            let malformed = |_| HandshakeError::NotOurs;
            let ip = <[u8; 16]>::take(&mut said).map_err(malformed)?;
            let port = u16::take(&mut said).map_err(malformed)?;
            let token = AddressToken::take(&mut said).map_err(malformed)?;
            Ok(Some(Mirrored { addr: SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), port), token }))
        }
        _ => Err(HandshakeError::NotOurs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::handshake::refusal_in_clear;

    fn mirrored(addr: &str) -> Mirrored {
        Mirrored { addr: addr.parse().expect("an address"), token: [7; 40] }
    }

    /// The client's result if the tracker sends this, `at_once` bytes at a time.
    fn heard(mut says: &[u8], at_once: u64) -> Result<Option<Mirrored>, HandshakeError> {
        let mut heard = Vec::new();
        loop {
            let taken = take_mirrored(&mut (&mut says).take(at_once), &mut heard);
            if !matches!(taken, Ok(None)) {
                return taken;
            }
        }
    }

    #[test]
    fn the_address_that_a_tracker_sees_comes_back_in_whatever_parts() {
        assert_eq!(mirror_greeting(), b"GRPSHARE\x00\x04\x07");
        for addr in ["192.0.2.7:40000", "[2001:db8::2]:1"] {
            let seen = mirrored(addr);
            let mut says = mirror_answer(seen);
            says.extend([7; 9]);
            for at_once in [1, 5, 59, 68] {
                assert_eq!(heard(&says, at_once).expect("whole"), Some(seen));
            }
        }
        let told = [&[1][..], &[0xff; 10], &[0, 0, 63, 255, 253, 248, 99, 191], &[0xf8; 40]].concat();
        assert_eq!(mirror_answer(mirrored("192.0.2.7:40000")), told);
    }

    #[test]
    fn a_refusal_and_what_is_none_are_told_apart() {
        let refused = heard(&refusal_in_clear(Code::Busy), 1);
        assert!(matches!(refused, Err(HandshakeError::Refused(Some(Code::Busy)))), "{refused:?}");
        for says in [&[2][..], &[0, 1, 0, 87], &[1, 0], &[]] {
            let error = heard(says, 1);
            assert!(matches!(error, Err(HandshakeError::NotOurs | HandshakeError::Io(_))), "{error:?}");
        }
    }
}
