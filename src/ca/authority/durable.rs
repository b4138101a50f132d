//! Waiting until a change survives a crash.

use std::future::poll_fn;
use std::task::Poll;

use super::fault::Fault;
use crate::store::{Position, Store, StoreError};

/// Waits until `position` is durable.
///
/// # Errors
/// It never will be: the store is latched.
pub(super) async fn wait(store: &dyn Store, position: Position) -> Result<(), Fault> {
    poll_fn(|cx| {
        if store.durable() >= position {
            Poll::Ready(Ok(()))
        } else if store.is_latched() {
            Poll::Ready(Err(StoreError::Latched.into()))
        } else if store.wake_at(position, cx.waker()) {
            Poll::Pending
        } else if store.durable() >= position {
            Poll::Ready(Ok(()))
        } else {
            Poll::Ready(Err(StoreError::Latched.into()))
        }
    })
    .await
}
