//! The owner of standard output.
//!
//! # Problem
//! Several `SELECT`s of one script print at the same time, and their rows must not be mixed line by
//! line under one header. Printing may also block for as long as the reader of a pipe likes.
//!
//! # Protocol
//! Writers send text through a bounded channel (full: they wait, and so do their sources) to one
//! blocking task. One `SELECT` has the *floor*, at first the first one: its rows go out at once.
//! The others' rows wait until the floor's owner was silent for 100 ms, they have waited for 1 s,
//! or 1 MiB of them has gathered; then the floor changes, after an empty line and the new owner's
//! header. With one `SELECT` there is one header and no waiting. [`Floor`] decides, the task does
//! the I/O.
//!
//! # Failures
//! When standard output is closed or cannot be written to, the task ends; every later or pending
//! write fails, and [`Screen::closed`] tells a reader that went away (`| head`) from an error.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use indicatif::ProgressBar;
use millrace_core::seam::{Clock, Seams};
use millrace_core::{Error, Result};
use tokio::sync::{mpsc, oneshot};

const SILENCE: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const WAITING_BYTES: usize = 1 << 20;
const CHANNEL_MESSAGES: usize = 32;

enum Message {
    Rows {
        statement: usize,
        header: Arc<str>,
        text: String,
    },
    /// Everything sent before is to be written; then the answer.
    Flush(oneshot::Sender<()>),
}

/// A way to standard output for any number of `SELECT`s. Clones write to the same.
#[derive(Clone)]
pub(crate) struct Screen {
    sender: mpsc::Sender<Message>,
    /// What ended the task before its time.
    failure: Arc<OnceLock<io::Error>>,
}

impl Screen {
    /// Starts the task that owns `out`. It ends when the last clone of the screen is gone.
    /// `progress` is taken off the terminal while rows are written.
    pub(crate) fn start(
        out: Box<dyn Write + Send>,
        progress: ProgressBar,
        seams: &Seams,
    ) -> Screen {
        let (sender, receiver) = mpsc::channel(CHANNEL_MESSAGES);
        let failure = Arc::new(OnceLock::new());
        let painter = Painter {
            receiver,
            floor: Floor::default(),
            out,
            progress,
            clock: Arc::clone(&seams.clock),
            failure: Arc::clone(&failure),
        };
        let runtime = tokio::runtime::Handle::current();
        // Nobody waits for its end: a flush says that everything is written.
        drop(seams.spawner.spawn_blocking(Box::new(move || painter.run(&runtime))));
        Screen { sender, failure }
    }

    /// Hands over lines of a statement, whole ones. `header` goes before them where the statement
    /// takes the floor.
    ///
    /// # Errors
    /// `FixInput` when standard output is gone: a restart of the job would not bring it back.
    pub(crate) async fn print(
        &self,
        statement: usize,
        header: Arc<str>,
        text: String,
    ) -> Result<()> {
        let message = Message::Rows { statement, header, text };
        self.sender.send(message).await.map_err(|_| self.gone())
    }

    /// Completes when all that was handed over has been written.
    ///
    /// # Errors
    /// As for `print`.
    pub(crate) async fn flush(&self) -> Result<()> {
        let (sender, written) = oneshot::channel();
        self.sender.send(Message::Flush(sender)).await.map_err(|_| self.gone())?;
        written.await.map_err(|_| self.gone())
    }

    /// Whether the reader of standard output went away.
    pub(crate) fn closed(&self) -> bool {
        self.failure.get().is_some_and(|failure| failure.kind() == io::ErrorKind::BrokenPipe)
    }

    fn gone(&self) -> Error {
        let error = Error::fix_input("cannot write to standard output");
        match self.failure.get() {
            Some(failure) => error.caused_by(failure.to_string()),
            None => error,
        }
    }
}

