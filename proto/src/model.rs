//! A user's own network as content: the digest that names it everywhere, and the name that people know it by.
//!
//! Used by the workload spec, by the transfers between operator, coordinator and agents, and by both ends' folders of files. Does no I/O; a name is
//! never part of a path.

use std::{fmt, path::Path, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::limits;

/// What a digest begins with in text.
const PREFIX: &str = "sha256:";

/// SHA-256 of a model file: its identity. Printed as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelDigest([u8; 32]);

/// A text that is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not sha256: and 64 hexadecimal digits")]
pub struct NotADigest;

impl ModelDigest {
    /// From its 32 bytes.
    ///
    /// # Errors
    /// When there are more or fewer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotADigest> {
        bytes.try_into().map(Self).map_err(|_| NotADigest)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its 64 hexadecimal digits alone: what files are called.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From 64 hexadecimal digits.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, NotADigest> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotADigest);
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = str::from_utf8(digits).map_err(|_| NotADigest)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NotADigest)?;
        }
        Ok(Self(bytes))
    }

    /// `sha256:` and enough digits to recognise it by, for people.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{PREFIX}{}", &self.hex()[..12])
    }
}

impl fmt::Display for ModelDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

impl fmt::Debug for ModelDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ModelDigest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        Self::from_hex(text.strip_prefix(PREFIX).ok_or(NotADigest)?)
    }
}

/// Computes a digest from content as it passes by.
#[derive(Debug, Clone, Default)]
pub struct ModelHasher(Sha256);

impl ModelHasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    #[must_use]
    pub fn finish(self) -> ModelDigest {
        ModelDigest(self.0.finalize().into())
    }
}

/// What people call a model: a file's name, as it was when somebody uploaded it. Fits into a workload spec: no comma, no line end, at most
/// [`limits::MODEL_NAME_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(String);

/// A text that cannot be a model's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a file's name of 1 to {} bytes without commas, slashes, control characters and spaces at its ends",
    limits::MODEL_NAME_BYTES
)]
pub struct NotAModelName;

impl ModelName {
    /// The name of a file, with what a model's name cannot hold replaced by `_`; `None` where nothing is left.
    #[must_use]
    pub fn of_file(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy();
        let mut tidy: String = name
            .trim()
            .chars()
            .map(|c| if is_allowed(c) { c } else { '_' })
            .collect();
        let mut end = limits::MODEL_NAME_BYTES.min(tidy.len());
        while !tidy.is_char_boundary(end) {
            end -= 1;
        }
        tidy.truncate(end);
        tidy.trim().parse().ok()
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_allowed(c: char) -> bool {
    !c.is_control() && c != ',' && c != '/'
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ModelName {
    type Err = NotAModelName;

    fn from_str(text: &str) -> Result<Self, NotAModelName> {
        let fits = (1..=limits::MODEL_NAME_BYTES).contains(&text.len())
            && text.trim() == text
            && text.chars().all(is_allowed);
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAModelName)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// SHA-256 of "abc" (FIPS 180-4's example).
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_is_the_sha_256_of_its_content_and_reads_back() {
        let mut hasher = ModelHasher::default();
        hasher.update(b"a");
        hasher.update(b"bc");
        let digest = hasher.finish();
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(ABC.parse(), Ok(digest));
        assert_eq!(
            ModelDigest::from_hex(&digest.hex().to_uppercase()),
            Ok(digest)
        );
        assert_eq!(ModelDigest::from_bytes(digest.as_bytes()), Ok(digest));
        assert_eq!(digest.short(), "sha256:ba7816bf8f01");
        for wrong in [
            "",
            "sha256:",
            "ba78",
            &ABC[..70],
            &ABC[7..],
            &format!("{ABC}0"),
            &ABC.replace('b', "ü"),
        ] {
            assert_eq!(wrong.parse::<ModelDigest>(), Err(NotADigest), "{wrong}");
        }
        assert_eq!(ModelDigest::from_bytes(&[0; 31]), Err(NotADigest));
    }

    #[test]
    fn a_file_gives_its_name_whatever_it_is_called() {
        let name = |path: &str| ModelName::of_file(Path::new(path)).map(|name| name.to_string());
        assert_eq!(name("nets/res net.pt").as_deref(), Some("res net.pt"));
        assert_eq!(name("a,b\n.pt").as_deref(), Some("a_b_.pt"));
        assert_eq!(name("/"), None);
        let long = "ü".repeat(200);
        assert_eq!(
            name(&long).map(|name| name.len()),
            Some(limits::MODEL_NAME_BYTES - 1)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_refused(text in "\\PC{0,20}|.{0,300}") {
            if let Ok(name) = text.parse::<ModelName>() {
                prop_assert!(name.as_str().len() <= limits::MODEL_NAME_BYTES && !name.as_str().contains([',', '/', '\n']));
            }
            if let Some(name) = ModelName::of_file(Path::new(&text)) {
                prop_assert_eq!(name.as_str().parse::<ModelName>(), Ok(name.clone()));
            }
        }
    }
}
