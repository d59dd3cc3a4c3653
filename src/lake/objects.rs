//! The object store under the table's log: a folder of the file system, whose every write is durable before it is
//! visible.
//!
//! The store that comes with `object_store` links a new file into place without syncing it, so that after a power cut
//! a commit may exist and be empty. Here a put writes a temporary file, syncs it, links or renames it into place, and
//! syncs the directory; only then does it return.

use crate::fs::{self, Entry, Fs, OpenMode};
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a temporary file's name begins with: such files are listed to nobody, and removed at the next start.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// A folder as an object store.
#[derive(Clone, Debug)]
pub struct FolderStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    fs: Arc<dyn Fs>,
    root: PathBuf,
    temporaries: AtomicU64,
}

impl FolderStore {
    /// The objects below `root`.
    pub fn new(fs: Arc<dyn Fs>, root: PathBuf) -> Self {
        FolderStore { inner: Arc::new(Inner { fs, root, temporaries: AtomicU64::new(0) }) }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = self.inner.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(handle) => handle
                .spawn_blocking(move || work(&inner))
                .await
                .unwrap_or_else(|e| Err(Error::Generic { store: "folder", source: Box::new(e) })),
            Err(_) => work(&inner),
        }
    }
}

impl Inner {
    fn path_of(&self, location: &Path) -> PathBuf {
        self.root.join(location.as_ref())
    }

    fn put(&self, location: &Path, parts: &[Bytes], replace: bool) -> Result<()> {
        let target = self.path_of(location);
        let Some(dir) = target.parent() else {
            return Err(failed(location, io::Error::from(io::ErrorKind::InvalidInput)));
        };
        self.fs.create_dir_all(dir).map_err(|e| failed(location, e))?;
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        let name = location.filename().unwrap_or_default();
        let temporary = dir.join(format!("{TEMPORARY_PREFIX}{number}-{name}"));
        let written = self.put_by(&temporary, &target, parts, replace);
        if written.is_err() || !replace {
            // After a link the temporary name has done its work; after a failure it is litter, which the next start
            // clears if this cannot.
            let _ = self.fs.remove_file(&temporary);
        }
        written.map_err(|e| failed(location, e))?;
        self.fs.sync_dir(dir).map_err(|e| failed(location, e))
    }

    fn put_by(
        &self,
        temporary: &std::path::Path,
        target: &std::path::Path,
        parts: &[Bytes],
        replace: bool,
    ) -> io::Result<()> {
        match self.fs.remove_file(temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = self.fs.open(temporary, OpenMode::CreateNew)?;
        let mut offset = 0;
        for part in parts {
            file.write_all_at(part, offset)?;
            offset += part.len() as u64;
        }
        file.sync_all()?;
        if replace { self.fs.rename(temporary, target) } else { self.fs.hard_link(temporary, target) }
    }

    fn meta(&self, location: &Path) -> Result<ObjectMeta> {
        let entry = self.fs.entry(&self.path_of(location)).map_err(|e| failed(location, e))?;
        if entry.is_dir {
            return Err(failed(location, io::ErrorKind::NotFound.into()));
        }
        Ok(meta(location.clone(), &entry))
    }

    fn get(&self, location: &Path, options: GetOptions) -> Result<(ObjectMeta, Range<u64>, Bytes)> {
        let meta = self.meta(location)?;
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            None => 0..meta.size,
            Some(range) => {
                range.as_range(meta.size).map_err(|e| Error::Generic { store: "folder", source: Box::new(e) })?
            }
        };
        if options.head {
            return Ok((meta, range, Bytes::new()));
        }
        let file = self.fs.open(&self.path_of(location), OpenMode::Read).map_err(|e| failed(location, e))?;
        let len = usize::try_from(range.end - range.start)
            .map_err(|_| failed(location, io::ErrorKind::FileTooLarge.into()))?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, range.start).map_err(|e| failed(location, e))?;
        Ok((meta, range, bytes.into()))
    }

    fn list(&self, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        let start = prefix.cloned().unwrap_or_default();
        let mut found = Vec::new();
        let mut folders = vec![start];
        while let Some(folder) = folders.pop() {
            let ListResult { common_prefixes, objects, .. } = self.list_folder(&folder)?;
            folders.extend(common_prefixes);
            found.extend(objects);
        }
        // The reader of the table's log takes its entries as they come, and wants them in the order of versions.
        found.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }

    fn list_folder(&self, folder: &Path) -> Result<ListResult> {
        let mut result = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
        let entries = match self.fs.read_dir(&self.path_of(folder)) {
            Ok(entries) => entries,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(result),
            Err(e) => return Err(failed(folder, e)),
        };
        for entry in entries {
            if entry.name.starts_with(TEMPORARY_PREFIX) {
                continue;
            }
            let Ok(path) = Path::parse(if folder.as_ref().is_empty() {
                entry.name.clone()
            } else {
                format!("{folder}/{}", entry.name)
            }) else {
                continue;
            };
            if entry.is_dir {
                result.common_prefixes.push(path);
            } else {
                result.objects.push(meta(path, &entry));
            }
        }
        Ok(result)
    }

    fn remove(&self, location: &Path) -> Result<()> {
        let path = self.path_of(location);
        self.fs.remove_file(&path).map_err(|e| failed(location, e))
    }

    fn copy(&self, from: &Path, to: &Path, replace: bool) -> Result<()> {
        let bytes = fs::read(self.fs.as_ref(), &self.path_of(from)).map_err(|e| failed(from, e))?;
        self.put(to, &[bytes.into()], replace)
    }
}

