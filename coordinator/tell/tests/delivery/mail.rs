//! E-mail.

use batchstep_tell::{
    Cause, Channel, Config, Failure, Limits, MailConfig, Persistence, Secret, Security, Stage,
    deliver,
};

use crate::{
    GENEROUS, SECRET, SHORT, assert_failure_hides,
    authority::Authority,
    channel,
    messages::digest,
    smtp_server::{Encryption, MailServer, Odd, Say},
};

struct Way<'a> {
    security: Security,
    authority: Option<&'a Authority>,
    with_login: bool,
    limits: Limits,
}

const CLEAR: Way<'_> = Way {
    security: Security::None,
    authority: None,
    with_login: false,
    limits: GENEROUS,
};

fn mail(server: &MailServer, way: &Way<'_>) -> Channel {
    let login = || ("robot".to_owned(), Secret::new(SECRET.to_owned()));
    channel(Config {
        mail: Some(MailConfig {
            server: format!("localhost:{}", server.address.port()),
            security: way.security,
            login: way.with_login.then(login),
            from: "batchstep <nightly@lab.example>".to_owned(),
            to: vec!["Ops <ops@lab.example>".to_owned()],
        }),
        authorities: way.authority.map(Authority::file),
        limits: way.limits,
        ..Config::default()
    })
}

async fn failure(server: &MailServer, way: &Way<'_>) -> Failure {
    let failure = deliver(&mail(server, way), &digest()).await.unwrap_err();
    assert_failure_hides(&failure);
    let line = failure.line();
    assert!(
        line.starts_with("email:ops@lab.example could not deliver to localhost:"),
        "{line}"
    );
    failure
}

/// A server without encryption that is odd in one way.
async fn clear_failure(command: &'static str, say: Say, limits: Limits) -> Failure {
    let server = MailServer::start(Encryption::None, Odd::from([(command, say)])).await;
    let way = Way {
        limits,
        with_login: command == "AUTH",
        ..CLEAR
    };
    failure(&server, &way).await
}

