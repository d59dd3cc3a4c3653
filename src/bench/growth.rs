//! How a trace grows: an entry's calls, level by level, then the times from the leaves up and the root down.

use super::draw::{Draw, Field, Tally};
use super::generate::{Span, Trace, Value};
use super::shop::{Call, Protocol, Shop};
use crate::model::Kind;

/// What is known of a span only while its trace grows.
#[derive(Clone, Copy)]
pub(super) struct Node {
    /// Index of the parent; the root's is its own.
    parent: usize,
    /// The operation, whose calls the span may make.
    operation: Option<usize>,
    /// From the end of the sibling before, or the parent's start, to the start.
    gap: i64,
    own: i64,
    /// The time that its children take.
    children: i64,
    /// Whether its children run beside each other.
    parallel: bool,
    /// Whether the parent does not wait.
    detached: bool,
}

const USER_AGENTS: [&str; 12] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36",
    "ShopApp/7.14.2 (iOS 18.5)",
    "ShopApp/7.14.1 (Android 15)",
    "partner-sdk-java/2.9.0",
    "partner-sdk-python/1.22.3",
];

/// What the services say to each other.
const LIBRARIES: [&str; 4] = ["okhttp/4.12.0", "Go-http-client/2.0", "python-httpx/0.28.1", "undici"];

const THREADS: [&str; 16] = [
    "worker-0",
    "worker-1",
    "worker-2",
    "worker-3",
    "worker-4",
    "worker-5",
    "worker-6",
    "worker-7",
    "worker-8",
    "worker-9",
    "worker-10",
    "worker-11",
    "worker-12",
    "worker-13",
    "worker-14",
    "worker-15",
];

const ERRORS: [&str; 6] = [
    "connection reset by peer",
    "deadline exceeded after 2s",
    "too many connections",
    "could not obtain lock on row",
    "upstream answered 503",
    "invalid state transition",
];

const ANNOTATIONS: [&str; 4] = ["retry", "connection acquired", "first byte", "cache miss"];

/// The size of a trace: most are of some dozens of spans, every seventh is a stub (a probe, a redirect), and of a
/// thousand four are loops that call for each item of a long list.
pub(super) fn draw_size<T: Tally>(draw: &mut Draw<'_, T>) -> usize {
    let size = match draw.below(Field::Shape, 1000) {
        0..4 => 500 + i64::from(draw.below(Field::Shape, 600)),
        4..150 => 1 + i64::from(draw.below(Field::Shape, 5)),
        _ => draw.log_normal(Field::Shape, 40.0, 0.6).clamp(6, 499),
    };
    size as usize
}

/// A trace in the making.
pub(super) struct Growth<'g, 't, T> {
    pub shop: &'g Shop,
    pub shared_spans: bool,
    pub trace: &'g mut Trace,
    pub draw: Draw<'t, T>,
    /// How many spans it shall have.
    pub size: usize,
}

impl<T: Tally> Growth<'_, '_, T> {
    fn is_full(&self) -> bool {
        self.trace.spans.len() >= self.size
    }

    /// Makes the calls of the operations, level by level, until the trace is full; if all are made before that, some
    /// operations make some of their calls again, as a loop over a list's items does.
    pub fn grow(&mut self) {
        let shop = self.shop;
        let entry = *self.draw.pick(Field::Shape, &shop.entries);
        let instance = self.instance(shop.operations[entry].service);
        self.serve(None, entry, instance, None);
        let mut next = 0;
        while !self.is_full() && next < self.trace.nodes.len() {
            if let Some(operation) = self.trace.nodes[next].operation {
                for call in &shop.operations[operation].calls {
                    if !self.is_full() && !self.draw.one_in(Field::Shape, 8) {
                        self.call(next, *call);
                    }
                }
            }
            next += 1;
        }
        while !self.is_full() {
            let mut at = self.draw.below(Field::Shape, self.trace.nodes.len() as u32) as usize;
            // Up to the operation in whose course that span was made.
            while self.trace.nodes[at].operation.is_none() && at != 0 {
                at = self.trace.nodes[at].parent;
            }
            let operation = self.trace.nodes[at].operation.unwrap_or(entry);
            let call = *self.draw.pick(Field::Shape, &shop.operations[operation].calls);
            for _ in 0..=self.draw.below(Field::Shape, 8) {
                if !self.is_full() {
                    self.call(at, call);
                }
            }
        }
    }

    fn instance(&mut self, service: usize) -> usize {
        let (first, count) = self.shop.instances[service];
        first + 2 * self.draw.below(Field::Shape, count) as usize
    }

