//! Where plain text may go.

use std::net::IpAddr;

/// True for names and addresses of this host itself, as they stand in a URL: plain text sent there meets nobody else.
#[must_use]
pub fn is_this_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_this_host;

    #[test]
    fn only_loopback_is_this_host() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_this_host(host), "{host}");
        }
        for host in [
            "lab",
            "192.0.2.2",
            "0.0.0.0",
            "[::]",
            "localhost.example.org",
            "",
        ] {
            assert!(!is_this_host(host), "{host}");
        }
    }
}
