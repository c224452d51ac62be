//! Medians, and the tables that show them.

use std::fmt::Write;
use std::time::Duration;

/// The median. For an even number of values, the lower of the middle two.
pub(crate) fn median<T: PartialOrd + Copy>(values: impl IntoIterator<Item = T>) -> T {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    values[(values.len() - 1) / 2]
}

/// The median of times, in seconds.
pub(crate) fn median_s(times: impl IntoIterator<Item = Duration>) -> f64 {
    median(times).as_secs_f64()
}

/// Lines of columns. The first column is aligned left, and the others right.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with its headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self(vec![headings.iter().map(|&heading| heading.to_owned()).collect()])
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }

    /// Prints it as Markdown.
    pub(crate) fn print(&self) {
        let count = self.0[0].len();
        let width =
            |column: usize| self.0.iter().map(|line| line[column].chars().count()).max().expect("the headings").max(2);
        for (number, line) in self.0.iter().enumerate() {
            let mut out = String::new();
            for (column, cell) in line.iter().enumerate() {
                let width = width(column);
                let _ = if column == 0 { write!(out, "| {cell:<width$} ") } else { write!(out, "| {cell:>width$} ") };
            }
            println!("{out}|");
            if number == 0 {
                let rules = (0..count).map(|column| match column {
                    0 => format!("|{}", "-".repeat(width(0) + 2)),
                    _ => format!("|{}:", "-".repeat(width(column) + 1)),
                });
                println!("{}|", rules.collect::<String>());
            }
        }
    }
}