    fn call(&mut self, caller: usize, call: Call) {
        let shop = self.shop;
        let local = self.trace.spans[caller].local;
        match call {
            Call::Local(name) => {
                let own = self.draw.log_normal(Field::Duration, 700.0, 1.0);
                self.push(Some(caller), None, name, local, None, own);
                let thread = *self.draw.pick(Field::Tag("thread.name"), &THREADS);
                self.text("thread.name", thread);
                self.hex("task.id");
                self.small("item.id", 1_000_000);
                self.small("heap.bytes", 0);
                self.finish_tags();
            }
            Call::Store(store) => {
                let store = &shop.stores[store];
                let &(name, statement, median) = self.draw.pick(Field::Shape, store.statements);
                let own = self.draw.log_normal(Field::Duration, f64::from(median), 0.7);
                self.push(Some(caller), Some(Kind::Client), name, local, Some(store.endpoint), own);
                self.text("db.system", store.system);
                if !store.database.is_empty() {
                    self.text("db.name", store.database);
                }
                self.text("db.statement", statement);
                self.hex("db.query.id");
                self.small("db.row.key", 1_000_000);
                self.small("db.response.size", 0);
                self.finish_tags();
            }
            Call::Topic(topic) => {
                let topic = &shop.topics[topic];
                let own = self.draw.log_normal(Field::Duration, 400.0, 0.7);
                let producer =
                    self.push(Some(caller), Some(Kind::Producer), topic.publish, local, Some(shop.broker), own);
                self.message_tags(topic.name);
                for &consumer in &topic.consumers {
                    if !self.is_full() {
                        let instance = self.instance(shop.operations[consumer].service);
                        self.serve(Some(producer), consumer, instance, Some(shop.broker));
                    }
                }
            }
            Call::Operation(at) => {
                let operation = &shop.operations[at];
                let instance = self.instance(operation.service);
                // The way back through the network; the way there is the gap before the server's span.
                let own = self.draw.log_normal(Field::Duration, 180.0, 0.6);
                let client = self.push(Some(caller), Some(Kind::Client), operation.name, local, Some(instance), own);
                self.call_tags(at, false);
                if !self.is_full() {
                    // Of its caller a server knows the bare address.
                    self.serve(Some(client), at, instance, Some(local + 1));
                }
            }
        }
    }

    /// The side of a call that does the work.
    fn serve(&mut self, caller: Option<usize>, operation: usize, instance: usize, remote: Option<usize>) {
        let shop = self.shop;
        let row = &shop.operations[operation];
        let own = self.draw.log_normal(Field::Duration, row.median, 0.8);
        let kind = if row.protocol == Protocol::Message { Kind::Consumer } else { Kind::Server };
        let at = self.push(caller, Some(kind), row.name, instance, remote, own);
        self.trace.nodes[at].operation = Some(operation);
        self.trace.nodes[at].parallel = self.draw.one_in(Field::Shape, 3);
        self.call_tags(operation, true);
    }

    fn push(
        &mut self,
        caller: Option<usize>,
        kind: Option<Kind>,
        name: &'static str,
        local: usize,
        remote: Option<usize>,
        own: i64,
    ) -> usize {
        let at = self.trace.spans.len();
        let detached = kind == Some(Kind::Consumer);
        let gap = match kind {
            _ if caller.is_none() => 0,
            Some(Kind::Server) => self.draw.log_normal(Field::Start, 180.0, 0.6),
            Some(Kind::Consumer) => self.draw.log_normal(Field::Start, 4000.0, 1.0),
            _ => self.draw.log_normal(Field::Start, 90.0, 0.9),
        };
        let shares = self.shared_spans && kind == Some(Kind::Server);
        let (id, parent, shared) = match caller.map(|caller| &self.trace.spans[caller]) {
            Some(client) if shares => (client.id, client.parent, true),
            Some(caller) => (0, caller.id, false),
            None => (0, 0, false),
        };
        // No dialect takes an id of zeros.
        let id = if shared { id } else { self.draw.bits(Field::SpanId, 64).max(1) };
        let annotation = if self.draw.one_in(Field::Annotation, 40) {
            Some(*self.draw.pick(Field::Annotation, &ANNOTATIONS))
        } else {
            None
        };
        let tags = self.trace.tags.len() as u32;
        let span = Span {
            id,
            parent,
            kind,
            name,
            start: 0,
            duration: 0,
            local,
            remote,
            annotation,
            shared,
            tags: (tags, tags),
        };
        self.trace.spans.push(span);
        let parent = caller.unwrap_or(at);
        let node = Node { parent, operation: None, gap, own, children: 0, parallel: false, detached };
        self.trace.nodes.push(node);
        at
    }

