//! The call graph that traces are drawn from: 40 services of a shop with their operations, databases and topics.
//!
//! A call is written as a text: `cart/get_cart` calls the operation of that name, `db:orders-postgres` runs one of the
//! store's statements, `topic:order-placed` publishes to it, `run:render` is work inside the service. The texts are
//! resolved once, into indices; a test holds them to the tables. An operation is reached by what its name begins with:
//! a method (HTTP), `process` (a topic's message), or else by gRPC.

use super::binary::{proto_endpoint, thrift_endpoint};
use std::net::Ipv4Addr;

/// What an operation calls, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// An operation of another service.
    Operation(usize),
    Store(usize),
    Topic(usize),
    Local(&'static str),
}

/// How an operation is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http { method: &'static str, path: &'static str },
    Grpc { method: &'static str },
    Message,
}

/// Something that a service does for its callers.
pub struct Operation {
    pub service: usize,
    /// The span's name, in lower case as Zipkin has them.
    pub name: &'static str,
    pub protocol: Protocol,
    /// The operation's own work, in microseconds; half of its runs take less.
    pub median: f64,
    pub calls: Vec<Call>,
}

/// A database: seen only from its clients' side.
pub struct Store {
    pub name: &'static str,
    pub system: &'static str,
    /// Empty where the system has no named databases.
    pub database: &'static str,
    /// Span name, statement, median microseconds.
    pub statements: &'static [(&'static str, &'static str, u32)],
    pub endpoint: usize,
}

/// A topic of the message broker.
pub struct Topic {
    pub name: &'static str,
    pub publish: &'static str,
    /// The operations that its messages start.
    pub consumers: Vec<usize>,
}

/// A party to calls, with each format's bytes prepared: they are the same in millions of spans.
pub struct Endpoint {
    /// Empty where only the address is known, as a server knows its callers.
    pub service: &'static str,
    pub ipv4: String,
    /// 0 where unknown.
    pub port: u16,
    pub json: String,
    /// Its message in protobuf.
    pub proto: Vec<u8>,
    /// Its struct in thrift.
    pub thrift: Vec<u8>,
}

/// The whole graph.
pub struct Shop {
    pub operations: Vec<Operation>,
    /// What the outside world calls.
    pub entries: Vec<usize>,
    pub stores: Vec<Store>,
    pub topics: Vec<Topic>,
    pub endpoints: Vec<Endpoint>,
    /// By service: its first endpoint and how many instances it has. An instance has two endpoints: as it knows itself,
    /// and its bare address.
    pub instances: Vec<(usize, u32)>,
    /// The broker's endpoint.
    pub broker: usize,
}

