//! Where people reach the coordinator, for links in messages: behind a proxy it does not know itself.

use url::Url;

use crate::message::Link;

/// The address that links begin with. No secret: everybody who is told sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(Url);

/// A text that is no address for links.
#[derive(Debug, thiserror::Error)]
#[error(
    "links cannot begin with {text:?}: write an address such as https://lab.example/batchstep/, without user, query and #"
)]
pub struct PublicUrlError {
    text: String,
}

impl PublicUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none, or one that nothing can be appended to.
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let wrong = || PublicUrlError {
            text: text.to_owned(),
        };
        let mut url = Url::parse(text.trim()).map_err(|_| wrong())?;
        let is_page = matches!(url.scheme(), "http" | "https");
        let has_more = url.query().is_some() || url.fragment().is_some();
        let has_user = !url.username().is_empty() || url.password().is_some();
        if !is_page || has_more || has_user {
            return Err(wrong());
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self(url))
    }

    /// A link to a page below it; what is no letter of an address in a part of its path is encoded.
    #[must_use]
    pub fn link(&self, title: &str, path: &[&str]) -> Link {
        let mut url = self.0.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(path);
        }
        Link {
            title: title.to_owned(),
            url: url.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lie_below_the_address() {
        for text in [
            "https://lab.example/batchstep",
            "https://lab.example/batchstep/",
        ] {
            let url = PublicUrl::parse(text).unwrap();
            let link = url.link("The night", &["nightly", "a/b c?", "20"]);
            assert_eq!(
                link.url,
                "https://lab.example/batchstep/nightly/a%2Fb%20c%3F/20"
            );
        }
    }

    #[test]
    fn what_is_none_is_named() {
        for text in [
            "lab",
            "ftp://lab/",
            "https://lab/?a=b",
            "https://u@lab/",
            "https://lab/#a",
        ] {
            let error = PublicUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
