//! The Tensor object of Python: a kernel tensor with its place in the autodiff graph.
//!
//! Methods are attached from Python; here are only the fields and what needs the memory itself.

use crate::dtype::{self, PyDType};
use crate::tape::Node;
use lectorium::{DType, Scalar, Tensor};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyList, PyTuple};
use std::cell::Cell;
use std::sync::Arc;

thread_local! {
    static GRAD_ENABLED: Cell<bool> = const { Cell::new(true) };
}

/// An array of numbers of one dtype, which remembers how it was computed where a gradient is wanted.
///
/// `lt.tensor`, `lt.zeros`, `lt.arange` and such make one. `Tensor(2, 3)` is an uninitialised one of that
/// shape, `Tensor([...])` one of the default dtype.
///
/// Example:
///     >>> x = lt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
///     >>> (x * x).sum().backward()
///     >>> x.grad
///     tensor([[2., 4.],
///             [6., 8.]])
#[pyclass(subclass, weakref, dict, name = "Tensor", module = "lectorium")]
pub struct PyTensor {
    pub inner: Tensor,
    requires_grad: bool,
    /// Which of its node's outputs the tensor is.
    ///
    /// Example:
    ///     >>> x = lt.ones(3, requires_grad=True)
    ///     >>> sums, last = lt.scan(lambda x, h: (x + h, x + h), x, lt.tensor(0.0))
    ///     >>> sums.output_nr, last.output_nr
    ///     (0, 1)
    #[pyo3(get)]
    pub output_nr: usize,
    /// What made it, where gradients flow back to; None for a leaf.
    node: Option<Py<Node>>,
    grad: Option<Py<PyAny>>,
    hooks: Option<Py<PyAny>>,
    /// The tensor this is a view of, and its `epoch` when the view's node was made.
    base: Option<Py<PyTensor>>,
    base_epoch: u64,
    /// Grows when an in-place change gives this tensor a new node.
    epoch: u64,
    /// The recording during which it was made, 0 for none.
    born: u32,
}

impl PyTensor {
    fn plain(inner: Tensor) -> PyTensor {
        PyTensor {
            inner,
            requires_grad: false,
            output_nr: 0,
            node: None,
            grad: None,
            hooks: None,
            base: None,
            base_epoch: 0,
            epoch: 0,
            born: crate::tape::recording(),
        }
    }

    #[inline]
    pub fn wrap(py: Python<'_>, inner: Tensor) -> PyResult<Bound<'_, PyTensor>> {
        Bound::new(py, PyTensor::plain(inner))
    }

    /// A result that shares the memory of `of`: remembers the root of the views.
    pub fn wrap_view<'py>(of: &Bound<'py, PyTensor>, inner: Tensor) -> PyResult<Bound<'py, PyTensor>> {
        let py = of.py();
        let mut view = PyTensor::plain(inner);
        let this = of.borrow();
        if Arc::ptr_eq(this.inner.storage(), view.inner.storage()) {
            let root = match &this.base {
                Some(base) => base.clone_ref(py),
                None => of.clone().unbind(),
            };
            view.base_epoch = if root.is(of) { this.epoch } else { root.borrow(py).epoch };
            view.base = Some(root);
        }
        drop(this);
        Bound::new(py, view)
    }

    /// Whether gradients flow to it, also through a base that got a node after the view was made.
    pub fn wants_grad(&self, py: Python<'_>) -> bool {
        self.requires_grad
            || self.base.as_ref().is_some_and(|base| {
                let base = base.borrow(py);
                base.epoch != self.base_epoch && base.requires_grad
            })
    }

    /// Whether the base got a new node since this view's node was made.
    pub fn is_stale(&self, py: Python<'_>) -> bool {
        self.base.as_ref().is_some_and(|b| b.borrow(py).epoch != self.base_epoch)
    }

    pub fn node(&self, py: Python<'_>) -> Option<Py<Node>> {
        self.node.as_ref().map(|n| n.clone_ref(py))
    }

    /// The same memory outside the graph.
    pub fn alias<'py>(of: &Bound<'py, PyTensor>) -> PyResult<Bound<'py, PyTensor>> {
        PyTensor::wrap(of.py(), of.borrow().inner.clone())
    }

    /// Makes this the output `output_nr` of `node` (None: a leaf that needs no gradient).
    pub fn set_node(slf: &Bound<'_, Self>, node: Option<Py<Node>>, output_nr: usize) -> PyResult<()> {
        let mut guard = slf.try_borrow_mut()?;
        let this = &mut *guard;
        this.requires_grad = node.is_some();
        this.output_nr = output_nr;
        if let Some(base) = &this.base {
            this.base_epoch = base.borrow(slf.py()).epoch;
        }
        let old = std::mem::replace(&mut this.node, node);
        // Dropped with no borrow open: the destructor of a subclass may look at this tensor. So below.
        drop(guard);
        drop(old);
        Ok(())
    }
}

