//! The called side of a way on which both sides dial at the same moment. It makes a few connections from the listening
//! port; the caller may be at the end of any of them.

pub(super) mod pace;

use self::pace::{KnockPace, LOCAL_PAUSE};
use super::port::ListeningPort;
use crate::sys::net::connecting::Connecting;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long both sides dial.
pub(super) const PUNCH_DEADLINE: Duration = Duration::from_secs(3);
/// The longest start delay that a tracker may give either side.
pub(super) const START_MAX: Duration = Duration::from_secs(2);
/// How often the thread checks whether it has to end.
const LOOK: Duration = Duration::from_millis(200);

/// An address that is being dialed.
struct Knock {
    addr: SocketAddr,
    begun: Option<Connecting>,
    pace: KnockPace,
    /// When to dial it again.
    again: Instant,
    over: bool,
}

/// Dials these addresses from `from` until [`PUNCH_DEADLINE`] later, or until `is_over`. `take` gets each connection
/// with its address.
pub(super) fn punch(
    port: &ListeningPort,
    addrs: &[SocketAddr],
    from: Instant,
    is_over: impl Fn() -> bool,
    mut take: impl FnMut(TcpStream, SocketAddr),
) {
    let until = from + PUNCH_DEADLINE;
    let knock = |&addr: &SocketAddr| {
        let pace = KnockPace::default();
        Knock { addr, begun: None, pace, again: from, over: false }
    };
    let mut knocks: Vec<_> = addrs.iter().map(knock).collect();
    while !is_over() && knocks.iter().any(|knock| !knock.over) {
        let now = Instant::now();
        if now >= until {
            return;
        }
        knocks.iter_mut().for_each(|knock| knock.begin(port, now));
        let ready = wait(&knocks, until, now);
        for (knock, _) in knocks.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            if let Some(stream) = knock.connected(Instant::now()) {
                take(stream, knock.addr);
            }
        }
    }
}

impl Knock {
    fn begin(&mut self, port: &ListeningPort, now: Instant) {
        if self.over || self.begun.is_some() || now < self.again {
            return;
        }
        match Connecting::begin(self.addr, port.source(self.addr)) {
            Ok(begun) => self.begun = Some(begun),
            Err(_) => self.again = now + LOCAL_PAUSE,
        }
    }

    fn connected(&mut self, now: Instant) -> Option<TcpStream> {
        match self.begun.take()?.outcome() {
            Ok(stream) => {
                self.over = true;
                Some(stream)
            }
            Err(_) => {
                match self.pace.rejected() {
                    Some(pause) => self.again = now + pause,
                    None => self.over = true,
                }
                None
            }
        }
    }
}

/// Waits until a connection comes about or fails, or until some address is due. Returns which ones are ready.
fn wait(knocks: &[Knock], until: Instant, now: Instant) -> Vec<bool> {
    let resting = knocks.iter().filter(|knock| !knock.over && knock.begun.is_none());
    let until = resting.map(|knock| knock.again).chain([until, now + LOOK]).min().unwrap_or(until);
    let mut fds: Vec<_> = knocks
        .iter()
        .filter_map(|knock| knock.begun.as_ref())
        .map(|begun| PollFd::new(begun, PollFlags::OUT))
        .collect();
    let timeout = Timespec::try_from(until.saturating_duration_since(now)).ok();
    let some = matches!(rustix::event::poll(&mut fds, timeout.as_ref()), Ok(1..));
    let mut ready = fds.iter().map(|fd| some && !fd.revents().is_empty());
    knocks.iter().map(|knock| knock.begun.is_some() && ready.next() == Some(true)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::net::connecting::tests::nobody;
    use std::net::TcpListener;

    #[test]
    fn an_address_that_is_reached_is_dialed_no_more_and_one_that_rejects_a_few_times() {
        let bound = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = ListeningPort::share(&bound()).expect("bound");
        let (member, (_held, gone)) = (bound(), nobody());
        let here = member.local_addr().expect("bound");
        let begun = Instant::now();
        let mut taken = Vec::new();
        punch(&port, &[gone, here], begun, || false, |_, addr| taken.push(addr));
        assert_eq!(taken, [here]);
        assert!(begun.elapsed() < PUNCH_DEADLINE, "it was given up before");
    }
}
