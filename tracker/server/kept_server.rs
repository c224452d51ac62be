//! A server that is restarted within the program when it asks for that.

use super::Server;
use crossbeam_channel::{Receiver, select};
use parking_lot::RwLock;

/// Shared by the thread that keeps the server and the threads that look at it.
pub struct KeptServer {
    /// `None` during a restart.
    running: RwLock<Option<Server>>,
}

impl KeptServer {
    pub fn new(server: Server) -> Self {
        Self { running: RwLock::new(Some(server)) }
    }

    /// A keeper whose server has not started yet.
    pub fn starting() -> Self {
        Self { running: RwLock::new(None) }
    }

    /// The server has started.
    pub fn set_running(&self, server: Server) {
        *self.running.write() = Some(server);
    }

    /// Stops the server for good, even if other threads still hold this keeper.
    pub fn stop(&self) {
        let server = self.running.write().take();
        // Outside the lock, so that no thread waits for it.
        drop(server);
    }

    /// What `look` makes of the server; `None` during a restart. A restart waits for `look` to return.
    pub fn look<T>(&self, look: impl FnOnce(&Server) -> T) -> Option<T> {
        self.running.read().as_ref().map(look)
    }

    /// Keeps the server running until something comes on `stop`. When the server asks for a restart, stops it, tells
    /// the reason, and starts it.
    ///
    /// # Errors
    /// Those of `start`. In that case no server runs.
    pub fn keep<E>(
        &self,
        stop: &Receiver<()>,
        tell: impl Fn(&str),
        mut start: impl FnMut() -> Result<Server, E>,
    ) -> Result<(), E> {
        while let Some(wanted) = self.look(Server::restart_wanted) {
            let why = select! {
                recv(stop) -> _ => return Ok(()),
                recv(wanted) -> why => why,
            };
            why.iter().for_each(|why| tell(&format!("the tracker starts anew: {why}")));
            let old = self.running.write().take();
            // Outside the lock, so that no thread waits for it.
            drop(old);
            if stop.try_recv().is_ok() {
                return Ok(());
            }
            self.set_running(start()?);
        }
        Ok(())
    }
}