#[pymethods]
impl PyTensor {
    #[new]
    #[pyo3(signature = (data, *args))]
    fn new(data: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>) -> PyResult<PyTensor> {
        let py = data.py();
        if let Ok(t) = data.cast::<PyTensor>() {
            return Ok(PyTensor::plain(t.borrow().inner.clone()));
        }
        // Tensor(2, 3) is an uninitialised tensor and Tensor([…]) float32 data, as in PyTorch.
        let module = py.import("lectorium")?;
        let made = if data.is_instance_of::<pyo3::types::PyInt>() {
            let mut shape = vec![data.extract::<i64>()?];
            for a in args {
                shape.push(a.extract()?);
            }
            module.call_method1("empty", (shape,))?
        } else {
            let kwargs = pyo3::types::PyDict::new(py);
            kwargs.set_item("dtype", module.call_method0("get_default_dtype")?)?;
            module.call_method("tensor", (data,), Some(&kwargs))?
        };
        let made = made.cast::<PyTensor>()?.borrow();
        Ok(PyTensor::plain(made.inner.clone()))
    }

    /// The size of each axis, as a tuple of ints.
    ///
    /// Example:
    ///     >>> lt.zeros(2, 3).shape
    ///     (2, 3)
    ///     >>> lt.tensor(5.0).shape
    ///     ()
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.inner.shape())
    }
    /// The number of axes.
    ///
    /// Example:
    ///     >>> lt.zeros(2, 3).ndim, lt.tensor(5.0).ndim
    ///     (2, 0)
    #[getter]
    fn ndim(&self) -> usize {
        self.inner.ndim()
    }
    /// The type of the elements.
    ///
    /// Example:
    ///     >>> lt.tensor([1, 2]).dtype, lt.tensor([1.0]).dtype
    ///     (lectorium.int64, lectorium.float32)
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDType>> {
        dtype::object(py, self.inner.dtype())
    }
    /// Where the elements are: `"cpu"` or `"gpu"`.
    ///
    /// Example:
    ///     >>> lt.zeros(1).device_type
    ///     'cpu'
    #[getter]
    fn device_type(&self) -> &'static str {
        self.inner.device().name()
    }
    /// Whether the elements are in the memory of the CPU.
    ///
    /// Example:
    ///     >>> lt.zeros(1).is_cpu
    ///     True
    #[getter]
    fn is_cpu(&self) -> bool {
        self.inner.device() == lectorium::Device::Cpu
    }
    /// The number of elements.
    ///
    /// Example:
    ///     >>> lt.zeros(2, 3).numel(), lt.zeros(0, 3).numel()
    ///     (6, 0)
    fn numel(&self) -> usize {
        self.inner.numel()
    }
    /// `numel` by its older name.
    ///
    /// Example:
    ///     >>> lt.zeros(4, 5).nelement()
    ///     20
    fn nelement(&self) -> usize {
        self.inner.numel()
    }
    /// The number of axes, as `ndim`.
    ///
    /// Example:
    ///     >>> lt.zeros(2, 3, 4).dim()
    ///     3
    fn dim(&self) -> usize {
        self.inner.ndim()
    }
    /// The bytes an element takes.
    ///
    /// Example:
    ///     >>> lt.zeros(2).element_size(), lt.zeros(2, dtype=lt.bfloat16).element_size()
    ///     (4, 2)
    fn element_size(&self) -> usize {
        self.inner.dtype().size()
    }
    /// How many elements of the storage come before the first one of this tensor.
    ///
    /// Example:
    ///     >>> lt.arange(10)[3:].storage_offset()
    ///     3
    fn storage_offset(&self) -> usize {
        self.inner.layout().offset()
    }
    /// Whether the elements lie in memory in row-major order, without gaps.
    ///
    /// Example:
    ///     >>> x = lt.zeros(2, 3)
    ///     >>> x.is_contiguous(), x.T.is_contiguous(), x.T.contiguous().is_contiguous()
    ///     (True, False, True)
    fn is_contiguous(&self) -> bool {
        self.inner.is_contiguous()
    }
    /// The address of the first element; whoever asks may write there.
    ///
    /// Example:
    ///     >>> x = lt.arange(10)
    ///     >>> x[3:].data_ptr() - x.data_ptr()
    ///     24
    fn data_ptr(slf: &Bound<'_, Self>) -> PyResult<usize> {
        crate::tape::reads(slf, "data_ptr")?;
        let inner = &slf.borrow().inner;
        inner.storage().mark_exported();
        Ok(inner.storage().ptr() as usize + inner.layout().offset() * inner.dtype().size())
    }
    /// How many elements apart neighbours along each axis lie in memory, or along axis `dim`.
    ///
    /// Errors: IndexError for an axis that does not exist.
    ///
    /// Example:
    ///     >>> x = lt.zeros(2, 3)
    ///     >>> x.stride(), x.T.stride(), x.expand(4, 2, 3).stride(0)
    ///     ((3, 1), (1, 3), 0)
    #[pyo3(signature = (dim=None))]
    fn stride<'py>(&self, py: Python<'py>, dim: Option<isize>) -> PyResult<Bound<'py, PyAny>> {
        let strides = self.inner.strides();
        match dim {
            None => Ok(PyTuple::new(py, strides)?.into_any()),
            Some(axis) => {
                let axis = lectorium::layout::normalize_axis("stride", axis, strides.len())
                    .map_err(|e| crate::error::to_python(py, e))?;
                Ok(strides.get(axis).copied().unwrap_or(1).into_pyobject(py)?.into_any())
            }
        }
    }
    /// The size of each axis as a tuple, or of axis `dim` as an int.
    ///
    /// Errors: IndexError for an axis that does not exist.
    ///
    /// Example:
    ///     >>> lt.zeros(2, 3).size(), lt.zeros(2, 3).size(-1)
    ///     ((2, 3), 3)
    #[pyo3(signature = (dim=None))]
    fn size<'py>(&self, py: Python<'py>, dim: Option<isize>) -> PyResult<Bound<'py, PyAny>> {
        let shape = self.inner.shape();
        match dim {
            None => Ok(PyTuple::new(py, shape)?.into_any()),
            Some(axis) => {
                let axis = lectorium::layout::normalize_axis("size", axis, shape.len())
                    .map_err(|e| crate::error::to_python(py, e))?;
                match shape.get(axis) {
                    Some(d) => Ok(d.into_pyobject(py)?.into_any()),
                    None => Err(pyo3::exceptions::PyIndexError::new_err(
                        "size: a tensor without axes has no sizes",
                    )),
                }
            }
        }
    }

    /// Whether `backward` brings gradients here. Only floats may be told to.
    ///
    /// Errors: RuntimeError when set on integers, or set to False on a tensor that was computed (use
    /// `detach`).
    ///
    /// Example:
    ///     >>> w = lt.ones(2, requires_grad=True)
    ///     >>> (w * 3).requires_grad, lt.ones(2).requires_grad
    ///     (True, False)
    #[getter]
    fn requires_grad(&self, py: Python<'_>) -> bool {
        self.wants_grad(py)
    }
    #[setter]
    fn set_requires_grad(&mut self, value: bool) -> PyResult<()> {
        if value && !self.inner.dtype().is_float() {
            return Err(PyRuntimeError::new_err(format!(
                "requires_grad: only floating point tensors can require gradients, this one is {}",
                self.inner.dtype()
            )));
        }
        if !value && self.node.is_some() {
            return Err(PyRuntimeError::new_err(
                "requires_grad: only a leaf can stop requiring gradients; use .detach() for a tensor outside the graph",
            ));
        }
        self.requires_grad = value;
        Ok(())
    }
    /// Whether the tensor was made by the user rather than computed with a gradient.
    ///
    /// Gradients accumulate in `grad` of leaves.
    ///
    /// Example:
    ///     >>> w = lt.ones(2, requires_grad=True)
    ///     >>> w.is_leaf, (w * 3).is_leaf, lt.ones(2).is_leaf
    ///     (True, False, True)
    #[getter]
    fn is_leaf(&self, py: Python<'_>) -> bool {
        self.node.is_none() && (self.requires_grad || !self.wants_grad(py))
    }
    /// The gradient that `backward` has added up here, in the shape and dtype of the tensor; None before.
    ///
    /// Errors: ShapeError or TypeError when set to a tensor of another shape or dtype.
    ///
    /// Example:
    ///     >>> w = lt.tensor([1.0, 2.0], requires_grad=True)
    ///     >>> (w * w).sum().backward()
    ///     >>> w.grad
    ///     tensor([2., 4.])
    #[getter]
    fn get_grad(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.grad.as_ref().map(|g| g.clone_ref(py))
    }
    #[setter]
    fn set_grad(slf: &Bound<'_, Self>, value: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(value) = &value {
            let Ok(g) = value.cast::<PyTensor>() else {
                return Err(PyTypeError::new_err("grad: expected a Tensor or None"));
            };
            if g.is(slf) {
                return Err(PyRuntimeError::new_err("grad: a tensor cannot be its own gradient"));
            }
            let (this, g) = (slf.try_borrow()?, g.try_borrow()?);
            if g.inner.shape() != this.inner.shape() {
                let text = format!(
                    "grad: the tensor has shape {:?}, the gradient assigned has {:?}",
                    this.inner.shape(),
                    g.inner.shape()
                );
                return Err(PyErr::from_type(crate::error::shape_error(slf.py())?.clone(), text));
            }
            if g.inner.dtype() != this.inner.dtype() {
                return Err(PyTypeError::new_err(format!(
                    "grad: the tensor is {}, the gradient assigned is {}",
                    this.inner.dtype(),
                    g.inner.dtype()
                )));
            }
        }
        // Dropped with no borrow open: the destructor of a subclass may look at this tensor. So below.
        let old = std::mem::replace(&mut slf.try_borrow_mut()?.grad, value.map(Bound::unbind));
        drop(old);
        Ok(())
    }
    #[getter]
    fn _hooks(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.hooks.as_ref().map(|h| h.clone_ref(py))
    }
    #[setter(_hooks)]
    fn set_hooks(slf: &Bound<'_, Self>, value: Option<Py<PyAny>>) -> PyResult<()> {
        let old = std::mem::replace(&mut slf.try_borrow_mut()?.hooks, value);
        drop(old);
        Ok(())
    }
    #[getter]
    fn _node(&self, py: Python<'_>) -> Option<Py<Node>> {
        self.node(py)
    }
    #[getter]
    fn _base(&self, py: Python<'_>) -> Option<Py<PyTensor>> {
        self.base.as_ref().map(|b| b.clone_ref(py))
    }
    #[getter]
    fn _version(&self) -> u64 {
        self.inner.storage().version()
    }
    fn _bump_version(&self) {
        self.inner.storage().bump_version();
    }

    #[pyo3(signature = (node, output_nr=0))]
    fn _set_node(slf: &Bound<'_, Self>, node: Option<Py<Node>>, output_nr: usize) -> PyResult<()> {
        PyTensor::set_node(slf, node, output_nr)
    }
    /// As `_set_node` after an in-place change: every view of this tensor makes its node anew.
    #[pyo3(signature = (node, output_nr=0))]
    fn _rebase(slf: &Bound<'_, Self>, node: Option<Py<Node>>, output_nr: usize) -> PyResult<()> {
        slf.try_borrow_mut()?.epoch += 1;
        PyTensor::set_node(slf, node, output_nr)
    }
    /// Points this tensor at the memory of `other` (`.data = other`).
    fn _set_data(slf: &Bound<'_, Self>, other: &Bound<'_, PyTensor>) -> PyResult<()> {
        if other.is(slf) {
            return Err(PyRuntimeError::new_err("data: a tensor cannot be assigned to itself"));
        }
        let inner = other.try_borrow()?.inner.clone();
        let mut this = slf.try_borrow_mut()?;
        // A view laid out anew in place (`transpose_`) stays a view of its base.
        let same = Arc::ptr_eq(this.inner.storage(), inner.storage());
        let base = if same { None } else { this.base.take() };
        let old = (std::mem::replace(&mut this.inner, inner), base);
        drop(this);
        drop(old);
        Ok(())
    }
    /// The same memory outside the graph: no gradient flows through the result.
    ///
    /// Example:
    ///     >>> w = lt.tensor([2.0], requires_grad=True)
    ///     >>> (w * w.detach()).backward()
    ///     >>> w.grad
    ///     tensor([2.])
    fn detach<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTensor>> {
        PyTensor::wrap(py, self.inner.clone())
    }
    /// The tensor itself if nobody else can reach its memory, else a copy; always row-major.
    fn _own<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTensor>> {
        let py = slf.py();
        let inner = slf.borrow().inner.clone();
        // Two handles: the object's own and the one just cloned.
        if inner.is_contiguous() && Arc::strong_count(inner.storage()) == 2 && !inner.storage().exported() {
            return PyTensor::wrap(py, inner);
        }
        if inner.device() != lectorium::Device::Cpu {
            return PyTensor::wrap(py, inner);
        }
        crate::door::run1(py, inner.numel(), move || lectorium::ops::copy::clone("clone", &inner))
    }

    /// What a recorder asks: where the elements lie, and whether it was made during the recording that
    /// is on.
    fn _traced<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyTuple>, bool)> {
        let place = (
            Arc::as_ptr(self.inner.storage()) as usize,
            self.inner.layout().offset(),
            PyTuple::new(py, self.inner.shape())?,
            PyTuple::new(py, self.inner.strides())?,
        );
        let fresh = self.born != 0 && self.born == crate::tape::recording();
        Ok((place.into_pyobject(py)?, fresh))
    }

    /// The one element as a Python number.
    ///
    /// Errors: ValueError if there is not exactly one.
    ///
    /// Example:
    ///     >>> lt.tensor([1.0, 2.5]).sum().item()
    ///     3.5
    fn item<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        crate::tape::reads(slf, "item")?;
        slf.borrow().item_of(slf.py())
    }
    /// The elements as nested lists of Python numbers; a number for a tensor without axes.
    ///
    /// Example:
    ///     >>> lt.arange(4).reshape(2, 2).tolist()
    ///     [[0, 1], [2, 3]]
    fn tolist<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        crate::tape::reads(slf, "tolist")?;
        slf.borrow().list_of(slf.py())
    }
    /// The element at a flat row-major index, without a tensor in between (for repr).
    fn _at<'py>(slf: &Bound<'py, Self>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        crate::tape::reads(slf, "repr")?;
        slf.borrow().element(slf.py(), index)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.node)?;
        visit.call(&self.grad)?;
        visit.call(&self.hooks)?;
        visit.call(&self.base)
    }
    fn __clear__(&mut self) {
        self.node = None;
        self.grad = None;
        self.hooks = None;
        self.base = None;
    }
}

