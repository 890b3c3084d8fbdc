//! A hub of one repository, `org/tiny`, on 127.0.0.1: the four requests that hf-hub makes, and a second server as the
//! storage that large files redirect to. Tests look at what was asked, and may answer a request themselves.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) authorization: Option<String>,
    pub(crate) to_storage: bool,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn is(&self, method: &str, end: &str) -> bool {
        self.method == method && self.target.split('?').next().is_some_and(|path| path.ends_with(end))
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The `Content-Length` to claim; none claims none and ends the body by closing.
    pub(crate) length: Option<usize>,
}

impl Response {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Response { status, headers: Vec::new(), length: Some(body.len()), body }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

type Intercept = Box<dyn FnMut(&Request) -> Option<Response> + Send>;

#[derive(Default)]
struct State {
    commit: Mutex<String>,
    /// Content, and whether it is a large file that lies on the storage.
    files: Mutex<BTreeMap<String, (Vec<u8>, bool)>>,
    log: Mutex<Vec<Request>>,
    intercept: Mutex<Option<Intercept>>,
    storage: Mutex<String>,
    closed: AtomicBool,
}

pub(crate) struct FakeHub {
    state: Arc<State>,
    address: SocketAddr,
    threads: Vec<(SocketAddr, JoinHandle<()>)>,
}

impl FakeHub {
    /// A hub whose repository holds the small files `files`.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let state = Arc::new(State::default());
        let (storage, storage_thread) = serve(&state, true);
        let (address, hub_thread) = serve(&state, false);
        *state.storage.lock().expect("storage") = format!("http://{storage}");
        *state.commit.lock().expect("commit") = COMMIT.to_owned();
        let hub = FakeHub { state, address, threads: vec![(storage, storage_thread), (address, hub_thread)] };
        files.iter().for_each(|(name, content)| hub.put(name, content.as_bytes(), false));
        hub
    }

    pub(crate) fn put(&self, name: &str, content: &[u8], large: bool) {
        self.state.files.lock().expect("files").insert(name.to_owned(), (content.to_owned(), large));
    }

    /// Moves the branch `main`.
    pub(crate) fn move_main(&self, commit: &str) {
        *self.state.commit.lock().expect("commit") = commit.to_owned();
    }

    /// Lets `answer` speak first; where it gives nothing the hub answers as usual.
    pub(crate) fn intercept(&self, answer: impl FnMut(&Request) -> Option<Response> + Send + 'static) {
        *self.state.intercept.lock().expect("intercept") = Some(Box::new(answer));
    }

    pub(crate) fn behave(&self) {
        *self.state.intercept.lock().expect("intercept") = None;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.log.lock().expect("log").clone()
    }

    pub(crate) fn count(&self, method: &str, end: &str) -> usize {
        self.requests().iter().filter(|request| request.is(method, end)).count()
    }

    /// Stops answering: from now on connections are refused.
    pub(crate) fn close(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        for (address, thread) in self.threads.drain(..) {
            // Wakes the thread out of `accept`.
            drop(TcpStream::connect(address));
            thread.join().expect("the server did not panic");
        }
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn serve(state: &Arc<State>, to_storage: bool) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let state = Arc::clone(state);
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming() {
            if state.closed.load(Ordering::SeqCst) {
                return;
            }
            let state = Arc::clone(&state);
            let Ok(stream) = stream else { continue };
            std::thread::spawn(move || {
                // A client that hangs up is its own affair.
                let _ = exchange(&state, stream, to_storage);
            });
        }
    });
    (address, thread)
}

fn exchange(state: &State, stream: TcpStream, to_storage: bool) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(()) };
    let mut request = Request { method, target, authorization: None, to_storage, body: Vec::new() };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.to_owned()),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    request.body = vec![0; length];
    reader.read_exact(&mut request.body)?;
    state.log.lock().expect("log").push(request.clone());
    let own = state.intercept.lock().expect("intercept").as_mut().and_then(|answer| answer(&request));
    let response = own.unwrap_or_else(|| answer(state, &request));

    let mut head = format!("HTTP/1.1 {} Fake\r\nConnection: close\r\n", response.status);
    response.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    response.length.iter().for_each(|length| head.push_str(&format!("Content-Length: {length}\r\n")));
    let mut stream = reader.into_inner();
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&response.body)?;
    }
    stream.flush()
}

fn answer(state: &State, request: &Request) -> Response {
    let files = state.files.lock().expect("files");
    let commit = state.commit.lock().expect("commit").clone();
    let path = request.target.split('?').next().unwrap_or_default();
    if request.to_storage {
        return match files.get(path.trim_start_matches('/')) {
            Some((content, _)) => Response::new(200, content.clone()),
            None => Response::new(404, ""),
        };
    }
    // Data sets have the same addresses behind a prefix, and here the same content.
    let api = ["/api/models/org/tiny/", "/api/datasets/org/tiny/"].iter().find_map(|start| path.strip_prefix(start));
    if let Some(rest) = api {
        return match rest.split_once('/') {
            Some(("revision", name)) if name == "main" || name == commit => {
                Response::new(200, format!(r#"{{"_id":"1","id":"org/tiny","sha":"{commit}"}}"#))
            }
            Some(("revision", _)) => Response::new(404, "{}").header("X-Error-Code", "RevisionNotFound"),
            Some(("paths-info", _)) => Response::new(200, list(&files, &request.body)),
            _ => Response::new(404, "{}"),
        };
    }
    let file = path.trim_start_matches("/datasets").strip_prefix("/org/tiny/resolve/");
    let Some((asked, name)) = file.and_then(|rest| rest.split_once('/')) else {
        return Response::new(404, r#"{"error":"Repository not found"}"#).header("X-Error-Code", "RepoNotFound");
    };
    let Some((content, large)) = files.get(name) else {
        return Response::new(404, "").header("X-Repo-Commit", asked).header("X-Error-Code", "EntryNotFound");
    };
    let hash = sha256(content);
    if *large {
        let storage = state.storage.lock().expect("storage");
        return Response::new(302, "")
            .header("Location", format!("{storage}/{name}?Signature=signed-link"))
            .header("X-Repo-Commit", asked)
            .header("X-Linked-Etag", format!("\"{hash}\""))
            .header("X-Linked-Size", content.len().to_string());
    }
    // Small files have git's hash, of 40 digits; any that depends on the content will do.
    Response::new(200, content.clone()).header("X-Repo-Commit", asked).header("ETag", format!("\"{}\"", &hash[..40]))
}

fn list(files: &BTreeMap<String, (Vec<u8>, bool)>, body: &[u8]) -> String {
    let asked: serde_json::Value = serde_json::from_slice(body).expect("a JSON body");
    let paths = asked["paths"].as_array().expect("paths").iter().filter_map(|path| path.as_str());
    let entries: Vec<_> = paths
        .filter_map(|path| files.get(path).map(|(content, _)| (path, content)))
        .map(|(path, content)| serde_json::json!({"type": "file", "oid": "0", "size": content.len(), "path": path}))
        .collect();
    serde_json::Value::from(entries).to_string()
}