    /// From the durations of the leaves up to the root's, then the starts from the root down.
    pub fn settle_times(&mut self, start: i64) {
        let Trace { spans, nodes, .. } = &mut *self.trace;
        for at in (0..spans.len()).rev() {
            let node = nodes[at];
            spans[at].duration = node.own + node.children;
            if at == 0 || node.detached {
                continue;
            }
            let taken = node.gap + spans[at].duration;
            let parent = &mut nodes[node.parent];
            parent.children = if parent.parallel { parent.children.max(taken) } else { parent.children + taken };
        }
        // From here on `children` is how far into a span its next child is.
        for node in nodes.iter_mut() {
            node.children = 0;
        }
        for at in 0..spans.len() {
            let Node { parent, gap, detached, .. } = nodes[at];
            if at == 0 {
                spans[0].start = start;
            } else if detached {
                spans[at].start = spans[parent].start + spans[parent].duration + gap;
            } else {
                spans[at].start = spans[parent].start + nodes[parent].children + gap;
                if !nodes[parent].parallel {
                    nodes[parent].children += gap + spans[at].duration;
                }
            }
        }
    }

    fn text(&mut self, key: &'static str, text: &'static str) {
        self.trace.tags.push((key, Value::Text(text)));
    }

    /// A tag of 24 random bits in hexadecimal.
    fn hex(&mut self, key: &'static str) {
        let value = self.draw.bits(Field::Tag(key), 24) as u32;
        self.trace.tags.push((key, Value::Hex(value)));
    }

    /// A tag of 24 random bits in decimal.
    fn large(&mut self, key: &'static str, least: u32) {
        let value = self.draw.bits(Field::Tag(key), 24) as u32;
        self.trace.tags.push((key, Value::Number(least + value)));
    }

    /// A tag of 20 random bits in decimal.
    fn small(&mut self, key: &'static str, least: u32) {
        let value = self.draw.bits(Field::Tag(key), 20) as u32;
        self.trace.tags.push((key, Value::Number(least + value)));
    }

    fn call_tags(&mut self, operation: usize, serves: bool) {
        let shop = self.shop;
        let row = &shop.operations[operation];
        match row.protocol {
            Protocol::Message => return self.message_tags(row.name.strip_prefix("process ").unwrap_or(row.name)),
            Protocol::Grpc { method } => {
                self.text("rpc.system", "grpc");
                self.text("rpc.method", method);
                let key = "rpc.status";
                let seldom = self.draw.one_in(Field::Tag(key), 16);
                let status =
                    if seldom { *self.draw.pick(Field::Tag(key), &["NOT_FOUND", "ALREADY_EXISTS"]) } else { "OK" };
                self.text(key, status);
            }
            Protocol::Http { method, path } => {
                self.text("http.method", method);
                self.text("http.path", path);
                let key = "http.status_code";
                let seldom = self.draw.one_in(Field::Tag(key), 16);
                let status =
                    if seldom { *self.draw.pick(Field::Tag(key), &["201", "204", "304", "404"]) } else { "200" };
                self.text(key, status);
                if serves {
                    let key = "http.user_agent";
                    let faces_the_world = shop.entries.contains(&operation);
                    let agents: &[&str] = if faces_the_world { &USER_AGENTS } else { &LIBRARIES };
                    let agent = *self.draw.pick(Field::Tag(key), agents);
                    self.text(key, agent);
                }
            }
        }
        self.hex("request.id");
        if serves {
            self.small("user.id", 1_000_000);
            self.small("request.size", 0);
        } else {
            self.hex("session.id");
            self.small("response.size", 0);
        }
        self.finish_tags();
    }

    fn message_tags(&mut self, topic: &'static str) {
        self.text("messaging.system", "kafka");
        self.text("messaging.destination", topic);
        self.hex("messaging.message.id");
        self.large("messaging.offset", 700_000_000);
        self.large("order.id", 100_000_000);
        self.finish_tags();
    }

    /// Gives the newest span the tags that were pushed since it was.
    fn finish_tags(&mut self) {
        if self.draw.one_in(Field::Tag("error"), 100) {
            let error = *self.draw.pick(Field::Tag("error"), &ERRORS);
            self.text("error", error);
        }
        if let Some(span) = self.trace.spans.last_mut() {
            span.tags.1 = self.trace.tags.len() as u32;
        }
    }
}
