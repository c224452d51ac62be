//! The endpoint for a monitoring system: a listening socket of its own, and a thread for each of its few connections.

use super::counters::Metrics;
use super::exposition::{CONTENT_TYPE, exposition};
use super::http::{self, Response};
use super::observed::{Observed, Unwell};
use crate::sys::owned_thread::OwnedThread;
use crate::sys::waker::Waker;
use crate::wire::connection::TimedStream;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// The most connections at a time.
const CONNECTIONS_MAX: usize = 16;
/// When all connections are in use, one that has not sent its request for this long is closed.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long a request and its answer may take.
const EXCHANGE: Duration = Duration::from_secs(5);

/// The open endpoint. Dropping it cuts off its connections.
#[derive(Debug)]
pub struct MetricsDoor {
    /// Readable when the thread has to end.
    wake: Arc<Waker>,
    thread: OwnedThread,
}

impl MetricsDoor {
    /// Serves a listening socket.
    ///
    /// # Errors
    /// The system has no thread or descriptor left.
    pub fn open(listener: TcpListener, observed: Arc<dyn Observed>, metrics: Arc<Metrics>) -> io::Result<Self> {
        // If a connection has already ended, accept(2) would block.
        listener.set_nonblocking(true)?;
        let wake = Arc::new(Waker::new()?);
        let source = Source { observed, metrics, started: SystemTime::now() };
        let keeper = DoorKeeper { source: Arc::new(source), wake: wake.clone(), open: Vec::new(), count: 0 };
        let thread = OwnedThread::start("metrics", move || keeper.run(&listener))?;
        Ok(Self { wake, thread })
    }
}

impl Drop for MetricsDoor {
    fn drop(&mut self) {
        self.wake.wake();
        self.thread.join();
    }
}

/// The thread that accepts.
struct DoorKeeper {
    source: Arc<Source>,
    wake: Arc<Waker>,
    open: Vec<Visit>,
    /// Numbers the connections.
    count: u64,
}

/// A connection with its thread. Dropping it cuts off the connection, but does not wait for the thread: a file system
/// may hang.
struct Visit {
    stream: Arc<TcpStream>,
    /// Whether the whole request has come.
    asked: Arc<AtomicBool>,
    began: Instant,
    thread: JoinHandle<()>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        // Fails if the other side was faster.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl DoorKeeper {
    fn run(mut self, listener: &TcpListener) {
        let wake = self.wake.clone();
        wake.accept_beside(listener, || listener.accept(), |(stream, _)| self.take(stream));
    }

    /// Closes a connection for which there is no room.
    fn take(&mut self, stream: TcpStream) {
        if !self.make_room() || stream.set_nonblocking(false).is_err() {
            return;
        }
        let (stream, asked) = (Arc::new(stream), Arc::<AtomicBool>::default());
        self.count += 1;
        let (source, visitor, asks) = (self.source.clone(), stream.clone(), asked.clone());
        let serve = move || source.serve(&visitor, &asks);
        // Without a thread the connection ends, and the other side notices.
        if let Ok(thread) = Builder::new().name(format!("metrics-{}", self.count)).spawn(serve) {
            self.open.push(Visit { stream, asked, began: Instant::now(), thread });
        }
    }

    /// Makes room for one more connection. Closes the oldest one without a request if need be, after its grace time.
    fn make_room(&mut self) -> bool {
        self.open.retain(|visit| !visit.thread.is_finished());
        if self.open.len() < CONNECTIONS_MAX {
            return true;
        }
        let Some(oldest) = self.open.iter().position(|visit| !visit.asked.load(Ordering::Acquire)) else {
            return false;
        };
        std::thread::sleep(PATIENCE.saturating_sub(self.open[oldest].began.elapsed()));
        let still_silent = !self.open[oldest].asked.load(Ordering::Acquire);
        if still_silent || self.open[oldest].thread.is_finished() {
            self.open.remove(oldest);
        }
        self.open.len() < CONNECTIONS_MAX
    }
}

/// The source of answers.
struct Source {
    observed: Arc<dyn Observed>,
    metrics: Arc<Metrics>,
    /// When the program started, approximately.
    started: SystemTime,
}

impl Source {
    fn serve(&self, stream: &TcpStream, asked: &AtomicBool) {
        let mut timed = TimedStream::new(stream, EXCHANGE);
        let answer = |path: &str| {
            asked.store(true, Ordering::Release);
            self.answer(path)
        };
        // The other side is gone or too slow: nobody is left to tell.
        if http::serve(&mut timed, answer).is_ok() && stream.shutdown(Shutdown::Write).is_ok() {
            http::drain(timed);
        }
        // The door keeper holds the socket too. Fails if the other side was faster.
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn answer(&self, path: &str) -> Response {
        match path {
            "/metrics" => match exposition(&self.metrics, &*self.observed, self.started) {
                Ok(body) => Response { status: "200 OK", content_type: CONTENT_TYPE, body },
                Err(error) => Response::text("500 Internal Server Error", error.to_string()),
            },
            "/healthz" => told(self.observed.healthy()),
            "/readyz" => told(self.observed.ready()),
            _ => Response::text("404 Not Found", "there are /metrics, /healthz and /readyz"),
        }
    }
}

fn told(well: Result<(), Unwell>) -> Response {
    match well {
        Ok(()) => Response::text("200 OK", "ok"),
        Err(why) => Response::text("503 Service Unavailable", why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::gauges::Gauges;
    use super::*;
    use std::io::{Read, Write};

    /// A tracker that is starting.
    struct Starting;

    impl Observed for Starting {
        fn gauges(&self) -> Option<Gauges> {
            None
        }

        fn healthy(&self) -> Result<(), Unwell> {
            Ok(())
        }

        fn ready(&self) -> Result<(), Unwell> {
            Err(Unwell("the tracker is being started".to_owned()))
        }
    }

    #[test]
    fn while_the_tracker_starts_the_door_answers_and_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let door = MetricsDoor::open(listener, Arc::new(Starting), Arc::default()).expect("opened");
        let get = |path: &str| {
            let mut stream = TcpStream::connect(addr).expect("open");
            stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).expect("taken");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("text");
            answer
        };
        let metrics = get("/metrics");
        assert!(metrics.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{metrics}");
        assert!(metrics.contains("\ngroupshare_up 0\n") && metrics.contains("\ngroupshare_ready 0\n"), "{metrics}");
        assert!(
            metrics.contains("\ngroupshare_commits_total 0\n") && !metrics.contains("groupshare_users"),
            "{metrics}"
        );
        assert!(get("/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
        let ready = get("/readyz");
        assert!(ready.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{ready}");
        assert!(ready.ends_with("\r\n\r\nthe tracker is being started\n"), "{ready}");
        let mut waiting = TcpStream::connect(addr).expect("open");
        drop(door);
        assert!(matches!(waiting.read(&mut [0; 1]), Ok(0) | Err(_)), "the end cuts off who says nothing");
    }
}
