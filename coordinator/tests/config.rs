//! Settings of `batchstep serve`: where each may come from, which one counts, and what is said of those that cannot be followed.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly too")]

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::Path,
};

use assert_cmd::Command;
use tempfile::TempDir;

const EXAMPLE: &str = include_str!("../../deploy/config/coordinator.toml");

fn serve(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("batchstep"));
    command.current_dir(home).env("NO_COLOR", "1");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BATCHSTEP_") {
            command.env_remove(name);
        }
    }
    command.arg("serve").args(arguments);
    command
}

/// What would be used: value and origin of each setting.
fn used(mut command: Command) -> BTreeMap<String, (String, String)> {
    let output = command.arg("--check-config").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, rest)| {
            let (value, origin) = rest.split_once(" # ").unwrap();
            let both = (value.trim().to_owned(), origin.to_owned());
            (key.to_owned(), both)
        })
        .collect()
}

fn refused(home: &Path, file: &str, said: &[&str]) {
    fs::write(home.join("c.toml"), file).unwrap();
    for last in ["--check-config", "--log=info"] {
        let output = serve(home, &["--config", "c.toml", last]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{file}: {stderr}");
        let lines = stderr.lines().filter(|line| line.contains("c.toml:"));
        let places = lines.map(|line| line.split(':').nth(1).unwrap().parse::<usize>().unwrap());
        assert!(places.is_sorted(), "{stderr}");
        for word in said {
            assert!(
                stderr.contains(word),
                "{file:?} does not say {word:?}: {stderr}"
            );
        }
    }
}

#[test]
fn a_flag_outranks_its_variable_that_the_file_and_that_the_default() {
    let home = TempDir::new().unwrap();
    let file = "data_dir = \"from-file\"\nlisten = \"127.0.0.1:1\"\nlog = \"debug\"\nmax_model_size = \"1GiB\"\n";
    fs::write(home.path().join("c.toml"), file).unwrap();
    let mut command = serve(
        home.path(),
        &["--config", "c.toml", "--max-model-size", "3GiB"],
    );
    command
        .env("BATCHSTEP_LISTEN", "127.0.0.1:2")
        .env("BATCHSTEP_MAX_MODEL_SIZE", "2GiB");
    let used = used(command);
    let is = |key: &str, value: &str, origin: &str| {
        assert_eq!(used[key], (value.to_owned(), origin.to_owned()), "{key}");
    };
    is("data_dir", "\"from-file\"", "c.toml, line 1");
    is("listen", "\"127.0.0.1:2\"", "environment, BATCHSTEP_LISTEN");
    is("max_model_size", "\"3GiB\"", "command line");
    is("log", "\"debug\"", "c.toml, line 3");
    is("lease_intervals", "3", "default");
    assert!(
        !home.path().join("from-file").exists(),
        "nothing was started"
    );
}

#[test]
fn the_example_says_the_defaults_and_every_setting() {
    let home = TempDir::new().unwrap();
    let all: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with([' ', '#']) => setting.to_owned() + "\n",
            _ => line.to_owned() + "\n",
        })
        .collect();
    fs::write(home.path().join("example.toml"), EXAMPLE).unwrap();
    fs::write(home.path().join("all.toml"), &all).unwrap();
    let defaults = used(serve(home.path(), &["--config", "example.toml"]));
    let written = used(serve(home.path(), &["--config", "all.toml"]));
    let values = |used: &BTreeMap<String, (String, String)>| -> BTreeMap<String, String> {
        used.iter()
            .map(|(key, (value, _))| (key.clone(), value.clone()))
            .collect()
    };
    assert_eq!(values(&written), values(&defaults));
    for (key, (_, origin)) in written {
        assert!(
            origin.starts_with("all.toml"),
            "{key} is not in the example"
        );
    }
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let home = TempDir::new().unwrap();
    let print = |arguments: &[&str]| {
        let output = serve(home.path(), arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let odd = "a \"quoted\" \\ folder";
    let first = print(&["--data-dir", odd, "--lost-intervals", "9", "--check-config"]);
    fs::write(home.path().join("c.toml"), &first).unwrap();
    let second = print(&["--config", "c.toml", "--check-config"]);
    let values = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| line.rsplit_once(" # ").unwrap().0.trim().to_owned());
        lines.collect()
    };
    for bare in ["lost_intervals = 9 ", "judge_hit_shift = 0.03 "] {
        assert!(first.contains(bare), "{first}");
    }
    assert_eq!(values(&first), values(&second));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    refused(
        home,
        "data_dir = \"d\"\nlsten = \"a\"\n",
        &["c.toml:2:", "\"lsten\"", "did you mean listen?"],
    );
    refused(
        home,
        "data-dir = \"d\"\n",
        &["c.toml:1:", "did you mean data_dir?"],
    );
    refused(
        home,
        "config = \"other\"\n",
        &["c.toml:1:", "no setting \"config\""],
    );
    refused(
        home,
        "# a\ndata_dir = \"d\"\nlisten = 3\n",
        &["c.toml:3:", "listen", "'3'"],
    );
    // All of it at once.
    refused(
        home,
        "data_dir = \"d\"\nlog_format = \"xml\"\noverhead = 1\nforget_after = \"soon\"\n",
        &[
            "c.toml:2:",
            "text, json",
            "c.toml:3:",
            "c.toml:4:",
            "forget_after",
        ],
    );
    refused(
        home,
        "data_dir = \"d\"\n[fleet]\nlease_intervals = 3\n",
        &["c.toml:2:", "fleet", "section"],
    );
    // What is in a section, and what is wrong with the TOML itself, hides nothing else.
    refused(
        home,
        "lsten = \"a\"\n[fleet] # ours\nlease_intervals = \"many\"\nlog = {}\n[[a.b]]\noverhead = 1\n",
        &[
            "c.toml:1: there is no setting \"lsten\"; did you mean listen?\n",
            "c.toml:2: [fleet] begins a section, and settings have none: leave this line out\n",
            "c.toml:3: lease_intervals: ",
            "c.toml:4: log cannot be of type table: ",
            "c.toml:5: [[a.b]] begins a section",
            "c.toml:6: there is no setting \"overhead\"; known: data_dir, ",
        ],
    );
    refused(
        home,
        "listen = \nlog_format = \"xml\"\nkeep_blocks = \"30d\nlog = 3\nlog = 4\nlsten = 3\n",
        &[
            "c.toml:1: ",
            "c.toml:2: log_format: ",
            "c.toml:3: invalid basic string",
            "c.toml:5: duplicate key",
            "c.toml:6: there is no setting",
        ],
    );
    refused(
        home,
        "listen: \"x\"\nlsten = 3\n[fleet\nlog_format = \"xml\"\nlog = \"info\"\n",
        &[
            "c.toml:1: ",
            "c.toml:2: there is no setting",
            "c.toml:3: ",
            "c.toml:4: log_format: ",
        ],
    );
    // A file of another kind, such as a log, is not told line by line.
    let log = "2026-11-26 something happened\n".repeat(500);
    refused(home, &log, &["c.toml:1: ", "c.toml:20: "]);
    let output = serve(home, &["--config", "c.toml"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr)
        .matches("c.toml:")
        .count();
    assert_eq!(told, 20);
    refused(home, "data_dir = \"d\"\nlisten = \n", &["c.toml:2:"]);
    refused(
        home,
        "data_dir = \"d\"\ndata_dir = \"e\"\n",
        &["c.toml:2:", "duplicate"],
    );
    // Each is fine, and both together are not.
    refused(
        home,
        "data_dir = \"d\"\nlease_intervals = 6\n",
        &["lost_intervals (6)", "lease_intervals (6)"],
    );
    refused(
        home,
        "data_dir = \"d\"\nlisten = \"0.0.0.0:7847\"\ncertificate_lifetime = \"1s\"\n",
        &["c.toml:3:", "10s"],
    );
    refused(
        home,
        "data_dir = \"d\"\nback_off_ceiling = \"1ms\"\n",
        &["back_off_floor"],
    );
    refused(home, "listen = \"127.0.0.1:1\"\n", &["--data-dir"]);
    assert!(!home.join("d").exists(), "nothing was started");
    let output = serve(home, &["--config", "none.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("none.toml"));
}

/// What `--check-config` and the start itself say to the same settings, which must not differ.
fn both_refuse(home: &Path, arguments: &[&str], code: i32, said: &str) {
    for last in ["--check-config", "--log=warn"] {
        let output = serve(home, arguments).arg(last).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?} {last}: {stderr}"
        );
        assert!(stderr.contains(said), "{arguments:?} {last}: {stderr}");
    }
}