struct Painter {
    receiver: mpsc::Receiver<Message>,
    floor: Floor,
    out: Box<dyn Write + Send>,
    progress: ProgressBar,
    clock: Arc<dyn Clock>,
    failure: Arc<OnceLock<io::Error>>,
}

impl Painter {
    fn run(mut self, runtime: &tokio::runtime::Handle) {
        if let Err(error) = runtime.block_on(self.paint()) {
            // Set before the channel closes, so that whoever finds it closed knows why.
            let _ = self.failure.set(error);
        }
    }

    async fn paint(&mut self) -> io::Result<()> {
        let mut text = String::new();
        loop {
            let next = tokio::select! {
                message = self.receiver.recv() => Some(message),
                () = self.clock.sleep(SILENCE) => None,
            };
            let now = self.clock.elapsed();
            match next {
                Some(Some(Message::Rows { statement, header, text: rows })) => {
                    self.floor.take(statement, &header, &rows, now, &mut text);
                    self.write(&mut text)?;
                }
                Some(Some(Message::Flush(answer))) => {
                    self.floor.drain(now, &mut text);
                    self.write(&mut text)?;
                    // Whoever asked may have been cancelled meanwhile.
                    let _ = answer.send(());
                }
                None => {
                    self.floor.drain(now, &mut text);
                    self.write(&mut text)?;
                }
                Some(None) => {
                    self.floor.drain(now, &mut text);
                    return self.write(&mut text);
                }
            }
        }
    }

    fn write(&mut self, text: &mut String) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let out = &mut self.out;
        let written = self.progress.suspend(|| {
            out.write_all(text.as_bytes())?;
            out.flush()
        });
        text.clear();
        written
    }
}

/// Who may print, and what waits. Times are those of a clock's `elapsed`.
#[derive(Default)]
struct Floor {
    /// The first `SELECT` begins with the floor, so that it comes first in a short run.
    owner: usize,
    /// Whether the owner has printed its header since it has the floor.
    begun: bool,
    /// When the owner last printed, or was given the floor; `None` before the very first rows.
    heard: Option<Duration>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    statement: usize,
    since: Duration,
    header: Arc<str>,
    text: String,
}

impl Floor {
    /// Takes rows, and appends to `out` what is to be written now.
    fn take(
        &mut self,
        statement: usize,
        header: &Arc<str>,
        rows: &str,
        now: Duration,
        out: &mut String,
    ) {
        let heard = *self.heard.get_or_insert(now);
        if self.owner == statement {
            if !self.begun {
                out.push_str(header);
            }
            out.push_str(rows);
            (self.begun, self.heard) = (true, Some(now));
        } else {
            match self.waiting.iter_mut().find(|waiting| waiting.statement == statement) {
                Some(waiting) => waiting.text.push_str(rows),
                None => self.waiting.push(Waiting {
                    statement,
                    since: now,
                    header: Arc::clone(header),
                    text: rows.to_owned(),
                }),
            }
        }
        let over = |waiting: &Waiting| {
            waiting.text.len() >= WAITING_BYTES || now.saturating_sub(waiting.since) >= LONGEST_WAIT
        };
        let silent = self.owner != statement && now.saturating_sub(heard) >= SILENCE;
        if silent || self.waiting.iter().any(over) {
            self.drain(now, out);
        }
    }

