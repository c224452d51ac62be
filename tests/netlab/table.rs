//! The result of each pair, as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::kinds::KINDS;

/// How a file arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// `direct`, `called`, `punched` or `relayed`.
    pub way: String,
    pub after: Duration,
}

/// The rows are givers, and the columns are takers. Kinds are numbered by their places in `KINDS`.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub title: &'static str,
    pub cells: BTreeMap<(usize, usize), Option<Arrival>>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9}", self.title)?;
        KINDS.iter().try_for_each(|taker| write!(f, "{:>9}", taker.name))?;
        for (giver, kind) in KINDS.iter().enumerate() {
            write!(f, "\n{:9}", kind.name)?;
            for taker in 0..KINDS.len() {
                let cell = match self.cells.get(&(giver, taker)) {
                    None => String::new(),
                    Some(None) => "-".to_owned(),
                    Some(Some(Arrival { way, after })) => {
                        let letter = way.chars().next().unwrap_or('?').to_ascii_uppercase();
                        format!("{letter} {:.1}", after.as_secs_f64())
                    }
                };
                write!(f, "{cell:>9}")?;
            }
        }
        writeln!(f)
    }
}

/// The legend of the tables, with the rules of every firewall and NAT.
pub(crate) fn legend() -> String {
    let mut out = "\
Rows give, columns take. D direct, C called back, P punched, R relayed, - not within 8 s;
the seconds from the command until the file of three pieces is there and verified.
"
    .to_owned();
    for kind in &KINDS {
        out += &format!("\n{:9} {}\n", kind.name, kind.what);
        for chain in kind.wall.rules() {
            let rules: Vec<&str> = chain.into_iter().filter(|rule| !rule.is_empty()).collect();
            out += &format!("          {}\n", rules.join("; "));
        }
    }
    out
}
