//! A server that is started anew whenever it asks for that.

use super::Server;
use crossbeam_channel::{Receiver, select};
use parking_lot::RwLock;

/// Shared by the thread that keeps the server and those who look at it.
pub struct KeptServer {
    /// `None` while it is started anew.
    running: RwLock<Option<Server>>,
}

impl KeptServer {
    pub fn new(server: Server) -> Self {
        Self { running: RwLock::new(Some(server)) }
    }

    /// One that is still to come.
    pub fn starting() -> Self {
        Self { running: RwLock::new(None) }
    }

    /// It has started.
    pub fn set_running(&self, server: Server) {
        *self.running.write() = Some(server);
    }

    /// Stops the server for good, whoever may still look at this.
    pub fn stop(&self) {
        let server = self.running.write().take();
        // Nobody waits for the lock meanwhile.
        drop(server);
    }

    /// What `look` makes of the server; `None` while it is started anew. A new start waits for `look` to return.
    pub fn look<T>(&self, look: impl FnOnce(&Server) -> T) -> Option<T> {
        self.running.read().as_ref().map(look)
    }

    /// Keeps the server running until something comes on `stop`: stops it when it asks to be started anew, tells why,
    /// and starts it.
    ///
    /// # Errors
    /// Those of `start`. There is no server then.
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
            // Nobody waits for the lock meanwhile.
            drop(old);
            if stop.try_recv().is_ok() {
                return Ok(());
            }
            self.set_running(start()?);
        }
        Ok(())
    }
}
