//! A version vector in as many messages as needed: a full list continues in the next message.

use crate::model::id::Seen;
use crate::tracker::state::State;
use crate::wire::codec::List;
use crate::wire::refusal::{Code, Refusal};
use crate::wire::tracker_tracker::{LinkMessage, ORIGINS_MAX, SEEN_MAX};
use std::io;

/// The part of a version vector in one message.
pub(super) type SeenPart = List<Seen, ORIGINS_MAX>;

/// Sends the version vector of a state: `first` makes the first message from the first part. Returns the number of
/// messages.
pub(super) fn say(
    state: &State,
    first: impl FnOnce(SeenPart) -> LinkMessage,
    mut send: impl FnMut(&LinkMessage) -> io::Result<()>,
) -> io::Result<u32> {
    let (first_part, others) = parts(state.version().map(|(origin, seq)| Seen { origin, seq }).collect());
    send(&first(first_part))?;
    let mut count = 1;
    for seen in others {
        send(&LinkMessage::SeenMore { seen })?;
        count += 1;
    }
    Ok(count)
}

/// The first part, and an iterator over all others. Only the last part is not full.
fn parts(seen: Vec<Seen>) -> (SeenPart, impl Iterator<Item = SeenPart>) {
    // One more than the number of full parts: the last part ends the list, even if it is empty.
    let count = seen.len() / ORIGINS_MAX + 1;
    let part = move |number: usize| {
        List::first_of(seen.iter().skip(number * ORIGINS_MAX).take(ORIGINS_MAX).copied().collect())
    };
    (part(0), (1..count).map(part))
}

/// A version vector on its way in.
#[derive(Debug, Default)]
pub(super) struct GatheredSeen(Vec<Seen>);

impl GatheredSeen {
    /// Adds the next part. Returns the whole vector after the last one.
    ///
    /// # Errors
    /// `TooLarge` beyond [`SEEN_MAX`].
    pub(super) fn add(&mut self, part: SeenPart) -> Result<Option<Vec<Seen>>, Refusal> {
        let is_last = part.len() < ORIGINS_MAX;
        if self.0.len() + part.len() > SEEN_MAX {
            return Err(Refusal::about(Code::TooLarge, format_args!("changes of more than {SEEN_MAX} origins")));
        }
        self.0.extend(part.into_vec());
        Ok(is_last.then(|| std::mem::take(&mut self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Origin;

    fn seen(count: usize) -> Vec<Seen> {
        let origin = |incarnation| Origin { tracker: 1, incarnation };
        (0..count).map(|n| Seen { origin: origin(n as u64), seq: 7 }).collect()
    }

    #[test]
    fn a_vector_of_any_length_comes_in_as_it_went_out() {
        let full = ORIGINS_MAX;
        for (count, in_parts) in
            [(0, 1), (1, 1), (full - 1, 1), (full, 2), (full + 1, 2), (2 * full, 3), (SEEN_MAX, 65)]
        {
            let (first, others) = parts(seen(count));
            let all: Vec<SeenPart> = std::iter::once(first).chain(others).collect();
            assert_eq!(all.len(), in_parts, "{count}");
            let mut gathered = GatheredSeen::default();
            let mut whole = all.into_iter().map(|part| gathered.add(part).expect("not too many"));
            assert!(whole.by_ref().take(in_parts - 1).all(|whole| whole.is_none()), "{count}");
            assert_eq!(whole.next(), Some(Some(seen(count))), "{count}");
        }
    }

    #[test]
    fn a_vector_without_end_is_refused() {
        let mut gathered = GatheredSeen::default();
        let refused = (0..).find_map(|_| gathered.add(parts(seen(ORIGINS_MAX)).0).err()).expect("there is an end");
        assert_eq!(refused.to_string(), "The message is too large: changes of more than 1048576 origins");
        assert_eq!(gathered.0.len(), SEEN_MAX);
    }
}
