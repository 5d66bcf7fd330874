//! Packed forms of a weight, kept beside the storage they were made from.
//!
//! A weight that changes at every step is packed at every step, and nothing is kept. One that is
//! packed a second time unchanged (inference, recurrent steps) keeps that form until it changes.

use crate::error::Result;
use crate::memory::Block;
use crate::tensor::Tensor;
use std::sync::{Arc, Mutex, MutexGuard};

/// Forms larger than this are made anew each time: they would double the memory of a model for
/// what its reading costs anyway.
const KEPT: usize = 64 << 20;
/// Forms of one storage; beyond them the oldest goes.
const FORMS: usize = 8;

/// What a packed form depends on besides the weight's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    name: &'static str,
    sizes: [usize; SIZES],
}

/// Sizes that a form may depend on.
const SIZES: usize = 12;

impl Form {
    pub fn new(name: &'static str, given: &[usize]) -> Form {
        let mut sizes = [0; SIZES];
        sizes[..given.len()].copy_from_slice(given);
        Form { name, sizes }
    }
}

struct Pack {
    form: Form,
    offset: usize,
    version: u64,
    /// None after the first packing at this version.
    block: Option<Arc<Block>>,
}

#[derive(Default)]
pub(crate) struct Packs(Mutex<Vec<Pack>>);

impl Packs {
    fn all(&self) -> MutexGuard<'_, Vec<Pack>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Tensor {
    /// The form of this row-major weight: one that an earlier call kept, or one packed for this call alone.
    pub(crate) fn packed(
        &self,
        form: Form,
        bytes: usize,
        make: impl Fn() -> Result<Block>,
    ) -> Result<Arc<Block>> {
        match self.kept(form, bytes, &make)? {
            Some(block) => Ok(block),
            None => Ok(Arc::new(make()?)),
        }
    }

    /// The form of this row-major weight that an earlier call kept, or that `make` packs because it
    /// is asked for again at the same version. None the first time, for a form of more than
    /// `KEPT` bytes, and for memory that others may write to without telling.
    pub(crate) fn kept(
        &self,
        form: Form,
        bytes: usize,
        make: impl FnOnce() -> Result<Block>,
    ) -> Result<Option<Arc<Block>>> {
        let storage = self.storage();
        if storage.exported() || bytes > KEPT {
            return Ok(None);
        }
        let (version, offset) = (storage.version(), self.layout().offset());
        let same = |pack: &Pack| pack.form == form && pack.offset == offset && pack.version == version;
        let mut packs = storage.packs().all();
        packs.retain(|pack| pack.version == version);
        match packs.iter().find(|pack| same(pack)) {
            None => {
                if packs.len() == FORMS {
                    packs.remove(0);
                }
                packs.push(Pack { form, offset, version, block: None });
                return Ok(None);
            }
            Some(Pack { block: Some(block), .. }) => return Ok(Some(Arc::clone(block))),
            Some(_) => {}
        }
        drop(packs);
        let block = Arc::new(make()?);
        if let Some(pack) = storage.packs().all().iter_mut().find(|pack| same(pack)) {
            pack.block = Some(Arc::clone(&block));
        }
        Ok(Some(block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::memory;
    use std::cell::Cell;

    const FORM: Form = Form { name: "test", sizes: [1; SIZES] };

    #[test]
    fn a_form_asked_for_twice_is_kept_until_the_weight_changes() {
        let w = Tensor::zeros("test", &[4], DType::F32).unwrap();
        let made = Cell::new(0);
        let ask = |form| {
            let make = || {
                made.set(made.get() + 1);
                memory::allocate("test", 64)
            };
            (w.kept(form, 64, make).unwrap().is_some(), made.get())
        };
        assert_eq!([ask(FORM), ask(FORM), ask(FORM)], [(false, 0), (true, 1), (true, 1)]);
        assert_eq!(ask(Form { name: "other", ..FORM }), (false, 1));
        w.storage().bump_version();
        assert_eq!([ask(FORM), ask(FORM), ask(FORM)], [(false, 1), (true, 2), (true, 2)]);
    }

    #[test]
    fn a_weight_that_changes_at_every_step_keeps_nothing() {
        let w = Tensor::zeros("test", &[4], DType::F32).unwrap();
        for _ in 0..3 {
            assert!(w.kept(FORM, 64, || unreachable!()).unwrap().is_none());
            w.storage().bump_version();
        }
    }

    #[test]
    fn exported_memory_and_large_forms_are_not_kept() {
        let w = Tensor::zeros("test", &[4], DType::F32).unwrap();
        for _ in 0..3 {
            assert!(w.kept(FORM, KEPT + 1, || unreachable!()).unwrap().is_none());
        }
        w.storage().mark_exported();
        for _ in 0..3 {
            assert!(w.kept(FORM, 64, || unreachable!()).unwrap().is_none());
        }
    }
}
