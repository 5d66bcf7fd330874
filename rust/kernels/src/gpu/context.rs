//! The device: chosen once, guarded against forks, lost devices and errors that nobody waits for.

use super::buffer::Pool;
use super::recorder::Recorder;
use crate::error::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// Bytes of parameters a kernel takes, whether as immediates or in a uniform buffer.
pub(super) const PARAM_BYTES: u32 = 112;
pub(super) const PARAM_WORDS: usize = PARAM_BYTES as usize / 4;

#[derive(Default)]
pub(super) struct Counters {
    pub allocated: AtomicUsize,
    pub dispatches: AtomicUsize,
    pub flushes: AtomicUsize,
    pub submits: AtomicUsize,
}

/// What the driver says from its own threads.
#[derive(Default)]
pub(super) struct Signals {
    /// Why the device was lost, once it was.
    lost: OnceLock<String>,
    /// An error outside every scope, kept for the next operation.
    uncaptured: Mutex<Option<Error>>,
}

pub(super) struct Context {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub name: String,
    pub limits: wgpu::Limits,
    /// Whether parameters travel as immediates; in a uniform buffer otherwise.
    pub immediates: bool,
    pub counters: Counters,
    signals: Arc<Signals>,
    /// Grows by one a flush. A buffer last used in an earlier epoch is in no pending work.
    pub epoch: AtomicU64,
    /// Taken before `pool`, never while it is held.
    recorder: Mutex<Recorder>,
    pool: Mutex<Pool>,
}

static CONTEXT: OnceLock<std::result::Result<Context, String>> = OnceLock::new();
/// The process that makes (or made) the context; a fork's child must not even wait for the lock.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Whether this process came from a fork after its parent took the device. Its threads and locks
/// stayed behind: any call into the driver may hang.
pub(super) fn is_forked_child() -> bool {
    let owner = OWNER.load(Ordering::Acquire);
    // A parent that found no device left nothing behind.
    owner != 0 && owner != std::process::id() && !matches!(CONTEXT.get(), Some(Err(_)))
}

fn forked(op: &'static str) -> Error {
    Error::device(
        op,
        "the GPU cannot be used in a forked child process: its parent had opened the device before the fork; \
         start workers with multiprocessing's \"spawn\" method, or use the GPU only after the fork",
    )
}

/// The context, made at the first call; an error says why there is none, why it cannot be used, or
/// what went wrong since the last call.
pub(super) fn get(op: &'static str) -> Result<&'static Context> {
    open_once(op).and_then(|ctx| ctx.check(op).map(|()| ctx))
}

/// As [`get`], but the only fault it tells is that the device is gone.
pub(super) fn usable(op: &'static str) -> Result<&'static Context> {
    open_once(op).and_then(|ctx| ctx.check_lost(op).map(|()| ctx))
}

fn open_once(op: &'static str) -> Result<&'static Context> {
    if is_forked_child() {
        return Err(forked(op));
    }
    if CONTEXT.get().is_none() {
        OWNER.store(std::process::id(), Ordering::Release);
    }
    let made = CONTEXT.get_or_init(|| {
        catch_unwind(create).unwrap_or_else(|_| Err("the graphics driver failed while it was opened".into()))
    });
    match made {
        Ok(ctx) => Ok(ctx),
        Err(why) => Err(Error::device(op, format!("no GPU can be used: {why}; stay with .to(\"cpu\")"))),
    }
}

/// The context if the process (or the parent it was forked from) made one.
pub(super) fn existing(op: &'static str) -> Result<Option<&'static Context>> {
    if is_forked_child() {
        return Err(forked(op));
    }
    match CONTEXT.get() {
        Some(Ok(ctx)) => ctx.check(op).map(|()| Some(ctx)),
        _ => Ok(None),
    }
}

/// The context as it is, without a check, for what must not fail. None in a forked child.
pub(super) fn peek() -> Option<&'static Context> {
    if is_forked_child() { None } else { CONTEXT.get()?.as_ref().ok() }
}

fn create() -> std::result::Result<Context, String> {
    let setting = std::env::var("LECTORIUM_GPU").unwrap_or_default().trim().to_ascii_lowercase();
    if ["off", "0", "false", "none", "no"].contains(&setting.as_str()) {
        return Err(format!("LECTORIUM_GPU={setting} turns it off"));
    }
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        // No validation layers, no labels: users have no use for either.
        flags: wgpu::InstanceFlags::DISCARD_HAL_LABELS,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters.sort_by_key(|a| match a.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    let mut why =
        "no adapter was found; install a Vulkan, Metal or DirectX 12 driver, or Mesa's software one \
                   (mesa-vulkan-drivers)"
            .to_string();
    for adapter in &adapters {
        match open(adapter) {
            Ok(ctx) => return Ok(ctx),
            Err(e) => why = format!("{} could not be opened: {e}", adapter.get_info().name),
        }
    }
    Err(why)
}

fn open(adapter: &wgpu::Adapter) -> std::result::Result<Context, String> {
    let has = adapter.limits();
    let immediates = adapter.features().contains(wgpu::Features::IMMEDIATES)
        && has.max_immediate_size >= PARAM_BYTES
        && std::env::var("LECTORIUM_GPU_IMMEDIATES").as_deref() != Ok("off");
    // Modest limits everywhere, except where tensors want all there is.
    let limits = wgpu::Limits {
        max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
        max_buffer_size: has.max_buffer_size,
        max_compute_workgroups_per_dimension: has.max_compute_workgroups_per_dimension,
        max_immediate_size: if immediates { PARAM_BYTES } else { 0 },
        ..wgpu::Limits::downlevel_defaults()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("lectorium"),
        required_features: if immediates { wgpu::Features::IMMEDIATES } else { wgpu::Features::empty() },
        required_limits: limits.clone(),
        ..Default::default()
    }))
    .map_err(|e| e.to_string())?;

    let signals = Arc::new(Signals::default());
    let s = Arc::clone(&signals);
    device.on_uncaptured_error(Arc::new(move |e| {
        // The first one counts: later ones are mostly its consequences.
        lock(&s.uncaptured).get_or_insert(into_error("gpu", e));
    }));
    let s = Arc::clone(&signals);
    device.set_device_lost_callback(move |reason, text| {
        let _ = s.lost.set(format!("{reason:?}: {text}"));
    });
    let info = adapter.get_info();
    Ok(Context {
        name: format!("{} over {}", info.name, info.backend),
        recorder: Mutex::new(Recorder::new(&device, immediates)),
        pool: Mutex::new(Pool::default()),
        epoch: AtomicU64::new(1),
        counters: Counters::default(),
        device,
        queue,
        limits,
        immediates,
        signals,
    })
}

/// A lock that a panicking thread left is taken over: its state is kept consistent by order of writes.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub(super) fn into_error(op: &'static str, e: wgpu::Error) -> Error {
    match e {
        wgpu::Error::OutOfMemory { .. } => Error::memory(
            op,
            "the GPU is out of memory; use a smaller batch, or drop tensors that are no longer needed",
        ),
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            Error::runtime(
                op,
                format!(
                    "the GPU refused the work: {}",
                    description.split_whitespace().collect::<Vec<_>>().join(" ")
                ),
            )
        }
    }
}

