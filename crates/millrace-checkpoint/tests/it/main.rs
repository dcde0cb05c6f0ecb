//! The stored format, and the store on local directories, in memory and on S3.

mod any_executor;
mod golden;
mod local;
mod retention;
#[cfg(feature = "aws")]
mod s3;
mod sample;