fn meta(location: Path, entry: &Entry) -> ObjectMeta {
    ObjectMeta { location, last_modified: entry.modified.into(), size: entry.len, e_tag: None, version: None }
}

fn failed(location: &Path, error: io::Error) -> Error {
    let path = location.to_string();
    match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path, source: Box::new(error) },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: Box::new(error) },
        _ => Error::Generic {
            store: "folder",
            source: Box::new(io::Error::new(error.kind(), format!("{path}: {error}"))),
        },
    }
}

impl fmt::Display for FolderStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "folder {}", self.inner.root.display())
    }
}

#[async_trait::async_trait]
impl ObjectStore for FolderStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let replace = match options.mode {
            PutMode::Overwrite => true,
            PutMode::Create => false,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "conditional update".into(),
                    implementer: "folder".into(),
                });
            }
        };
        let location = location.clone();
        self.run(move |inner| {
            let parts: Vec<Bytes> = payload.into_iter().collect();
            inner.put(&location, &parts, replace)
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload { store: self.clone(), location: location.clone(), parts: Vec::new() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let location = location.clone();
        let (meta, range, bytes) = self.run(move |inner| inner.get(&location, options)).await?;
        let payload = GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed());
        Ok(GetResult { payload, meta, range, attributes: Default::default() })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .and_then(move |location| {
                let store = store.clone();
                async move {
                    let gone = location.clone();
                    store.run(move |inner| inner.remove(&gone)).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.clone();
        let prefix = prefix.cloned();
        async move { store.run(move |inner| inner.list(prefix.as_ref())).await }
            .map(|listed| match listed {
                Ok(objects) => stream::iter(objects.into_iter().map(Ok)).boxed(),
                Err(e) => stream::once(async move { Err(e) }).boxed(),
            })
            .flatten_stream()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let folder = prefix.cloned().unwrap_or_default();
        self.run(move |inner| inner.list_folder(&folder)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let replace = matches!(options.mode, CopyMode::Overwrite);
        let (from, to) = (from.clone(), to.clone());
        self.run(move |inner| inner.copy(&from, &to, replace)).await
    }
}

/// The parts of an object (a checkpoint, small) gathered until it is complete.
#[derive(Debug)]
struct Upload {
    store: FolderStore,
    location: Path,
    parts: Vec<Bytes>,
}

#[async_trait::async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.extend(data);
        let done: BoxFuture<'static, Result<()>> = async { Ok(()) }.boxed();
        done
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (location, parts) = (self.location.clone(), std::mem::take(&mut self.parts));
        self.store.run(move |inner| inner.put(&location, &parts, true)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}
