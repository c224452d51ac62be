//! All connections. The slot of a connection that has ended is reused.

use super::events::ConnId;
use super::member::Conn;
use std::ops::{Index, IndexMut};

#[derive(Default)]
pub(crate) struct Slots {
    all: Vec<(u32, Option<Conn>)>,
    free: Vec<u32>,
}

impl Slots {
    pub(crate) fn insert(&mut self, conn: Conn) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.all.push((0, None));
            self.all.len() as u32 - 1
        });
        let (generation, place) = &mut self.all[slot as usize];
        *place = Some(conn);
        ConnId { slot, generation: *generation }
    }

    pub(crate) fn remove(&mut self, id: ConnId) {
        let (generation, place) = &mut self.all[id.slot as usize];
        if *generation == id.generation && place.take().is_some() {
            *generation += 1;
            self.free.push(id.slot);
        }
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Conn> {
        let (generation, conn) = &self.all[id.slot as usize];
        conn.as_ref().filter(|_| *generation == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let (generation, conn) = &mut self.all[id.slot as usize];
        conn.as_mut().filter(|_| *generation == id.generation)
    }
}

impl Index<ConnId> for Slots {
    type Output = Conn;

    fn index(&self, id: ConnId) -> &Conn {
        self.get(id).expect("a connection that is there")
    }
}

impl IndexMut<ConnId> for Slots {
    fn index_mut(&mut self, id: ConnId) -> &mut Conn {
        self.get_mut(id).expect("a connection that is there")
    }
}
