//! How the members of a swarm divide the pieces of a scarce peer. Pure.

/// This member's part of the pieces: those whose number modulo `of` is `rank`.
#[derive(Debug)]
pub(crate) struct Partition {
    /// This member's place among the members, from 0 on.
    pub rank: u32,
    /// The number of members, with this one.
    pub of: u32,
}

impl Partition {
    /// Reduces equal pieces, in order, to those of the own part in the first quarter of a window. The quarter keeps
    /// members that do not know each other from choosing the same pieces. The rest of the window lets a member get
    /// ahead of others. Returns false and keeps all pieces if none is of the own part.
    pub(crate) fn narrow(&self, equals: &mut Vec<u32>, window: u32) -> bool {
        let own = |number: u32| number % self.of == self.rank;
        if self.of == 1 {
            return true;
        }
        let first = equals.iter().copied().find(|&number| own(number));
        if let Some(first) = first {
            let end = first.saturating_add(window.div_ceil(4).max(self.of));
            equals.retain(|&number| own(number) && number < end);
        }
        first.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equals_those_of_the_own_share_near_its_first_are_left() {
        let narrow = |rank, of, equals: &[u32]| {
            let mut equals = equals.to_vec();
            let own = Partition { rank, of }.narrow(&mut equals, 16);
            (own, equals)
        };
        assert_eq!(narrow(0, 1, &[3, 90]), (true, vec![3, 90]));
        assert_eq!(narrow(1, 2, &[2, 3, 4, 5, 6, 7, 9]), (true, vec![3, 5]));
        assert_eq!(narrow(1, 2, &[2, 4]), (false, vec![2, 4]));
    }
}
