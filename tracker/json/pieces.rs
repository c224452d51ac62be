//! The pieces of a share in JSON: their digests in order, and the holders of each.

use crate::model::digest::Sha1Digest;
use crate::model::piece::Layout;
use crate::tracker::presence::Held;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

/// The most addresses in one answer, for all pieces together.
const ADDRESSES_MAX: usize = 1024 * 1024;

/// The digests of a share's pieces.
#[derive(Debug)]
pub(super) struct Pieces(pub(super) Arc<[Sha1Digest]>);

impl Serialize for Pieces {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(AsText))
    }
}

/// The holders of each piece, by its digest. Pieces of the same content count as one: a client that holds one of them
/// holds all.
#[derive(Debug)]
pub(super) struct ByPiece {
    pub(super) pieces: Arc<[Sha1Digest]>,
    pub(super) layout: Layout,
    pub(super) holders: Vec<Held>,
}

impl ByPiece {
    /// The most addresses for one piece.
    fn addresses_max(&self) -> usize {
        ADDRESSES_MAX / self.pieces.len().max(1)
    }

    /// The numbers of the pieces, with those of the same content together.
    fn groups(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.layout.count()).collect();
        order.sort_unstable_by_key(|&piece| (self.pieces[piece as usize], piece));
        order
    }

    /// The addresses of the clients that hold one of these pieces. If there are too many, each piece gets different
    /// ones.
    fn addresses<'a>(&'a self, same: &'a [u32]) -> Vec<Address> {
        let holds = move |holder: &&Held| {
            let mut indexes = same.iter().filter_map(|&piece| self.layout.index(piece));
            holder.pieces.as_ref().is_none_or(|pieces| indexes.any(|piece| pieces.has(piece)))
        };
        let first = same.first().map_or(0, |&piece| piece as usize % self.holders.len().max(1));
        let (before, behind) = self.holders.split_at(first);
        let holders = behind.iter().chain(before).filter(holds).take(self.addresses_max());
        holders.map(|holder| Address(holder.addr)).collect()
    }
}

impl Serialize for ByPiece {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let order = self.groups();
        let mut map = to.serialize_map(None)?;
        for same in order.chunk_by(|&a, &b| self.pieces[a as usize] == self.pieces[b as usize]) {
            map.serialize_entry(&AsText(self.pieces[same[0] as usize]), &self.addresses(same))?;
        }
        map.end()
    }
}

/// Serialized as its text.
struct AsText<T>(T);

impl<T: Display> Serialize for AsText<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

/// Written as `["ip","port"]`.
struct Address(SocketAddr);

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (AsText(self.0.ip()), AsText(self.0.port())).serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::piece::PIECE_LEN;
    use crate::model::piece_set::PieceSet;

    fn digest(n: u8) -> Sha1Digest {
        Sha1Digest([n; 20])
    }

    fn holder(port: u16, layout: Layout, pieces: Option<&[u32]>) -> Held {
        let set = |pieces: &[u32]| {
            let mut set = PieceSet::none(layout);
            let pieces: Vec<_> = pieces.iter().filter_map(|&piece| layout.index(piece)).collect();
            set.insert(layout, &pieces);
            Arc::new(set)
        };
        Held { addr: ([127, 0, 0, 1], port).into(), pieces: pieces.map(set) }
    }

    fn by_piece(digests: &[u8], holders: &[(u16, Option<&[u32]>)]) -> ByPiece {
        let layout = Layout::new(digests.len() as u64 * u64::from(PIECE_LEN)).expect("small");
        let holders = holders.iter().map(|&(port, pieces)| holder(port, layout, pieces)).collect();
        ByPiece { pieces: digests.iter().map(|&n| digest(n)).collect(), layout, holders }
    }

    fn json(what: &impl Serialize) -> String {
        serde_json::to_string(what).expect("it can be written")
    }

    #[test]
    fn each_piece_has_its_holders_and_pieces_of_the_same_content_have_them_together() {
        let told = by_piece(&[7, 9, 7], &[(1, None), (2, Some(&[1])), (3, Some(&[2]))]);
        assert_eq!(
            json(&told),
            format!(
                r#"{{"{}":[["127.0.0.1","1"],["127.0.0.1","3"]],"{}":[["127.0.0.1","2"],["127.0.0.1","1"]]}}"#,
                digest(7),
                digest(9)
            )
        );
        assert_eq!(json(&Pieces(told.pieces)), format!(r#"["{0}","{1}","{0}"]"#, digest(7), digest(9)));
        assert_eq!(json(&by_piece(&[], &[(1, None)])), "{}");
        assert_eq!(json(&by_piece(&[7], &[])), format!(r#"{{"{}":[]}}"#, digest(7)));
    }

    #[test]
    fn the_answer_stays_bounded_for_a_large_file_with_many_holders() {
        let pieces: Arc<[Sha1Digest]> = (0..131_072u32)
            .map(|n| {
                let mut digest = [0; 20];
                digest[..4].copy_from_slice(&n.to_be_bytes());
                Sha1Digest(digest)
            })
            .collect();
        let layout = Layout::new(pieces.len() as u64 * u64::from(PIECE_LEN)).expect("within the limit");
        let holders: Vec<_> = (1..=512).map(|port| holder(port, layout, None)).collect();
        let told = ByPiece { pieces, layout, holders };
        let ports = |piece: u32| told.addresses(&[piece]).iter().map(|address| address.0.port()).collect::<Vec<_>>();
        assert_eq!(ports(0), (1..=8).collect::<Vec<_>>());
        assert_eq!(ports(511), [512, 1, 2, 3, 4, 5, 6, 7]);
        assert!(json(&told).len() < 50 * 1024 * 1024);
    }
}
