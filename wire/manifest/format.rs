//! The first bytes of a manifest, the caps on its parts, and the values in it.

use crate::model::manifest::{FileAttributes, FileEntry, FileTime};
use crate::model::path::PATH_LEN_MAX;
use crate::wire::codec::{DecodeError, Decoder, Wire, wire_struct};

/// First bytes of an encoded manifest: what it is, and the version of the encoding.
pub(super) const MAGIC: [u8; 8] = *b"GSMANIF\x02";
/// The first bytes that older versions of the program wrote. Their info hashes differ from those of this version.
pub(super) const OLDER_MAGIC: [u8; 8] = *b"GSMANIF\x01";
/// Longest encoding in bytes. A folder of 2^20 files has room for paths of about 80 bytes on average.
pub const MANIFEST_LEN_MAX: usize = 128 * 1024 * 1024;
/// Most bytes of all sections of a manifest together, if the hashed part is short.
pub const SECTIONS_LEN_MAX: usize = 4096;
/// Most bytes of sections for each byte of the hashed part. Digests of blocks of 16 KiB, for which kind 2 is reserved,
/// would take half of that.
pub const SECTIONS_RATIO_MAX: usize = 64;
/// The kind of the section with the attributes of the files.
pub(super) const ATTRIBUTES: u8 = 1;
/// Length of the attributes of one file.
pub(super) const ATTRIBUTES_LEN: usize = 13;

wire_struct!(FileEntry { path, len });

impl Wire for FileAttributes {
    fn put(&self, out: &mut Vec<u8>) {
        self.executable.put(out);
        self.modified.seconds.put(out);
        self.modified.nanoseconds().put(out);
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let executable = bool::take(from)?;
        let modified = FileTime::new(i64::take(from)?, u32::take(from)?);
        Ok(Self { executable, modified: modified.ok_or(DecodeError::Value("the time of a file"))? })
    }
}

/// Takes the magic and the length of the hashed part.
pub(super) fn take_head(from: &mut Decoder<'_>) -> Result<usize, DecodeError> {
    match <[u8; 8]>::take(from)? {
        MAGIC => {}
        OLDER_MAGIC => return Err(DecodeError::OlderManifest),
        _ => return Err(DecodeError::Value("the version of a manifest")),
    }
    Ok(u32::take(from)? as usize)
}

const _: () = assert!(PATH_LEN_MAX <= u16::MAX as usize);
