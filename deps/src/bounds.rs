//! Runs a piece of work that must not be trusted with time, memory or stack.
//!
//! minijinja's fuel counts instructions and the data they make, but not what hides within one of
//! them: comparing or hashing a list that holds itself twice, sixty levels deep, takes years, and
//! freeing one that is 100,000 levels deep overflows a usual stack.  Every such step allocates (an
//! iterator, a part of a text), so the bounds are kept where all of them pass: in the allocator.
//! It refuses, the refusal ends in the allocation error hook, and the hook unwinds to `run`.
//!
//! The hook is the one unstable feature used (alloc_error_hook, documented to allow a panic);
//! build.sh names this crate in RUSTC_BOOTSTRAP for it.  A `GlobalAlloc` itself must not unwind.
//!
//! Outside of `run` the allocator is the system's and running out of memory aborts, as usual.

use std::alloc::{set_alloc_error_hook, GlobalAlloc, Layout, System};
use std::any::Any;
use std::cell::Cell;
use std::panic::{self, catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::Once;
use std::thread;

pub struct Limits {
    /// Memory held at one moment.
    pub live_bytes: usize,
    /// The largest single allocation.
    pub block_bytes: usize,
    /// Allocations made, a measure of time: a million take some 50 ms.
    pub allocations: usize,
    /// Address space for the stack; only what is used costs memory.  Recursion that allocates may
    /// use half; the rest is for freeing what it made, which cannot be stopped.
    pub stack_bytes: usize,
}

pub enum Ended {
    /// A limit was reached.
    Exceeded,
    /// The work panicked of itself.
    Panicked,
    /// No thread could be made.
    NoThread,
}

#[global_allocator]
static ALLOCATOR: Metered = Metered;

struct Metered;

struct Meter {
    active: Cell<bool>,
    exceeded: Cell<bool>,
    held: Cell<isize>,
    max_held: Cell<isize>,
    block_bytes: Cell<usize>,
    allocations_left: Cell<usize>,
    stack_floor: Cell<usize>,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            active: Cell::new(false),
            exceeded: Cell::new(false),
            held: Cell::new(0),
            max_held: Cell::new(0),
            block_bytes: Cell::new(0),
            allocations_left: Cell::new(0),
            stack_floor: Cell::new(0),
        }
    };
}

/// Runs `work` on a thread of its own with a stack of the size asked for and waits for it.
pub fn run<T: Send>(limits: &Limits, work: impl FnOnce() -> T + Send) -> Result<T, Ended> {
    static HOOK: Once = Once::new();
    HOOK.call_once(set_hooks);

    let metered = || {
        start(limits);
        let result = catch_unwind(AssertUnwindSafe(work));
        METER.with(|meter| meter.active.set(false));
        result
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("template".into())
            .stack_size(limits.stack_bytes)
            .spawn_scoped(scope, metered)
            .map_err(|_| Ended::NoThread)?;
        match thread.join() {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(payload)) | Err(payload) => Err(reason(payload)),
        }
    })
}

/// Bytes held now by what the work under way on this thread has allocated.
pub fn held_bytes() -> usize {
    METER.with(|meter| usize::try_from(meter.held.get()).unwrap_or(0))
}

fn set_hooks() {
    set_alloc_error_hook(allocation_failed);
    let next = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // Reporting a panic allocates, and nothing may unwind meanwhile.
        let _ = METER.try_with(|meter| meter.active.set(false));
        next(info);
    }));
}

fn start(limits: &Limits) {
    let here = 0u8;
    METER.with(|meter| {
        meter.exceeded.set(false);
        meter.held.set(0);
        meter.max_held.set(isize::try_from(limits.live_bytes).unwrap_or(isize::MAX));
        meter.block_bytes.set(limits.block_bytes);
        meter.allocations_left.set(limits.allocations);
        meter.stack_floor.set((&raw const here as usize).saturating_sub(limits.stack_bytes / 2));
        meter.active.set(true);
    });
}

struct Exceeded;

fn reason(payload: Box<dyn Any + Send>) -> Ended {
    if payload.is::<Exceeded>() {
        return Ended::Exceeded;
    }
    // Dropping an unknown payload may run code that panics again.
    std::mem::forget(payload);
    Ended::Panicked
}

