use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A trace as a text: a span a line, `[parent>]id kind service[@address][:port] [->remote] [shared] [error]`, a dash
/// for a kind or service that is not known. The names' numbers are in their order.
struct Trace {
    names: Vec<String>,
    spans: Vec<LinkSpan>,
}

impl Trace {
    fn of(text: &str) -> Trace {
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let lines: Vec<_> = lines.into_iter().filter(|words| !words.is_empty()).collect();
        let service = |word: &str| Some(word.split(['@', ':']).next().unwrap().to_owned()).filter(|name| name != "-");
        let names: BTreeSet<String> = lines
            .iter()
            .flat_map(|words| words[2..].iter().map(|word| word.trim_start_matches("->")))
            .filter(|word| !["shared", "error"].contains(word))
            .filter_map(service)
            .collect();
        let names: Vec<String> = names.into_iter().collect();
        let number = |name: Option<String>| name.map(|name| names.binary_search(&name).unwrap() as u32);
        let id = |digits: &str| u64::from_str_radix(digits, 16).unwrap();
        let spans = lines
            .iter()
            .map(|words| LinkSpan {
                id: id(words[0].rsplit('>').next().unwrap()),
                parent: words[0].split_once('>').map(|(parent, _)| id(parent)),
                shared: words.contains(&"shared"),
                kind: Kind::from_name(&words[1].to_uppercase()),
                local: number(service(words[2])),
                remote: words.iter().find_map(|word| word.strip_prefix("->")).and_then(|name| number(service(name))),
                ipv4: words[2].split_once('@').map(|(_, rest)| rest.split(':').next().unwrap().parse().unwrap()),
                ipv6: None,
                port: words[2].split_once(':').map(|(_, port)| port.parse().unwrap()),
                error: words.contains(&"error"),
            })
            .collect();
        Trace { names, spans }
    }

    /// `parent>child calls[/errors]`, by the names.
    fn links(&self) -> Vec<String> {
        let written = |link: Link| {
            let errors = if link.errors == 0 { String::new() } else { format!("/{}", link.errors) };
            let (parent, child) = (&self.names[link.parent as usize], &self.names[link.child as usize]);
            format!("{parent}>{child} {}{errors}", link.calls)
        };
        links(&self.spans).into_iter().map(written).collect()
    }
}

fn links(spans: &[LinkSpan]) -> Vec<Link> {
    let mut links = Vec::new();
    Linker::default().link(&mut spans.to_vec(), &mut links);
    links
}