impl PyTensor {
    fn item_of<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.inner.numel() != 1 {
            return Err(PyValueError::new_err(format!(
                "item: only a tensor of one element is a Python number, this one has shape {:?}; use .tolist()",
                self.inner.shape()
            )));
        }
        number(py, scalar_at(&self.host(py)?, 0))
    }
    fn list_of<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // One call a level: the stack ends somewhere.
        if self.inner.ndim() > 1000 {
            let text = format!("tolist: {} axes are too many to nest", self.inner.ndim());
            return Err(PyValueError::new_err(text));
        }
        nested(py, &self.host(py)?, 0, 0)
    }
    fn element<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        let host = self.host(py)?;
        if index >= host.numel() {
            return Err(pyo3::exceptions::PyIndexError::new_err(format!("index {index} is out of range")));
        }
        let (mut rest, mut offset) = (index, 0isize);
        for axis in (0..host.ndim()).rev() {
            offset += (rest % host.shape()[axis]) as isize * host.strides()[axis];
            rest /= host.shape()[axis];
        }
        number(py, scalar_at(&host, offset))
    }

    fn host(&self, py: Python<'_>) -> PyResult<Tensor> {
        #[cfg(feature = "gpu")]
        if self.inner.device() == lectorium::Device::Gpu {
            let inner = self.inner.clone();
            return crate::door::run(py, usize::MAX, move || lectorium::gpu::download("item", &inner));
        }
        let _ = py;
        Ok(self.inner.clone())
    }
}

