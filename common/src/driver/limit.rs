//! How many connections there may be, in all and of one identity.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::tls::{PeerNames, Role};

/// Counts connections.
#[derive(Debug)]
pub(super) struct Slots {
    total: usize,
    each: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    /// Those of `total` whose identity is not known yet.
    handshakes: usize,
    /// Bounded by `total`: an identity without connections has no entry.
    each: BTreeMap<(Role, String), usize>,
}

/// One connection's place; dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    identity: Option<(Role, String)>,
}

impl Slots {
    pub fn new(total: usize, each: usize) -> Arc<Slots> {
        Arc::new(Slots { total, each, open: Mutex::default() })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.open.lock().total
    }

    /// How many are taken by peers whose identity is not known yet.
    pub fn handshakes(&self) -> usize {
        self.open.lock().handshakes
    }

    /// A place for a connection whose identity is not known yet.
    pub fn take(self: &Arc<Slots>) -> Option<Slot> {
        let mut open = self.open.lock();
        if open.total >= self.total {
            return None;
        }
        open.total += 1;
        open.handshakes += 1;
        Some(Slot { slots: self.clone(), identity: None })
    }
}

impl Slot {
    /// Counts it for an identity, once; false if that has too many.
    pub fn identify(&mut self, names: &PeerNames) -> bool {
        let identity = (names.role, names.name.clone());
        let mut open = self.slots.open.lock();
        let count = open.each.get(&identity).copied().unwrap_or(0);
        if count >= self.slots.each {
            return false;
        }
        open.each.insert(identity.clone(), count + 1);
        open.handshakes -= 1;
        self.identity = Some(identity);
        true
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.open.lock();
        open.total -= 1;
        let Some(identity) = self.identity.take() else {
            open.handshakes -= 1;
            return;
        };
        if let Some(count) = open.each.get_mut(&identity) {
            *count -= 1;
            if *count == 0 {
                open.each.remove(&identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_all_and_each() {
        let slots = Slots::new(3, 2);
        let alice = PeerNames { role: Role::Client, name: "alice".into() };
        let bob = PeerNames { role: Role::Client, name: "bob".into() };
        let mut held: Vec<Slot> = (0..3).map(|_| slots.take().unwrap()).collect();
        assert!(slots.take().is_none());
        assert_eq!(slots.handshakes(), 3);
        assert!(held[0].identify(&alice) && held[1].identify(&alice));
        assert!(!held[2].identify(&alice) && held[2].identify(&bob));
        held.remove(0);
        assert_eq!((slots.taken(), slots.handshakes()), (2, 0));
        assert!(slots.take().unwrap().identify(&alice));
        held.clear();
        assert_eq!((slots.taken(), slots.handshakes()), (0, 0));
        assert!(slots.open.lock().each.is_empty());
    }
}
