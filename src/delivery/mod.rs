//! From a routed message to the queues of its recipients.

mod settings;

pub use settings::Settings;
