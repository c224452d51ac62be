//! Look-ups of host names on other threads, with a deadline.

use crossbeam_channel::{Receiver, bounded, select};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// A look-up that takes longer counts as not found.
pub(crate) const LOOKUP_DEADLINE: Duration = Duration::from_secs(5);
/// Most addresses that a look-up returns.
const ADDRESSES_MAX: usize = 8;

type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;
type Found = io::Result<Vec<SocketAddr>>;

/// Looks up each name on a thread of its own. The system has no call that ends a look-up, so a slow one goes on, and
/// the next question for that name waits for it. So there is at most one thread for each name.
pub(crate) struct Lookups {
    lookup: Arc<Lookup>,
    under_way: HashMap<(String, u16), Receiver<Found>>,
}

impl Lookups {
    /// The system's look-ups: its files and its name service.
    pub(crate) fn new() -> Self {
        Self::with(|host, port| (host, port).to_socket_addrs().map(Iterator::collect))
    }

    fn with(lookup: impl Fn(&str, u16) -> Found + Send + Sync + 'static) -> Self {
        Self { lookup: Arc::new(lookup), under_way: HashMap::new() }
    }

    /// The addresses of a host, at least one and at most eight, in the order in which to try them. The wait also ends
    /// when the senders of `until` are gone.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted` because of `until`; those of the system.
    pub(crate) fn find(&mut self, host: &str, port: u16, within: Duration, until: &Receiver<Infallible>) -> Found {
        let key = (host.to_owned(), port);
        if !self.under_way.contains_key(&key) {
            let (tell, told) = bounded(1);
            let (lookup, host) = (self.lookup.clone(), host.to_owned());
            // This thread has no owner: only the system decides when it ends, so no owner could join it.
            Builder::new().name("lookup".into()).spawn(move || drop(tell.send(lookup(&host, port))))?;
            self.under_way.insert(key.clone(), told);
        }
        let found = select! {
            recv(self.under_way[&key]) -> found => found.unwrap_or_else(|_| Err(io::Error::other("the look-up has failed"))),
            recv(until) -> _ => return Err(io::ErrorKind::Interrupted.into()),
            default(within.min(LOOKUP_DEADLINE)) => return Err(io::ErrorKind::TimedOut.into()),
        };
        self.under_way.remove(&key);
        let mut found = found?;
        found.truncate(ADDRESSES_MAX);
        if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
    }
}

/// Why a name was not found, in words.
pub(crate) fn lookup_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "the name service does not answer".to_owned(),
        io::ErrorKind::NotFound => "no machine has this name".to_owned(),
        _ => {
            let text = crate::sys::reason(error);
            let why = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
            format!("no machine is found under this name ({why})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::never;
    use parking_lot::Mutex;

    const LONG: Duration = Duration::from_secs(300);

    fn addr(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 5).into()
    }

    #[test]
    fn a_name_of_this_machine_and_a_zone_of_it_are_found() {
        let mut lookups = Lookups::new();
        let found = lookups.find("localhost", 5000, LONG, &never()).expect("every machine has it");
        assert!(found.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 5000), "{found:?}");
        let found = lookups.find("fe80::1%lo", 5000, LONG, &never()).expect("every machine has a loopback interface");
        assert!(matches!(found[..], [SocketAddr::V6(addr)] if addr.scope_id() != 0), "{found:?}");
    }

    #[test]
    fn a_look_up_that_hangs_is_waited_for_once_more_and_not_begun_again() {
        let (answer, answers) = bounded::<u8>(0);
        let asked = Arc::new(Mutex::new(0));
        let mut lookups = Lookups::with({
            let asked = asked.clone();
            move |_, _| {
                *asked.lock() += 1;
                Ok(vec![addr(answers.recv().expect("the test answers"))])
            }
        });
        let moment = Duration::from_millis(1);
        for _ in 0..3 {
            let late = lookups.find("a", 5, moment, &never()).expect_err("it hangs");
            assert_eq!(lookup_reason(&late), "the name service does not answer");
        }
        let answering = std::thread::spawn(move || answer.send(7).and_then(|()| answer.send(8)));
        assert_eq!(lookups.find("a", 5, LONG, &never()).expect("answered"), [addr(7)]);
        assert_eq!(lookups.find("a", 5, LONG, &never()).expect("asked anew"), [addr(8)]);
        assert_eq!(*asked.lock(), 2);
        answering.join().expect("no panic").expect("both were asked for");
    }

    #[test]
    fn a_caller_that_closes_waits_for_no_look_up() {
        let (_answer, answers) = bounded::<u8>(0);
        let mut lookups = Lookups::with(move |_, _| Ok(vec![addr(answers.recv().unwrap_or(1))]));
        let (open, until) = bounded(0);
        drop(open);
        let ended = lookups.find("a", 5, LONG, &until).expect_err("closed");
        assert_eq!(ended.kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn a_name_with_many_addresses_or_none_is_kept_within_bounds() {
        let mut lookups = Lookups::with(|host, _| Ok((0..host.len() as u8).map(addr).collect()));
        let many = lookups.find(&"a".repeat(200), 5, LONG, &never()).expect("many");
        assert_eq!(many.len(), ADDRESSES_MAX);
        let none = lookups.find("", 5, LONG, &never()).expect_err("none");
        assert_eq!(lookup_reason(&none), "no machine has this name");
    }
}
