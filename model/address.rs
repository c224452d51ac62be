//! Network addresses as people write them. Addresses are values here; nothing is opened or looked up.

use super::escape::excerpt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::fmt;

/// Most characters of a wrong address that an error repeats.
const SHOWN_MAX: usize = 60;

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressError {
    /// The text, or the part before the port, is not an IP address.
    NotAnIp(String),
    /// The text is an IP address without a port.
    NoPort(String),
    /// The text is not a port number.
    BadPort(String),
}

impl AddressError {
    fn not_an_ip(text: &str) -> Self {
        Self::NotAnIp(excerpt(text, SHOWN_MAX))
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnIp(text) => write!(f, "'{text}' is not an IP address such as 127.0.0.1 or [::1]"),
            Self::NoPort(text) => write!(f, "'{text}' has no port, write it like 127.0.0.1:5000 or [::1]:5000"),
            Self::BadPort(text) => write!(f, "'{text}' is not a port, which is a number up to 65535"),
        }
    }
}

impl std::error::Error for AddressError {}

/// Reads a port number from 0 to 65,535, digits only.
pub(crate) fn parse_port(text: &str) -> Result<u16, AddressError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits => Ok(port),
        _ => Err(AddressError::BadPort(excerpt(text, SHOWN_MAX))),
    }
}

/// Reads an IPv4 or IPv6 address, the latter with or without brackets.
pub(crate) fn parse_ip(text: &str) -> Result<IpAddr, AddressError> {
    let bare = match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::V6),
        None => text.parse::<IpAddr>(),
    };
    bare.map_err(|_| AddressError::not_an_ip(text))
}

/// Reads `IP:PORT`, an IPv6 address in brackets.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, AddressError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if parse_ip(text).is_ok() {
        return Err(AddressError::NoPort(excerpt(text, SHOWN_MAX)));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(AddressError::not_an_ip(text));
    };
    let ip = parse_ip(host)?;
    Ok(SocketAddr::new(ip, parse_port(port)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_are_read() {
        for (text, address) in [
            ("127.0.0.1:18000", "127.0.0.1:18000"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::1]:5000", "[::1]:5000"),
            ("10.0.0.1:0080", "10.0.0.1:80"),
        ] {
            assert_eq!(parse_address(text), Ok(address.parse().expect("an address")), "{text}");
        }
        assert_eq!(parse_ip("[::1]"), parse_ip("::1"));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (text, error) in [
            ("localhost:5000", "'localhost' is not an IP address such as 127.0.0.1 or [::1]"),
            ("127.0.0.1", "'127.0.0.1' has no port, write it like 127.0.0.1:5000 or [::1]:5000"),
            ("::1", "'::1' has no port, write it like 127.0.0.1:5000 or [::1]:5000"),
            ("127.0.0.1:65536", "'65536' is not a port, which is a number up to 65535"),
            ("127.0.0.1:", "'' is not a port, which is a number up to 65535"),
            ("127.0.0.1:+5", "'+5' is not a port, which is a number up to 65535"),
            ("[127.0.0.1]:5", "'[127.0.0.1]' is not an IP address such as 127.0.0.1 or [::1]"),
            ("\u{1b}c", r"'\u{1b}c' is not an IP address such as 127.0.0.1 or [::1]"),
        ] {
            assert_eq!(parse_address(text).expect_err(text).to_string(), error);
        }
    }
}
