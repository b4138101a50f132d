//! The embedded store with its threads, in a directory that vanishes.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Deref;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::task::{Wake, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use certus::shutdown::Tasks;
use certus::store::{Disk, EmbeddedStore, Level, Opened, Position, Settings, Store};
use tempfile::TempDir;

/// A store that runs until it is dropped.
pub struct Running {
    store: Arc<EmbeddedStore>,
    threads: Vec<JoinHandle<()>>,
    directory: Arc<TempDir>,
}

/// Small bounds, so that everything happens that is bounded.
pub fn small(level: Level) -> Settings {
    Settings {
        level,
        apply_interval: Duration::from_secs(3600),
        apply_bytes: 512,
        segment_bytes: 8192,
        memtable_bytes: 1 << 20,
        compact_bytes: 1 << 20,
        min_free: 0,
        ..Settings::default()
    }
}

/// A directory in memory where there is one: what a disk does is not asked of
/// it here. It vanishes with its value, or with this process.
pub fn scratch() -> TempDir {
    static ROOT: LazyLock<(PathBuf, ChildStdin)> = LazyLock::new(root);
    tempfile::tempdir_in(&ROOT.0).unwrap()
}

/// Where this process keeps its directories. A test that is killed removes
/// nothing: a shell that outlives it does, once the end of its input says that
/// nobody is there any more.
fn root() -> (PathBuf, ChildStdin) {
    let memory = Path::new("/dev/shm");
    let above = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let root = above.join(format!("certus-store-tests-{}", std::process::id()));
    std::fs::create_dir_all(&root).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP INT TERM; read -r _; rm -rf -- \"$0\""]).arg(&root);
    // A group of its own: whoever kills the test kills its group.
    shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let input = shell.spawn().unwrap().stdin.take().unwrap();
    (root, input)
}

impl Running {
    pub fn new(settings: Settings) -> Self {
        Self::start(Arc::new(scratch()), settings)
    }

    /// A store whose index is written as seldom as can be.
    pub fn log_only() -> Self {
        Self::new(Settings { apply_bytes: 1 << 20, ..small(Level::Fsync) })
    }

    pub fn start(directory: Arc<TempDir>, settings: Settings) -> Self {
        let opened = EmbeddedStore::open(directory.path(), settings).unwrap();
        assert_eq!((opened.damage.as_slice(), opened.missing.as_slice()), ([].as_slice(), [].as_slice()));
        Self::of(opened, directory)
    }

    /// The log on a disk of the caller's.
    pub fn on(directory: Arc<TempDir>, disk: Arc<dyn Disk>, settings: Settings) -> Self {
        let opened = EmbeddedStore::open_on(directory.path(), disk, settings).unwrap();
        Self::of(opened, directory)
    }

    pub fn of(opened: Opened, directory: Arc<TempDir>) -> Self {
        let (store, tasks) = (opened.store, Tasks::new());
        let [committer, applier, keeper] = [(); 3].map(|()| Arc::clone(&store));
        let threads = [
            tasks.spawn_thread("committer", move || committer.run_committer()),
            tasks.spawn_thread("applier", move || applier.run_applier()),
            tasks.spawn_thread("keeper", move || keeper.run_keeper()),
        ];
        Self { store, threads: threads.into_iter().map(Result::unwrap).collect(), directory }
    }

    /// Ends it in order, and starts it again.
    pub fn again(mut self, settings: Settings) -> Self {
        self.stop();
        let directory = Arc::clone(&self.directory);
        drop(self);
        Self::start(directory, settings)
    }

    pub fn stop(&mut self) {
        self.store.close();
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }

    /// The store, for another thread.
    pub fn handle(&self) -> Arc<EmbeddedStore> {
        Arc::clone(&self.store)
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until `position` is durable or never will be.
    pub fn wait(&self, position: Position) -> bool {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        while self.store.durable() < position && !self.store.is_latched() {
            if self.store.wake_at(position, &waker) {
                thread::park_timeout(Duration::from_secs(10));
            }
        }
        self.store.durable() >= position
    }

    /// What a process that is killed now would leave: a copy of its files. They
    /// must not change meanwhile, or the copy is of no moment at all.
    pub fn killed(&self) -> Arc<TempDir> {
        while !self.threads.is_empty() && !self.store.is_at_rest() {
            thread::park_timeout(Duration::from_millis(1));
        }
        let copy = Arc::new(scratch());
        copy_tree(self.path(), copy.path());
        copy
    }
}

impl Deref for Running {
    type Target = EmbeddedStore;

    fn deref(&self) -> &EmbeddedStore {
        &self.store
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            // A second panic would end the process, and hide the first.
            self.store.close();
        } else {
            self.stop();
        }
    }
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Files that vanish meanwhile are left out, as a crash would.
pub fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let Ok(entry) = entry else { continue };
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => copy_tree(&path, &target),
            Ok(_) => drop(copy_file(&path, &target)),
            Err(_) => {}
        }
    }
}

/// Holes stay holes: the engine's journal is 64 MB, most of them a hole.
fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let length = from.metadata()?.len();
    let mut end = 0;
    // The search fails when nothing but a hole is left.
    while let Ok(data) = rustix::fs::seek(&from, rustix::fs::SeekFrom::Data(end)) {
        end = rustix::fs::seek(&from, rustix::fs::SeekFrom::Hole(data))?;
        from.seek(SeekFrom::Start(data))?;
        to.seek(SeekFrom::Start(data))?;
        std::io::copy(&mut (&from).take(end - data), &mut to)?;
    }
    to.set_len(length)
}
