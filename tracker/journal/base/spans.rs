//! How high the ops in each segment reach, so that a floor can remove segments. Pure.

/// One segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSpan {
    pub first_seq: u64,
    /// No op in it has a higher Lamport counter.
    pub highest: u64,
}

/// The segments of a journal, in order. The last one is written to.
#[derive(Debug, Default)]
pub(crate) struct Spans(Vec<SegmentSpan>);

impl Spans {
    pub(crate) fn new(spans: Vec<SegmentSpan>) -> Self {
        Self(spans)
    }

    /// A segment begins. Replaces a segment at the same place.
    pub(crate) fn begin(&mut self, first_seq: u64) {
        self.0.retain(|span| span.first_seq < first_seq);
        self.0.push(SegmentSpan { first_seq, highest: 0 });
    }

    /// The writer appends ops to the last segment.
    pub(crate) fn raise(&mut self, highest: u64) {
        if let Some(last) = self.0.last_mut() {
            last.highest = last.highest.max(highest);
        }
    }

    /// The segments from the first one on that may have an op above a floor. If none has, the last segment. A start on
    /// top of that floor begins in them.
    pub(crate) fn above(&self, floor: u64) -> Vec<u64> {
        let first = self.0.iter().position(|span| span.highest > floor).unwrap_or(self.0.len().saturating_sub(1));
        self.0[first..].iter().map(|span| span.first_seq).collect()
    }

    /// The segments that lie wholly at or below a record, without the last segment.
    pub(crate) fn behind(&self, seq: u64) -> Vec<u64> {
        let but_last = &self.0[..self.0.len().saturating_sub(1)];
        but_last.iter().map(|span| span.first_seq).filter(|&first| first <= seq).collect()
    }

    /// A segment was removed.
    pub(crate) fn forget(&mut self, first_seq: u64) {
        self.0.retain(|span| span.first_seq != first_seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_begins_with_the_first_segment_that_has_an_op_above_the_floor() {
        let mut spans = Spans::default();
        assert!(spans.above(0).is_empty());
        for (first, highest) in [(1, 9), (5, 20), (9, 12)] {
            spans.begin(first);
            spans.raise(highest);
        }
        let above = [0, 9, 12, 20, 99].map(|floor| spans.above(floor));
        assert_eq!(above, [vec![1, 5, 9], vec![5, 9], vec![5, 9], vec![9], vec![9]]);
        assert_eq!([0, 4, 8, 99].map(|seq| spans.behind(seq).len()), [0, 1, 2, 2]);
        spans.forget(1);
        assert_eq!(spans.above(0), [5, 9]);
        // A segment that was begun and got no record begins anew.
        spans.begin(9);
        assert_eq!(spans.above(20), [9]);
    }
}
