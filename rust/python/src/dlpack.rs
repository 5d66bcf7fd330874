//! Memory shared with other libraries through DLPack capsules, versioned (1.x) and legacy, both ways.
//!
//! The structs are those of dlpack.h. A capsule owns its tensor until a consumer renames it to
//! `used_…`; from then on the consumer calls the deleter.

use crate::error::to_python;
use crate::tensor::PyTensor;
use lectorium::layout::{Strides, checked_numel};
use lectorium::{DType, Error, Layout, Storage, Tensor};
use pyo3::exceptions::{PyBufferError, PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_void};
use std::sync::Arc;

const LEGACY: &CStr = c"dltensor";
const LEGACY_USED: &CStr = c"used_dltensor";
const VERSIONED: &CStr = c"dltensor_versioned";
const VERSIONED_USED: &CStr = c"used_dltensor_versioned";
const MAJOR: u32 = 1;
const READ_ONLY: u64 = 1;
const IS_COPIED: u64 = 2;
/// Device types whose memory this process can read: the CPU's own, and pinned memory of two vendors.
const HOST: [i32; 3] = [1, 3, 11];

#[repr(C)]
struct Managed {
    tensor: RawTensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Managed)>,
}

#[repr(C)]
struct ManagedVersioned {
    major: u32,
    minor: u32,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut ManagedVersioned)>,
    flags: u64,
    tensor: RawTensor,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RawTensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

fn type_code(dtype: DType) -> u8 {
    match dtype {
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => 0,
        DType::U8 => 1,
        DType::F16 | DType::F32 | DType::F64 => 2,
        DType::BF16 => 4,
        DType::Bool => 6,
    }
}

/// What an exported capsule points at: the struct first, then what the struct points to.
#[repr(C)]
struct Export<M> {
    managed: M,
    shape: Vec<i64>,
    strides: Vec<i64>,
    owner: Tensor,
}

trait Shared: Sized {
    const NAME: &'static CStr;
    fn new(tensor: RawTensor, flags: u64) -> Self;
    fn tensor(&mut self) -> &mut RawTensor;
    /// Frees what the producer made.
    unsafe fn delete(this: *mut Self);
}

unsafe extern "C" fn drop_export<M>(this: *mut M) {
    if !this.is_null() {
        // SAFETY: `this` is the first field of the box that `export` leaked, and is freed once.
        drop(Box::from_raw(this.cast::<Export<M>>()));
    }
}

impl Shared for Managed {
    const NAME: &'static CStr = LEGACY;
    fn new(tensor: RawTensor, _flags: u64) -> Self {
        Managed { tensor, context: std::ptr::null_mut(), deleter: Some(drop_export::<Managed>) }
    }
    fn tensor(&mut self) -> &mut RawTensor {
        &mut self.tensor
    }
    unsafe fn delete(this: *mut Self) {
        if let Some(deleter) = (*this).deleter {
            deleter(this);
        }
    }
}

impl Shared for ManagedVersioned {
    const NAME: &'static CStr = VERSIONED;
    fn new(tensor: RawTensor, flags: u64) -> Self {
        let deleter = Some(drop_export::<ManagedVersioned> as unsafe extern "C" fn(*mut ManagedVersioned));
        ManagedVersioned { major: MAJOR, minor: 0, context: std::ptr::null_mut(), deleter, flags, tensor }
    }
    fn tensor(&mut self) -> &mut RawTensor {
        &mut self.tensor
    }
    unsafe fn delete(this: *mut Self) {
        if let Some(deleter) = (*this).deleter {
            deleter(this);
        }
    }
}

/// A capsule that nobody consumed frees its tensor.
unsafe extern "C" fn destroy_capsule<M: Shared>(capsule: *mut ffi::PyObject) {
    // SAFETY: Python calls this with the dying capsule; its name says whether the tensor is still its own.
    if ffi::PyCapsule_IsValid(capsule, M::NAME.as_ptr()) == 1 {
        M::delete(ffi::PyCapsule_GetPointer(capsule, M::NAME.as_ptr()).cast());
    }
}

