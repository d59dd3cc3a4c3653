//! The memory of a statement: one bound over all, and a part of it that what can spill does not take.
//!
//! DataFusion's fair pool lets sorts and groups, which spill when they must, share all of the memory; what merges what
//! they spilled cannot spill itself, finds nothing left, and a statement that would have ended in time fails. Here
//! those that spill share three quarters. What cannot spill (a join's smaller side, a merge) may take all that is free.

use datafusion::common::DataFusionError;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory of one engine.
#[derive(Debug)]
pub struct BoundedMemory {
    limit: usize,
    used: AtomicUsize,
    spilling: FairSpillPool,
}

impl BoundedMemory {
    /// Memory of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        BoundedMemory { limit, used: AtomicUsize::new(0), spilling: FairSpillPool::new(limit / 4 * 3) }
    }
}

impl fmt::Display for BoundedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes are used", self.reserved(), self.limit)
    }
}

impl MemoryPool for BoundedMemory {
    fn name(&self) -> &str {
        "bounded"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.spilling.register(consumer);
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.spilling.unregister(consumer);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.used.fetch_add(additional, Ordering::Relaxed);
        if reservation.consumer().can_spill() {
            self.spilling.grow(reservation, additional);
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, less: usize) {
        self.used.fetch_sub(less, Ordering::Relaxed);
        if reservation.consumer().can_spill() {
            self.spilling.shrink(reservation, less);
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let fits = |used: usize| used.checked_add(additional).filter(|used| *used <= self.limit);
        if self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "the statement needs {additional} more bytes of memory, and {self}"
            )));
        }
        if reservation.consumer().can_spill()
            && let Err(error) = self.spilling.try_grow(reservation, additional)
        {
            self.used.fetch_sub(additional, Ordering::Relaxed);
            return Err(error);
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}
