//! A server of the bench's own: this program's `serve` on a folder of its own and any free port.

use super::client::Target;
use super::measure::moment;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// A running child; killed and waited for when dropped.
pub struct OwnServer {
    child: Child,
    pub target: Target,
    /// From the start of the process to the banner that says it is ready.
    pub start_to_ready: Duration,
    log: Arc<Mutex<VecDeque<String>>>,
}

/// How long a start may take: replaying a large log takes some of it.
const START_LIMIT: Duration = Duration::from_secs(300);

/// How long an orderly stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Lines of the server's log that are kept to show why it died.
const LOG_LINES: usize = 20;

impl OwnServer {
    /// Starts `program serve` on `data` and waits until it is ready.
    pub fn start(program: &Path, data: &Path) -> Result<Self, String> {
        let start = moment();
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            // What is settled has no files that wait for other processes' readers.
            .args(["--lake-removed-file-retention", "0s"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {} serve: {error}", program.display()))?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (to_ready, ready) = mpsc::channel();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // From here on the child is stopped whatever happens.
        let mut server = OwnServer {
            child,
            target: Target { host: String::new(), port: 0 },
            start_to_ready: Duration::ZERO,
            log: log.clone(),
        };
        if let Some(stderr) = stderr {
            std::thread::spawn(move || keep_last_lines(stderr, &log));
        }
        if let Some(stdout) = stdout {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
                if let Some(url) = lines.by_ref().find_map(|line| address(&line)) {
                    let _ = to_ready.send((url, moment()));
                }
                // A server whose output nobody reads would stop at a full pipe.
                lines.for_each(drop);
            });
        }
        let (url, at) = ready.recv_timeout(START_LIMIT).map_err(|_| server.why("did not say where it listens"))?;
        server.target = Target::parse(&url)?;
        server.start_to_ready = at.duration_since(start);
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error about the server, with the end of its log.
    pub fn why(&mut self, what: &str) -> String {
        // Its last words may still be on their way.
        std::thread::sleep(Duration::from_millis(100));
        let ended = match self.child.try_wait() {
            Ok(Some(status)) => format!(" (it ended: {status})"),
            _ => String::new(),
        };
        let log = self.log.lock().map(|log| log.iter().cloned().collect::<Vec<_>>().join("\n")).unwrap_or_default();
        let log = if log.is_empty() { String::new() } else { format!("; the end of its log:\n{log}") };
        format!("the server {what}{ended}{log}")
    }

    /// Stops it in order, as an operator does.
    pub fn stop(mut self) -> Result<(), String> {
        let pid = i32::try_from(self.child.id()).map(Pid::from_raw).map_err(|error| error.to_string())?;
        kill(pid, Signal::SIGTERM).map_err(|error| format!("cannot stop the server: {error}"))?;
        let start = moment();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(_)) => return Err(self.why("did not stop in order")),
                Ok(None) if moment().duration_since(start) > STOP_LIMIT => return Err(self.why("did not stop")),
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(format!("cannot wait for the server: {error}")),
            }
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // Both do nothing to a child that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first address in a line of the banner.
fn address(line: &str) -> Option<String> {
    let url = &line[line.find("http://")?..];
    let end = url.find(|c: char| c.is_whitespace() || matches!(c, ',' | '"' | '\'' | ')')).unwrap_or(url.len());
    // The banner may show a path behind the address.
    let authority = url["http://".len()..end].split('/').next()?;
    Some(format!("http://{authority}"))
}

fn keep_last_lines(from: impl Read, log: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        if let Ok(mut log) = log.lock() {
            if log.len() == LOG_LINES {
                log.pop_front();
            }
            log.push_back(line);
        }
    }
}

/// A new folder in the system's place for temporary files, removed with all it holds when dropped.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub fn create() -> Result<Self, String> {
        let place = std::env::temp_dir();
        let mut number = 0;
        loop {
            let path = place.join(format!("spanlake-bench-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(TemporaryFolder(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
                Err(error) => return Err(format!("cannot create {}: {error}", path.display())),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// Whether a folder lies in memory, where syncing costs nothing and the figures flatter.
pub fn is_in_memory(folder: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    rustix::fs::statfs(folder).is_ok_and(|stat| matches!(stat.f_type as u64, TMPFS | RAMFS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_the_banner() {
        assert_eq!(address("listening on http://127.0.0.1:41234").as_deref(), Some("http://127.0.0.1:41234"));
        assert_eq!(address("try: curl http://127.0.0.1:9411/health, or").as_deref(), Some("http://127.0.0.1:9411"));
        assert_eq!(address("spanlake 0.1.0"), None);
    }
}
