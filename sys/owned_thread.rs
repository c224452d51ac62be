//! A thread with an owner that waits for its end.

use std::io;
use std::thread::{Builder, JoinHandle};

/// A named thread. Its owner tells the thread to end and then joins it, at the latest by dropping this.
#[derive(Debug)]
pub struct OwnedThread(Option<JoinHandle<()>>);

impl OwnedThread {
    /// Starts a thread.
    ///
    /// # Errors
    /// The system cannot start another thread.
    pub fn start(name: impl Into<String>, run: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        Ok(Self(Some(Builder::new().name(name.into()).spawn(run)?)))
    }

    /// The same with a stack of this many bytes.
    pub fn with_stack(
        name: impl Into<String>,
        stack_len: usize,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        Ok(Self(Some(Builder::new().name(name.into()).stack_size(stack_len).spawn(run)?)))
    }

    /// Whether the thread has ended. Then a join does not wait.
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the thread has ended. The thread itself must not call this.
    pub fn join(&mut self) {
        if let Some(thread) = self.0.take() {
            // A panic of the thread was printed when it happened. It does not spread to the owner.
            let _ = thread.join();
        }
    }
}

impl Drop for OwnedThread {
    fn drop(&mut self) {
        self.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn dropping_waits_for_the_end_and_a_panic_stays_in_the_thread() {
        let over = Arc::new(AtomicBool::new(false));
        let (go, wait) = bounded::<()>(0);
        let thread = OwnedThread::start("waits", {
            let over = over.clone();
            move || {
                assert_eq!(std::thread::current().name(), Some("waits"));
                assert!(wait.recv().is_err());
                over.store(true, Ordering::SeqCst);
                panic!("as a thread may");
            }
        });
        let thread = thread.expect("a thread");
        assert!(!thread.is_finished());
        drop(go);
        drop(thread);
        assert!(over.load(Ordering::SeqCst));
    }

    #[test]
    fn joining_twice_is_joining_once() {
        let mut thread = OwnedThread::with_stack("small", 64 * 1024, || {}).expect("a thread");
        thread.join();
        assert!(thread.is_finished());
        thread.join();
    }
}
