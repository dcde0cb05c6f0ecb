//! Users of a log, and what its clients must prove and may do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use super::{Log, feed, serve_with};
use crate::harness::{Ended, millrace, run};

fn user(directory: &Path, arguments: &str, password: &str) -> Ended {
    let mut command = millrace(&format!("log user {arguments} --data data"));
    feed(command.current_dir(directory), password)
}

/// A log with users `root` and `ann`, whose passwords are their names twice.
pub fn guarded(options: &str) -> Log {
    let directory = tempfile::tempdir().unwrap();
    for name in ["root", "ann"] {
        user(directory.path(), &format!("add {name}"), &format!("{name}{name}\n")).expect(0);
    }
    let (server, address) = serve_with(directory.path(), options);
    Log { server, address, directory }
}

/// What a client needs to be a user by PLAIN.
fn being(user: &str, password: &str) -> String {
    format!(
        "--property security.protocol=sasl_plaintext --property sasl.mechanism=PLAIN --property \
         sasl.username={user} --property sasl.password={password}"
    )
}

/// The certificate and key that the tests of the embedded log have.
pub fn certificate(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../millrace-log/tests/it/certificates").join(file)
}

#[test]
fn users_are_added_listed_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let user = |arguments: &str, password: &str| user(directory, arguments, password);
    assert_eq!(user("list", "").expect(0).stdout, "");
    let added = user("add bob", "secret\n").expect(0);
    assert_eq!((added.stdout.as_str(), added.stderr.as_str()), ("", "user `bob` has a password\n"));
    std::fs::write(directory.join("password"), "another\r\nand more\n").unwrap();
    user("add ann --password-file password", "").expect(0);
    user("add bob", "changed").expect(0);
    assert_eq!(user("list", "").expect(0).stdout, "ann\nbob\n");
    assert_eq!(user("list --json", "").expect(0).stdout, "{\"users\":[\"ann\",\"bob\"]}\n");
    assert_eq!(user("delete bob", "").expect(0).stderr, "deleted user `bob`\n");
    assert_eq!(
        user("delete bob", "").expect(1).stderr,
        "error: there is no user `bob`\n  hint: `millrace log user list` names those that there are\n"
    );
    assert_eq!(user("list", "").expect(0).stdout, "ann\n");
}

#[test]
fn what_cannot_be_a_password_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let long = "x".repeat(1_025);
    for (password, reason) in [
        ("", "there is none"),
        ("\n", "there is none"),
        (long.as_str(), "longer than 1024 bytes"),
        ("a\0b\n", "must not be empty nor have zero bytes"),
    ] {
        let refused = user(directory.path(), "add ann", password).expect(1);
        assert!(refused.stderr.contains(reason), "{}", refused.stderr);
    }
    let missing = user(directory.path(), "add ann --password-file missing", "").expect(1);
    assert!(missing.stderr.contains("cannot read a password from `missing`"), "{}", missing.stderr);
    assert_eq!(user(directory.path(), "list", "").expect(0).stdout, "");
}

#[test]
fn users_of_a_log_that_is_served_are_left_alone() {
    let log = guarded("--sasl");
    for arguments in ["add bob", "list", "delete ann"] {
        let refused = user(log.directory.path(), arguments, "secret\n").expect(1);
        assert!(refused.stderr.contains("kafka-configs"), "{}", refused.stderr);
    }
}

#[test]
fn who_does_not_prove_who_they_are_gets_nothing() {
    let log = guarded("--sasl=PLAIN,SCRAM-SHA-256");
    let root = being("root", "rootroot");
    log.run(&format!("topic create t {root}")).expect(0);
    log.feed(&format!("produce t -q {root}"), "1\n").expect(0);
    assert_eq!(log.run(&format!("consume t -q {root}")).expect(0).stdout, "1\n");
    let wrong = log.run(&format!("topic list {}", being("root", "guess"))).expect(1);
    assert!(wrong.stderr.contains("Invalid username or password"), "{}", wrong.stderr);
    let nobody = log.run("topic list").expect(1);
    assert_eq!(nobody.stdout, "");
    // A mechanism that the server knows but was not told to offer.
    let log = guarded("--sasl=SCRAM-SHA-512");
    let other = log.run(&format!("topic list {root}")).expect(1);
    assert!(other.stderr.contains("SCRAM-SHA-512"), "{}", other.stderr);
}

#[test]
fn with_lists_only_super_users_may_do_what_nobody_allowed() {
    let log = guarded("--sasl --acls --super-user root");
    let (root, ann) = (being("root", "rootroot"), being("ann", "annann"));
    log.run(&format!("topic create t {root}")).expect(0);
    log.feed(&format!("produce t -q {root}"), "1\n").expect(0);
    let listed = log.run(&format!("topic list {ann}")).expect(0).stdout;
    assert_eq!(listed.lines().count(), 1, "more than the heading: {listed}");
    // What may not even be seen is not there.
    for arguments in ["topic create u", "consume t -q", "topic delete t --yes", "produce t -q"] {
        let stderr = log.feed(&format!("{arguments} {ann}"), "2\n").expect(1).stderr.to_lowercase();
        let denied = stderr.contains("authorization failed");
        let unseen = stderr.contains("`t` does not exist");
        assert!(denied || unseen, "{arguments}: {stderr}");
    }
    assert_eq!(log.run(&format!("consume t -q {root}")).expect(0).stdout, "1\n");
    // Without --acls, who is in may do everything.
    let log = guarded("--sasl");
    log.run(&format!("topic create t {ann}")).expect(0);
}

#[test]
fn with_a_certificate_the_server_speaks_tls_and_nothing_else() {
    let (pem, key) = (certificate("server.pem"), certificate("server.key"));
    let options = format!("--tls-certificate {} --tls-key {}", pem.display(), key.display());
    let log = guarded(&options);
    let mut stream = TcpStream::connect(&log.address).unwrap();
    stream.write_all(b"\0\0\0\x0a\0\x12\0\0\0\0\0\x09\0\0").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    // At most an alert of TLS.
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
}

#[test]
fn options_that_do_not_fit_together_are_misuse_and_files_are_named() {
    for options in
        ["--sasl=GSSAPI", "--super-user root", "--tls-certificate cert.pem", "--tls-key key.pem"]
    {
        run(&mut millrace(&format!("log serve {options}"))).expect(2);
    }
    let directory = tempfile::tempdir().unwrap();
    let (pem, key) = (certificate("server.pem"), certificate("server.key"));
    for (pem, key, named) in [
        (Path::new("missing.pem"), key.as_path(), "missing.pem"),
        (pem.as_path(), Path::new("missing.key"), "missing.key"),
        // The other way round.
        (key.as_path(), pem.as_path(), "server.key"),
    ] {
        let mut command = millrace("log serve --listen 127.0.0.1:0 --data data --tls-certificate");
        command.arg(pem).arg("--tls-key").arg(key).current_dir(directory.path());
        let refused = run(&mut command).expect(1);
        assert!(refused.stderr.contains(named), "{}", refused.stderr);
        assert!(refused.stderr.contains("take PEM files"), "{}", refused.stderr);
        assert!(!directory.path().join("data").exists(), "nothing was made");
    }
}