fn scalar_at(t: &Tensor, offset: isize) -> (Scalar, DType) {
    use lectorium::Element;
    // SAFETY: callers stay within the layout.
    let value =
        lectorium::for_all_types!(t.dtype(), E => unsafe { (*t.ptr::<E>().offset(offset)).to_scalar() });
    (value, t.dtype())
}

fn number<'py>(py: Python<'py>, value: (Scalar, DType)) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value.0 {
        Scalar::Bool(b) => PyBool::new(py, b).to_owned().into_any(),
        Scalar::Int(i) => i.into_pyobject(py)?.into_any(),
        Scalar::Float(f) => f.into_pyobject(py)?.into_any(),
    })
}

fn nested<'py>(py: Python<'py>, t: &Tensor, axis: usize, offset: isize) -> PyResult<Bound<'py, PyAny>> {
    if axis == t.ndim() {
        return number(py, scalar_at(t, offset));
    }
    let items = (0..t.shape()[axis])
        .map(|i| nested(py, t, axis + 1, offset + i as isize * t.strides()[axis]))
        .collect::<PyResult<Vec<_>>>()?;
    Ok(PyList::new(py, items)?.into_any())
}

/// Whether operations of this thread are recorded for `backward`.
///
/// Example:
///     >>> with lt.no_grad():
///     ...     print(lt.is_grad_enabled())
///     False
#[pyfunction]
pub fn is_grad_enabled() -> bool {
    GRAD_ENABLED.with(Cell::get)
}

