//! The options of a bench.

/// The options of a bench, given as `name=value` on its command line.
pub(crate) struct Options(Vec<(String, String)>);

impl Options {
    /// Reads the arguments. An unknown name ends the program with a line that lists the known ones.
    pub(crate) fn read(args: &[String], known: &[&str]) -> Self {
        let mut options = Vec::new();
        for arg in args {
            match arg.split_once('=') {
                Some((name, value)) if known.contains(&name) => options.push((name.to_owned(), value.to_owned())),
                _ => {
                    let known: Vec<_> = known.iter().map(|name| format!("{name}=VALUE")).collect();
                    eprintln!("Not understood: {arg}. Options: {}", known.join(" "));
                    std::process::exit(2);
                }
            }
        }
        Self(options)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rfind(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A number.
    pub(crate) fn number(&self, name: &str, default: usize) -> usize {
        self.get(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
    }

    /// A size in bytes, given in MiB.
    pub(crate) fn mib(&self, name: &str, default: u64) -> u64 {
        (self.number(name, default as usize) as u64) << 20
    }

    /// Words separated by commas.
    pub(crate) fn words(&self, name: &str, default: &str) -> Vec<String> {
        self.get(name).unwrap_or(default).split(',').map(str::to_owned).collect()
    }
}
