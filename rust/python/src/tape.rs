//! The recording: operations and the nodes that their calls leave.
//!
//! What a call costs is decided here, so this part of the tape is compiled: a node, its parents, and
//! the check that saved values are as they were. Derivatives, views, hooks and checkpoints are in
//! Python, in `lectorium/autograd` and `lectorium/ops`; the walk back is `walk.rs`.

use crate::tensor::{PyTensor, needs_grad, version_sum};
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyTuple};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static IDS: AtomicU64 = AtomicU64::new(1);

/// Grows with every node: parents have smaller ids than what was computed from them.
#[pyfunction]
pub fn next_id() -> u64 {
    IDS.fetch_add(1, Relaxed)
}

/// A differentiable operation: a name and how gradients flow back through it.
#[pyclass(module = "lectorium._core")]
pub struct Op {
    #[pyo3(get)]
    pub name: String,
    /// How many of its results carry gradients.
    #[pyo3(get)]
    pub outputs: usize,
    /// Whether it is a user's `Function`.
    #[pyo3(get)]
    by_user: bool,
    #[pyo3(get, set)]
    pub vjp: Option<Py<PyAny>>,
    /// The forward function, which takes the namespace of kernels first.
    #[pyo3(get, set)]
    pub forward: Option<Py<PyAny>>,
}

#[pymethods]
impl Op {
    #[new]
    #[pyo3(signature = (name, outputs=1, by_user=false))]
    fn new(name: String, outputs: usize, by_user: bool) -> Op {
        Op { name, outputs, by_user, vjp: None, forward: None }
    }
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.vjp)?;
        visit.call(&self.forward)
    }
    fn __clear__(&mut self) {
        self.vjp = None;
        self.forward = None;
    }
}

/// Where a gradient goes: a node or a leaf tensor, and the number of its output.
pub struct Edge {
    pub to: Py<PyAny>,
    pub nr: usize,
}

impl Edge {
    pub fn clone_ref(&self, py: Python<'_>) -> Edge {
        Edge { to: self.to.clone_ref(py), nr: self.nr }
    }
}

/// One recorded call. Parents are nodes, or leaf tensors, each with the number of its output.
///
/// Example:
///     >>> y = (lt.ones(2, requires_grad=True) * 3).sum()
///     >>> y.grad_fn, y.grad_fn.next_functions
///     (<SumBackward>, ((<MulBackward>, 0),))
#[pyclass(module = "lectorium.autograd", weakref)]
pub struct Node {
    /// Grows with every node: parents have smaller ids.
    #[pyo3(get)]
    pub id: u64,
    /// The operation that was called.
    #[pyo3(get)]
    pub op: Py<Op>,
    pub parents: SmallVec<[Option<Edge>; 3]>,
    /// A tuple, or what stands for it under `checkpoint`; None once a walk has freed it.
    #[pyo3(get)]
    saved: Option<Py<PyAny>>,
    /// Which of the saved values are outputs of this node, and which outputs.
    own: SmallVec<[(usize, usize); 1]>,
    /// The sum of the versions of the saved tensors.
    version: u64,
    /// A dict of the hooks of each output.
    #[pyo3(get, set)]
    pub hooks: Option<Py<PyAny>>,
    /// A dict of weak references to the outputs that keep their gradient.
    #[pyo3(get, set)]
    pub retained: Option<Py<PyAny>>,
}

