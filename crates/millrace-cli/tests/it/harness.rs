//! Runs the binary and reads what it says.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The workspace, where relative paths of the examples begin.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the workspace is there")
}

/// The binary with these arguments (cut at spaces), in the workspace, without colours.
pub fn millrace(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command
        .args(arguments.split_whitespace())
        .current_dir(root())
        .env("NO_COLOR", "1")
        .env_remove("MILLRACE_LOG")
        .stdin(Stdio::null());
    command
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Asserts the exit code, and shows what was said if it is another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "stderr:\n{}\nstdout:\n{}", self.stderr, self.stdout);
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ended {
    command.output().expect("the binary starts").into()
}

/// Runs a script that stands in a directory of its own, with that as working directory.
pub fn run_script(directory: &Path, script: &str, arguments: &str) -> Ended {
    run(&mut script_command(directory, script, arguments))
}

/// The command of [`run_script`].
pub fn script_command(directory: &Path, script: &str, arguments: &str) -> Command {
    std::fs::write(directory.join("job.sql"), script).expect("the script is written");
    let mut command = millrace("run job.sql");
    command.args(arguments.split_whitespace()).current_dir(directory);
    command
}

/// The rows under `header` in CSV of one or more blocks, sorted.
pub fn rows_under(stdout: &str, header: &str) -> Vec<String> {
    let blocks = stdout.split("\n\n").map(|block| block.trim_end_matches('\n'));
    let ours = blocks.filter_map(|block| block.strip_prefix(header)?.strip_prefix('\n'));
    let mut rows: Vec<String> = ours.flat_map(str::lines).map(str::to_owned).collect();
    rows.sort();
    rows
}

/// The expected rows of the month: header and sorted rows.
pub fn expected(name: &str) -> (String, Vec<String>) {
    let path = root().join("examples/flights/expected").join(name);
    let text = std::fs::read_to_string(path).expect("the oracle's rows are committed");
    let (header, rows) = text.split_once('\n').expect("a header");
    let mut rows: Vec<String> = rows.lines().map(str::to_owned).collect();
    rows.sort();
    (header.to_owned(), rows)
}

/// Gives another process time.
#[expect(clippy::disallowed_methods, reason = "other processes live in the system's time")]
pub fn pause(time_ms: u64) {
    std::thread::sleep(std::time::Duration::from_millis(time_ms));
}

/// A command that runs while the test looks on; killed when the test ends.
pub struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    said: String,
}

impl Running {
    /// Starts a command with both outputs piped.
    pub fn start(command: &mut Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        Running { child, stderr, said: String::new() }
    }

    /// Waits for a line on standard error that contains `text`, and returns it.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).expect("UTF-8");
            assert!(read > 0, "it ended without saying `{text}`, but:\n{}", self.said);
            self.said.push_str(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &command]).status().expect("a shell");
        assert!(sent.success(), "{command}");
    }

    /// The pipe of standard output.
    pub fn stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().expect("taken once")
    }

    /// Waits for its end. Standard output is read to its end first, unless it was taken.
    pub fn end(mut self) -> Ended {
        let mut stdout = String::new();
        if let Some(mut pipe) = self.child.stdout.take() {
            pipe.read_to_string(&mut stdout).expect("UTF-8");
        }
        self.ended(stdout)
    }

    /// Waits for its end without reading standard output, which is closed afterwards.
    pub fn end_unread(mut self) -> Ended {
        let pipe = self.child.stdout.take();
        let ended = self.ended(String::new());
        drop(pipe);
        ended
    }

    fn ended(&mut self, stdout: String) -> Ended {
        let mut stderr = std::mem::take(&mut self.said);
        self.stderr.read_to_string(&mut stderr).expect("UTF-8");
        let code = self.child.wait().expect("a child").code();
        Ended { code, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