fn export<M: Shared>(py: Python<'_>, owner: Tensor, flags: u64) -> PyResult<Bound<'_, PyAny>> {
    let dtype = owner.dtype();
    let raw = RawTensor {
        data: std::ptr::null_mut(),
        device_type: 1,
        device_id: 0,
        ndim: owner.ndim() as i32,
        code: type_code(dtype),
        bits: (dtype.size() * 8) as u8,
        lanes: 1,
        shape: std::ptr::null_mut(),
        strides: std::ptr::null_mut(),
        byte_offset: 0,
    };
    let shape = owner.shape().iter().map(|&d| d as i64).collect();
    let strides = owner.strides().iter().map(|&s| s as i64).collect();
    let mut made = Box::new(Export { managed: M::new(raw, flags), shape, strides, owner });
    let (shape, strides) = (made.shape.as_mut_ptr(), made.strides.as_mut_ptr());
    let start = made.owner.storage().ptr().wrapping_add(made.owner.layout().offset() * dtype.size());
    let tensor = made.managed.tensor();
    (tensor.data, tensor.shape, tensor.strides) = (start.cast(), shape, strides);
    let pointer = Box::into_raw(made);
    // SAFETY: the pointer stays valid until the deleter frees it; the name is static.
    let capsule = unsafe { ffi::PyCapsule_New(pointer.cast(), M::NAME.as_ptr(), Some(destroy_capsule::<M>)) };
    if capsule.is_null() {
        // SAFETY: no capsule took the pointer over.
        drop(unsafe { Box::from_raw(pointer) });
    }
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, capsule) }
}

/// A capsule on the tensor's memory, which counts as exported from now on.
#[pyfunction]
#[pyo3(signature = (x, versioned=true, copied=false))]
fn to_dlpack<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    versioned: bool,
    copied: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let x = crate::args::read(x, "dlpack")?.0;
    if x.device() != lectorium::Device::Cpu {
        return Err(PyBufferError::new_err(
            "dlpack: memory of the GPU cannot be shared with other libraries; move the tensor with .to(\"cpu\") first",
        ));
    }
    let writable = x.storage().writable();
    if !writable && !versioned {
        return Err(PyBufferError::new_err(
            "dlpack: the tensor shares read-only memory, which a legacy capsule cannot say; \
             ask with max_version=(1, 0), or share a .clone()",
        ));
    }
    x.storage().mark_exported();
    if versioned {
        let flags = if writable { 0 } else { READ_ONLY } | if copied { IS_COPIED } else { 0 };
        export::<ManagedVersioned>(py, x, flags)
    } else {
        export::<Managed>(py, x, 0)
    }
}

/// A tensor of another library: its deleter runs when the last of our tensors on it is gone.
struct Owner<M: Shared>(*mut M);

// SAFETY: only the deleter is ever called through it, once, by a thread that holds the GIL.
unsafe impl<M: Shared> Send for Owner<M> {}
// SAFETY: as above.
unsafe impl<M: Shared> Sync for Owner<M> {}

impl<M: Shared> Drop for Owner<M> {
    fn drop(&mut self) {
        // Deleters may touch Python objects. At the interpreter's end the memory goes with the process.
        // SAFETY: the capsule handed its tensor over, and this is its only owner.
        Python::try_attach(|_| unsafe { M::delete(self.0) });
    }
}

fn refuse(text: String) -> PyErr {
    PyBufferError::new_err(format!("from_dlpack: {text}"))
}

fn find_dtype(raw: &RawTensor) -> PyResult<DType> {
    let found = DType::ALL
        .into_iter()
        .find(|&d| raw.lanes == 1 && type_code(d) == raw.code && d.size() * 8 == raw.bits as usize);
    found.ok_or_else(|| {
        let kinds = ["int", "uint", "float", "opaque", "bfloat", "complex", "bool"];
        let kind = kinds.get(raw.code as usize).copied().unwrap_or("unknown type ");
        let lanes = if raw.lanes == 1 { String::new() } else { format!(" in vectors of {}", raw.lanes) };
        PyTypeError::new_err(format!(
            "from_dlpack: elements of type {kind}{}{lanes} have no dtype here; convert them in their own library first",
            raw.bits
        ))
    })
}

