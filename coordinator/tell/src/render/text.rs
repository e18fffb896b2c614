//! Plain text: subject and body of a mail.

use super::words::{self, Fact};
use crate::Digest;

/// Messages that a mail lists.
const LISTED_MAX: usize = 50;
/// Longest subject, characters: mail programs show less.
const SUBJECT_MAX: usize = 160;
/// Width of the column of names.
const NAME_WIDTH: usize = 15;

/// The line that a mailbox shows.
#[must_use]
pub fn subject(digest: &Digest) -> String {
    words::cut(
        &format!("[batchstep] {}", words::summary(digest)),
        SUBJECT_MAX,
    )
}

/// Everything, for people.
#[must_use]
pub fn body(digest: &Digest) -> String {
    let (listed, more) = digest.listed(LISTED_MAX);
    let mut text = String::new();
    if digest.messages().len() > 1 {
        text += &format!("{}\n\n", words::summary(digest));
    }
    for (message, number) in listed.iter().zip(1..) {
        text += &format!("{number}. {}\n", words::headline(message));
        for Fact { name, value, .. } in words::facts(message) {
            text += &format!("   {name:<NAME_WIDTH$}{value}\n");
        }
        text.push('\n');
    }
    if more > 0 {
        text += &format!("{}\n\n", words::and_more(more));
    }
    text += &format!("batchstep digest {}\n", digest.key());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::examples;

    #[test]
    fn a_mail_says_everything() {
        let mut regression = examples::regression();
        regression.shift.as_mut().unwrap().interval = Some([0.071, 0.093]);
        let digest = examples::digest(vec![regression, examples::missing_host("gpu-09")]);
        assert_eq!(
            subject(&digest),
            "[batchstep] 1 regression, 1 missing host (fleet 2026-11-26)"
        );
        let body = body(&digest);
        for part in [
            "2. Regression: linear",
            "   device         GPU-2f6e\n",
            "   iteration      12.30 ms -> 13.31 ms\n",
            "   change         8.2 % slower (95 % interval +7.1 % to +9.3 %; 6.4 standard deviations)\n",
            "   since          2026-11-25 (night 19)\n",
            "   beside it      driver 570.86 -> 580.12\n",
            "   would notice   3.0 % or more\n",
            "   acknowledge    batchstep regressions ack 17 --reason 'why it may stay'\n",
            "1. Host missing: gpu-09",
        ] {
            assert!(body.contains(part), "no {part:?} in:\n{body}");
        }
    }

    #[test]
    fn a_list_is_bounded_and_says_so() {
        let hosts = (0..300).map(|host| examples::missing_host(&format!("gpu-{host}")));
        let digest = examples::digest(hosts.collect());
        let body = body(&digest);
        assert!(body.contains("50. Host") && !body.contains("51. Host"));
        assert!(body.contains("and 250 more"), "{body}");
        assert!(subject(&digest).contains("300 missing hosts"));
    }
}
