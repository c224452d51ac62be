//! Bytes in stretches: the data of a long frame, which stays where its records were decrypted.

/// How stretches lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StretchLayout {
    /// The distance from the beginning of one place to the next.
    pub place_len: usize,
    /// Bytes of a place in front of its stretch.
    pub before: usize,
    /// Bytes of a place behind its stretch.
    pub behind: usize,
}

/// Bytes in one or more stretches.
#[derive(Debug, Clone, Copy)]
pub struct Stretches<'a> {
    first: &'a [u8],
    /// The places of the other stretches, and their layout.
    rest: Option<(&'a [u8], StretchLayout)>,
}

impl<'a> From<&'a [u8]> for Stretches<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self { first: bytes, rest: None }
    }
}

impl<'a> Stretches<'a> {
    /// A first stretch, and the places of the others.
    pub fn new(first: &'a [u8], places: &'a [u8], layout: StretchLayout) -> Self {
        Self { first, rest: Some((places, layout)) }
    }

    /// The bytes behind the first `len`. Those must lie in the first stretch.
    #[must_use]
    pub fn after(self, len: usize) -> Self {
        Self { first: &self.first[len..], ..self }
    }

    /// The stretches, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let others = self.rest.into_iter().flat_map(|(places, layout)| {
            places.chunks(layout.place_len).map(move |place| &place[layout.before..place.len() - layout.behind])
        });
        std::iter::once(self.first).chain(others)
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.iter().map(<[u8]>::len).sum()
    }

    /// The bytes of all stretches.
    pub fn to_vec(&self) -> Vec<u8> {
        self.iter().collect::<Vec<_>>().concat()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_all_places_come_one_after_the_other() {
        let layout = StretchLayout { place_len: 5, before: 2, behind: 1 };
        let stretches = Stretches::new(b"head:ab", b"..cd#..ef#..g#", layout);
        assert_eq!((stretches.len(), stretches.after(5).len()), (12, 7));
        assert_eq!(stretches.after(5).iter().collect::<Vec<_>>(), [&b"ab"[..], b"cd", b"ef", b"g"]);
        assert_eq!(Stretches::from(&b"one"[..]).iter().collect::<Vec<_>>(), [b"one"]);
        assert!(Stretches::from(&b""[..]).is_empty());
    }
}
