use super::*;
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt::Write;

/// Reads to the end.
fn read(text: &str, id: &str, limits: Limits) -> Result<Contract, Unreadable> {
    super::read(text, id, limits, || Ok::<_, Infallible>(())).unwrap_or_else(|never| match never {})
}

const ALL: Limits = Limits { methods: 1_000, bytes: 1 << 20 };

/// As ServiceComb's Java agent writes it.
const CHASSIS: &str = r##"---
swagger: "2.0"
info:
  version: "1.0.0"
  title: "swagger definition for com.example.shop.CartEndpoint"
  x-java-interface: "cse.gen.shop.cart.CartEndpointIntf"
basePath: "/cart"
consumes:
- "application/json"
paths:
  /items/{id}:
    get:
      summary: "One item"
      operationId: "item"
      parameters:
      - name: "id"
        in: "path"
        description: "the item's number"
        required: true
        type: "integer"
        format: "int64"
      responses:
        200:
          description: "response of 200"
          schema:
            $ref: "#/definitions/Item"
    delete:
      operationId: "drop"
      parameters:
      - name: "id"
        in: "path"
        type: "string"
      responses:
        "204":
          description: "gone"
  /items:
    post:
      operationId: "put"
      parameters:
      - in: "body"
        name: "item"
        required: true
        schema:
          $ref: "#/definitions/Item"
      - in: "query"
        name: "tags"
        type: "array"
        uniqueItems: true
        items:
          type: "string"
      responses:
        "200":
          description: "response of 200"
          schema:
            type: "array"
            items:
              $ref: "#/definitions/Item"
definitions:
  Item:
    type: "object"
    x-java-class: "com.example.shop.Item"
"##;

fn parameter(name: &str, kind: &str, detail: &str) -> Parameter {
    Parameter { name: name.into(), kind: kind.into(), detail: detail.into() }
}

fn one(text: &str) -> Method {
    let contract = read(text, "id", ALL).unwrap();
    assert_eq!((contract.methods.len(), contract.left_out), (1, 0));
    contract.methods.into_iter().next().unwrap()
}

#[test]
fn a_contract_of_servicecombs_agent_gives_each_method_with_its_class_types_and_whole_path() {
    let item = "com.example.shop.Item";
    let method = |name: &str, verb: &str, path: &str| Method {
        controller: "com.example.shop.CartEndpoint".into(),
        name: name.into(),
        request_methods: vec![verb.into()],
        paths: vec![path.into()],
        ..Method::default()
    };
    let expected = vec![
        Method {
            return_type: format!("java.util.List<{item}>"),
            return_details: "response of 200".into(),
            parameters: vec![parameter("item", item, ""), parameter("tags", "java.util.Set<java.lang.String>", "")],
            ..method("put", "POST", "/cart/items")
        },
        Method {
            return_type: item.into(),
            return_details: "response of 200".into(),
            name_detail: "One item".into(),
            parameters: vec![parameter("id", "java.lang.Long", "the item's number")],
            ..method("item", "GET", "/cart/items/{id}")
        },
        Method {
            return_type: "void".into(),
            return_details: "gone".into(),
            parameters: vec![parameter("id", "java.lang.String", "")],
            ..method("drop", "DELETE", "/cart/items/{id}")
        },
    ];
    assert_eq!(read(CHASSIS, "cart", ALL).unwrap(), Contract { methods: expected, ..Contract::default() });
}