#[test]
fn what_the_settings_name_is_looked_at_too() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let tls = ["--tls", "--listen", "127.0.0.1:0", "--data-dir"];
    let with = |data_dir: &'static str, more: &[&'static str]| {
        let mut arguments = tls.to_vec();
        arguments.push(data_dir);
        arguments.extend(more);
        arguments
    };
    let names = with("named", &["--tls-names", "lab.example,a b"]);
    both_refuse(home, &names, 2, "--tls-names");
    assert!(!home.join("named").exists(), "nothing was made");
    fs::write(home.join("file"), "text").unwrap();
    both_refuse(home, &with("file", &[]), 3, "is not a directory");
    both_refuse(home, &with("file/below", &[]), 3, "cannot create");
    symlink("nowhere", home.join("link")).unwrap();
    both_refuse(home, &with("link", &[]), 3, "--data-dir");
    // Root is forbidden nothing there, and can make nothing.
    for place in ["/proc/batchstep", "/proc/batchstep/data"] {
        let said = format!("cannot create the data directory {place}; choose another");
        both_refuse(home, &with(place, &[]), 3, &said);
    }

    fs::create_dir_all(home.join("damaged/pki")).unwrap();
    fs::write(home.join("damaged/pki/authority.pem"), "half a key").unwrap();
    both_refuse(home, &with("damaged", &[]), 3, "authority.pem");
    fs::create_dir(home.join("other")).unwrap();
    fs::write(home.join("other/coordinator.db"), "no database at all").unwrap();
    both_refuse(home, &with("other", &[]), 3, "coordinator.db");

    // Nobody gets plain text on an address that others reach by saying so, and nobody TLS there by surprise.
    let plain = [
        "--tls=false",
        "--listen",
        "0.0.0.0:0",
        "--data-dir",
        "plain",
    ];
    both_refuse(home, &plain, 2, "--tls=false");
    assert!(!home.join("plain").exists(), "nothing was made");

    // Nothing of that is wrong here, and nothing is made.
    let fine = with("fine", &["--tls-names", "lab.example,192.0.2.1,*.lab"]);
    let output = serve(home, &fine).arg("--check-config").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!home.join("fine").exists(), "nothing was made");
}

