//! That a recording names only values that it has, each after it was made.

use super::parse::Value;
use super::{Ends, Line, Recording};
use crate::error::{Error, Result};

struct Seen {
    known: Vec<bool>,
}

impl Seen {
    fn slot(&self, slot: usize, what: &str) -> Result<()> {
        match self.known.get(slot) {
            Some(_) => Ok(()),
            None => {
                let text = format!(
                    "the recording has {} values, numbered from 0, and {what} is number {slot}",
                    self.known.len()
                );
                Err(Error::value("scan", text))
            }
        }
    }

    fn make(&mut self, slot: usize, what: &str) -> Result<()> {
        self.slot(slot, what)?;
        match std::mem::replace(&mut self.known[slot], true) {
            false => Ok(()),
            true => Err(Error::value("scan", format!("{what} is value {slot}, which is there already"))),
        }
    }

    fn read(&self, slot: usize, what: &str) -> Result<()> {
        self.slot(slot, what)?;
        match self.known[slot] {
            true => Ok(()),
            false => {
                Err(Error::value("scan", format!("{what} is value {slot}, which nothing has made before")))
            }
        }
    }

    fn lines(&mut self, lines: &[Line]) -> Result<()> {
        for (name, args, outs) in lines {
            for arg in args {
                if let Value::Slot(s) = arg {
                    self.read(*s, &format!("an argument of {name}"))?;
                }
            }
            outs.iter().flatten().try_for_each(|&s| self.make(s, &format!("a result of {name}")))?;
        }
        Ok(())
    }

    fn reads<'a>(&self, slots: impl IntoIterator<Item = &'a usize>, what: &str) -> Result<()> {
        slots.into_iter().try_for_each(|&s| self.read(s, what))
    }
}

fn as_many(what: &str, have: usize, of: &str, want: usize) -> Result<()> {
    match have == want {
        true => Ok(()),
        false => Err(Error::value(
            "scan",
            format!("the recording has {have} {what}, expected {want}, one for each {of}"),
        )),
    }
}

pub(super) fn check(rec: &Recording) -> Result<()> {
    let mut seen = Seen { known: vec![false; rec.metas.len()] };
    for (slots, what) in
        [(&rec.inputs, "an input"), (&rec.states, "a state"), (&rec.captured, "a tensor of the cell")]
    {
        slots.iter().try_for_each(|&s| seen.make(s, what))?;
    }
    seen.lines(&rec.forward)?;
    seen.reads(&rec.outputs, "an output")?;
    as_many("next states", rec.next.len(), "state", rec.states.len())?;
    seen.reads(&rec.next, "a next state")?;
    for (&from, &to) in rec.states.iter().zip(&rec.next) {
        let (a, b) = (&rec.metas[from], &rec.metas[to]);
        if a.shape != b.shape || a.dtype != b.dtype {
            let text = format!(
                "a state of shape {:?} and type {} becomes one of shape {:?} and type {}",
                a.shape.as_slice(),
                a.dtype,
                b.shape.as_slice(),
                b.dtype
            );
            return Err(Error::value("scan", text));
        }
    }
    let Some(Ends { outputs, next, inputs, states, captured }) = &rec.ends else { return Ok(()) };
    as_many("gradients of outputs", outputs.len(), "output", rec.outputs.len())?;
    as_many("gradients of next states", next.len(), "state", rec.states.len())?;
    as_many("gradients of inputs", inputs.len(), "input", rec.inputs.len())?;
    as_many("gradients of states", states.len(), "state", rec.states.len())?;
    as_many("lists of gradients", captured.len(), "tensor of the cell", rec.captured.len())?;
    for &s in outputs.iter().chain(next).flatten() {
        seen.make(s, "a gradient that comes in")?;
    }
    seen.lines(&rec.backward)?;
    seen.reads(
        inputs.iter().chain(states).flatten().chain(captured.iter().flatten()),
        "a gradient that goes out",
    )
}
