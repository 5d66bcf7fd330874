//! The walk back over the tape, by falling node id and without recursion.

use crate::door::run;
use crate::tape::{Edge, Node};
use crate::tensor::PyTensor;
use lectorium::ops::elementwise::{Binary, binary};
use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// The gradients of a node's outputs.
type Slots = SmallVec<[Option<Py<PyAny>>; 1]>;

/// Leaves in the order in which they were reached, with their gradients.
type Leaves<'py> = Vec<(Bound<'py, PyAny>, Py<PyAny>)>;

/// What a walk to some inputs only is told.
struct Limits {
    /// Ids of the nodes from which an input can be reached.
    useful: HashSet<u64>,
    /// The inputs, by address, with the numbers of their outputs.
    wanted: HashMap<usize, Vec<usize>>,
}

impl Limits {
    fn lead_to(&self, target: &Bound<'_, PyAny>) -> bool {
        self.wanted.contains_key(&(target.as_ptr() as usize))
            || target.cast::<Node>().is_ok_and(|n| self.useful.contains(&n.borrow().id))
    }
}

struct Walk<'a, 'py> {
    k: &'a Bound<'py, PyAny>,
    create_graph: bool,
    limits: Option<Limits>,
    /// Nodes that a gradient has reached, by id.
    pending: BTreeMap<u64, (Bound<'py, Node>, Slots)>,
    leaves: Leaves<'py>,
    /// Where in that list each leaf is, by address.
    places: HashMap<usize, usize>,
}

impl<'py> Walk<'_, 'py> {
    fn send(&mut self, edge: &Edge, g: Py<PyAny>) -> PyResult<()> {
        let target = edge.to.bind(self.k.py());
        if self.limits.as_ref().is_some_and(|limits| !limits.lead_to(target)) {
            return Ok(());
        }
        if let Ok(node) = target.cast::<Node>() {
            let id = node.borrow().id;
            let (_, slots) = self.pending.entry(id).or_insert_with(|| {
                let outputs = node.borrow().op.borrow(node.py()).outputs;
                (node.clone(), (0..outputs).map(|_| None).collect())
            });
            let have = slots[edge.nr].take();
            let sum = self.sum(have, g)?;
            if let Some((_, slots)) = self.pending.get_mut(&id) {
                slots[edge.nr] = Some(sum);
            }
            return Ok(());
        }
        let address = target.as_ptr() as usize;
        match self.places.get(&address) {
            Some(&place) => {
                let have = std::mem::replace(&mut self.leaves[place].1, g.clone_ref(target.py()));
                self.leaves[place].1 = self.sum(Some(have), g)?;
            }
            None => {
                self.places.insert(address, self.leaves.len());
                self.leaves.push((target.clone(), g));
            }
        }
        Ok(())
    }

    /// The sum of what came before and `g`.
    fn sum(&self, have: Option<Py<PyAny>>, g: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let py = self.k.py();
        let Some(have) = have else { return Ok(g) };
        if !self.create_graph && add_into(have.bind(py), g.bind(py))? {
            return Ok(have);
        }
        Ok(self.k.call_method1("add", (have, g))?.unbind())
    }
}

/// Adds `g` to `have` where it lies, if nobody else can see it; otherwise does nothing.
fn add_into(have: &Bound<'_, PyAny>, g: &Bound<'_, PyAny>) -> PyResult<bool> {
    let (Ok(to), Ok(from)) = (have.cast_exact::<PyTensor>(), g.cast_exact::<PyTensor>()) else {
        return Ok(false);
    };
    let to = to.borrow();
    let x = &to.inner;
    // SAFETY: `have` is a live object. The references are the slot's own and that of the borrow.
    let alone = unsafe { pyo3::ffi::Py_REFCNT(have.as_ptr()) } <= 2
        && Arc::strong_count(x.storage()) == 1
        && !x.storage().exported();
    let y = from.borrow().inner.clone();
    if !alone || x.shape() != y.shape() || x.dtype() != y.dtype() || !x.is_contiguous() {
        return Ok(false);
    }
    if x.device() != lectorium::Device::Cpu || y.device() != lectorium::Device::Cpu {
        return Ok(false);
    }
    let x = x.clone();
    run(have.py(), x.numel(), || binary(Binary::Add, (&x).into(), (&y).into(), Some(&x)))?;
    Ok(true)
}