#[pymethods]
impl Node {
    /// The name PyTorch would show: ``MulBackward``.
    ///
    /// Example:
    ///     >>> lt.ones(2, requires_grad=True).exp().grad_fn.name()
    ///     'ExpBackward'
    fn name(&self, py: Python<'_>) -> String {
        let op = self.op.borrow(py);
        let capital = |word: &str| {
            let mut letters = word.chars();
            let first = letters.next().into_iter().flat_map(char::to_uppercase);
            first.chain(letters.flat_map(char::to_lowercase)).collect::<String>()
        };
        op.name.split('_').map(capital).collect::<String>() + "Backward"
    }
    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<{}>", self.name(py))
    }
    /// What the arguments came from: nodes or leaf tensors, each with the number of its output.
    #[getter]
    fn parents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.parents.iter().map(|p| p.as_ref().map(|e| (e.to.clone_ref(py), e.nr))))
    }
    /// Where the gradient goes on to; None for leaves and inputs that need none.
    #[getter]
    fn next_functions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let shown = |p: &Option<Edge>| match p {
            Some(e) if e.to.bind(py).is_instance_of::<Node>() => (Some(e.to.clone_ref(py)), e.nr),
            _ => (None, 0),
        };
        PyTuple::new(py, self.parents.iter().map(shown))
    }
    /// Puts other values in the place of the saved ones.
    fn _replace_saved(slf: &Bound<'_, Self>, values: &Bound<'_, PyTuple>) -> PyResult<()> {
        let version = version_sum(values);
        let mut this = slf.try_borrow_mut()?;
        this.version = version;
        let old = this.saved.replace(values.clone().into_any().unbind());
        // Dropped with no borrow open: the destructor of a subclass may look at this node.
        drop(this);
        drop(old);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.op)?;
        for edge in self.parents.iter().flatten() {
            visit.call(&edge.to)?;
        }
        visit.call(&self.saved)?;
        visit.call(&self.hooks)?;
        visit.call(&self.retained)
    }
    fn __clear__(&mut self) {
        self.bury();
        self.hooks = None;
        self.retained = None;
    }
}

thread_local! {
    static GRAVES: RefCell<Vec<Py<PyAny>>> = const { RefCell::new(Vec::new()) };
    static DIGGING: Cell<bool> = const { Cell::new(false) };
}

impl Node {
    /// Lets go of parents and saved values without recursion, however long the chain behind them is:
    /// what a node holds is dropped by the outermost of these calls.
    fn bury(&mut self) {
        let held = self.parents.drain(..).flatten().map(|edge| edge.to).chain(self.saved.take());
        // A thread at its end has no list any more.
        if GRAVES.try_with(|graves| graves.borrow_mut().extend(held)).is_err()
            || DIGGING.with(|digging| digging.replace(true))
        {
            return;
        }
        while let Some(gone) = GRAVES.with(|graves| graves.borrow_mut().pop()) {
            drop(gone);
        }
        DIGGING.with(|digging| digging.set(false));
    }

    /// The saved values, checked to be as they were; outputs are attached again under `create_graph`.
    pub fn saved_values<'py>(slf: &Bound<'py, Node>, create_graph: bool) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let this = slf.borrow();
        let name = || this.op.borrow(py).name.clone();
        let Some(saved) = this.saved.as_ref().map(|s| s.bind(py).clone()) else {
            return Err(PyRuntimeError::new_err(format!(
                "backward: the saved values of {} were freed by an earlier backward; \
                 pass retain_graph=True to the first one to go through the graph twice",
                name()
            )));
        };
        let (saved, version) = match saved.cast_into::<PyTuple>() {
            Ok(saved) => (saved, this.version),
            Err(promise) => {
                // May run any code, also some that changes this node.
                let promise = promise.into_inner();
                drop(this);
                let (saved, version): (Bound<'py, PyTuple>, u64) =
                    promise.call_method1("values", (create_graph,))?.extract()?;
                return slf.borrow().checked(slf, saved, version, create_graph);
            }
        };
        this.checked(slf, saved, version, create_graph)
    }

    fn checked<'py>(
        &self,
        slf: &Bound<'py, Node>,
        saved: Bound<'py, PyTuple>,
        version: u64,
        create_graph: bool,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        if version_sum(&saved) != version {
            return Err(PyRuntimeError::new_err(format!(
                "backward: a tensor that {} needs for its gradient was changed by an in-place operation; \
                 use the out-of-place form, or .clone() the tensor before changing it",
                self.op.borrow(py).name
            )));
        }
        if !create_graph || self.own.is_empty() {
            return Ok(saved);
        }
        let mut values: Vec<Bound<'py, PyAny>> = saved.iter().collect();
        for &(i, nr) in &self.own {
            let alias = PyTensor::alias(values[i].cast::<PyTensor>()?)?;
            PyTensor::set_node(&alias, Some(slf.clone().unbind()), nr)?;
            values[i] = alias.into_any();
        }
        PyTuple::new(py, values)
    }

    /// Forgets the saved values, if there are tensors among them.
    pub fn free(slf: &Bound<'_, Node>, saved: &Bound<'_, PyTuple>) -> PyResult<()> {
        if saved.iter_borrowed().any(|s| s.is_instance_of::<PyTensor>()) {
            let gone = slf.try_borrow_mut()?.saved.take();
            drop(gone);
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.bury();
    }
}

