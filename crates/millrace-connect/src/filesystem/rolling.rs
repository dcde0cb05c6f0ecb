//! When a part file is full.

use std::time::Duration;

use millrace_core::{Error, Result};

use crate::{Options, duration};

/// The options `sink.rolling-policy.…`, with Flink's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RollingPolicy {
    /// A file that is at least so long is closed.
    pub file_bytes: u64,
    /// A file that is at least so old is closed.
    pub rollover_interval: Duration,
    /// How often ages are looked at.
    pub check_interval: Duration,
}

impl Default for RollingPolicy {
    fn default() -> Self {
        RollingPolicy {
            file_bytes: 128 << 20,
            rollover_interval: Duration::from_secs(30 * 60),
            check_interval: Duration::from_secs(60),
        }
    }
}

impl RollingPolicy {
    pub fn from_options(options: &Options) -> Result<Self> {
        let mut policy = RollingPolicy::default();
        if let Some(text) = options.text("sink.rolling-policy.file-size") {
            policy.file_bytes = size("sink.rolling-policy.file-size", text)?;
        }
        for (name, target) in [
            ("sink.rolling-policy.rollover-interval", &mut policy.rollover_interval),
            ("sink.rolling-policy.check-interval", &mut policy.check_interval),
        ] {
            if let Some(text) = options.text(name) {
                *target = duration::parse(name, text)?;
            }
        }
        Ok(policy)
    }
}

/// `128MB`, `1 gb`, `4096`: a number of bytes, units by 1,024, as Flink reads them.
fn size(name: &str, text: &str) -> Result<u64> {
    let wrong = || {
        Error::fix_input(format!("option `{name}` cannot be `{text}`"))
            .hint("write a whole number and a unit: b, kb, mb, gb or tb")
    };
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let count: u64 = trimmed[..digits].parse().map_err(|_| wrong())?;
    let shift = match trimmed[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kibibytes" => 10,
        "m" | "mb" | "mebibytes" => 20,
        "g" | "gb" | "gibibytes" => 30,
        "t" | "tb" | "tebibytes" => 40,
        _ => return Err(wrong()),
    };
    match count.checked_mul(1 << shift) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_flink_writes_them() {
        assert_eq!(size("x", "128MB").unwrap(), 128 << 20);
        assert_eq!(size("x", "1 kb").unwrap(), 1_024);
        assert_eq!(size("x", "77").unwrap(), 77);
        for text in ["", "0", "-1 mb", "1.5 gb", "9 pb", "99999999999 gb"] {
            assert!(size("x", text).is_err(), "{text}");
        }
    }
}