/// Calls an operation's vjp; an error says in whose backward pass it was raised.
fn derivative<'py>(
    node: &Bound<'py, Node>,
    k: &Bound<'py, PyAny>,
    g: Bound<'py, PyAny>,
    saved: &Bound<'py, PyTuple>,
    need: Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = node.py();
    let op = node.borrow().op.clone_ref(py);
    let vjp = op.borrow(py).vjp.as_ref().map(|v| v.bind(py).clone());
    let name = || op.borrow(py).name.clone();
    let vjp = vjp.ok_or_else(|| PyTypeError::new_err(format!("backward: {} has no vjp", name())))?;
    match vjp.call1((k, g, saved, need)) {
        Ok(flows) => match flows.cast_into::<PyTuple>() {
            Ok(flows) => Ok(flows),
            Err(other) => {
                let flows = other.into_inner().try_iter()?.collect::<PyResult<Vec<_>>>()?;
                PyTuple::new(py, flows)
            }
        },
        Err(error) => {
            if error.is_instance_of::<PyException>(py) {
                let note = format!("(in the backward pass of {})", name());
                error.value(py).call_method1("add_note", (note,))?;
            }
            Err(error)
        }
    }
}

/// The ids of useful nodes, and the output numbers of the inputs that are nodes, by address.
type Wanted = (HashSet<u64>, HashMap<usize, Vec<usize>>);

/// Walks back from `edges`, to which `gradients` flow. Returns the leaves that were reached with their
/// gradients, and with `limits` (ids of useful nodes, addresses of inputs with output numbers) those of
/// the inputs that are nodes, by address and number. `run_hooks(node, slots)` runs what hangs on a node.
#[pyfunction]
pub fn walk_back<'py>(
    k: &Bound<'py, PyAny>,
    edges: Vec<(Py<PyAny>, usize)>,
    gradients: Vec<Py<PyAny>>,
    retain_graph: bool,
    create_graph: bool,
    limits: Option<Wanted>,
    run_hooks: &Bound<'py, PyAny>,
) -> PyResult<(Leaves<'py>, Bound<'py, PyDict>)> {
    let py = k.py();
    let found = PyDict::new(py);
    let limits = limits.map(|(useful, wanted)| Limits { useful, wanted });
    let (pending, leaves, places) = Default::default();
    let mut walk = Walk { k, create_graph, limits, pending, leaves, places };
    for ((to, nr), g) in edges.into_iter().zip(gradients) {
        walk.send(&Edge { to, nr }, g)?;
    }
    while let Some((id, (node, mut slots))) = walk.pending.pop_last() {
        let hooked = {
            let node = node.borrow();
            node.hooks.is_some() || node.retained.is_some()
        };
        if hooked {
            let list = PyList::new(py, &slots)?;
            run_hooks.call1((&node, &list))?;
            slots = list.iter().map(|g| if g.is_none() { None } else { Some(g.unbind()) }).collect();
        }
        if let Some(limits) = &walk.limits
            && let Some(numbers) = limits.wanted.get(&(node.as_ptr() as usize))
        {
            for &nr in numbers {
                if let Some(g) = &slots[nr] {
                    found.set_item((node.as_ptr() as usize, nr), g)?;
                }
            }
            if !limits.useful.contains(&id) {
                continue;
            }
        }
        let saved = Node::saved_values(&node, create_graph)?;
        let g = if slots.len() == 1 {
            slots.pop().flatten().into_pyobject(py)?
        } else {
            PyTuple::new(py, slots)?.into_any()
        };
        let parents: SmallVec<[Option<Edge>; 3]> =
            node.borrow().parents.iter().map(|p| p.as_ref().map(|e| e.clone_ref(py))).collect();
        let asked = |p: &Option<Edge>| match (p, &walk.limits) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(edge), Some(limits)) => limits.lead_to(edge.to.bind(py)),
        };
        let need = PyTuple::new(py, parents.iter().map(asked))?;
        let flows = derivative(&node, k, g, &saved, need)?;
        if !retain_graph {
            Node::free(&node, &saved)?;
        }
        drop(saved);
        for (parent, flow) in parents.iter().zip(flows.iter_borrowed()) {
            if let Some(edge) = parent
                && !flow.is_none()
                && !flow.is(pyo3::types::PyBool::new(py, false))
            {
                walk.send(edge, flow.to_owned().unbind())?;
            }
        }
    }
    Ok((walk.leaves, found))
}