#[test]
fn openapi_3_in_json_is_read_with_its_server_its_body_and_its_shared_parameters() {
    let text = r##"{
        "openapi": "3.0.1",
        "info": { "title": "Orders", "x-java-interface": "com.example.OrdersIntf" },
        "servers": [{ "url": "http://shop.example.com:8080/api/v2/" }],
        "paths": { "/orders/{id}": {
            "parameters": [{ "$ref": "#/components/parameters/Id" }, { "in": "query", "name": "q", "schema": {} }],
            "put": {
                "operationId": "change",
                "description": "Changes an order",
                "parameters": [{ "in": "query", "name": "q", "schema": { "type": ["null", "boolean"] } }],
                "requestBody": { "description": "the order", "x-name": "order",
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Order" } } } },
                "responses": { "202": { "description": "taken",
                    "content": { "application/json": { "schema": {
                        "type": "object", "additionalProperties": { "type": "number", "format": "float" } } } } } }
            }
        } },
        "components": {
            "parameters": { "Id": { "in": "path", "name": "id", "description": "which",
                "schema": { "type": "string", "format": "date-time" } } },
            "schemas": { "Order": { "type": "object" } }
        }
    }"##;
    assert_eq!(
        one(text),
        Method {
            controller: "com.example.OrdersIntf".into(),
            return_type: "java.util.Map<java.lang.String,java.lang.Float>".into(),
            return_details: "taken".into(),
            name: "change".into(),
            name_detail: "Changes an order".into(),
            request_methods: vec!["PUT".into()],
            paths: vec!["/api/v2/orders/{id}".into()],
            parameters: vec![
                parameter("id", "java.util.Date", "which"),
                parameter("q", "java.lang.Boolean", ""),
                parameter("order", "Order", "the order"),
            ],
        }
    );
}

#[test]
fn the_fields_of_a_form_are_parameters_each() {
    let text = "openapi: 3.0.0\npaths: {/up: {post: {requestBody: {content: {multipart/form-data: {schema: {properties: \
                {file: {type: string, format: binary}, note: {type: string, description: a note}}}}}}}}}";
    let method = one(text);
    assert_eq!(method.parameters, [parameter("file", "byte[]", ""), parameter("note", "java.lang.String", "a note")]);
    // Nothing names a class or the method: the contract's own id and the request stand for them.
    assert_eq!((method.controller.as_str(), method.name.as_str()), ("id", "POST /up"));
}

#[test]
fn base_and_path_are_joined_by_one_slash() {
    for (base, path, whole) in
        [("/", "/a", "/a"), ("", "a", "/a"), ("/b", "/", "/b"), ("b/", "/a/", "/b/a/"), ("/", "/", "/")]
    {
        let text = format!("{{swagger: '2.0', basePath: '{base}', paths: {{'{path}': {{get: {{}}}}}}}}");
        assert_eq!(one(&text).paths, [whole], "{base:?} {path:?}");
    }
}

#[test]
fn types_are_what_java_agents_make_of_them() {
    for (schema, java) in [
        ("{type: string}", "java.lang.String"),
        ("{type: string, format: date}", "java.time.LocalDate"),
        ("{type: string, format: byte}", "byte[]"),
        ("{type: integer}", "java.lang.Integer"),
        ("{type: integer, format: int8}", "java.lang.Byte"),
        ("{type: integer, format: int16}", "java.lang.Short"),
        ("{type: number}", "java.lang.Double"),
        ("{type: file}", "java.io.File"),
        ("{type: object}", "java.lang.Object"),
        ("{}", "java.lang.Object"),
        ("{type: array}", "java.util.List<java.lang.Object>"),
        ("{type: 7}", "java.lang.Object"),
        ("{$ref: '#/definitions/Gone'}", "Gone"),
        ("{$ref: '#/definitions/Loop'}", "Loop"),
        ("{$ref: 'http://elsewhere/x'}", "java.lang.Object"),
        (
            "{type: array, items: {$ref: '#/definitions/Self'}}",
            "java.util.List<java.util.List<java.util.List<java.util.List<java.util.List<java.util.List<java.lang.Object>>>>>>",
        ),
    ] {
        let text = format!(
            "{{swagger: '2.0', paths: {{/a: {{get: {{responses: {{200: {{schema: {schema}}}}}}}}}}}, \
             definitions: {{Loop: {{$ref: '#/definitions/Loop'}}, \
             Self: {{type: array, items: {{$ref: '#/definitions/Self'}}}}}}}}"
        );
        assert_eq!(one(&text).return_type, java, "{schema}");
    }
}