#[tokio::test]
async fn a_mail_has_everything_and_a_key_of_its_own() {
    let server = MailServer::start(Encryption::None, Odd::new()).await;
    let digest = digest();
    let receipt = deliver(&mail(&server, &CLEAR), &digest).await.unwrap();
    assert_eq!(receipt.status, 250);
    let text = server.text();
    for part in [
        "MAIL FROM:<nightly@lab.example>",
        "RCPT TO:<ops@lab.example>",
        &format!("Message-ID: <{}@lab.example>", digest.key()),
        "Subject: [batchstep] Host missing: gpu-07",
        "Auto-Submitted: auto-generated",
        "Date: Thu, 01 Jan 1970 00:00:00 +0000",
        "1. Host missing: gpu-07",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[tokio::test]
async fn the_same_digest_is_the_same_mail_at_every_try() {
    let servers = [
        MailServer::start(Encryption::None, Odd::new()).await,
        MailServer::start(Encryption::None, Odd::new()).await,
    ];
    for server in &servers {
        deliver(&mail(server, &CLEAR), &digest()).await.unwrap();
    }
    assert_eq!(servers[0].lines(), servers[1].lines());
}

#[tokio::test]
async fn a_password_goes_through_tls_only() {
    let authority = Authority::new();
    let tls = || authority.acceptor("localhost");
    for (encryption, security) in [
        (Encryption::StartTls(tls()), Security::StartTls),
        (Encryption::Implicit(tls()), Security::Tls),
    ] {
        let server = MailServer::start(encryption, Odd::new()).await;
        let way = Way {
            security,
            authority: Some(&authority),
            with_login: true,
            ..CLEAR
        };
        deliver(&mail(&server, &way), &digest()).await.unwrap();
        let lines = server.lines();
        // "\0robot\0hunter2"
        let login = lines
            .iter()
            .position(|line| line == "AUTH PLAIN AHJvYm90AGh1bnRlcjI=");
        let begin = lines.iter().position(|line| line == "(TLS)");
        assert!(login.is_some(), "{lines:#?}");
        assert!(security == Security::Tls || begin.is_some_and(|begin| Some(begin) < login));
        assert!(lines.iter().any(|line| line.contains("gpu-07")));
    }
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_that_cannot_prove_who_it_is() {
    let authority = Authority::new();
    let foreign = Authority::new().acceptor("localhost");
    let other_name = authority.acceptor("mail.elsewhere.example");
    for tls in [foreign, other_name] {
        for (encryption, security) in [
            (Encryption::StartTls(tls.clone()), Security::StartTls),
            (Encryption::Implicit(tls), Security::Tls),
        ] {
            let server = MailServer::start(encryption, Odd::new()).await;
            let way = Way {
                security,
                authority: Some(&authority),
                with_login: true,
                ..CLEAR
            };
            let failure = failure(&server, &way).await;
            assert!(matches!(failure.cause, Cause::Tls(_)), "{failure:?}");
            assert!(!server.text().contains("AUTH"), "{}", server.text());
            assert!(!server.text().contains("MAIL"), "{}", server.text());
        }
    }
}

#[tokio::test]
async fn who_takes_starttls_away_gets_nothing() {
    let authority = Authority::new();
    let way = Way {
        security: Security::StartTls,
        authority: Some(&authority),
        with_login: true,
        ..CLEAR
    };
    let silent = MailServer::start(Encryption::None, Odd::new()).await;
    let failed = failure(&silent, &way).await;
    assert!(matches!(failed.cause, Cause::NoStartTls), "{failed:?}");

    // Somebody in between who answers beforehand what only the server should.
    let early = Say::Line("220 2.0.0 go on\r\n250-mail.lab\r\n250 AUTH LOGIN");
    let tls = authority.acceptor("localhost");
    let server =
        MailServer::start(Encryption::StartTls(tls), Odd::from([("STARTTLS", early)])).await;
    let failed = failure(&server, &way).await;
    assert!(
        matches!(failed.cause, Cause::NotSmtp(Stage::StartTls)),
        "{failed:?}"
    );
    for server in [silent, server] {
        assert!(!server.text().contains("AUTH"), "{}", server.text());
    }
}

#[tokio::test]
async fn refusals_that_may_pass_are_told_from_those_that_will_not() {
    for (command, answer, persists) in [
        ("", "421 4.3.2 too busy", false),
        ("MAIL", "450 4.7.1 come back", false),
        ("RCPT", "450 4.2.0 greylisted", false),
        ("RCPT", "550 5.1.1 no hunter2 here", true),
        (".", "552 5.3.4 too big", true),
        ("AUTH", "454 4.7.0 later", false),
        (
            "AUTH",
            "535 5.7.8 robot hunter2 aHVudGVyMg== is unknown",
            true,
        ),
    ] {
        let failure = clear_failure(command, Say::Line(answer), GENEROUS).await;
        let expected = if persists {
            Persistence::Permanent
        } else {
            Persistence::Temporary { retry_after: None }
        };
        assert_eq!(
            failure.persistence(),
            expected,
            "{command} {answer}: {failure:?}"
        );
        let numbers: Vec<&str> = answer.split(' ').take(2).collect();
        assert!(
            failure.line().ends_with(&numbers.join(" ")),
            "{}",
            failure.line()
        );
    }
    let repeats = clear_failure("AUTH", Say::Repeat, GENEROUS).await;
    assert!(
        repeats
            .line()
            .ends_with("it refused the login with 535 5.7.8"),
        "{repeats:?}"
    );
}

#[tokio::test]
async fn servers_that_hang_hang_up_or_talk_without_end_are_tried_again() {
    for command in ["", "EHLO", "MAIL", "DATA", "."] {
        let hangs = clear_failure(command, Say::Nothing, SHORT).await;
        assert!(
            matches!(hangs.cause, Cause::Timeout(_)),
            "{command}: {hangs:?}"
        );
        let gone = clear_failure(command, Say::HangUp, GENEROUS).await;
        assert!(
            matches!(gone.cause, Cause::Broken { .. }),
            "{command}: {gone:?}"
        );
        let endless = clear_failure(command, Say::Endless, GENEROUS).await;
        for failure in [hangs, gone, endless] {
            let expected = Persistence::Temporary { retry_after: None };
            assert_eq!(failure.persistence(), expected, "{command}: {failure:?}");
        }
    }
    let odd = clear_failure("", Say::Line("HTTP/1.1 400 Bad Request"), GENEROUS).await;
    assert!(matches!(odd.cause, Cause::NotSmtp(_)), "{odd:?}");
}

#[tokio::test]
async fn before_tls_servers_are_read_as_carefully() {
    let authority = Authority::new();
    for (command, say) in [
        ("", Say::Endless),
        ("", Say::HangUp),
        ("EHLO", Say::Endless),
        ("EHLO", Say::Line("250-a\r\nxyz")),
        ("STARTTLS", Say::Line("454 4.7.0 not now")),
        ("STARTTLS", Say::HangUp),
    ] {
        let tls = authority.acceptor("localhost");
        let server =
            MailServer::start(Encryption::StartTls(tls), Odd::from([(command, say)])).await;
        let way = Way {
            security: Security::StartTls,
            authority: Some(&authority),
            ..CLEAR
        };
        let failure = failure(&server, &way).await;
        let expected = Persistence::Temporary { retry_after: None };
        assert_eq!(
            failure.persistence(),
            expected,
            "{command} {say:?}: {failure:?}"
        );
        assert!(!server.text().contains("MAIL"));
    }
}

#[tokio::test]
async fn a_mail_that_was_taken_is_delivered_however_the_talk_ends() {
    for say in [Say::HangUp, Say::Line("500 what"), Say::Nothing] {
        let server = MailServer::start(Encryption::None, Odd::from([("QUIT", say)])).await;
        let channel = mail(&server, &CLEAR);
        let digest = digest();
        let delivered = tokio::time::timeout(GENEROUS.whole, deliver(&channel, &digest)).await;
        assert!(matches!(delivered, Ok(Ok(_))), "{delivered:?}");
    }
}
