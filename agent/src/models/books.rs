//! What of the models is here, how large it is, who holds it, and what goes when room is needed. Plain data; the cache acts on it.

use std::collections::BTreeMap;

use batchstep_proto::model::ModelDigest;

use super::file::Mark;

/// The books.
#[derive(Debug, Default)]
pub(super) struct Books {
    entries: BTreeMap<ModelDigest, Entry>,
    /// Counts uses, so that they have an order.
    uses: u64,
}

#[derive(Debug, Default)]
struct Entry {
    /// Bytes it takes, or is going to take.
    size: u64,
    /// All of it is here.
    whole: bool,
    /// Number of its last use.
    used: u64,
    /// How many hold it.
    holders: u32,
    /// How the file was when its digest was last right.
    checked: Option<Mark>,
}

/// Whether there is room.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is, once these are removed.
    Made(Vec<ModelDigest>),
    /// When something is released.
    Later,
    /// Not even in an empty cache.
    Never,
}

impl Books {
    /// Of models that are here, the least recently used first.
    pub(super) fn of(found: Vec<(ModelDigest, u64)>) -> Self {
        let mut books = Self::default();
        for (digest, size) in found {
            let used = books.next_use();
            let entry = Entry {
                size,
                used,
                whole: true,
                ..Entry::default()
            };
            books.entries.insert(digest, entry);
        }
        books
    }

    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    pub(super) fn is_whole(&self, digest: &ModelDigest) -> bool {
        self.entries.get(digest).is_some_and(|entry| entry.whole)
    }

    pub(super) fn checked(&self, digest: &ModelDigest) -> Option<Mark> {
        self.entries.get(digest).and_then(|entry| entry.checked)
    }

    /// All of it is here and its digest is right.
    pub(super) fn verified(&mut self, digest: &ModelDigest, mark: Mark) {
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.whole = true;
            entry.checked = Some(mark);
        }
    }

    pub(super) fn hold(&mut self, digest: ModelDigest) {
        let used = self.next_use();
        let entry = self.entries.entry(digest).or_default();
        entry.used = used;
        entry.holders += 1;
    }

    pub(super) fn release(&mut self, digest: &ModelDigest) {
        let Some(entry) = self.entries.get_mut(digest) else {
            return;
        };
        entry.holders = entry.holders.saturating_sub(1);
        if entry.holders == 0 && entry.size == 0 {
            self.entries.remove(digest);
        }
    }

    /// Its content is not here any more; whoever holds it goes on holding the place.
    pub(super) fn forget(&mut self, digest: &ModelDigest) {
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.size = 0;
            entry.whole = false;
            entry.checked = None;
            if entry.holders == 0 {
                self.entries.remove(digest);
            }
        }
    }

    /// Takes `size` bytes for a model that is held, within `room` bytes for all.
    pub(super) fn make_room(&mut self, digest: ModelDigest, size: u64, room: u64) -> Room {
        if size > room {
            return Room::Never;
        }
        let held: u64 = self
            .entries
            .iter()
            .filter(|(other, entry)| **other != digest && entry.holders > 0)
            .map(|(_, entry)| entry.size)
            .sum();
        if held.saturating_add(size) > room {
            return Room::Later;
        }
        let mut evicted = Vec::new();
        while self.taken_by_others(&digest).saturating_add(size) > room {
            let Some(other) = self.evict_one() else {
                break;
            };
            evicted.push(other);
        }
        self.entries.entry(digest).or_default().size = size;
        Room::Made(evicted)
    }

    fn taken_by_others(&self, digest: &ModelDigest) -> u64 {
        let others = self.entries.iter().filter(|(other, _)| *other != digest);
        others.map(|(_, entry)| entry.size).sum()
    }

    /// Forgets what goes first: half-fetched models, then the least recently used; never one that is held.
    pub(super) fn evict_one(&mut self) -> Option<ModelDigest> {
        let digest = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.holders == 0)
            .min_by_key(|(_, entry)| (entry.whole, entry.used))
            .map(|(digest, _)| *digest)?;
        self.entries.remove(&digest);
        Some(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> ModelDigest {
        ModelDigest::from_bytes(&[number; 32]).unwrap()
    }

    #[test]
    fn the_least_recently_used_goes_first_and_what_is_held_never() {
        let mut books = Books::of(vec![(digest(1), 40), (digest(2), 40), (digest(3), 20)]);
        // 1 is used again, so 2 is the oldest.
        books.hold(digest(1));
        books.release(&digest(1));
        books.hold(digest(4));
        assert_eq!(
            books.make_room(digest(4), 30, 100),
            Room::Made(vec![digest(2)])
        );
        // 3 goes before 1; 4 is held, and the room it takes is not given away.
        books.hold(digest(5));
        assert_eq!(books.make_room(digest(5), 80, 100), Room::Later);
        assert_eq!(books.make_room(digest(5), 101, 100), Room::Never);
        assert_eq!(
            books.make_room(digest(5), 30, 100),
            Room::Made(vec![digest(3)])
        );
        books.release(&digest(4));
        // Half-fetched, 4 goes before 1.
        assert_eq!(books.evict_one(), Some(digest(4)));
        assert_eq!(books.evict_one(), Some(digest(1)));
        assert_eq!(books.evict_one(), None);
    }

    #[test]
    fn what_was_forgotten_takes_no_room() {
        let mut books = Books::of(vec![(digest(1), 60)]);
        books.hold(digest(1));
        books.forget(&digest(1));
        assert!(!books.is_whole(&digest(1)));
        books.hold(digest(2));
        assert_eq!(books.make_room(digest(2), 100, 100), Room::Made(Vec::new()));
    }
}
