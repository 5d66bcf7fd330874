//! The state of a stream of random numbers: a seed and how far its counter has come.

use std::sync::Mutex;

/// Hands out counter space; shared by threads.
#[derive(Debug)]
pub struct Generator {
    /// Seed, next free block.
    state: Mutex<[u64; 2]>,
}

impl Generator {
    pub const fn new(seed: u64) -> Generator {
        Generator { state: Mutex::new([seed, 0]) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, [u64; 2]> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn seed(&self) -> u64 {
        self.lock()[0]
    }

    /// Starts the stream of `seed` anew.
    pub fn set_seed(&self, seed: u64) {
        *self.lock() = [seed, 0];
    }

    /// `[seed, offset]`: all there is to restore.
    pub fn state(&self) -> [u64; 2] {
        *self.lock()
    }

    pub fn set_state(&self, state: [u64; 2]) {
        *self.lock() = state;
    }

    /// Takes `n` blocks of 128 bits for the caller: `(seed, offset of the first)`.
    pub fn reserve(&self, n: u64) -> (u64, u64) {
        let mut state = self.lock();
        let at = state[1];
        state[1] = at.wrapping_add(n);
        (state[0], at)
    }
}
