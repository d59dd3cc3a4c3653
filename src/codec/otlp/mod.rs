//! OTLP, OpenTelemetry's protocol (opentelemetry-proto v1), as far as it carries service events: [`logs`].
//!
//! The bytes are walked field by field, as those of the span formats are: no types are generated, no text is copied,
//! and what nothing reads takes no memory, however many elements a few bytes announce.

pub mod logs;
