//! The model: what a span, an endpoint and a trace id are, and what a service event is, whatever the dialect they were
//! posted in.
//!
//! Nothing here reads, writes or asks the time. Wire formats become these types in [`crate::codec`]; rows of the table
//! become them again in [`crate::lake`].
//!
//! Invariants that every producer of a [`Span`] upholds (see [`span`]):
//! * ids are numbers, never text; a trace id remembers whether it was sent with more than 16 digits;
//! * tags are sorted by key, each key once;
//! * every text is UTF-8 and is kept as it was sent: lower-casing and the like belong to the answers of a dialect.
//!
//! | room | what it says |
//! |---|---|
//! | [`span`], [`id`], [`hex`] | a span, its parties and its ids |
//! | [`trace`], [`link`] | what the rows of a trace are together: its spans, and who called whom |
//! | [`event`] | what happened to the objects that services run as, and which service that concerns |

pub mod event;
pub mod hex;
pub mod id;
pub mod link;
mod pieces;
pub mod span;
pub mod trace;

pub use event::{Event, ServiceEvent};
pub use id::TraceId;
pub use span::{Annotation, Endpoint, Kind, Scope, Span};