thread_local! {
    static KEEPERS: RefCell<Vec<Py<PyAny>>> = const { RefCell::new(Vec::new()) };
}

/// From now on `keeper.keep(op, saved, version)` decides what the nodes of this thread hold on to.
#[pyfunction]
pub fn push_keeper(keeper: Py<PyAny>) {
    KEEPERS.with(|k| k.borrow_mut().push(keeper));
}

#[pyfunction]
pub fn pop_keeper() -> Option<Py<PyAny>> {
    KEEPERS.with(|k| k.borrow_mut().pop())
}

/// The keeper in force, if any.
#[pyfunction]
pub fn top_keeper(py: Python<'_>) -> Option<Py<PyAny>> {
    KEEPERS.with(|k| k.borrow().last().map(|k| k.clone_ref(py)))
}

thread_local! {
    static RECORDER: RefCell<Option<Py<PyAny>>> = const { RefCell::new(None) };
    /// The number of the recording that is on, 0 for none.
    static RECORDING: Cell<u32> = const { Cell::new(0) };
}

/// From now on `recorder` is told of the operations that this thread calls (`called`) and of the
/// values that it reads (`read`); None for nobody. Returns who was told before.
#[pyfunction]
pub fn set_recorder(recorder: Option<Py<PyAny>>) -> Option<Py<PyAny>> {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    let number = if recorder.is_some() { (NUMBERS.fetch_add(1, Relaxed) as u32).max(1) } else { 0 };
    RECORDING.with(|r| r.set(number));
    RECORDER.with(|r| std::mem::replace(&mut *r.borrow_mut(), recorder))
}

/// The number of the recording that is on, 0 for none.
#[pyfunction]
#[inline]
pub fn recording() -> u32 {
    RECORDING.with(Cell::get)
}

/// How many in-place changes this thread has counted.
#[pyfunction]
pub fn in_place_changes() -> u64 {
    lectorium::storage::changes()
}

fn recorder(py: Python<'_>) -> Option<Py<PyAny>> {
    RECORDER.with(|r| r.borrow().as_ref().map(|r| r.clone_ref(py)))
}

/// Tells the recorder, if there is one, that the values of `t` are read by `name`.
#[pyfunction]
pub fn reads(t: &Bound<'_, PyTensor>, name: &str) -> PyResult<()> {
    if recording() != 0
        && let Some(recorder) = recorder(t.py())
    {
        recorder.call_method1(t.py(), "read", (t, name))?;
    }
    Ok(())
}

/// Tells the recorder, if there is one, that `op` computed `out` from `args`.
#[pyfunction]
pub fn seen(op: &Bound<'_, Op>, args: &Bound<'_, PyTuple>, out: &Bound<'_, PyAny>) -> PyResult<()> {
    if recording() != 0
        && let Some(recorder) = recorder(op.py())
    {
        recorder.call_method1(op.py(), "called", (op, args, out))?;
    }
    Ok(())
}

/// Gives a view its node anew after an in-place change made one for its base.
fn refresh_view(t: &Bound<'_, PyTensor>) -> PyResult<()> {
    static REFRESH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = t.py();
    let refresh = REFRESH.get_or_try_init(py, || {
        py.import("lectorium.autograd.tape")?.getattr("refresh_view").map(Bound::unbind)
    })?;
    refresh.call1(py, (t,)).map(drop)
}

fn edge_of(t: &Bound<'_, PyTensor>) -> PyResult<Edge> {
    if t.borrow().is_stale(t.py()) {
        refresh_view(t)?;
    }
    let this = t.borrow();
    Ok(match this.node(t.py()) {
        Some(node) => Edge { to: node.into_any(), nr: this.output_nr },
        None => Edge { to: t.clone().into_any().unbind(), nr: 0 },
    })
}

