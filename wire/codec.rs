//! Values to bytes and back. Integers are big-endian. Texts and lists carry their length, and the codec checks it
//! against the cap before it allocates anything. This room has no socket and no state.

mod decoder;

use crate::model::digest::{Fingerprint, InfoHash, KeyId, Sha1Digest};
use crate::model::id::{
    ClientId, CommandId, GroupRef, OpId, OpOrder, Origin, PeerKey, RelayTicket, Seen, SessionId, ShareRef, UserRef,
};
use crate::model::manifest::Content;
use crate::model::name::pattern::{NamePattern, PATTERN_LEN_MAX};
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::path::{PATH_LEN_MAX, RelPath};
use crate::model::piece::Layout;
use crate::model::piece::block::BlockLen;
use byteorder::{BigEndian, ByteOrder, WriteBytesExt};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

pub use decoder::{DecodeError, Decoder};

/// A value with one canonical form in bytes.
pub trait Wire: Sized {
    fn put(&self, out: &mut Vec<u8>);
    /// Takes the value from the front.
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError>;
}

pub fn to_bytes<T: Wire>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    value.put(&mut out);
    out
}

/// The value that exactly these bytes encode.
pub fn from_bytes<T: Wire>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut from = Decoder::new(bytes);
    let value = T::take(&mut from)?;
    from.finish()?;
    Ok(value)
}

const INFALLIBLE: &str = "writing to memory does not fail";

impl Wire for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.write_u8(*self).expect(INFALLIBLE);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(from.bytes(1)?[0])
    }
}

macro_rules! integer {
    ($type:ty, $write:ident, $read:ident) => {
        impl Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                out.$write::<BigEndian>(*self).expect(INFALLIBLE);
            }
            fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                Ok(BigEndian::$read(from.bytes(size_of::<$type>())?))
            }
        }
    };
}

integer!(u16, write_u16, read_u16);
integer!(u32, write_u32, read_u32);
integer!(u64, write_u64, read_u64);
integer!(i64, write_i64, read_i64);

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Value("a flag")),
        }
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        if bool::take(from)? { Ok(Some(T::take(from)?)) } else { Ok(None) }
    }
}

impl<T: Wire> Wire for Arc<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        T::take(from).map(Arc::new)
    }
}

impl<const N: usize> Wire for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        from.bytes(N)?.try_into().map_err(|_| DecodeError::Truncated)
    }
}

/// Implements [`Wire`] for a struct as its fields one after the other.
macro_rules! wire_struct {
    ($type:ident { $($field:tt),* $(,)? }) => {
        impl $crate::wire::codec::Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                $($crate::wire::codec::Wire::put(&self.$field, out);)*
            }
            fn take(
                from: &mut $crate::wire::codec::Decoder<'_>,
            ) -> Result<Self, $crate::wire::codec::DecodeError> {
                Ok($type { $($field: $crate::wire::codec::Wire::take(from)?,)* })
            }
        }
    };
}
pub(crate) use wire_struct;

wire_struct!(Sha1Digest { 0 });
wire_struct!(InfoHash { 0 });
wire_struct!(KeyId { 0 });
wire_struct!(Fingerprint { 0 });
wire_struct!(CommandId { 0 });
wire_struct!(ClientId { 0 });
wire_struct!(SessionId { 0 });
wire_struct!(RelayTicket { 0 });
wire_struct!(PeerKey { 0 });
wire_struct!(Origin { tracker, incarnation });
wire_struct!(OpId { origin, seq });
wire_struct!(OpOrder { lamport, origin });
wire_struct!(Seen { origin, seq });
wire_struct!(UserRef { 0 });
wire_struct!(GroupRef { 0 });
wire_struct!(ShareRef { 0 });
wire_struct!(Content { layout, sha1, info_hash, file_count });

impl Wire for BlockLen {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.exponent());
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        BlockLen::from_exponent(u8::take(from)?).ok_or(DecodeError::Value("the length of a block"))
    }
}