#[test]
fn what_cannot_be_read_says_why_and_does_not_panic() {
    let deep = format!("swagger: {}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    bomb.push_str("swagger: '2.0'\n");
    let long = format!("swagger: '2.0'\nx: {}", "x".repeat(MOST_TEXT));
    for text in [
        "",
        " ",
        "null",
        "[]",
        "7",
        "just words",
        "{}",
        "a: 1",
        "{\"swagger\":",
        "swagger: [",
        "\0",
        "\u{feff}",
        "swagger: '2.0'\npaths: []",
        "swagger: '2.0'\npaths: 7",
        &deep,
        &bomb,
        &long,
    ] {
        let why = read(text, "id", ALL).unwrap_err().to_string();
        assert!(!why.is_empty() && why.len() < 1_000, "{why}");
    }
}

#[test]
fn what_is_odd_within_a_contract_costs_no_more_than_itself() {
    let text = "{swagger: '2.0', info: 7, basePath: [], servers: {}, paths: {/a: 7, /b: [], /c: {get: 7, put: {\
                operationId: [], parameters: {}, responses: [], requestBody: 3}, post: {parameters: [1, {}, null], \
                responses: {200: null}}}, /d: {$ref: '#/paths/~1d'}}}";
    let contract = read(text, "id", ALL).unwrap();
    let told = |method: &Method| format!("{} {} {}", method.name, method.return_type, method.parameters.len());
    assert_eq!(contract.methods.iter().map(told).collect::<Vec<_>>(), ["POST /c void 3", "PUT /c void 0"]);
    assert_eq!(read("swagger: '2.0'", "id", ALL).unwrap(), Contract::default());
}

#[test]
fn methods_beyond_the_limits_are_left_out_and_counted() {
    let mut text = "swagger: '2.0'\npaths:\n".to_owned();
    for path in 0..1_500 {
        write!(text, "  /p{path:04}:\n    get: {{summary: {}}}\n", "s".repeat(100)).unwrap();
    }
    let by_count = read(&text, "id", ALL).unwrap();
    assert_eq!((by_count.methods.len(), by_count.left_out), (1_000, 500));
    let by_bytes = read(&text, "id", Limits { bytes: 10_000, ..ALL }).unwrap();
    assert_eq!(by_bytes.methods.len() + by_bytes.left_out, 1_500);
    assert!(by_bytes.methods.iter().map(Method::bytes).sum::<usize>() <= 10_000);
    assert!(by_bytes.methods.len() > 50);
}

#[test]
fn a_long_description_that_many_parameters_share_is_cut() {
    let mut text =
        format!("swagger: '2.0'\nparameters: {{P: {{name: p, description: {}}}}}\npaths:\n", "ä".repeat(50_000));
    for path in 0..2_000 {
        writeln!(text, "  /p{path}: {{get: {{parameters: [{}]}}}}", vec!["{$ref: '#/parameters/P'}"; 20].join(","))
            .unwrap();
    }
    let contract = read(&text, "id", ALL).unwrap();
    assert_eq!(contract.methods[0].parameters.len(), 20);
    assert_eq!(contract.methods[0].parameters[0].detail.len(), MOST_NAME);
    assert!(contract.methods.iter().map(Method::bytes).sum::<usize>() <= ALL.bytes);
    assert_eq!(contract.methods.len() + contract.left_out, 2_000);
}

/// A document whose paths all lead to one and the same item, which has all verbs, and as many parameters as are read,
/// all of which lead over references to what is in `fields`.
fn shared_by_all(paths: usize, first: &str, fields: &str) -> String {
    let verbs = ["get", "post", "put", "delete", "patch", "head", "options", "trace"];
    let verbs = verbs.map(|verb| format!("\"{verb}\":{{}}")).join(",");
    let parameters = vec![format!("{{\"$ref\":\"#/{first}\"}}"); MOST_PARAMETERS].join(",");
    let paths: Vec<_> = (0..paths).map(|path| format!("\"/{path}\":{{\"$ref\":\"#/p\"}}")).collect();
    let paths = paths.join(",");
    format!("{{\"swagger\":\"2.0\",\"p\":{{{verbs},\"parameters\":[{parameters}]}},{fields},\"paths\":{{{paths}}}}}")
}

/// Fields that refer to one another under keys of a length, from `a` over `b` and so on to a parameter.
fn chain(length: usize, steps: u8) -> String {
    let key = |step: u8| char::from(b'a' + step).to_string().repeat(length);
    let links = (0..steps).map(|step| format!("\"{}\":{{\"$ref\":\"#/{}\"}}", key(step), key(step + 1)));
    let end = format!("\"{}\":{{\"name\":\"x\",\"type\":\"string\"}}", key(steps));
    links.chain([end]).collect::<Vec<_>>().join(",")
}

/// What a text gives, and the work for it.
fn counted(text: &str) -> (Contract, usize) {
    let document = document::parse(text, ALL).unwrap();
    let contract = operation::methods(&document, "id", ALL, || Ok::<_, Infallible>(())).unwrap().unwrap();
    (contract, document.done())
}

#[test]
fn long_references_that_every_parameter_of_every_method_leads_over_are_not_followed() {
    let fields = format!("\"s\":{{\"$ref\":\"#/{}\"}},{}", "a".repeat(200_000), chain(200_000, 3));
    let text = shared_by_all(125, "s", &fields);
    assert!(text.len() > 1_600_000 && text.len() <= MOST_TEXT);
    let (contract, work) = counted(&text);
    assert_eq!(contract.notes, ["references longer than 1024 bytes are not followed"]);
    assert_eq!(contract.methods.len() + contract.left_out, 1_000);
    let unknown = parameter("", "java.lang.Object", "");
    assert_eq!(contract.methods[0].parameters, vec![unknown; MOST_PARAMETERS]);
    assert!(work < text.len(), "{work}");
}

#[test]
fn what_the_parameters_of_a_path_lead_to_is_looked_up_once_for_all_its_methods() {
    let (_, of_one) = counted(&shared_by_all(1, &"a".repeat(1_000), &chain(1_000, 6)));
    let (contract, of_all) = counted(&shared_by_all(125, &"a".repeat(1_000), &chain(1_000, 6)));
    assert_eq!(contract.notes, [""; 0]);
    assert_eq!(contract.methods[0].parameters, vec![parameter("x", "java.lang.String", ""); MOST_PARAMETERS]);
    // Each of 128 parameters is looked up along six references of a thousand bytes, for itself and for its type.
    assert!((128 * 6_000..128 * 16_000).contains(&of_one), "{of_one}");
    assert!(of_all - of_one < 1_000 * 1_000, "{of_one} {of_all}");
}

#[test]
fn a_contract_that_refers_to_too_much_gives_the_methods_that_were_reached_and_a_note() {
    // Operations that have their own parameters, each of which leads over all that is followed.
    let mut text = format!("{{\"swagger\":\"2.0\",\"s\":{{\"$ref\":\"#/{}\"}},", "a".repeat(1_000));
    let parameters = vec!["{\"$ref\":\"#/s\"}"; MOST_PARAMETERS].join(",");
    write!(text, "{},\"paths\":{{", chain(1_000, 5)).unwrap();
    let operation = format!("{{\"get\":{{\"parameters\":[{parameters}]}}}}");
    let paths: Vec<_> = (0..500).map(|path| format!("\"/{path:03}\":{operation}")).collect();
    write!(text, "{}}}}}", paths.join(",")).unwrap();
    let (contract, work) = counted(&text);
    let limit = (64 << 10) + 16 * text.len() + 2 * ALL.bytes;
    assert_eq!(contract.notes, [format!("it refers to so much that it was read no further after {limit} steps")]);
    assert!(work > limit && work < limit + 50_000, "{work} {limit}");
    // Those that are told are whole.
    let whole = vec![parameter("x", "java.lang.String", ""); MOST_PARAMETERS];
    assert!(contract.methods.iter().all(|method| method.parameters == whole));
    assert!((1..100).contains(&contract.methods.len()), "{}", contract.methods.len());
}

#[test]
fn white_space_that_many_methods_share_counts_as_work() {
    let text = shared_by_all(125, "a", &format!("\"a\":{{\"name\":\"{}\",\"type\":\"string\"}}", " ".repeat(500_000)));
    let (contract, work) = counted(&text);
    let limit = (64 << 10) + 16 * text.len() + 2 * ALL.bytes;
    assert_eq!((contract.methods.len(), contract.notes.len()), (0, 1));
    assert!(work > limit && work < limit + 500_100, "{work} {limit}");
}

#[test]
fn nobody_waits_for_the_rest_of_a_contract_once_the_answer_is_given_up() {
    let asked = Cell::new(0);
    let text = shared_by_all(125, "a", &chain(1, 1));
    let gone = super::read(&text, "id", ALL, || {
        asked.set(asked.get() + 1);
        if asked.get() == 20 { Err("gone") } else { Ok(()) }
    });
    assert_eq!((gone, asked.get()), (Err("gone"), 20));
}

#[test]
fn json_keeps_to_the_limits_that_yaml_has() {
    let deep = |depth: usize| format!("{{\"swagger\":\"2.0\",\"x\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let many = |values: usize| format!("{{\"swagger\":\"2.0\",\"x\":[{}1]}}", "1,".repeat(values));
    // Brackets and commas in texts are no values.
    let text = format!("{{\"swagger\":\"2.0\",\"x\":\"{}\"}}", "\\\"[,".repeat(300_000));
    for (text, is_read) in
        [(deep(47), true), (deep(48), false), (many(190_000), true), (many(210_000), false), (text, true)]
    {
        assert_eq!(read(&text, "id", ALL).is_ok(), is_read, "{}", text.len());
    }
}

#[test]
fn a_long_text_that_yaml_aliases_repeat_is_refused_by_its_whole_length() {
    // Far fewer aliases than would be refused by their number.
    let text = |aliases: usize| {
        format!("swagger: '2.0'\na: &a {}\nx: [{}]\n", "x".repeat(MOST_TEXT / 8), vec!["*a"; aliases].join(","))
    };
    assert!(read(&text(6), "id", ALL).is_ok());
    let why = read(&text(8), "id", ALL).unwrap_err().to_string();
    assert!(why.len() < 1_000, "{why}");
}

mod mangled {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    /// What documents are made of, where it may and where it may not stand.
    const WORDS: [&str; 30] = [
        "swagger",
        "openapi",
        "2.0",
        "info",
        "title",
        "x-java-class",
        "basePath",
        "servers",
        "url",
        "paths",
        "/a",
        "get",
        "post",
        "parameters",
        "in",
        "name",
        "schema",
        "type",
        "array",
        "items",
        "object",
        "additionalProperties",
        "responses",
        "200",
        "$ref",
        "#/definitions/A",
        "definitions",
        "requestBody",
        "content",
        "properties",
    ];

    fn documents() -> impl Strategy<Value = Value> {
        let word = || (0..WORDS.len()).prop_map(|at| WORDS[at].to_owned());
        let leaf = prop_oneof![word().prop_map(Value::String), Just(Value::Null), any::<i64>().prop_map(Value::from)];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            let fields = proptest::collection::btree_map(word(), inner.clone(), 0..6);
            let fields = fields.prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>()));
            prop_oneof![fields, proptest::collection::vec(inner, 0..4).prop_map(Value::Array)]
        })
    }

    proptest! {
        #[test]
        fn whatever_stands_where_it_may_not_is_read_or_refused(paths in documents(), rest in documents()) {
            let text = serde_json::json!({ "swagger": "2.0", "paths": { "/a": paths }, "definitions": rest }).to_string();
            let limits = Limits { methods: 3, bytes: 10_000 };
            // JSON is YAML, too.
            let (json, yaml) = (read(&text, "id", limits), read(&format!("---\n{text}"), "id", limits));
            prop_assert_eq!(&json, &yaml);
            if let Ok(contract) = json {
                prop_assert!(contract.methods.len() <= 3);
            }
        }

        #[test]
        fn a_torn_contract_is_read_or_refused(at in 0..CHASSIS.len(), gone in 0..200_usize, put in ".{0,8}") {
            let end = (at + gone).min(CHASSIS.len());
            let (Some(before), Some(behind)) = (CHASSIS.get(..at), CHASSIS.get(end..)) else { return Ok(()) };
            let _ = read(&format!("{before}{put}{behind}"), "id", ALL);
        }
    }
}
