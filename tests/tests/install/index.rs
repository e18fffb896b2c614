//! A package index on loopback (PEP 503) with the wheels of the lean set, a few kilobytes each. It can fall silent in the middle of one, and
//! remembers what was asked for.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use batchstep_tests::Process;

/// How torch's wheel begins.
pub(crate) const TORCH: &str = "torch-2.11.0";

/// Makes wheels in the folder it is given; prints file name and SHA-256 of each.
const MAKE_WHEELS: &str = r#"
import hashlib, pathlib, platform, random, sys, zipfile
tag = f"py3-none-manylinux_2_17_{platform.machine()}"
for name, package in [("torch-2.11.0", "torch"), ("nvidia_cuda_runtime-13.0.96", "nvidia/runtime"), ("nvidia_cuda_cupti-13.0.85", "nvidia/cupti")]:
    path = pathlib.Path(sys.argv[1], f"{name}-{tag}.whl")
    about = f"{name}.dist-info"
    files = {
        f"{package}/content": random.Random(name).randbytes(20_000),
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: {}\nVersion: {}\n".format(*name.split("-")),
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {tag}\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for file, content in files.items():
            wheel.writestr(file, content)
    print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"#;

/// A file that the index offers.
#[derive(Debug)]
pub(crate) struct Wheel {
    pub(crate) file_name: String,
    pub(crate) content: Vec<u8>,
    sha256: String,
}

/// The index; it serves until the test's process ends.
#[derive(Debug)]
pub(crate) struct Index {
    port: u16,
    shelf: Arc<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    wheels: Vec<Wheel>,
    /// Files, and the first byte of each that was wanted.
    asked: Mutex<Vec<(String, usize)>>,
    /// How many of torch's bytes are sent before the connection says no more.
    torch_stops_at: AtomicUsize,
    /// False for an index that names files without their SHA-256.
    with_sha256: bool,
}

impl Index {
    /// Makes the wheels in `folder` and serves them.
    pub(crate) fn start(folder: &Path, with_sha256: bool) -> Self {
        let made = Process::run(
            "wheels",
            Command::new("python3")
                .args(["-c", MAKE_WHEELS])
                .arg(folder),
        );
        assert_eq!(made.code(), 0, "{}", made.stderr);
        let wheel = |(file_name, sha256): (&str, &str)| Wheel {
            file_name: file_name.to_owned(),
            content: fs::read(folder.join(file_name)).expect("a wheel"),
            sha256: sha256.to_owned(),
        };
        let shelf = Arc::new(Shelf {
            wheels: made
                .stdout
                .lines()
                .filter_map(|line| line.split_once(' '))
                .map(wheel)
                .collect(),
            asked: Mutex::default(),
            torch_stops_at: AtomicUsize::new(usize::MAX),
            with_sha256,
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let serving = Arc::clone(&shelf);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shelf = Arc::clone(&serving);
                thread::spawn(move || shelf.answer(&stream));
            }
        });
        Self { port, shelf }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/simple", self.port)
    }

    /// The wheel whose name begins so.
    pub(crate) fn wheel(&self, start: &str) -> &Wheel {
        self.shelf.wheel(start)
    }

    /// From now on, connections fall silent after this many bytes of torch, and stay open.
    pub(crate) fn torch_stops_at(&self, bytes: usize) {
        self.shelf.torch_stops_at.store(bytes, Ordering::SeqCst);
    }

    /// The wheels that were asked for since the last time, by name and version, and the first byte of each that was wanted.
    pub(crate) fn asked(&self) -> Vec<(String, usize)> {
        let asked = std::mem::take(&mut *self.shelf.asked());
        let stem = |file: &str| file.split("-py3").next().unwrap_or_default().to_owned();
        asked
            .iter()
            .map(|(file, first)| (stem(file), *first))
            .collect()
    }
}

impl Shelf {
    fn asked(&self) -> std::sync::MutexGuard<'_, Vec<(String, usize)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wheel(&self, start: &str) -> &Wheel {
        self.wheels
            .iter()
            .find(|wheel| wheel.file_name.starts_with(start))
            .unwrap_or_else(|| panic!("no wheel {start}"))
    }

    /// Answers the one request of a connection. What goes wrong is seen by the other side, and the test looks there.
    fn answer(&self, stream: &TcpStream) {
        let head: Vec<String> = BufReader::new(stream)
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .map(|line| line.to_lowercase())
            .collect();
        let path = head.first().and_then(|line| line.split(' ').nth(1));
        let name = path.and_then(|path| path.trim_end_matches('/').rsplit('/').next());
        let first = head.iter().find_map(|line| {
            let range = line.strip_prefix("range: bytes=")?;
            range.strip_suffix('-')?.parse().ok()
        });
        match name {
            Some(file) if file.ends_with(".whl") => self.send_wheel(stream, file, first),
            Some(package) => self.send_page(stream, package),
            None => {}
        }
    }

    fn send_page(&self, mut stream: &TcpStream, package: &str) {
        let Wheel {
            file_name, sha256, ..
        } = self.wheel(&package.replace('-', "_"));
        let fragment = if self.with_sha256 {
            format!("#sha256={sha256}")
        } else {
            String::new()
        };
        let page = format!("<a href=\"../../files/{file_name}{fragment}\">{file_name}</a>");
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
            page.len()
        );
    }

    fn send_wheel(&self, mut stream: &TcpStream, file: &str, first: Option<usize>) {
        let content = &self.wheel(file).content;
        let (start, end) = (first.unwrap_or(0), content.len());
        self.asked().push((file.to_owned(), start));
        let status = match first {
            Some(first) if first >= end => "416 Range Not Satisfiable",
            Some(_) => "206 Partial Content",
            None => "200 OK",
        };
        let rest = content.get(start..).unwrap_or_default();
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{end}\r\n\r\n",
            rest.len(),
            end - 1
        );
        let stop = if file.starts_with(TORCH) {
            self.torch_stops_at.load(Ordering::SeqCst)
        } else {
            end
        };
        let sent = stop.saturating_sub(start).min(rest.len());
        let _ = stream.write_all(&rest[..sent]);
        if sent < rest.len() {
            // Until the other side goes.
            let _ = BufReader::new(stream).lines().next();
        }
    }
}
