//! `millrace log user`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Users are kept in the data directory, which no server may have meanwhile.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user, or give one a new password: the first line of a file or of standard input
    Add(UserAddArguments),
    /// List users
    List(UserListArguments),
    /// Delete users
    Delete(UserDeleteArguments),
}

#[derive(Args, Debug)]
pub(crate) struct UserAddArguments {
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// The file whose first line is the password; `-` reads standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) password_file: PathBuf,

    /// The data directory; made if it is not there
    #[arg(long, value_name = "DIR", default_value = ".millrace/log")]
    pub(crate) data: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct UserListArguments {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// The data directory
    #[arg(long, value_name = "DIR", default_value = ".millrace/log")]
    pub(crate) data: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct UserDeleteArguments {
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,

    /// The data directory
    #[arg(long, value_name = "DIR", default_value = ".millrace/log")]
    pub(crate) data: PathBuf,
}