/// A user who is not the one that runs the tests.
const SOMEBODY: u32 = 61_184;

/// The unit's user has other rights than the person who looks at the configuration before it is installed.
#[test]
fn what_another_user_could_write_is_told_and_no_fault() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let closed = home.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(home, Permissions::from_mode(0o755)).unwrap();
    // Where others can run it, too.
    let (built, program) = (
        assert_cmd::cargo::cargo_bin!("batchstep"),
        home.join("batchstep"),
    );
    if fs::hard_link(built, &program).is_err() {
        fs::copy(built, &program).unwrap();
    }
    // As /var/lib has it for a unit with DynamicUser=yes.
    let private = home.join("private");
    fs::create_dir_all(private.join("state")).unwrap();
    fs::set_permissions(&private, Permissions::from_mode(0o000)).unwrap();
    let linked = home.join("linked");
    symlink(private.join("state"), &linked).unwrap();
    let looked = |data_dir: &Path, change: &dyn Fn(&mut std::process::Command)| {
        let mut command = std::process::Command::new(&program);
        command
            .env_clear()
            .args(["serve", "--check-config", "--data-dir"]);
        change(command.arg(data_dir));
        let output = command.output();
        let output = output.expect("everybody may look into the folder of temporary files");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        stderr
    };
    let is_root = nix::unistd::geteuid().is_root();
    let within = [closed.clone(), closed.join("data"), closed.join("a/b")];
    for place in within.into_iter().chain([linked.clone(), linked.join("a")]) {
        let stderr = looked(&place, &|command| {
            if is_root {
                command.uid(SOMEBODY).gid(SOMEBODY);
            }
        });
        let said = format!("{} cannot be written or made by this user", place.display());
        assert!(stderr.contains(&said), "{stderr}");
        assert_eq!(
            fs::read_dir(&closed).unwrap().count(),
            0,
            "nothing was made"
        );
    }
    assert_eq!(looked(&home.join("open"), &|_| {}), "");
}