impl Wire for Layout {
    fn put(&self, out: &mut Vec<u8>) {
        self.size().put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Layout::new(u64::take(from)?).ok_or(DecodeError::Value("a size"))
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    let len = u16::try_from(text.len()).expect("every text type is capped below 64 KiB");
    len.put(out);
    out.extend_from_slice(text.as_bytes());
}

macro_rules! name {
    ($type:ident, $max:expr) => {
        impl Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                put_text(self.as_str(), out);
            }
            fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                $type::parse(from.text($max)?).map_err(DecodeError::Name)
            }
        }
    };
}

name!(UserId, UserId::WIRE_LEN_MAX);
name!(GroupId, GroupId::WIRE_LEN_MAX);
name!(FileName, FileName::WIRE_LEN_MAX);
name!(RelPath, PATH_LEN_MAX);

impl Wire for NamePattern {
    fn put(&self, out: &mut Vec<u8>) {
        put_text(self.as_str(), out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let text = from.text(PATTERN_LEN_MAX)?;
        let pattern = NamePattern::new(text).ok().filter(|pattern| pattern.as_str() == text);
        pattern.ok_or(DecodeError::Value("a pattern"))
    }
}

/// A text of at most `MAX` bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Takes a text that is short enough.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= MAX).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Leaves nothing of it in memory.
    pub fn clear(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

impl<const MAX: usize> Wire for Text<MAX> {
    fn put(&self, out: &mut Vec<u8>) {
        put_text(&self.0, out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self(from.text(MAX)?.to_owned()))
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A list of at most `MAX` values, with a count of four bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    pub const EMPTY: Self = Self(Vec::new());

    /// Takes a list that is short enough.
    pub fn new(values: Vec<T>) -> Option<Self> {
        (values.len() <= MAX).then_some(Self(values))
    }

    /// Takes as many of the values as fit.
    pub fn first_of(mut values: Vec<T>) -> Self {
        values.truncate(MAX);
        Self(values)
    }

    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> std::ops::Deref for List<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Wire, const MAX: usize> Wire for List<T, MAX> {
    fn put(&self, out: &mut Vec<u8>) {
        // The cap of every list is far below 2^32.
        (self.0.len() as u32).put(out);
        self.0.iter().for_each(|value| value.put(out));
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let count = u32::take(from)? as usize;
        let count = from.len(count, MAX)?;
        // A value has at least one byte. So a count that is too high for the bytes allocates room for at most as many
        // values as there are bytes.
        let mut values = Vec::with_capacity(count.min(from.left()));
        for _ in 0..count {
            values.push(T::take(from)?);
        }
        Ok(Self(values))
    }
}

/// Bytes of at most `MAX`, with a length of four bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Blob<MAX> {
    /// Takes bytes that are few enough.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX).then_some(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> Wire for Blob<MAX> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.0.len() as u32).put(out);
        out.extend_from_slice(&self.0);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let len = u32::take(from)? as usize;
        let len = from.len(len, MAX)?;
        Ok(Self(from.bytes(len)?.to_vec()))
    }
}

impl<const MAX: usize> fmt::Debug for Blob<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

/// The rest of a frame as raw data. The codec leaves it in place and takes only its length. It is always the last
/// field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// Length in bytes.
    pub len: u32,
}

impl Wire for Payload {
    /// Puts nothing: the sender of the message appends the data.
    fn put(&self, _out: &mut Vec<u8>) {}
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let len = from.skip_all();
        Ok(Self { len: u32::try_from(len).map_err(|_| DecodeError::OverCap { len, max: u32::MAX as usize })? })
    }
}

impl Wire for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            IpAddr::V4(ip) => {
                4u8.put(out);
                ip.octets().put(out);
            }
            IpAddr::V6(ip) => {
                6u8.put(out);
                ip.octets().put(out);
            }
        }
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match u8::take(from)? {
            4 => Ok(Ipv4Addr::from(<[u8; 4]>::take(from)?).into()),
            6 => Ok(Ipv6Addr::from(<[u8; 16]>::take(from)?).into()),
            _ => Err(DecodeError::Value("an address family")),
        }
    }
}

impl Wire for SocketAddr {
    fn put(&self, out: &mut Vec<u8>) {
        self.ip().put(out);
        self.port().put(out);
    }
    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(SocketAddr::new(IpAddr::take(from)?, u16::take(from)?))
    }
}