/// # Safety
/// `at` points to `n` numbers, or is null.
unsafe fn numbers(at: *const i64, n: usize) -> Option<Vec<i64>> {
    (!at.is_null()).then(|| (0..n).map(|i| at.add(i).read()).collect())
}

/// What the struct says, checked: dtype, layout, first byte and number of bytes of the storage.
///
/// # Safety
/// `raw` is a live DLTensor.
unsafe fn describe(py: Python<'_>, raw: &RawTensor) -> PyResult<(DType, Layout, *mut u8, usize)> {
    if !HOST.contains(&raw.device_type) {
        return Err(elsewhere(raw.device_type));
    }
    let dtype = find_dtype(raw)?;
    let ndim = usize::try_from(raw.ndim).map_err(|_| refuse(format!("{} axes make no sense", raw.ndim)))?;
    // SAFETY: a DLTensor holds ndim sizes and, unless null, as many strides.
    let (sizes, steps) = unsafe { (numbers(raw.shape, ndim), numbers(raw.strides, ndim)) };
    let sizes = match sizes {
        Some(s) => s,
        None if ndim == 0 => Vec::new(),
        None => return Err(refuse(format!("{ndim} axes, but no sizes"))),
    };
    let shape = sizes.iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| refuse(format!("sizes must not be negative, got {sizes:?}")))?;
    let numel = checked_numel("from_dlpack", &shape).map_err(|e| to_python(py, e))?;
    if numel == 0 {
        return Ok((dtype, Layout::contiguous(&shape), std::ptr::null_mut(), 0));
    }
    let strides: Strides = match steps {
        None => lectorium::layout::contiguous_strides(&shape),
        Some(s) => s.iter().map(|&s| s as isize).collect(),
    };
    if raw.data.is_null() {
        return Err(refuse(format!("shape {shape:?}, but no memory")));
    }
    let size = dtype.size();
    let (mut lo, mut hi) = (0i128, 0i128);
    for (&d, &s) in shape.iter().zip(&strides) {
        let reach = (d as i128 - 1) * s as i128;
        if reach < 0 { lo += reach } else { hi += reach }
    }
    if (hi - lo + 1) * size as i128 > isize::MAX as i128 {
        return Err(refuse(format!(
            "shape {shape:?} with strides {strides:?} reaches further than memory does"
        )));
    }
    let first = (raw.data as usize).wrapping_add(raw.byte_offset as usize);
    if !first.is_multiple_of(size) {
        return Err(refuse(format!(
            "the memory is not aligned to its elements of {size} bytes; share a copy"
        )));
    }
    // The storage starts at the lowest element, which negative strides put before the first one.
    let start = (first as isize + lo as isize * size as isize) as usize as *mut u8;
    let layout = Layout::new(shape.as_slice().into(), strides, (-lo) as usize);
    Ok((dtype, layout, start, (hi - lo + 1) as usize * size))
}

fn elsewhere(device_type: i32) -> PyErr {
    let name = match device_type {
        2 => "CUDA".into(),
        7 => "Vulkan".into(),
        8 => "Metal".into(),
        10 => "ROCm".into(),
        13 => "CUDA managed".into(),
        14 => "oneAPI".into(),
        15 => "WebGPU".into(),
        other => format!("{other} of DLPack"),
    };
    refuse(format!(
        "the memory is on device type {name}, which cannot be shared here; copy it to the CPU in its own library first"
    ))
}