/// Called by the standard library when the allocator refused; aborts the process if it returns.
fn allocation_failed(layout: Layout) {
    let refused = METER.with(|meter| {
        // From here on the work only unwinds, and that may need memory.
        meter.active.set(false);
        meter.exceeded.replace(false)
    });
    if refused {
        resume_unwind(Box::new(Exceeded));
    }
    eprintln!("memory allocation of {} bytes failed", layout.size());
}

impl Meter {
    /// Whether a block may have `size` bytes, `more` than it had (or, negative, less).
    fn allow(&self, size: usize, more: isize) -> bool {
        let held = self.held.get().saturating_add(more);
        if self.active.get() {
            let here = 0u8;
            let too_deep = (&raw const here as usize) < self.stack_floor.get();
            let left = self.allocations_left.get();
            let too_large = held > self.max_held.get() || size > self.block_bytes.get();
            if too_large || left == 0 || too_deep {
                self.exceeded.set(true);
                return false;
            }
            self.allocations_left.set(left - 1);
        }
        self.held.set(held);
        true
    }
}

fn allow(size: usize, more: isize) -> bool {
    // A thread that is ending has no meter any more, and no work.
    METER.try_with(|meter| meter.allow(size, more)).unwrap_or(true)
}

/// A Layout's size fits isize, by its contract.
fn signed(size: usize) -> isize {
    size as isize
}

// SAFETY: every call goes to the system's allocator, or nothing is allocated and null says so.
unsafe impl GlobalAlloc for Metered {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !allow(layout.size(), signed(layout.size())) {
            return std::ptr::null_mut();
        }
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !allow(layout.size(), signed(layout.size())) {
            return std::ptr::null_mut();
        }
        System.alloc_zeroed(layout)
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !allow(size, signed(size) - signed(layout.size())) {
            return std::ptr::null_mut();
        }
        System.realloc(block, layout, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let _ = METER.try_with(|meter| {
            meter.held.set(meter.held.get().saturating_sub(signed(layout.size())));
        });
        System.dealloc(block, layout);
    }
}

#[cfg(test)]
mod tests {
    use super::{run, Ended, Limits};

    const LIMITS: Limits = Limits {
        live_bytes: 1 << 20,
        block_bytes: 1 << 19,
        allocations: 1000,
        stack_bytes: 1 << 20,
    };

    #[test]
    fn work_within_its_limits_returns_its_value() {
        assert!(matches!(run(&LIMITS, || vec![7u8; 1 << 19].len()), Ok(524_288)));
    }

    #[test]
    fn memory_given_back_counts_again() {
        let work = || (0..500).map(|_| vec![1u8; 1 << 18].len()).sum::<usize>();
        assert!(run(&LIMITS, work).is_ok());
    }

    #[test]
    fn too_much_memory_at_once_ends_the_work() {
        let work = || vec![vec![7u8; 1 << 18]; 5].len();
        assert!(matches!(run(&LIMITS, work), Err(Ended::Exceeded)));
    }

    #[test]
    fn a_block_too_large_ends_the_work() {
        let work = || vec![7u8; (1 << 19) + 1].len();
        assert!(matches!(run(&LIMITS, work), Err(Ended::Exceeded)));
    }

    #[test]
    fn too_many_allocations_end_the_work() {
        let limits = Limits { live_bytes: usize::MAX, ..LIMITS };
        let work = || vec![String::from("a"); 2000].len();
        assert!(matches!(run(&limits, work), Err(Ended::Exceeded)));
    }

    #[test]
    fn recursion_that_allocates_is_stopped_before_the_stack_ends() {
        fn deeper(n: u64) -> u64 {
            let kept = std::hint::black_box(Box::new(n));
            if n == u64::MAX {
                return 0;
            }
            std::hint::black_box(deeper(*kept + 1)) + *kept
        }
        let limits = Limits { allocations: usize::MAX, ..LIMITS };
        assert!(matches!(run(&limits, || deeper(0)), Err(Ended::Exceeded)));
    }

    #[test]
    fn a_panic_of_the_work_is_told_apart() {
        assert!(matches!(
            run(&LIMITS, || panic!("as the test wants")),
            Err::<(), _>(Ended::Panicked)
        ));
    }
}
