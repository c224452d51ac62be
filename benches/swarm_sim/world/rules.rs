//! What the product does, and what it might do instead.

/// Alternative rules to try. The defaults are the rules of the product.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Rules {
    /// A taker that was refused a piece on its way asks again when the piece should have arrived, and not at the next
    /// tick.
    pub(crate) promise: bool,
}

impl Rules {
    pub(crate) fn parse(words: &[String]) -> Self {
        let mut rules = Self::default();
        for word in words {
            match word.as_str() {
                "product" => {}
                "promise" => rules.promise = true,
                other => panic!("{other} is no rule"),
            }
        }
        rules
    }
}