    /// Appends all that waits to `out`, statement by statement. The last of them has the floor.
    fn drain(&mut self, now: Duration, out: &mut String) {
        self.waiting.sort_by_key(|waiting| waiting.statement);
        for waiting in self.waiting.drain(..) {
            // JSON lines have no header, and need none to be told apart.
            if self.begun && !waiting.header.is_empty() {
                out.push('\n');
            }
            out.push_str(&waiting.header);
            out.push_str(&waiting.text);
            (self.owner, self.begun, self.heard) = (waiting.statement, true, Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};
    use std::sync::Mutex;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Plays `(statement, rows, at)` and returns what is on the screen after each.
    fn play(script: &[(usize, &str, u64)]) -> Vec<String> {
        let headers: [Arc<str>; 2] = ["A\n".into(), "B\n".into()];
        let (mut floor, mut screen) = (Floor::default(), String::new());
        let mut shown = Vec::new();
        for &(statement, rows, at) in script {
            floor.take(statement, &headers[statement], rows, ms(at), &mut screen);
            shown.push(screen.clone());
        }
        floor.drain(ms(9_999), &mut screen);
        shown.push(screen);
        shown
    }

    #[test]
    fn one_statement_has_one_header_and_never_waits() {
        let shown = play(&[(0, "1\n", 0), (0, "2\n", 5_000)]);
        assert_eq!(shown, ["A\n1\n", "A\n1\n2\n", "A\n1\n2\n"]);
    }

    #[test]
    fn a_short_run_prints_statement_after_statement() {
        let shown = play(&[(1, "x\n", 0), (0, "1\n", 10), (1, "y\n", 20), (0, "2\n", 90)]);
        assert_eq!(shown.last().unwrap(), "A\n1\n2\n\nB\nx\ny\n");
    }

    #[test]
    fn the_floor_changes_when_its_owner_is_silent() {
        let shown = play(&[(0, "1\n", 0), (1, "x\n", 99), (1, "y\n", 100), (0, "2\n", 150)]);
        assert_eq!(shown[1], "A\n1\n");
        assert_eq!(shown[2], "A\n1\n\nB\nx\ny\n");
        assert_eq!(shown[4], "A\n1\n\nB\nx\ny\n\nA\n2\n");
    }

    #[test]
    fn nobody_waits_longer_than_a_second_or_a_mebibyte() {
        let busy: Vec<_> = (0..30).map(|step| (0, "1\n", step * 50)).collect();
        let mut script = vec![(0, "1\n", 0), (1, "x\n", 10)];
        script.extend(busy);
        let shown = play(&script);
        let first = shown.iter().position(|screen| screen.contains("B\nx\n")).unwrap();
        assert_eq!(script[first].2, 1_050);

        let large = "x".repeat(WAITING_BYTES);
        let shown = play(&[(0, "1\n", 0), (1, &large, 1)]);
        assert!(shown[1].len() > WAITING_BYTES);
    }

    /// Standard output whose reader goes away after some bytes.
    struct Pipe {
        written: Arc<Mutex<Vec<u8>>>,
        closes_after: usize,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.written.lock().unwrap();
            if written.len() >= self.closes_after {
                return Err(Error::from(ErrorKind::BrokenPipe));
            }
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_flush_answers_when_everything_before_it_is_written() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let pipe = Pipe { written: Arc::clone(&written), closes_after: usize::MAX };
        let screen = Screen::start(Box::new(pipe), ProgressBar::hidden(), &Seams::system());
        screen.print(0, "A\n".into(), "1\n".into()).await.unwrap();
        screen.print(1, "B\n".into(), "x\n".into()).await.unwrap();
        screen.flush().await.unwrap();
        assert_eq!(written.lock().unwrap().as_slice(), b"A\n1\n\nB\nx\n");
    }

    #[tokio::test]
    async fn a_closed_pipe_fails_writers_and_says_what_it_was() {
        let pipe = Pipe { written: Arc::default(), closes_after: 1 };
        let screen = Screen::start(Box::new(pipe), ProgressBar::hidden(), &Seams::system());
        screen.print(0, "".into(), "1\n".into()).await.unwrap();
        screen.flush().await.unwrap();
        assert!(!screen.closed());
        screen.print(0, "".into(), "2\n".into()).await.unwrap();
        assert!(screen.flush().await.is_err());
        assert!(screen.closed());
        let error = screen.print(0, "".into(), "3\n".into()).await.unwrap_err();
        assert_eq!(error.kind(), millrace_core::ErrorKind::FixInput);
        assert!(error.full_report().contains("broken pipe"), "{}", error.full_report());
    }
}
