//! A thread that writes lines to an output that perhaps no process reads.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The most bytes of waiting lines.
const WAITING_MAX: usize = 64 * 1024;
/// How much of that is for lines other than warnings.
const COMMON_MAX: usize = WAITING_MAX / 2;
/// How long a thread waits until its line is written. After one wait in vain, no thread waits until the writer has
/// caught up.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes lines in their order. Its own thread waits for a slow reader.
pub(super) struct LineWriter(Arc<LineQueue>);

struct LineQueue {
    lines: Mutex<WaitingLines>,
    /// A line has come, or the writer has to end.
    work: Condvar,
    /// A line is written, or a thread waits in vain.
    progress: Condvar,
}

#[derive(Default)]
struct WaitingLines {
    lines: VecDeque<String>,
    /// The bytes of all waiting lines.
    bytes: usize,
    /// How many lines have come since the start.
    come: u64,
    /// How many of them are written.
    written: u64,
    /// How many lines were left out since the last message about that.
    left_out: u64,
    is_stuck: bool,
    closing: bool,
}

impl LineWriter {
    /// Starts the thread. `left_out` makes the message about lines that were left out.
    ///
    /// # Errors
    /// The system has no room for a thread.
    pub(super) fn start(
        output: impl Write + Send + 'static,
        left_out: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let queue = LineQueue { lines: Mutex::default(), work: Condvar::new(), progress: Condvar::new() };
        let queue = Arc::new(queue);
        let worker = queue.clone();
        // Detached: joining the thread would mean to wait for the reader.
        thread::Builder::new().name("log".into()).spawn(move || worker.run(output, left_out))?;
        Ok(Self(queue))
    }

    /// Writes a line. Leaves it out if too many wait.
    pub(super) fn write(&self, line: String, is_warning: bool) {
        let mut waiting = self.0.lines.lock();
        let most = if is_warning { WAITING_MAX } else { COMMON_MAX };
        if waiting.bytes + line.len() > most {
            waiting.left_out += 1;
            return;
        }
        waiting.push(line);
        self.0.work.notify_one();
        let (turn, deadline) = (waiting.come, Instant::now() + PATIENCE);
        while waiting.written < turn && !waiting.is_stuck {
            if self.0.progress.wait_until(&mut waiting, deadline).timed_out() && waiting.written < turn {
                waiting.is_stuck = true;
                self.0.progress.notify_all();
            }
        }
    }
}

impl Drop for LineWriter {
    /// Does not wait: the thread ends after the last line.
    fn drop(&mut self) {
        self.0.lines.lock().closing = true;
        self.0.work.notify_one();
    }
}

impl LineQueue {
    fn run(&self, mut output: impl Write, left_out: impl Fn(u64) -> String) {
        while let Some(line) = self.next() {
            // The tracker runs on even if its output is gone.
            let _ = output.write_all(line.as_bytes());
            self.lines.lock().note_written(line.len(), &left_out);
            self.progress.notify_all();
        }
    }

    fn next(&self) -> Option<String> {
        let mut waiting = self.lines.lock();
        loop {
            match waiting.lines.pop_front() {
                Some(line) => return Some(line),
                None if waiting.closing => return None,
                None => self.work.wait(&mut waiting),
            }
        }
    }
}

impl WaitingLines {
    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.come += 1;
        self.lines.push_back(line);
    }

    fn note_written(&mut self, len: usize, left_out: &impl Fn(u64) -> String) {
        self.bytes -= len;
        self.written += 1;
        if self.lines.is_empty() {
            self.is_stuck = false;
            if self.left_out > 0 {
                let line = left_out(std::mem::take(&mut self.left_out));
                self.push(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

    const LONG: Duration = Duration::from_secs(20);

    /// Writes a line when the test allows it.
    struct Gate {
        open: Receiver<()>,
        written: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Open for good when the test drops its end.
            let _ = self.open.recv();
            let _ = self.written.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (LineWriter, Sender<()>, Receiver<String>) {
        let ((let_through, open), (written, lines)) = (bounded(1), unbounded());
        let left_out = |count| format!("{count} left out");
        (LineWriter::start(Gate { open, written }, left_out).expect("a thread"), let_through, lines)
    }

    #[test]
    fn without_a_reader_one_line_waits_a_moment_and_later_ones_do_not() {
        let (writer, let_through, lines) = gated();
        let begun = Instant::now();
        for n in 0..1000 {
            writer.write(n.to_string(), true);
        }
        assert!(begun.elapsed() >= PATIENCE && begun.elapsed() < PATIENCE * 5, "{:?}", begun.elapsed());
        drop(let_through);
        for n in 0..1000 {
            assert_eq!(lines.recv_timeout(LONG), Ok(n.to_string()));
        }
    }

    #[test]
    fn lines_that_find_no_room_are_counted_and_warnings_find_more() {
        let (writer, let_through, lines) = gated();
        let line = |of: &str| of.repeat(1024);
        (0..100).for_each(|_| writer.write(line("i"), false));
        (0..100).for_each(|_| writer.write(line("w"), true));
        writer.write("short".to_owned(), false);
        drop(let_through);
        let told: Vec<String> = (0..65).map(|_| lines.recv_timeout(LONG).expect("written")).collect();
        assert!(told[..32].iter().all(|told| *told == line("i")) && told[32..64].iter().all(|told| *told == line("w")));
        assert_eq!(told[64], "137 left out");
        writer.write("again".to_owned(), false);
        assert_eq!(lines.recv_timeout(LONG), Ok("again".to_owned()));
    }

    #[test]
    fn a_line_is_written_when_write_returns_and_the_last_one_outlives_the_writer() {
        let (written, lines) = unbounded();
        let (let_through, open) = bounded(1);
        drop(let_through);
        let writer = LineWriter::start(Gate { open, written }, |_| String::new()).expect("a thread");
        for n in 0..100 {
            writer.write(n.to_string(), false);
            assert_eq!(lines.try_recv(), Ok(n.to_string()));
        }
        let (writer, let_through, lines) = gated();
        writer.write("last".to_owned(), true);
        drop(writer);
        drop(let_through);
        assert_eq!(lines.recv_timeout(LONG), Ok("last".to_owned()));
        assert!(lines.recv_timeout(LONG).is_err(), "the thread has ended");
    }
}