/// Defines an enum whose variants have a number and then their fields. The messages of a dialect use it, with the
/// number in the frame header, and so do ops, notices and the like.
macro_rules! wire_enum {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[$variant_doc:meta])* $number:literal $variant:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant { $($(#[$field_doc])* $field: $type),* },)*
        }

        $crate::wire::codec::wire_variants!($name { $($number $variant { $($field),* })* });

        impl $name {
            /// The number, name and fields (name and type) of every variant. A test compares them with
            /// docs/PROTOCOL.md.
            pub const KINDS: &'static [(u8, &'static str, &'static [(&'static str, &'static str)])] = &[
                $(($number, stringify!($variant), &[$((stringify!($field), stringify!($type))),*]),)*
            ];
        }
    };
}
pub(crate) use wire_enum;

/// The number and the fields of every variant of an enum that exists already.
macro_rules! wire_variants {
    ($name:ident { $($number:literal $variant:ident { $($field:ident),* $(,)? })* }) => {
        impl $name {
            pub fn kind(&self) -> u8 {
                match self {
                    $($name::$variant { .. } => $number,)*
                }
            }

            /// Appends the fields of the variant.
            pub fn put_fields(&self, out: &mut Vec<u8>) {
                let _ = &out;
                match self {
                    $($name::$variant { $($field),* } => {
                        $($crate::wire::codec::Wire::put($field, out);)*
                    })*
                }
            }

            /// Takes the fields of the variant with this number.
            pub fn take_fields(
                kind: u8,
                from: &mut $crate::wire::codec::Decoder<'_>,
            ) -> Result<Self, $crate::wire::codec::DecodeError> {
                let _ = &from;
                match kind {
                    $($number => Ok($name::$variant { $($field: $crate::wire::codec::Wire::take(from)?),* }),)*
                    _ => Err($crate::wire::codec::DecodeError::UnknownKind(kind)),
                }
            }
        }

        impl $crate::wire::codec::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $crate::wire::codec::Wire::put(&self.kind(), out);
                self.put_fields(out);
            }
            fn take(
                from: &mut $crate::wire::codec::Decoder<'_>,
            ) -> Result<Self, $crate::wire::codec::DecodeError> {
                let kind = <u8 as $crate::wire::codec::Wire>::take(from)?;
                Self::take_fields(kind, from)
            }
        }
    };
}
pub(crate) use wire_variants;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_over_the_cap_is_refused_before_anything_is_allocated() {
        let claim = [0xff, 0xff, 0xff, 0xff];
        assert_eq!(from_bytes::<List<u64, 10>>(&claim), Err(DecodeError::OverCap { len: 0xffff_ffff, max: 10 }));
        assert_eq!(from_bytes::<Blob<10>>(&claim), Err(DecodeError::OverCap { len: 0xffff_ffff, max: 10 }));
        assert_eq!(from_bytes::<Text<10>>(&[0, 11]), Err(DecodeError::OverCap { len: 11, max: 10 }));
        assert_eq!(from_bytes::<List<u8, 10>>(&[0, 0, 0, 11]), Err(DecodeError::OverCap { len: 11, max: 10 }));
        assert_eq!(from_bytes::<List<u8, 10>>(&[0, 0, 0, 10]), Err(DecodeError::Truncated));
    }

    #[test]
    fn addresses_of_both_families_round_trip() {
        for text in ["127.0.0.1:80", "[::1]:65535", "[2001:db8::1]:1"] {
            let addr: SocketAddr = text.parse().expect("an address");
            assert_eq!(from_bytes::<SocketAddr>(&to_bytes(&addr)), Ok(addr));
        }
        assert_eq!(from_bytes::<IpAddr>(&[5, 0, 0, 0, 0]), Err(DecodeError::Value("an address family")));
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        assert_eq!(from_bytes::<bool>(&[2]), Err(DecodeError::Value("a flag")));
        assert_eq!(from_bytes::<Layout>(&u64::MAX.to_be_bytes()), Err(DecodeError::Value("a size")));
        assert_eq!(from_bytes::<UserId>(&[0, 1, 0xff]), Err(DecodeError::Utf8));
        assert_eq!(from_bytes::<u8>(&[1, 2, 3]), Err(DecodeError::Trailing(2)));
    }
}