/// Each a name, a trace and its links.
type Table = &'static [(&'static str, &'static str, &'static [&'static str])];

#[track_caller]
fn check(table: Table) {
    for (name, text, wanted) in table {
        let mut trace = Trace::of(text);
        assert_eq!(trace.links(), *wanted, "{name}");
        trace.spans.reverse();
        assert_eq!(trace.links(), *wanted, "{name}, reversed");
    }
}

#[test]
fn both_sides_of_a_call_are_one_link() {
    check(&[
        ("no span", "", &[]),
        (
            "a front end, a server that shares its client's id, and a database that is not traced",
            "b>c client app ->db error
             a>b server app ->web shared
             a>b client web ->app
             a server web",
            &["app>db 1/1", "web>app 1"],
        ),
        (
            "the server was not told its parent, and knows its caller",
            "a server arn
             a>b client arn ->link
             b server link ->arn shared",
            &["arn>link 1"],
        ),
        (
            "the server was not told its parent, and work goes on below it",
            "b>c client app ->db error
             b server app ->web shared
             a>b client web ->app
             a server web",
            &["app>db 1/1", "web>app 1"],
        ),
        (
            "the server was not told its parent, and the client got lost",
            "b>c client app ->db error
             b server app ->web shared
             a server web",
            &["app>db 1/1", "web>app 1"],
        ),
        (
            "all but the root",
            "a>b client web
             a>b server app shared
             b>c client app ->db error",
            &["app>db 1/1", "web>app 1"],
        ),
        (
            "client and server share the root's id",
            "10 client front
             10 server back shared
             10>11 client back ->db",
            &["back>db 1", "front>back 1"],
        ),
        ("a server without the flag", "a client web\na server app", &["web>app 1"]),
        ("ids of their own", "a client web\na>b server app", &["web>app 1"]),
        ("the server's word about names counts more", "a client web ->elb\na>b server app", &["web>app 1"]),
        ("so does the caller's about itself", "a client web\na>b server app ->proxy", &["web>app 1"]),
        ("a retry is another call", "a client web ->app\na>b server app\na>c server app", &["web>app 2"]),
        (
            "two servers that joined one client by mistake, at two addresses",
            "a client web
             a server app@1.2.3.4 shared
             a server app@1.2.3.5 shared",
            &["web>app 2"],
        ),
        (
            "ports that differ between a server and what it calls with",
            "10 server front@127.0.0.1
             10>20 client front@127.0.0.1:3001
             10>20 server back@127.0.0.2 shared
             20>30 client back@127.0.0.2:3002
             20>30 server db@127.0.0.3 shared",
            &["back>db 1", "front>back 1"],
        ),
        (
            "work inside services between the calls",
            "20 server front
             20>21 - front
             21>22 client front
             21>22 server back shared
             22>23 - back
             23>24 - back
             24>25 client back ->db",
            &["back>db 1", "front>back 1"],
        ),
        ("a service that calls itself", "a server web\na>b client web ->web", &["web>web 1"]),
    ]);
}

#[test]
fn a_side_that_is_not_traced_is_known_from_its_peer() {
    check(&[
        ("a server that knows its caller", "a server server ->client", &["client>server 1"]),
        ("a client that knows its server", "a client client ->server", &["client>server 1"]),
        ("a client with the flag of servers", "a client client ->server shared", &["client>server 1"]),
        ("a server that calls itself", "a server web ->web", &["web>web 1"]),
        ("a client that calls itself", "a client web ->web", &["web>web 1"]),
        ("nobody", "a server -", &[]),
        ("a server alone", "a server server", &[]),
        ("a server without a name", "a server - ->client", &[]),
        ("a client without names", "a client -", &[]),
        ("a client alone", "a client client", &[]),
        ("a client without a name", "a client - ->server", &[]),
        ("two servers whose parent got lost", "a>b server one\na>c server two", &[]),
        ("two servers, one under the other, whose parent got lost", "a>b server one\nb>c server two", &["one>two 1"]),
        ("two beginnings: the second is taken for lost under the first", "a server one\nb server two", &["one>two 1"]),
        (
            "a caller before the trace and a database behind it",
            "20 server front ->kafka
             20>21 client front
             20>21 server back shared
             21>22 client back ->db",
            &["back>db 1", "front>back 1", "kafka>front 1"],
        ),
        (
            "clients that do not know their own service",
            "a server front
             a>b client - ->back
             a>c client - ->back",
            &["front>back 2"],
        ),
        (
            "clients under work inside the service",
            "a server front
             a>b - -
             b>c client back
             b>d client back",
            &["front>back 2"],
        ),
        ("a hop that is not traced", "a server web\na>b client app", &["web>app 1"]),
        ("a hop that got lost with its parent", "20 server front\n21>22 client back", &["front>back 1"]),
        (
            "a hop that is not traced, before a call that is",
            "a server foo
             a>b - -
             b>c client bar ->baz error
             b>d client bar ->baz",
            &["bar>baz 2/1", "foo>bar 2"],
        ),
        (
            "an answer that never comes",
            "10 server back ->kafka
             10>11 - back",
            &["kafka>back 1"],
        ),
    ]);
}

#[test]
fn a_broker_is_a_service_of_its_own() {
    check(&[
        ("both know it", "a producer p ->kafka\na>b consumer c ->kafka", &["kafka>c 1", "p>kafka 1"]),
        ("each knows another", "a producer p ->kafka1\na>b consumer c ->kafka2", &["kafka2>c 1", "p>kafka1 1"]),
        ("only the consumer knows it", "a producer p\na>b consumer c ->kafka", &["kafka>c 1"]),
        ("only the producer knows it", "a producer p ->kafka\na>b consumer c", &["p>kafka 1"]),
        ("nobody knows it", "a producer p\na>b consumer c", &[]),
        ("a server under a producer was called", "a producer p\na>b server s", &["p>s 1"]),
        ("a server that shares a producer's id was called", "a producer p\na server s shared", &["p>s 1"]),
        ("a consumer under a client was not", "a client p\na>b consumer c", &[]),
        ("a message that failed", "a producer p ->kafka error\na>b consumer c ->kafka", &["kafka>c 1", "p>kafka 1/1"]),
    ]);
}

#[test]
fn without_a_kind_two_names_make_a_call() {
    check(&[
        (
            "spans of an agent that knows no kinds",
            "a - client ->web
             a>b - web ->app
             b>c - app ->db",
            &["app>db 1", "client>web 1", "web>app 1"],
        ),
        (
            "one of them failed",
            "a - client ->web
             a>b - web ->app error
             b>c - app ->db",
            &["app>db 1", "client>web 1", "web>app 1/1"],
        ),
        (
            "an endpoint without a name is no service",
            "20 - -@172.17.0.4 ->front
             20>21 - front ->back
             21>22 - back ->db",
            &["back>db 1", "front>back 1"],
        ),
        ("under a server of another name there was a hop", "a server web\na>b - app ->db", &["app>db 1", "web>app 1"]),
    ]);
}

#[test]
fn a_call_that_failed_counts_one_error() {
    check(&[
        ("either side says so", "a client web error\na>b server app error", &["web>app 1/1"]),
        ("both, with one id", "a client web error\na server app error shared", &["web>app 1/1"]),
        ("only the client", "a client web error\na>b server app", &["web>app 1/1"]),
        ("only the server", "a client web\na>b server app error", &["web>app 1/1"]),
        (
            "only the client, with one id: the server has the word",
            "a client web error\na server app shared",
            &["web>app 1"],
        ),
        ("one of two tries", "a client web ->app\na>b server app error\na>c server app", &["web>app 2/1"]),
        ("further up", "a client web error\na>b - app\nb>c server app", &["web>app 1"]),
        ("a server that failed is no client that failed", "a server web error\na>b client - ->app", &["web>app 1"]),
        (
            "of a hop that is not traced nobody knows",
            "a server front
             a>b - -
             b>c client back error
             b>d client back error",
            &["front>back 2"],
        ),
    ]);
}

#[test]
fn pieces_of_a_span_are_one() {
    check(&[
        ("names in one piece, kind in another", "a server web\na>b client -\na>b - web ->db error", &["web>db 1/1"]),
        ("parts of an endpoint", "a client web\na client -@1.2.3.4 ->db", &["web>db 1"]),
        (
            "what has no endpoint goes to the client",
            "a server front
             a>b client front
             a>b server back@1.2.3.4 shared
             a>b - - error",
            &["front>back 1"],
        ),
        (
            "of servers at two addresses the last by its text has the piece without one",
            "a client web
             a - app@1.2.3.9 shared
             a - app@1.2.3.10 shared
             a server app shared
             a>b client app@1.2.3.9 ->db",
            &["app>db 1", "web>app 1"],
        ),
        (
            "a server whose first piece does not tell its role (Zipkin misses that it shares the client's id)",
            "a client front
             a - back@1.2.3.4
             a server back",
            &["front>back 1"],
        ),
        (
            "sides of two services without a role stay apart",
            "a server web\na>b - app ->x\na>b - db ->y",
            &["db>y 1", "web>db 1"],
        ),
    ]);
}

#[test]
fn work_under_an_id_that_several_share_goes_by_the_place() {
    check(&[
        (
            "each client under its own server",
            "a client web
             a server bar shared
             a server foo shared
             a>c client - ->lost
             a>d client bar ->db1
             a>e client foo ->db2",
            &["bar>db1 1", "foo>db2 1", "web>bar 1", "web>foo 1", "web>lost 1"],
        ),
        (
            "a server with another address than its calls leaves them to the client",
            "a client web
             a server app@10.0.0.1 shared
             a>b client app@10.0.0.2 ->db",
            &["app>db 1", "web>app 2"],
        ),
    ]);
}

#[test]
fn ids_that_make_no_tree_make_no_links_of_their_own() {
    check(&[
        ("a span under itself begins the trace", "a>a server web ->client", &["client>web 1"]),
        ("a parent of zeros is none", "0>a server web ->client\n0>b server app", &["client>web 1", "web>app 1"]),
        ("a circle", "a>b client x ->y\nb>a client y ->x", &[]),
        ("a circle beside a tree", "1 client web ->app\na>b client x ->y\nb>a client y ->x", &["web>app 1"]),
        ("work under a circle", "a>b client x ->y\nb>a client y ->x\na>c client x ->z", &[]),
        ("two services of the root's id without the flag", "a producer p ->k\na consumer c ->k", &["k>c 1"]),
        ("what hangs under the one that lost", "a producer p ->k\na consumer c ->k\na>b client p ->x", &["k>c 1"]),
    ]);
}

#[test]
fn traces_are_told_apart() {
    let trace = Trace::of("a server front\na>b client - ->back");
    let mut linker = Linker::default();
    let mut links = Vec::new();
    linker.link(&mut trace.spans.clone(), &mut links);
    linker.link(&mut trace.spans.clone(), &mut links);
    assert_eq!(links, vec![Link { parent: 1, child: 0, calls: 1, errors: 0 }; 2]);
}

#[test]
fn an_error_is_a_tag_of_that_name_whatever_its_value() {
    let mut span = Span::new(crate::model::TraceId::narrow(1), 2);
    span.local = Some(crate::model::Endpoint { service: Some("Web".into()), port: Some(80), ..Default::default() });
    span.annotations = vec![crate::model::Annotation { timestamp: 1, value: "error".into() }];
    let plain = LinkSpan::of(&span, |name| name.len() as u32);
    let wanted = LinkSpan {
        id: 2,
        parent: None,
        shared: false,
        kind: None,
        local: Some(3),
        remote: None,
        ipv4: None,
        ipv6: None,
        port: Some(80),
        error: false,
    };
    assert_eq!(plain, wanted);
    span.tags = vec![("error".into(), "".into())];
    assert_eq!(LinkSpan::of(&span, |name| name.len() as u32), LinkSpan { error: true, ..wanted });
}

const MANY: u64 = 100_000;

fn bare(id: u64, parent: Option<u64>) -> LinkSpan {
    LinkSpan {
        id,
        parent,
        shared: false,
        kind: None,
        local: None,
        remote: None,
        ipv4: None,
        ipv6: None,
        port: None,
        error: false,
    }
}

/// A way of comparing each with each would take minutes for these.
#[test]
fn hostile_traces_take_few_steps() {
    let place = |number: u64| Some(Ipv4Addr::from_bits(number as u32));
    // One id for all: servers at as many places, and as many clients under them.
    let mut spans = vec![LinkSpan { kind: Some(Kind::Client), local: Some(0), ..bare(1, None) }];
    for number in 0..MANY {
        let at = LinkSpan { ipv4: place(number), ..bare(1, None) };
        spans.push(LinkSpan { shared: true, kind: Some(Kind::Server), local: Some(1), ..at });
        let client = LinkSpan { id: 2 + number, parent: Some(1), remote: Some(2), ..at };
        spans.push(LinkSpan { kind: Some(Kind::Client), local: Some(1), ..client });
    }
    let calls = MANY as u32;
    let wanted = [Link { parent: 0, child: 1, calls, errors: 0 }, Link { parent: 1, child: 2, calls, errors: 0 }];
    assert_eq!(links(&spans), wanted);

    // As deep as there are spans, and no caller but at the top.
    let mut spans: Vec<_> = (2..MANY).map(|id| bare(id, Some(id - 1))).collect();
    spans.push(LinkSpan { kind: Some(Kind::Server), local: Some(0), ..bare(1, None) });
    spans.push(LinkSpan { kind: Some(Kind::Server), local: Some(1), ..bare(MANY, Some(MANY - 1)) });
    assert_eq!(links(&spans), [Link { parent: 0, child: 1, calls: 1, errors: 0 }]);
    // The other way round by id.
    spans.iter_mut().for_each(|span| {
        span.id = u64::MAX - span.id;
        span.parent = span.parent.map(|parent| u64::MAX - parent);
    });
    assert_eq!(links(&spans), [Link { parent: 0, child: 1, calls: 1, errors: 0 }]);

    // One circle.
    let circle: Vec<_> = (0..MANY).map(|id| bare(id + 1, Some((id + 1) % MANY + 1))).collect();
    let circle: Vec<_> = circle.into_iter().map(|span| LinkSpan { local: Some(0), remote: Some(1), ..span }).collect();
    assert_eq!(links(&circle), []);
}

fn kind() -> impl Strategy<Value = Option<Kind>> {
    (0u8..5).prop_map(Kind::from_number)
}

/// Few ids and places, so that they meet.
pub(in crate::model) fn span() -> impl Strategy<Value = LinkSpan> {
    let port = proptest::option::weighted(0.3, 80u16..82);
    let ipv4 = proptest::option::weighted(0.3, (9u8..11).prop_map(|last| Ipv4Addr::new(1, 2, 3, last)));
    let ipv6 = proptest::option::weighted(0.1, (1u16..3).prop_map(|last| Ipv6Addr::new(0, 0, 0, 0, 0, 0, 1, last)));
    let services = (proptest::option::of(0u32..4), proptest::option::of(0u32..4));
    let ids = (1u64..8, proptest::option::weighted(0.8, 0u64..9));
    (ids, proptest::bool::weighted(0.3), kind(), services, ipv4, ipv6, port, any::<bool>()).prop_map(
        |((id, parent), shared, kind, (local, remote), ipv4, ipv6, port, error)| LinkSpan {
            id,
            parent,
            shared,
            kind,
            local,
            remote,
            ipv4,
            ipv6,
            port,
            error,
        },
    )
}

pub(in crate::model) fn trace() -> impl Strategy<Value = Vec<LinkSpan>> {
    proptest::collection::vec(span(), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn links_do_not_depend_on_the_order_of_the_spans(
        (spans, shuffled) in trace().prop_flat_map(|spans| (Just(spans.clone()), Just(spans).prop_shuffle())),
    ) {
        prop_assert_eq!(links(&spans), links(&shuffled));
    }

    #[test]
    fn spans_that_are_there_twice_count_once(spans in trace(), again in any::<u32>()) {
        let twice = spans.iter().enumerate().filter(|(at, _)| again >> (at % 32) & 1 == 1).map(|(_, span)| *span);
        let doubled: Vec<LinkSpan> = spans.iter().copied().chain(twice).collect();
        prop_assert_eq!(links(&spans), links(&doubled));
    }

    #[test]
    fn each_pair_is_there_once_in_order_with_calls_and_no_more_errors_than_those(spans in trace()) {
        let links = links(&spans);
        prop_assert!(links.windows(2).all(|pair| (pair[0].parent, pair[0].child) < (pair[1].parent, pair[1].child)));
        for link in &links {
            prop_assert!(link.calls >= 1 && link.errors <= link.calls, "{:?}", link);
            let named = |name: u32| spans.iter().any(|span| span.local == Some(name) || span.remote == Some(name));
            prop_assert!(named(link.parent) && named(link.child), "{:?}", link);
        }
        // A span tells of its own call, and at most of a hop before it.
        prop_assert!(links.iter().map(|link| link.calls as usize).sum::<usize>() <= 2 * spans.len());
    }

    #[test]
    fn what_a_linker_linked_before_does_not_matter(before in trace(), spans in trace()) {
        let mut linker = Linker::default();
        let mut found = Vec::new();
        linker.link(&mut before.clone(), &mut found);
        found.clear();
        linker.link(&mut spans.clone(), &mut found);
        prop_assert_eq!(found, links(&spans));
    }
}
