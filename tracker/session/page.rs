//! Pages of lists. A request for one entry more than fits shows whether there is another page.

use crate::wire::client_tracker::PAGE_MAX;
use crate::wire::codec::List;

/// How many entries to ask for.
pub(super) const PAGE_AND_ONE: usize = PAGE_MAX + 1;

/// A page of rows, and whether there is another page.
pub(super) fn page<T>(rows: Vec<T>) -> (List<T, PAGE_MAX>, bool) {
    let more = rows.len() > PAGE_MAX;
    (List::first_of(rows), more)
}