fn import<M: Shared + 'static>(
    capsule: &Bound<'_, PyAny>,
    managed: *mut M,
    writable: bool,
    used: &'static CStr,
) -> PyResult<Tensor> {
    let py = capsule.py();
    // SAFETY: the capsule's name says that it still owns this live struct.
    let (dtype, layout, start, len) = unsafe { describe(py, (*managed).tensor())? };
    // SAFETY: a live capsule and a static name; afterwards the tensor is ours.
    if unsafe { ffi::PyCapsule_SetName(capsule.as_ptr(), used.as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    let owner = Owner(managed);
    let made = if len == 0 {
        Tensor::empty("from_dlpack", layout.shape(), dtype)
    } else {
        // SAFETY: the producer's own description of its memory, alive until its deleter is called.
        let storage = unsafe { Storage::foreign(start, len, writable, Box::new(owner)) };
        Tensor::from_parts("from_dlpack", Arc::new(storage), layout, dtype)
    };
    made.map_err(|e: Error| to_python(py, e))
}

/// A tensor on the memory of a capsule, which is used up.
#[pyfunction]
fn from_capsule<'py>(capsule: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTensor>> {
    let py = capsule.py();
    let object = capsule.as_ptr();
    // SAFETY: any object may be asked; names are static.
    let is = |name: &CStr| unsafe { ffi::PyCapsule_IsValid(object, name.as_ptr()) == 1 };
    // SAFETY: only asked for the name that the capsule has.
    let pointer = |name: &CStr| unsafe { ffi::PyCapsule_GetPointer(object, name.as_ptr()) };
    let tensor = if is(VERSIONED) {
        let managed = pointer(VERSIONED).cast::<ManagedVersioned>();
        // SAFETY: the version and the flags stand at the same place in every version.
        let (major, minor, flags) = unsafe { ((*managed).major, (*managed).minor, (*managed).flags) };
        if major > MAJOR {
            return Err(refuse(format!(
                "the capsule has DLPack version {major}.{minor}, {MAJOR}.x is understood"
            )));
        }
        import(capsule, managed, flags & READ_ONLY == 0, VERSIONED_USED)?
    } else if is(LEGACY) {
        import(capsule, pointer(LEGACY).cast::<Managed>(), true, LEGACY_USED)?
    } else if is(LEGACY_USED) || is(VERSIONED_USED) {
        return Err(PyRuntimeError::new_err(
            "from_dlpack: the capsule was used before; each one can be turned into a tensor once",
        ));
    } else {
        let name = capsule.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "from_dlpack: expected an object with __dlpack__ or a capsule named 'dltensor', got {name}"
        )));
    };
    PyTensor::wrap(py, tensor)
}

/// A tensor on the memory of an object with `__dlpack__`, or of a capsule.
#[pyfunction]
#[pyo3(signature = (data, copy=None))]
fn from_dlpack<'py>(data: &Bound<'py, PyAny>, copy: Option<bool>) -> PyResult<Bound<'py, PyTensor>> {
    let py = data.py();
    let mut made_copy = false;
    let capsule = if data.hasattr("__dlpack__")? {
        let (kind, _): (i32, i32) = data.call_method0("__dlpack_device__")?.extract()?;
        if !HOST.contains(&kind) {
            return Err(elsewhere(kind));
        }
        let kwargs = pyo3::types::PyDict::new(py);
        kwargs.set_item("max_version", (MAJOR, 0))?;
        if let Some(copy) = copy {
            kwargs.set_item("copy", copy)?;
        }
        match data.call_method("__dlpack__", (), Some(&kwargs)) {
            Ok(capsule) => {
                made_copy = true;
                capsule
            }
            // Libraries from before DLPack 1.0 take no such arguments.
            Err(e) if e.is_instance_of::<PyTypeError>(py) => data.call_method0("__dlpack__")?,
            Err(e) => return Err(e),
        }
    } else {
        data.clone()
    };
    let tensor = from_capsule(&capsule)?;
    if copy == Some(true) && !made_copy {
        let inner = tensor.borrow().inner.clone();
        let work = inner.numel();
        return crate::door::run1(py, work, move || lectorium::ops::copy::clone("from_dlpack", &inner));
    }
    Ok(tensor)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(pyo3::wrap_pyfunction!(to_dlpack, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(from_capsule, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(from_dlpack, m)?)
}
