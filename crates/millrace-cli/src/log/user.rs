//! `millrace log user`: who may come to an embedded log.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use millrace_core::Error;
use millrace_log::{LogError, Users};

use super::args::UserCommand;
use super::embedded;
use crate::failure::Failure;
use crate::stderr::say;
use crate::stdout;

/// A longer password is likely to be another file.
const MAX_PASSWORD_BYTES: u64 = 1_024;

/// Runs the command; data goes to standard output.
pub(super) fn user(command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add(arguments) => {
            let password = read_password(&arguments.password_file)?;
            let mut users = open(&arguments.data)?;
            let set = users.set_password(&arguments.name, &password);
            set.map_err(|error| embedded::failure(&arguments.data, error))?;
            say!("user `{}` has a password", arguments.name);
            Ok(())
        }
        UserCommand::List(arguments) => {
            let users = open(&arguments.data)?;
            let names: Vec<&str> = users.names().collect();
            let mut text = String::new();
            if arguments.json {
                text = serde_json::json!({ "users": names }).to_string() + "\n";
            } else {
                names.iter().for_each(|name| text.extend([name, "\n"]));
            }
            stdout::print(&text)
        }
        UserCommand::Delete(arguments) => {
            let mut users = open(&arguments.data)?;
            for name in &arguments.names {
                let deleted = users.delete(name);
                if !deleted.map_err(|error| embedded::failure(&arguments.data, error))? {
                    return Err(Failure::operation(
                        &Error::fix_input(format!("there is no user `{name}`"))
                            .hint("`millrace log user list` names those that there are"),
                    ));
                }
                say!("deleted user `{name}`");
            }
            Ok(())
        }
    }
}

fn open(data: &Path) -> Result<Users, Failure> {
    Users::open(data).map_err(|error| match error {
        LogError::InUse { .. } => Failure::operation(&Error::fix_input(error.to_string()).hint(
            "stop the server first, or change users of the running one with `kafka-configs \
             --entity-type users` (SCRAM-SHA-256, SCRAM-SHA-512)",
        )),
        error => embedded::failure(data, error),
    })
}

fn read_password(file: &Path) -> Result<String, Failure> {
    let failed = |reason: String| {
        Failure::operation(
            &Error::fix_input(format!(
                "cannot read a password from `{}`: {reason}",
                file.display()
            ))
            .hint("its first line is the password"),
        )
    };
    let reader: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| failed(error.to_string()))?)
    };
    let mut line = String::new();
    // The end of the line is more, and so is what is too long.
    let mut reader = BufReader::new(reader.take(MAX_PASSWORD_BYTES + 2));
    reader.read_line(&mut line).map_err(|error| failed(error.to_string()))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.len() as u64 > MAX_PASSWORD_BYTES {
        return Err(failed(format!("it is longer than {MAX_PASSWORD_BYTES} bytes")));
    }
    if password.is_empty() {
        return Err(failed("there is none".to_owned()));
    }
    Ok(password.to_owned())
}
