//! What a person hands to an agent, a colleague or a monitor: one line that proves a permission and names the coordinator's certificate authority, so that
//! whoever holds it needs nothing else to connect safely.
//!
//! Written as `bsj1_ID_SECRET_FINGERPRINT` in lower-case hexadecimal digits: `bs` for batchstep, the kind's letter, the version of this form.

use std::{fmt, str::FromStr};

use batchstep_proto::wire;
use rustls::crypto::ring::default_provider;
use sha2::{Digest as _, Sha256};

use crate::{Fingerprint, hex};

/// Names a token in lists and logs. Not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId([u8; 8]);

/// The part of a token that must stay secret: 128 random bits, so that no number of guesses helps. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 16]);

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {
    /// Trades for an agent's certificate.
    Join,
    /// Everything an operator may do.
    Operator,
    /// Reading the metrics.
    Monitor,
}

/// A token with its secret. `Debug` leaves the secret out; [`Token::reveal`] is the one way to print it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is good for.
    pub kind: TokenKind,
    /// Which one it is.
    pub id: TokenId,
    /// What proves it.
    pub secret: Secret,
    /// The certificate authority of the coordinator that made it.
    pub authority: Fingerprint,
}

/// Text that is no token. Never repeats the text: it may be most of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else altogether.
    #[error(
        "that is not a token; one begins with bsj1_, bso1_ or bsm1_ and comes from `batchstep token create`"
    )]
    NotOne,
    /// A part of it is missing or changed.
    #[error(
        "the token is damaged or cut off; copy all of the line that `batchstep token create` printed"
    )]
    Damaged,
    /// The system gives no random numbers.
    #[error("the system has no random numbers to give")]
    NoRandomness,
}

impl TokenKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Join, Self::Operator, Self::Monitor];

    /// Its word, for people and for the store.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Operator => "operator",
            Self::Monitor => "monitor",
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Join => "bsj1",
            Self::Operator => "bso1",
            Self::Monitor => "bsm1",
        }
    }
}

impl From<TokenKind> for wire::TokenKind {
    fn from(kind: TokenKind) -> Self {
        match kind {
            TokenKind::Join => Self::Join,
            TokenKind::Operator => Self::Operator,
            TokenKind::Monitor => Self::Monitor,
        }
    }
}

impl TryFrom<wire::TokenKind> for TokenKind {
    type Error = &'static str;

    fn try_from(kind: wire::TokenKind) -> Result<Self, &'static str> {
        match kind {
            wire::TokenKind::Join => Ok(Self::Join),
            wire::TokenKind::Operator => Ok(Self::Operator),
            wire::TokenKind::Monitor => Ok(Self::Monitor),
            wire::TokenKind::Unspecified => Err("is missing"),
        }
    }
}

impl Secret {
    /// What a coordinator keeps of it. A plain hash is enough: there are 128 random bits to find, not somebody's password.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// True when its digest is `kept`, in the same time wherever the two differ.
    #[must_use]
    pub fn has_digest(&self, kept: &[u8; 32]) -> bool {
        let differences = self
            .digest()
            .iter()
            .zip(kept)
            .fold(0, |all, (a, b)| all | (a ^ b));
        differences == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Token {
    /// A new one from the system's randomness.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn generate(kind: TokenKind, authority: Fingerprint) -> Result<Self, TokenError> {
        let (mut id, mut secret) = ([0; 8], [0; 16]);
        let random = default_provider().secure_random;
        for bytes in [id.as_mut_slice(), secret.as_mut_slice()] {
            random.fill(bytes).map_err(|_| TokenError::NoRandomness)?;
        }
        Ok(Self {
            kind,
            id: TokenId(id),
            secret: Secret(secret),
            authority,
        })
    }

    /// The whole line, secret included.
    #[must_use]
    pub fn reveal(&self) -> String {
        struct Hex<'a>(&'a [u8]);
        impl fmt::Display for Hex<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex::write(f, self.0)
            }
        }
        format!(
            "{}_{}_{}_{}",
            self.kind.prefix(),
            self.id,
            Hex(&self.secret.0),
            self.authority
        )
    }
}

impl FromStr for Token {
    type Err = TokenError;

    /// White space around it is passed over: it usually comes from a file with a line end.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut parts = text.trim().split('_');
        let prefix = parts.next().unwrap_or_default();
        let kind = TokenKind::ALL
            .into_iter()
            .find(|kind| kind.prefix() == prefix)
            .ok_or(TokenError::NotOne)?;
        let (Some(id), Some(secret), Some(authority), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Damaged);
        };
        Ok(Self {
            kind,
            id: id.parse()?,
            secret: hex::read(secret).map(Secret).ok_or(TokenError::Damaged)?,
            authority: authority.parse().map_err(|_| TokenError::Damaged)?,
        })
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(f, &self.0)
    }
}

impl FromStr for TokenId {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        hex::read(text).map(Self).ok_or(TokenError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token::generate(TokenKind::Join, Fingerprint::of(b"a certificate")).unwrap()
    }

    #[test]
    fn a_token_comes_back_from_its_line() {
        for kind in TokenKind::ALL {
            let token = Token::generate(kind, Fingerprint::of(b"a certificate")).unwrap();
            let line = format!(" {}\n", token.reveal());
            assert_eq!(line.parse(), Ok(token));
        }
    }

    #[test]
    fn nothing_but_reveal_prints_the_secret() {
        let token = token();
        let line = token.reveal();
        let secret = line.split('_').nth(2).unwrap();
        assert!(!format!("{token:?}").contains(secret));
        for damaged in [&line[..line.len() - 1], &line[..20], &format!("{line}_0")] {
            let error = damaged.parse::<Token>().unwrap_err();
            assert_eq!(error, TokenError::Damaged, "{damaged}");
            assert!(!error.to_string().contains(secret));
        }
        assert_eq!(secret.parse::<Token>(), Err(TokenError::NotOne));
    }

    #[test]
    fn only_the_same_secret_has_the_digest() {
        let (one, other) = (token(), token());
        assert!(one.secret.has_digest(&one.secret.digest()));
        assert!(!other.secret.has_digest(&one.secret.digest()));
    }
}