/// Where the gradient of `t` goes: its node and output number, or the leaf itself.
#[pyfunction]
pub fn edge(t: &Bound<'_, PyTensor>) -> PyResult<(Py<PyAny>, usize)> {
    edge_of(t).map(|e| (e.to, e.nr))
}

/// Notes that `op` computed `out` from `args`.
#[pyfunction]
pub fn record<'py>(
    op: &Bound<'py, Op>,
    args: &Bound<'py, PyTuple>,
    out: &Bound<'py, PyAny>,
    saved: Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, Node>> {
    let py = op.py();
    if op.borrow().by_user {
        seen(op, args, out)?;
    }
    let mut parents = SmallVec::new();
    for a in args.iter_borrowed() {
        parents.push(match a.cast::<PyTensor>() {
            Ok(t) if t.borrow().wants_grad(py) => Some(edge_of(&t)?),
            _ => None,
        });
    }
    // After the parents: a stale view among them has just got a node, with an id of its own.
    let id = next_id();
    let mut outs: SmallVec<[(usize, Bound<'py, PyTensor>); 2]> = SmallVec::new();
    let mut put = |nr: usize, o: &Bound<'py, PyAny>| {
        if let Ok(t) = o.cast::<PyTensor>()
            && t.borrow().inner.dtype().is_float()
        {
            outs.push((nr, t.clone()));
        }
    };
    if out.is_instance_of::<PyTensor>() {
        put(0, out);
    } else {
        for (nr, o) in out.try_iter()?.take(op.borrow().outputs).enumerate() {
            put(nr, &o?);
        }
    }
    // A saved output is held without its node: nothing points back at the node that holds it.
    let mut own = SmallVec::new();
    let mut saved = saved;
    for i in 0..saved.len() {
        let value = saved.get_item(i)?;
        if let Some((nr, o)) = outs.iter().find(|(_, o)| value.is(o)) {
            let mut values: Vec<Bound<'py, PyAny>> = saved.iter().collect();
            values[i] = PyTensor::alias(o)?.into_any();
            saved = PyTuple::new(py, values)?;
            own.push((i, *nr));
        }
    }
    let version = version_sum(&saved);
    let saved = match top_keeper(py) {
        Some(keeper) => keeper.call_method1(py, "keep", (op, saved, version))?,
        None => saved.into_any().unbind(),
    };
    let op = op.clone().unbind();
    let node = Node { id, op, parents, saved: Some(saved), own, version, hooks: None, retained: None };
    let node = Bound::new(py, node)?;
    for (nr, o) in outs {
        PyTensor::set_node(&o, Some(node.clone().unbind()), nr)?;
    }
    Ok(node)
}

/// As `record`, if recording is on and an argument wants a gradient.
#[pyfunction]
pub fn note<'py>(
    op: &Bound<'py, Op>,
    args: &Bound<'py, PyTuple>,
    out: &Bound<'py, PyAny>,
    saved: Bound<'py, PyTuple>,
) -> PyResult<()> {
    if needs_grad(args) {
        record(op, args, out, saved)?;
    }
    seen(op, args, out)
}

/// A node with given parents (edges or None), for what is no call of an operation.
#[pyfunction]
pub fn bare_node(op: Py<Op>, parents: Vec<Option<(Py<PyAny>, usize)>>, saved: Bound<'_, PyTuple>) -> Node {
    let parents = parents.into_iter().map(|p| p.map(|(to, nr)| Edge { to, nr })).collect();
    let saved = Some(saved.into_any().unbind());
    Node { id: next_id(), op, parents, saved, own: SmallVec::new(), version: 0, hooks: None, retained: None }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Op>()?;
    m.add_class::<Node>()?;
    macro_rules! plain { ($($f:ident),*) => { $(m.add_function(pyo3::wrap_pyfunction!($f, m)?)?;)* } }
    plain!(
        next_id,
        push_keeper,
        pop_keeper,
        top_keeper,
        edge,
        record,
        note,
        bare_node,
        set_recorder,
        recording,
        seen,
        reads,
        in_place_changes
    );
    Ok(())
}