impl Context {
    pub fn recorder(&self) -> MutexGuard<'_, Recorder> {
        lock(&self.recorder)
    }

    pub fn pool(&self) -> MutexGuard<'_, Pool> {
        lock(&self.pool)
    }

    fn check_lost(&self, op: &'static str) -> Result<()> {
        match self.signals.lost.get() {
            Some(why) => Err(Error::device(
                op,
                format!(
                    "the GPU device was lost ({}); its tensors are gone, restart the process",
                    why.trim()
                ),
            )),
            None => Ok(()),
        }
    }

    /// An error if the device is lost, or if an error came up that no call could report.
    pub fn check(&self, op: &'static str) -> Result<()> {
        self.check_lost(op)?;
        match lock(&self.signals.uncaptured).take() {
            Some(e) => Err(e.of(op)),
            None => Ok(()),
        }
    }

    /// Calls `f` so that whatever goes wrong in wgpu, a panic included, is an error of `op`.
    pub fn scoped<T>(&self, op: &'static str, f: impl FnOnce() -> T) -> Result<T> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let value = catch_unwind(AssertUnwindSafe(f));
        // The futures are ready at once; all three scopes are popped before any error is looked at.
        let errors = [internal, validation, memory].map(|scope| pollster::block_on(scope.pop()));
        let value = value.map_err(|panic| {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Error::runtime(op, format!("the graphics layer failed: {}", text.unwrap_or("no reason given")))
        });
        // Memory first: what fails for want of it fails to validate as well.
        if let Some(e) = errors.into_iter().rev().flatten().next() {
            return Err(into_error(op, e));
        }
        self.check(op)?;
        value
    }

    /// Runs everything recorded and waits until the device has done it.
    pub fn wait(&self, op: &'static str) -> Result<()> {
        let submitted = self.recorder().flush(self, op)?;
        self.wait_for(op, submitted)
    }

    /// Waits for one submission, or for the latest.
    pub fn wait_for(&self, op: &'static str, index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        self.scoped(op, || self.device.poll(wgpu::PollType::Wait { submission_index: index, timeout: None }))?
            .map(|_| ())
            .map_err(|e| Error::runtime(op, format!("waiting for the GPU failed: {e}")))
    }

    pub fn pool_stats(&self) -> (usize, usize, usize) {
        let pool = self.pool();
        (pool.cached, pool.reused, pool.created)
    }
}

impl Error {
    /// The same error as one of operation `op`.
    fn of(self, op: &'static str) -> Error {
        match self {
            Error::Memory { msg, .. } => Error::Memory { op, msg },
            Error::Device { msg, .. } => Error::Device { op, msg },
            other => Error::runtime(op, format!("an earlier operation failed on the GPU: {other}")),
        }
    }
}
