//! Recorded steps: from Python's lists to programs, and their runs.

use crate::args::T;
use crate::door::run;
use crate::dtype::PyDType;
use crate::error::to_python;
use crate::tensor::PyTensor;
use lectorium::program::{Ends, Line, Meta, Program, Recording, Saved, Value};
use lectorium::{Scalar, Tensor};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat};

/// A tagged argument of a recorded call: 0 nothing, 1 a value's number, 2 a number, 3 integers,
/// 4 rows of integers, 5 a dtype.
struct Given(Value);

impl<'a, 'py> FromPyObject<'a, 'py> for Given {
    type Error = PyErr;
    fn extract(obj: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let (tag, value): (u8, Bound<'py, PyAny>) = obj.extract()?;
        Ok(Given(match tag {
            0 => Value::None,
            1 => Value::Slot(value.extract()?),
            2 if value.is_instance_of::<PyBool>() => Value::Number(Scalar::Bool(value.extract()?)),
            2 if value.is_instance_of::<PyFloat>() => Value::Number(Scalar::Float(value.extract()?)),
            2 => Value::Number(Scalar::Int(value.extract()?)),
            3 => Value::Ints(value.extract()?),
            4 => Value::Table(value.extract()?),
            _ => Value::DType(value.cast::<PyDType>()?.get().0),
        }))
    }
}

type Call = (String, Vec<Given>, Vec<Option<usize>>);
type PyEnds =
    (Vec<Option<usize>>, Vec<Option<usize>>, Vec<Option<usize>>, Vec<Option<usize>>, Vec<Vec<usize>>);

fn lines(calls: Vec<Call>) -> Vec<Line> {
    let values = |args: Vec<Given>| args.into_iter().map(|g| g.0).collect();
    calls.into_iter().map(|(name, args, outs)| (name, values(args), outs)).collect()
}

/// A scheduled recording of a step.
#[pyclass(frozen, name = "Program", module = "lectorium._core")]
pub struct PyProgram(Program);

/// What a run keeps for its derivative.
#[pyclass(frozen, name = "Run", module = "lectorium._core")]
pub struct Run(Saved);

type Tensors<'py> = Vec<Bound<'py, PyTensor>>;
type Maybe<'py> = Vec<Option<Bound<'py, PyTensor>>>;

fn plain(list: Vec<T>) -> Vec<Tensor> {
    list.into_iter().map(|t| t.0).collect()
}

fn wrap(py: Python<'_>, list: Vec<Tensor>) -> PyResult<Tensors<'_>> {
    list.into_iter().map(|t| PyTensor::wrap(py, t)).collect()
}

fn maybe(py: Python<'_>, list: Vec<Option<Tensor>>) -> PyResult<Maybe<'_>> {
    list.into_iter().map(|t| t.map(|t| PyTensor::wrap(py, t)).transpose()).collect()
}

#[pymethods]
impl PyProgram {
    #[new]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        metas: Vec<(Vec<usize>, crate::args::D)>,
        inputs: Vec<usize>,
        states: Vec<usize>,
        captured: Vec<usize>,
        forward: Vec<Call>,
        outputs: Vec<usize>,
        next: Vec<usize>,
        backward: Vec<Call>,
        ends: Option<PyEnds>,
        draws: u64,
    ) -> PyResult<PyProgram> {
        let metas: Vec<Meta> =
            metas.into_iter().map(|(shape, d)| Meta { shape: shape.as_slice().into(), dtype: d.0 }).collect();
        let ends = ends.map(|(outputs, next, inputs, states, captured)| Ends {
            outputs,
            next,
            inputs,
            states,
            captured,
        });
        let (forward, backward) = (lines(forward), lines(backward));
        let rec =
            Recording { metas, inputs, states, captured, forward, outputs, next, backward, ends, draws };
        Program::new(rec).map(PyProgram).map_err(|e| to_python(py, e))
    }

    /// Blocks of random numbers that a step draws.
    #[getter]
    fn draws(&self) -> u64 {
        self.0.draws()
    }

    /// Instructions of the step and of its derivative before, in and after the loop.
    fn census(&self) -> [[usize; 3]; 2] {
        self.0.census()
    }

    /// Outputs for all steps, last states, and what the derivative needs.
    fn forward<'py>(
        &self,
        py: Python<'py>,
        inputs: Vec<T>,
        states: Vec<T>,
        captured: Vec<T>,
        steps: usize,
        dice: (u64, u64),
        keep: bool,
    ) -> PyResult<(Tensors<'py>, Tensors<'py>, Option<Run>)> {
        let (inputs, states, captured) = (plain(inputs), plain(states), plain(captured));
        let done = run(py, usize::MAX, || self.0.forward(&inputs, &states, &captured, steps, dice, keep))?;
        Ok((wrap(py, done.outputs)?, wrap(py, done.states)?, done.saved.map(Run)))
    }

    /// Gradients of inputs, first states and captured tensors.
    fn backward<'py>(
        &self,
        py: Python<'py>,
        saved: &Bound<'py, Run>,
        outputs: Vec<Option<T>>,
        states: Vec<Option<T>>,
    ) -> PyResult<(Maybe<'py>, Maybe<'py>, Maybe<'py>)> {
        let given = |list: Vec<Option<T>>| -> Vec<Option<Tensor>> {
            list.into_iter().map(|t| t.map(|t| t.0)).collect()
        };
        let (outputs, states, saved) = (given(outputs), given(states), saved.get());
        let g = run(py, usize::MAX, || self.0.backward(&saved.0, &outputs, &states))?;
        Ok((maybe(py, g.inputs)?, maybe(py, g.states)?, maybe(py, g.captured)?))
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyProgram>()?;
    m.add_class::<Run>()
}
