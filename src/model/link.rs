//! Dependency linking: from the spans of one trace to the calls between services.

use super::Kind;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What linking wants to know of a span. Names of services are numbers that the caller gives out, one a name without
/// regard to case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSpan {
    pub id: u64,
    pub parent: Option<u64>,
    pub shared: bool,
    pub kind: Option<Kind>,
    pub local: Option<u32>,
    pub remote: Option<u32>,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    pub port: Option<u16>,
    /// Whether there is a tag `error`.
    pub error: bool,
}

/// Calls from a service to another, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    pub parent: u32,
    pub child: u32,
    pub calls: u32,
    pub errors: u32,
}

/// Links traces, one after the other; it keeps its memory between them.
#[derive(Debug, Default)]
pub struct Linker {}

impl Linker {
    /// Appends the links of a trace, each pair of services once, in order of the numbers. The spans are those of one
    /// trace as they were posted, in any order; they are reordered and merged in place.
    pub fn link(&mut self, _spans: &mut Vec<LinkSpan>, _links: &mut Vec<Link>) {}
}
