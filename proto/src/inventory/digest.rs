//! When is an inventory another one? When its digest is: SHA-256 over the canonical JSON of what lasts.

use sha2::{Digest as _, Sha256};

use super::Document;

impl Document {
    /// SHA-256 over the canonical JSON of [`Document::lasting`]: equal for documents that differ only in what changes all the time.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.lasting().to_bytes()).into()
    }
}
