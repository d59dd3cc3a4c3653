//! The real binary under test, and a small HTTP client that shows what is on the wire.
//!
//! The server listens on any free port; its banner says when it is ready and where. Its working directory is an empty
//! folder and its environment is cleared of settings, so that only what a test says counts.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use spanlake::config::SETTINGS;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// After so long without an answer something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program with arguments, away from settings that happen to be around.
pub fn spanlake(args: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanlake"));
    command.args(args).current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let of_another = SETTINGS.iter().flat_map(|setting| setting.also_env).any(|also| name == also.name);
        if name.to_string_lossy().starts_with("SPANLAKE_") || of_another {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the program to its end.
pub fn output(args: &[&str], directory: &Path) -> Output {
    spanlake(args, directory).output().expect("the program runs")
}

/// A running server. Killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// All that it printed up to being ready.
    pub banner: String,
    errors: PathBuf,
    _directory: TempDir,
}

impl Server {
    /// Starts on a data folder.
    pub fn start(data: &Path) -> Server {
        Server::start_with(data, &[])
    }

    /// Starts with more arguments.
    pub fn start_with(data: &Path, args: &[&str]) -> Server {
        let directory = tempfile::tempdir().expect("a folder");
        let errors = directory.path().join("errors.log");
        let mut command = spanlake(&["serve", "--listen", "127.0.0.1:0", "--data"], directory.path());
        command.arg(data).args(args).stdout(Stdio::piped()).stderr(File::create(&errors).expect("a file"));
        let mut child = command.spawn().expect("the program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut banner = String::new();
        // The last line of the banner is the one to try out; an end of file says that there is no server.
        while !banner.contains("\n  then ") && stdout.read_line(&mut banner).expect("text") > 0 {}
        let address = banner.split_whitespace().find_map(|word| word.strip_prefix("http://"));
        let Some(address) = address.and_then(|address| address.parse().ok()) else {
            let status = child.wait().expect("an end");
            panic!("no server ({status}): {banner}\n{}", std::fs::read_to_string(&errors).unwrap_or_default());
        };
        Server { child, address, banner, errors, _directory: directory }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.errors).expect("a log")
    }

    /// The most memory that it had so far, in bytes.
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a process");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
        peak.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address).expect("a connection")
    }

    /// One request on a connection of its own.
    pub fn get(&self, path: &str) -> Answer {
        self.connect().send("GET", path, &[], b"")
    }

    /// One request on a connection of its own.
    pub fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.connect().send("POST", path, &[], body)
    }

    /// Kills it as a power cut would, but for what the system still writes.
    pub fn kill(mut self) {
        self.child.kill().expect("a signal");
        self.child.wait().expect("an end");
    }

    /// As [`Server::kill`], from wherever it is being talked to, without waiting for its end.
    pub fn kill_now(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id() as i32), signal).expect("the process is there");
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("an end")
    }

    /// Asks it to stop and sees that it does so in order.
    pub fn stop(mut self) {
        self.terminate();
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection, kept alive from request to request.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, however its name is written.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The value of a header whose name is written just so.
    pub fn header_as_written(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The first line of an error: the peer's words.
    pub fn first_line(&self) -> &str {
        self.text().lines().next().unwrap_or_default()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        Client::over(TcpStream::connect(address)?)
    }

    fn over(stream: TcpStream) -> io::Result<Client> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// Connects from another of this machine's addresses.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> io::Result<Client> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(source, 0))?;
            socket.connect(address).await?.into_std()
        })?;
        stream.set_nonblocking(false)?;
        Client::over(stream)
    }

    /// The connection once more, to end it from elsewhere while an answer is waited for.
    pub fn stream(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("a descriptor")
    }

    /// A request and its answer; the connection must be usable.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(method, path, headers, body).expect("an answer")
    }

    /// A request and its answer, or why there is none.
    pub fn try_send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method == "POST" {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        self.write(&bytes)?;
        self.read_answer(method == "HEAD")
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads so many bytes.
    pub fn read_bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads whatever comes until the other side closes.
    pub fn read_to_close(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads one answer. An answer that is cut off is an error.
    pub fn read_answer(&mut self, without_body: bool) -> io::Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status: {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other(line.clone()))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if without_body || status == 100 {
            return Ok(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = self.chunks()?;
        } else {
            let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            answer.body.resize(length, 0);
            self.stream.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let length = usize::from_str_radix(&line, 16).map_err(io::Error::other)?;
            let start = body.len();
            body.resize(start + length, 0);
            self.stream.read_exact(&mut body[start..])?;
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}
