//! What people upload: a model's content, announced before it comes.

use super::{InvalidField, convert::parsed};
use crate::{
    model::{ModelDigest, ModelName},
    wire,
};

/// An announced upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelUpload {
    /// What the content must turn out to be.
    pub digest: ModelDigest,
    /// What its file is called.
    pub name: ModelName,
    /// All of it, bytes; never 0.
    pub size: u64,
    /// Bytes at its beginning that are not sent again.
    pub offset: u64,
}

/// A digest from the wire.
///
/// # Errors
/// When it has not 32 bytes.
pub fn model_digest(field: &'static str, bytes: &[u8]) -> Result<ModelDigest, InvalidField> {
    ModelDigest::from_bytes(bytes)
        .map_err(|_| InvalidField::new(field, format!("{} bytes, a SHA-256 has 32", bytes.len())))
}

impl TryFrom<wire::ModelUpload> for ModelUpload {
    type Error = InvalidField;

    fn try_from(upload: wire::ModelUpload) -> Result<Self, InvalidField> {
        if upload.size_bytes == 0 {
            return Err(InvalidField::new("begin.size_bytes", "is zero"));
        }
        if upload.offset > upload.size_bytes {
            let problem = format!(
                "{} is beyond the {} bytes",
                upload.offset, upload.size_bytes
            );
            return Err(InvalidField::new("begin.offset", problem));
        }
        Ok(Self {
            digest: model_digest("begin.digest", &upload.digest)?,
            name: parsed("begin.name", &upload.name)?,
            size: upload.size_bytes,
            offset: upload.offset,
        })
    }
}

impl From<ModelUpload> for wire::ModelUpload {
    fn from(upload: ModelUpload) -> Self {
        Self {
            digest: upload.digest.as_bytes().to_vec(),
            name: upload.name.to_string(),
            size_bytes: upload.size,
            offset: upload.offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_survives_the_wire_and_nonsense_is_named() {
        let upload = ModelUpload {
            digest: ModelDigest::from_bytes(&[7; 32]).unwrap(),
            name: "net.pt".parse().unwrap(),
            size: 10,
            offset: 3,
        };
        let wire = wire::ModelUpload::from(upload.clone());
        assert_eq!(ModelUpload::try_from(wire.clone()), Ok(upload));
        for (field, wrong) in [
            (
                "begin.digest",
                wire::ModelUpload {
                    digest: vec![1],
                    ..wire.clone()
                },
            ),
            (
                "begin.name",
                wire::ModelUpload {
                    name: "../a".to_owned(),
                    ..wire.clone()
                },
            ),
            (
                "begin.name",
                wire::ModelUpload {
                    name: String::new(),
                    ..wire.clone()
                },
            ),
            (
                "begin.size_bytes",
                wire::ModelUpload {
                    size_bytes: 0,
                    ..wire.clone()
                },
            ),
            ("begin.offset", wire::ModelUpload { offset: 11, ..wire }),
        ] {
            assert_eq!(ModelUpload::try_from(wrong).unwrap_err().field, field);
        }
    }
}