/// Turns recording on or off for this thread; returns what it was.
#[pyfunction]
pub fn set_grad_enabled(on: bool) -> bool {
    GRAD_ENABLED.with(|c| c.replace(on))
}

/// Whether recording is on and any of the arguments wants a gradient.
#[pyfunction]
pub fn needs_grad(args: &Bound<'_, PyTuple>) -> bool {
    let py = args.py();
    GRAD_ENABLED.with(Cell::get)
        && args.iter().any(|a| a.cast::<PyTensor>().is_ok_and(|t| t.borrow().wants_grad(py)))
}

/// The sum of the versions of the tensors in a tuple: it grows when any of them is changed.
#[pyfunction]
pub fn version_sum(saved: &Bound<'_, PyTuple>) -> u64 {
    saved.iter().filter_map(|s| s.cast::<PyTensor>().ok().map(|t| t.borrow().inner.storage().version())).sum()
}

/// Shape, dtype and device of a tensor: what a gradient must have.
#[pyclass(frozen, name = "Meta", module = "lectorium._core")]
pub struct Meta {
    pub shape: Vec<usize>,
    pub dtype: DType,
}

#[pymethods]
impl Meta {
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.shape)
    }
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDType>> {
        dtype::object(py, self.dtype)
    }
}

/// `Meta` of a tensor; None for a number or None.
#[pyfunction]
pub fn meta(x: &Bound<'_, PyAny>) -> Option<Meta> {
    let t = x.cast::<PyTensor>().ok()?.borrow();
    Some(Meta { shape: t.inner.shape().to_vec(), dtype: t.inner.dtype() })
}
