//! The state as bytes, in one canonical form: what trackers compare, and what a base state and a checkpoint keep.
//!
//! Only the tables that hold facts are written, each as a count of eight bytes and its rows in the order of their keys
//! or numbers; what else there is (names, owners, who is where, what each op made) follows from them. Where a table has
//! holes, each row has its number with it.

mod decode;
mod encode;

/// The version of the form.
const VERSION: u16 = 11;
