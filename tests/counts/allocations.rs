//! Counts the allocations of the broker's threads, and of no other; and what the whole process holds.
#![allow(unsafe_code)] // An allocator is an unsafe trait; this one counts and passes on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator with a counter.
pub struct Counting;

/// Counts the allocations of the calling thread from now on.
pub fn count_this_thread() {
    COUNTED.set(true);
}

/// Allocations so far.
pub fn so_far() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// Bytes that are allocated now, as the broker's own allocator would round them.
pub fn held() -> i64 {
    HELD.load(Ordering::Relaxed)
}

/// The class that jemalloc serves `size` from: 16 bytes apart up to 128, then four to each doubling.
const fn class(size: usize) -> i64 {
    let step = if size <= 128 { 16 } else { (size - 1).next_power_of_two() / 8 };
    if size <= 8 { 8 } else { size.next_multiple_of(step) as i64 }
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTED.try_with(Cell::get).unwrap_or(false) {
            COUNT.fetch_add(1, Ordering::Relaxed);
        }
        HELD.fetch_add(class(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(class(layout.size()), Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if COUNTED.try_with(Cell::get).unwrap_or(false) {
            COUNT.fetch_add(1, Ordering::Relaxed);
        }
        HELD.fetch_add(class(size) - class(layout.size()), Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