type ServiceRow = (&'static str, u32, &'static [(&'static str, u32, &'static [&'static str])]);

/// Service, instances, and its operations: name, median of its own work in microseconds, calls. The first four services
/// are the ones that the world calls.
#[rustfmt::skip]
const SERVICES: &[ServiceRow] = &[
    ("frontend", 6, &[
        ("get /", 2400, &["session/read", "get /products/featured", "recommendation/for_user", "ad/pick", "run:render home"]),
        ("get /product/{id}", 2100, &["session/read", "get /products/{id}", "get /products/{id}/reviews", "recommendation/similar", "get /stock/{sku}", "run:render product"]),
        ("get /search", 1900, &["session/read", "search/query", "ad/pick", "run:render results"]),
        ("post /cart", 1500, &["session/read", "cart/add_item", "promotion/hints", "topic:user-activity"]),
        ("post /checkout", 2800, &["session/read", "checkout/place_order", "run:render confirmation"]),
    ]),
    ("mobile-gateway", 5, &[
        ("get /m/v3/home", 1700, &["auth/verify", "get /products/featured", "recommendation/for_user", "feature-flags/evaluate"]),
        ("post /m/v3/session", 900, &["auth/refresh", "feature-flags/evaluate"]),
        ("get /m/v3/orders", 1600, &["auth/verify", "get /users/{id}/orders", "get /parcels/{id}"]),
        ("post /m/v3/checkout", 2300, &["auth/verify", "checkout/place_order", "notification/send"]),
    ]),
    ("partner-api", 3, &[
        ("get /partners/v1/stock", 1300, &["auth/verify", "get /stock/{sku}", "pricing/quote"]),
        ("post /partners/v1/orders", 2000, &["auth/verify", "order/create", "audit/record"]),
    ]),
    ("admin-console", 2, &[
        ("get /admin/orders/{id}", 2600, &["auth/verify", "order/get", "ledger/entries", "audit/record"]),
        ("post /admin/refunds", 2400, &["auth/verify", "order/get", "payment/refund", "notification/send"]),
        ("put /admin/products/{id}", 2200, &["auth/verify", "put /products/{id}", "audit/record", "run:validate product"]),
    ]),
    ("auth", 4, &[
        ("auth/verify", 420, &["db:session-redis", "get /users/{id}"]),
        ("auth/refresh", 700, &["db:session-redis", "db:users-postgres"]),
    ]),
    ("session", 4, &[("session/read", 260, &["db:session-redis", "feature-flags/evaluate"])]),
    ("user-profile", 3, &[("get /users/{id}", 520, &["db:users-postgres", "address-book/list"])]),
    ("address-book", 2, &[("address-book/list", 480, &["db:users-postgres"])]),
    ("catalog", 5, &[
        ("get /products/{id}", 640, &["db:catalog-redis", "db:catalog-postgres", "media/variants"]),
        ("get /products/featured", 900, &["db:catalog-redis", "pricing/quote", "media/variants", "run:rank featured"]),
        ("put /products/{id}", 1200, &["db:catalog-postgres", "db:catalog-redis", "topic:catalog-changed"]),
    ]),
    ("search", 4, &[("search/query", 1500, &["run:parse query", "db:search-elasticsearch", "search-ranker/score", "get /products/{id}"])]),
    ("search-ranker", 3, &[("search-ranker/score", 2600, &["run:load model", "run:score candidates"])]),
    ("recommendation", 4, &[
        ("recommendation/for_user", 1800, &["db:catalog-redis", "run:score candidates", "get /products/{id}"]),
        ("recommendation/similar", 1400, &["db:catalog-redis", "get /products/{id}"]),
    ]),
    ("review", 3, &[("get /products/{id}/reviews", 800, &["db:reviews-mongodb", "rating/summary", "get /users/{id}"])]),
    ("rating", 2, &[("rating/summary", 380, &["db:reviews-mongodb"])]),
    ("media", 3, &[("media/variants", 450, &["db:media-redis", "run:sign urls"])]),
    ("cart", 4, &[
        ("cart/get_cart", 430, &["db:cart-redis", "pricing/quote"]),
        ("cart/add_item", 560, &["db:cart-redis", "get /stock/{sku}", "topic:user-activity"]),
        ("cart/clear", 310, &["db:cart-redis"]),
    ]),
    ("checkout", 4, &[("checkout/place_order", 2400, &["cart/get_cart", "promotion/apply", "tax/calculate", "post /shipping/quotes", "payment/charge", "order/create", "cart/clear", "topic:order-placed"])]),
    ("pricing", 4, &[("pricing/quote", 520, &["db:catalog-redis", "currency/convert", "promotion/hints"])]),
    ("promotion", 3, &[
        ("promotion/hints", 340, &["db:catalog-redis"]),
        ("promotion/apply", 900, &["db:catalog-postgres", "loyalty/balance", "run:evaluate rules"]),
    ]),
    ("tax", 2, &[("tax/calculate", 1100, &["address-book/list", "run:look up rates"])]),
    ("currency", 2, &[("currency/convert", 150, &["run:convert"])]),
    ("payment", 4, &[
        ("payment/charge", 3800, &["fraud-detection/assess", "run:tokenise card", "db:orders-postgres", "ledger/post", "topic:payment-captured"]),
        ("payment/refund", 3200, &["ledger/post", "db:orders-postgres"]),
    ]),
    ("fraud-detection", 3, &[("fraud-detection/assess", 2900, &["get /users/{id}", "get /users/{id}/orders", "run:score transaction"])]),
    ("ledger", 3, &[
        ("ledger/post", 950, &["db:ledger-postgres", "audit/record"]),
        ("ledger/entries", 850, &["db:ledger-postgres"]),
    ]),
    ("invoice", 2, &[("process payment-captured", 2100, &["db:orders-postgres", "run:render pdf", "post /mails"])]),
    ("order", 4, &[
        ("order/create", 1300, &["post /stock/reservations", "db:orders-postgres", "db:orders-postgres"]),
        ("order/get", 600, &["db:orders-postgres", "get /shipments/{id}"]),
        ("process order-placed", 1500, &["db:orders-postgres", "warehouse/allocate", "notification/send"]),
    ]),
    ("order-history", 3, &[("get /users/{id}/orders", 900, &["db:orders-postgres", "db:orders-postgres"])]),
    ("inventory", 4, &[
        ("get /stock/{sku}", 420, &["db:inventory-mysql"]),
        ("post /stock/reservations", 880, &["db:inventory-mysql", "db:inventory-mysql", "topic:stock-changed"]),
    ]),
    ("warehouse", 3, &[("warehouse/allocate", 1700, &["get /stock/{sku}", "db:inventory-mysql", "run:plan picking"])]),
    ("shipping", 3, &[
        ("post /shipping/quotes", 1200, &["carrier-gateway/rates", "warehouse/allocate", "run:pack boxes"]),
        ("get /shipments/{id}", 650, &["get /parcels/{id}"]),
    ]),
    ("carrier-gateway", 2, &[("carrier-gateway/rates", 5200, &["run:call carrier", "db:catalog-redis"])]),
    ("tracking", 2, &[("get /parcels/{id}", 600, &["db:orders-postgres"])]),
    ("email", 2, &[("post /mails", 3400, &["run:render template", "run:smtp delivery"])]),
    ("sms", 2, &[("sms/send", 2700, &["run:smpp submit"])]),
    ("notification", 3, &[("notification/send", 900, &["get /users/{id}", "post /mails", "sms/send", "run:choose channel"])]),
    ("loyalty", 2, &[
        ("loyalty/balance", 430, &["db:users-postgres"]),
        ("process order-placed", 800, &["db:users-postgres", "run:award points"]),
    ]),
    ("analytics", 3, &[
        ("process user-activity", 700, &["run:enrich event", "db:search-elasticsearch"]),
        ("process stock-changed", 500, &["run:enrich event", "db:search-elasticsearch"]),
    ]),
    ("ad", 3, &[("ad/pick", 750, &["db:catalog-redis", "feature-flags/evaluate"])]),
    ("feature-flags", 2, &[("feature-flags/evaluate", 120, &["run:evaluate rules"])]),
    ("audit", 2, &[
        ("audit/record", 350, &["db:ledger-postgres"]),
        ("process catalog-changed", 450, &["db:ledger-postgres", "db:search-elasticsearch"]),
    ]),
];

type StoreRow = (&'static str, &'static str, &'static str, u16, &'static [(&'static str, &'static str, u32)]);

/// Store, system, database, port, and its statements: span name, text, median microseconds.
#[rustfmt::skip]
const STORES: &[StoreRow] = &[
    ("users-postgres", "postgresql", "users", 5432, &[
        ("select users", "SELECT id, email, locale, created_at FROM users WHERE id = $1", 650),
        ("select addresses", "SELECT * FROM addresses WHERE user_id = $1 ORDER BY preferred DESC, id", 800),
        ("update loyalty", "UPDATE loyalty SET points = points + $1, updated_at = now() WHERE user_id = $2", 1400),
    ]),
    ("orders-postgres", "postgresql", "orders", 5432, &[
        ("select orders", "SELECT id, state, total_minor, currency FROM orders WHERE id = $1", 700),
        ("select order_items", "SELECT sku, quantity, price_minor FROM order_items WHERE order_id = $1 ORDER BY line", 950),
        ("insert orders", "INSERT INTO orders (id, user_id, state, total_minor, currency) VALUES ($1, $2, $3, $4, $5)", 1700),
        ("insert payments", "INSERT INTO payments (order_id, method, amount_minor, authorised_at) VALUES ($1, $2, $3, now()) RETURNING id", 1900),
    ]),
    ("catalog-postgres", "postgresql", "catalog", 5432, &[
        ("select products", "SELECT p.*, b.name AS brand FROM products p JOIN brands b ON b.id = p.brand_id WHERE p.id = $1", 900),
        ("select promotions", "SELECT * FROM promotions WHERE active AND tstzrange(starts, ends) @> now()", 1300),
        ("update products", "UPDATE products SET title = $1, body = $2, version = version + 1 WHERE id = $3 AND version = $4", 1800),
    ]),
    ("ledger-postgres", "postgresql", "ledger", 5432, &[
        ("insert entries", "INSERT INTO entries (account, amount_minor, currency, reference) VALUES ($1, $2, $3, $4), ($5, $6, $7, $8)", 2100),
        ("select entries", "SELECT * FROM entries WHERE reference = $1 ORDER BY booked_at", 1000),
    ]),
    ("inventory-mysql", "mysql", "inventory", 3306, &[
        ("select stock", "SELECT sku, warehouse_id, on_hand - reserved AS free FROM stock WHERE sku IN (?, ?, ?)", 750),
        ("update stock", "UPDATE stock SET reserved = reserved + ? WHERE sku = ? AND warehouse_id = ? AND on_hand - reserved >= ?", 1500),
    ]),
    ("reviews-mongodb", "mongodb", "reviews", 27017, &[
        ("find reviews", "db.reviews.find({product: ?, hidden: false}).sort({created: -1}).limit(20)", 1600),
        ("aggregate reviews", "db.reviews.aggregate([{$match: {product: ?}}, {$group: {_id: null, stars: {$avg: ?}}}])", 2400),
    ]),
    ("search-elasticsearch", "elasticsearch", "", 9200, &[
        ("search products", "POST /products/_search", 6200),
        ("index events", "POST /events/_bulk", 3900),
    ]),
    ("session-redis", "redis", "", 6379, &[("hgetall", "HGETALL session:?", 230), ("expire", "EXPIRE session:? 1800", 190)]),
    ("cart-redis", "redis", "", 6379, &[("hgetall", "HGETALL cart:?", 250), ("hset", "HSET cart:? ? ?", 270), ("del", "DEL cart:?", 210)]),
    ("catalog-redis", "redis", "", 6379, &[("get", "GET product:?", 200), ("mget", "MGET price:? price:? price:? price:?", 330), ("setex", "SETEX product:? 300 ?", 240)]),
    ("media-redis", "redis", "", 6379, &[("smembers", "SMEMBERS variants:?", 220)]),
];

/// Topics: name, publishing span's name, consuming services.
const TOPICS: &[(&str, &str, &[&str])] = &[
    ("order-placed", "publish order-placed", &["order", "loyalty"]),
    ("payment-captured", "publish payment-captured", &["invoice"]),
    ("stock-changed", "publish stock-changed", &["analytics"]),
    ("user-activity", "publish user-activity", &["analytics"]),
    ("catalog-changed", "publish catalog-changed", &["audit"]),
];

impl Default for Shop {
    fn default() -> Self {
        Shop::new()
    }
}

impl Shop {
    /// Resolves the tables.
    pub fn new() -> Self {
        let mut endpoints = Vec::new();
        let mut instances = Vec::new();
        let mut operations: Vec<Operation> = Vec::new();
        for (service, &(name, count, rows)) in SERVICES.iter().enumerate() {
            instances.push((endpoints.len(), count));
            let port = 8000 + service as u16 * 10;
            for instance in 0..count {
                // Spread over the subnets of a cluster as a scheduler does it.
                let subnet = (service as u32 * 7 + instance * 13) % 24;
                let ipv4 = format!("10.42.{subnet}.{}", 11 + (service as u32 * 5 + instance * 37) % 230);
                endpoints.push(Endpoint::new(name, ipv4.clone(), port));
                endpoints.push(Endpoint::new("", ipv4, 0));
            }
            for &(name, median, _) in rows {
                operations.push(Operation {
                    service,
                    name,
                    protocol: protocol(name),
                    median: f64::from(median),
                    calls: Vec::new(),
                });
            }
        }
        let store_row = |(at, &(name, system, database, port, statements)): (usize, &StoreRow)| {
            endpoints.push(Endpoint::new(name, format!("10.43.7.{}", 20 + at), port));
            Store { name, system, database, statements, endpoint: endpoints.len() - 1 }
        };
        let stores: Vec<Store> = STORES.iter().enumerate().map(store_row).collect();
        let broker = endpoints.len();
        endpoints.push(Endpoint::new("kafka", "10.43.9.9".to_owned(), 9092));
        let topics: Vec<Topic> = TOPICS
            .iter()
            .map(|&(name, publish, services)| {
                let consumes = |operation: &Operation| {
                    operation.name.strip_prefix("process ") == Some(name)
                        && services.contains(&SERVICES[operation.service].0)
                };
                let consumers = (0..operations.len()).filter(|&at| consumes(&operations[at])).collect();
                Topic { name, publish, consumers }
            })
            .collect();

        let calls: Vec<Vec<Call>> = SERVICES
            .iter()
            .flat_map(|&(_, _, rows)| rows)
            .map(|&(_, _, calls)| {
                calls.iter().filter_map(|call| resolve(call, &operations, &stores, &topics)).collect()
            })
            .collect();
        for (operation, calls) in operations.iter_mut().zip(calls) {
            operation.calls = calls;
        }
        let entries = (0..operations.len()).filter(|&at| operations[at].service < 4).collect();
        Shop { operations, entries, stores, topics, endpoints, instances, broker }
    }

    /// How many services there are.
    pub fn services(&self) -> usize {
        self.instances.len()
    }
}

impl Endpoint {
    fn new(service: &'static str, ipv4: String, port: u16) -> Self {
        let json = if service.is_empty() {
            format!("{{\"ipv4\":\"{ipv4}\"}}")
        } else {
            format!("{{\"serviceName\":\"{service}\",\"ipv4\":\"{ipv4}\",\"port\":{port}}}")
        };
        let address = ipv4.parse().unwrap_or(Ipv4Addr::UNSPECIFIED).octets();
        let (proto, thrift) = (proto_endpoint(service, address, port), thrift_endpoint(service, address, port));
        Endpoint { service, ipv4, port, json, proto, thrift }
    }
}

fn protocol(name: &'static str) -> Protocol {
    for (prefix, method) in [("get ", "GET"), ("post ", "POST"), ("put ", "PUT")] {
        if let Some(path) = name.strip_prefix(prefix) {
            return Protocol::Http { method, path };
        }
    }
    match name.split_once('/') {
        Some((_, method)) => Protocol::Grpc { method },
        None => Protocol::Message,
    }
}

fn resolve(call: &'static str, operations: &[Operation], stores: &[Store], topics: &[Topic]) -> Option<Call> {
    match call.split_once(':') {
        Some(("db", name)) => stores.iter().position(|store| store.name == name).map(Call::Store),
        Some(("topic", name)) => topics.iter().position(|topic| topic.name == name).map(Call::Topic),
        Some((_, name)) => Some(Call::Local(name)),
        None => operations.iter().position(|operation| operation.name == call).map(Call::Operation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_call_of_the_tables_is_resolved() {
        let shop = Shop::new();
        assert_eq!(shop.services(), 40);
        let written: Vec<usize> = SERVICES.iter().flat_map(|row| row.2).map(|row| row.2.len()).collect();
        let resolved: Vec<usize> = shop.operations.iter().map(|operation| operation.calls.len()).collect();
        assert_eq!(written, resolved);
        assert!(shop.topics.iter().all(|topic| !topic.consumers.is_empty()));
        // A trace grows by repeating calls: an operation without any would stop it.
        assert!(resolved.iter().all(|&calls| calls > 0));
    }

    #[test]
    fn every_operation_can_be_reached() {
        let shop = Shop::new();
        let mut reached: HashSet<usize> = shop.entries.iter().copied().collect();
        let mut todo: Vec<usize> = shop.entries.clone();
        while let Some(at) = todo.pop() {
            for call in &shop.operations[at].calls {
                let next: &[usize] = match call {
                    Call::Operation(operation) => std::slice::from_ref(operation),
                    Call::Topic(topic) => &shop.topics[*topic].consumers,
                    Call::Store(_) | Call::Local(_) => &[],
                };
                todo.extend(next.iter().filter(|&&next| reached.insert(next)));
            }
        }
        let idle: Vec<&str> =
            (0..shop.operations.len()).filter(|at| !reached.contains(at)).map(|at| shop.operations[at].name).collect();
        assert!(idle.is_empty(), "operations that nobody calls: {idle:?}");
    }

    #[test]
    fn nothing_in_the_tables_needs_escaping_in_json() {
        for text in SERVICES
            .iter()
            .flat_map(|row| row.2.iter().map(|row| row.0))
            .chain(STORES.iter().flat_map(|row| row.4.iter().flat_map(|row| [row.0, row.1])))
        {
            assert!(text.chars().all(|c| c.is_ascii() && !c.is_ascii_control() && c != '"' && c != '\\'), "{text}");
        }
    }

    #[test]
    fn no_two_instances_share_an_address_and_port() {
        let shop = Shop::new();
        let mut seen = HashSet::new();
        for endpoint in shop.endpoints.iter().filter(|endpoint| endpoint.port != 0) {
            assert!(seen.insert((endpoint.ipv4.clone(), endpoint.port)), "{}", endpoint.json);
        }
    }
}
