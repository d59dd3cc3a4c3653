//! Items as a file: imported by a form or a body, exported, and imported again.

use super::*;
use crate::support::registry::{on_each_database, on_each_database_with};

const FILE: &str = "/v1/default/kie/file";
const DOWNLOAD: &str = "/v1/default/kie/download";

/// Sends a file as the cloud's SDKs do: a part of a form, without a type.
fn upload(server: &Server, query: &str, name: &str, file: &str) -> Answer {
    let body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nx\r\n--edge\r\n\
         Content-Disposition: form-data; name=\"upload_file\"; filename=\"{name}\"\r\n\r\n{file}\r\n--edge--\r\n"
    );
    let headers = [("content-type", "multipart/form-data; boundary=edge")];
    server.connect().send("POST", &format!("{FILE}{query}"), &headers, body.as_bytes())
}

/// `key=value@revision` of what was imported, and what was not.
#[track_caller]
fn imported(answer: &Answer) -> (Vec<String>, Value) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let text = |item: &Value| {
        timeless(item.clone());
        format!("{}={}@{}", item["key"].as_str().unwrap(), item["value"].as_str().unwrap(), item["update_revision"])
    };
    (body["success"].as_array().unwrap().iter().map(text).collect(), body["failure"].clone())
}

fn file(items: &[Value]) -> String {
    json!({ "metadata": { "version": "1.0.0", "annotations": {} }, "data": items }).to_string()
}

fn failure(key: &str, labels: Value, code: &str, message: &str) -> Value {
    json!({ "key": key, "labels": labels, "error_code": code, "error_message": message })
}

const SKIPPED: &str = "skip overriding duplicate kvs";
const ABORTED: &str = "stop overriding kvs after reaching the duplicate kv";

#[test]
fn a_form_imports_items_and_what_is_there_is_replaced_left_or_the_end() {
    on_each_database(|server| {
        let items = |value: &str, keys: &[&str]| {
            file(&keys.iter().map(|key| json!({ "key": key, "value": value })).collect::<Vec<_>>())
        };
        let first = upload(server, "", "items.json", &items("1", &["a", "b"]));
        assert_eq!(imported(&first), (vec!["a=1@2".to_owned(), "b=1@3".to_owned()], json!([])));
        let one = json!({
            "id": "07396873d4c75dda802d1fec0ad2e63d558e40e8f7c08833ecf7a5585e5e710a", "key": "a", "value": "1",
            "value_type": "text", "create_revision": 2, "update_revision": 2, "status": "enabled", "labels": {},
        });
        assert_eq!(timeless(first.json()["success"][0].clone()), one);

        let skipped = upload(server, "?override=skip", "ITEMS.JSON", &items("2", &["b", "c"]));
        let failed = failure("b", json!({}), "SVCSTG.00400004", SKIPPED);
        assert_eq!(imported(&skipped), (vec!["c=2@4".to_owned()], json!([failed])));

        let aborted = upload(server, "?override=abort", "items.json", &items("3", &["d", "a", "e"]));
        let failed = ["a", "e"].map(|key| failure(key, json!({}), "SVCSTG.00400005", ABORTED));
        assert_eq!(imported(&aborted), (vec!["d=3@5".to_owned()], json!(failed)));

        let replaced = upload(server, "?override=force", "items.json", &items("", &["a", "e", "e"]));
        let done = ["a=@6", "e=@7", "e=@8"].map(str::to_owned).to_vec();
        assert_eq!(imported(&replaced), (done, json!([])));
        assert_eq!(listed(&get(server, "")), (8, 5, ["e=", "a=", "d=3", "c=2", "b=1"].map(str::to_owned).to_vec()));
    });
}

#[test]
fn labels_of_the_request_stand_in_the_place_of_the_items_own() {
    on_each_database(|server| {
        let items = file(&[
            json!({ "key": "k", "value": "v", "labels": { "a": "1" } }),
            json!({ "key": "k", "value": "w" }),
            json!({ "key": "bad key", "labels": { "a": "1" } }),
        ]);
        let answer = upload(server, "?label=app:shop&label=environment:&override=skip", "items.json", &items);
        let labels = json!({ "app": "shop", "environment": "" });
        let key = "Invalid parameter(s): field key: send 1 to 2048 letters, digits and .:_-[]";
        let failed = json!([
            failure("k", labels.clone(), "SVCSTG.00400004", SKIPPED),
            failure("bad key", labels.clone(), "SVCSTG.00400100", key),
        ]);
        assert_eq!(imported(&answer), (vec!["k=v@2".to_owned()], failed));
        assert_eq!(answer.json()["success"][0]["labels"], labels);
    });
}

#[test]
fn an_item_that_cannot_be_imported_does_not_keep_the_others_out() {
    on_each_database_with(&["--kie-max-items", "2"], |server| {
        let null = "Configuration item key/value is null or not a string.: field";
        let failures = [
            (json!({ "key": null }), "", "SVCSTG.00400652", format!("{null} key: send a text")),
            (
                json!({ "value": "v" }),
                "",
                "SVCSTG.00400652",
                format!("{null} key: send a text of 1 to 2048 letters, digits and .:_-[]"),
            ),
            (json!({ "key": "n", "value": null }), "n", "SVCSTG.00400652", format!("{null} value: send a text")),
            (json!({ "key": "n", "value": 7 }), "n", "SVCSTG.00400652", format!("{null} value: send a text")),
            (
                json!({ "key": "n", "value": "v".repeat(131_073) }),
                "n",
                "SVCSTG.00400649",
                "Key/value length exceeds the upper limit.: field value: send up to 131072 characters".to_owned(),
            ),
            (
                json!({ "key": "n", "value": "\0" }),
                "n",
                "SVCSTG.00400100",
                "Invalid parameter(s): field value: leave NUL characters out".to_owned(),
            ),
            (
                json!(7),
                "",
                "SVCSTG.00400650",
                "Invalid configuration file.: data[7] is not as expected: invalid type: integer `7`, expected an object at line 1 column 1"
                    .to_owned(),
            ),
        ];
        let mut items = vec![json!({ "key": "a", "value": "1", "status": "disabled", "value_type": "YAML" })];
        items.extend(failures.iter().map(|(item, ..)| item.clone()));
        items.extend([json!({ "key": "b" }), json!(null), json!({ "key": "c" }), json!({ "key": "a", "value": "2" })]);
        let answer = upload(server, "", "items.json", &file(&items));
        let mut failed: Vec<Value> =
            failures.iter().map(|(_, key, code, message)| failure(key, json!({}), code, message)).collect();
        let quota = "quota is not enough: no more than 2 configuration items: drop some, or raise kie.max_items";
        failed.push(failure("c", json!({}), "SVCSTG.00422001", quota));
        let done = ["a=1@2", "b=@3", "a=2@4"].map(str::to_owned).to_vec();
        assert_eq!(imported(&answer), (done, Value::from(failed)));
        let first = &answer.json()["success"][0];
        assert_eq!((&first["status"], &first["value_type"]), (&json!("disabled"), &json!("yaml")));
    });
}

#[test]
fn a_body_imports_items_as_kie_takes_them_with_its_own_codes() {
    on_each_database(|server| {
        create(server, &json!({ "key": "a", "value": "1" }));
        let items = file(&[json!({ "key": "b", "value": "2" }), json!({ "key": "a" }), json!({ "key": "" })]);
        let answer = server.post(&format!("{FILE}?override=abort"), items.as_bytes());
        let failed = |key: &str| json!({ "key": key, "labels": {}, "error_code": 400_005, "error_message": ABORTED });
        assert_eq!(imported(&answer), (vec!["b=2@3".to_owned()], json!([failed("a"), failed("")])));

        invalid(
            &server.post(&format!("{FILE}?override=always"), items.as_bytes()),
            "query parameter override: send force, abort or skip",
        );
        invalid(
            &server.post(FILE, b"[]"),
            "the file is not {\"data\":[..]}: invalid type: sequence, expected an object at line 1 column 0",
        );
    });
}

#[test]
fn a_form_without_a_file_of_items_is_told_what_is_wrong() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    const INVALID: &str = "Invalid configuration file.";
    const EMPTY: &str = "The file is empty or in an incorrect format.";
    let form = |body: &str| {
        let headers = [("content-type", "multipart/form-data; boundary=edge")];
        server.connect().send("POST", FILE, &headers, body.as_bytes())
    };
    let good = "{\"data\":[]}";
    refused(
        &upload(&server, "", "items.yaml", good),
        "SVCSTG.00400651",
        EMPTY,
        "form field upload_file: send a file whose name ends with .json",
    );
    refused(
        &upload(&server, "", "items.json", " "),
        "SVCSTG.00400651",
        EMPTY,
        "form field upload_file: send a file that is not empty",
    );
    refused(
        &upload(&server, "", "items.json", "{}"),
        "SVCSTG.00400650",
        INVALID,
        "the file is not {\"data\":[..]}: missing field `data` at line 1 column 2",
    );
    let many = format!("{{\"data\":[{}]}}", vec!["0"; 10_001].join(","));
    let refusal = upload(&server, "", "items.json", &many);
    refused(&refusal, "SVCSTG.00400650", INVALID, "data: send up to 10000 at a time");
    refused(&form("--edge--\r\n"), "SVCSTG.00400650", INVALID, "form field upload_file: send the file in it");
    let broken = form("no form");
    assert_eq!((broken.status, &broken.json()["error_code"]), (400, &json!("SVCSTG.00400650")));
    refused(
        &upload(&server, "?label=app", "items.json", good),
        "SVCSTG.00400100",
        "Invalid parameter(s)",
        "query parameter label: send name:value; \"app\" has no colon",
    );
    assert_eq!(imported(&upload(&server, "", "items.json", good)), (vec![], json!([])));
}

#[test]
fn what_is_exported_is_named_after_its_environment_and_can_be_imported_elsewhere() {
    on_each_database(|server| {
        let ids: Vec<Value> = [
            json!({ "key": "a", "value": "1 \"☃\"", "labels": { "environment": "test" }, "status": "enabled" }),
            json!({
                "key": "b", "value": "x: 1", "value_type": "yaml", "labels": { "environment": "test", "app": "s" },
            }),
            json!({ "key": "c", "value": "3", "labels": { "environment": "" }, "priority": 2 }),
        ]
        .iter()
        .map(|item| create(server, item)["id"].clone())
        .collect();
        let export =
            |query: &str, ids: &Value| send(server, "POST", &format!("{DOWNLOAD}{query}"), &json!({ "ids": ids }));
        let all = json!([ids[2], "nobody", ids[0], ids[1]]);

        let whole = export("", &all);
        assert_eq!(whole.status, 200);
        let expected = json!({
            "metadata": { "version": "1.0.0", "annotations": {} },
            "data": [
                { "id": ids[2], "key": "c", "labels": { "environment": "" }, "value": "3", "value_type": "text",
                  "status": "disabled", "priority": 2 },
                { "id": ids[0], "key": "a", "labels": { "environment": "test" }, "value": "1 \"☃\"",
                  "value_type": "text", "status": "enabled" },
                { "id": ids[1], "key": "b", "labels": { "app": "s", "environment": "test" }, "value": "x: 1",
                  "value_type": "yaml", "status": "disabled" },
            ],
        });
        assert_eq!(whole.json(), expected);

        for (query, environment, keys) in [
            ("", "custom", &["c", "a", "b"][..]),
            ("?label=environment:test", "test", &["a", "b"]),
            ("?label=environment:test&match=exact", "test", &["a"]),
            ("?label=environment:", "default", &["c"]),
            ("?label=app:s", "custom", &["b"]),
        ] {
            let answer = export(query, &all);
            let data = answer.json()["data"].clone();
            let found: Vec<&str> = data.as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap()).collect();
            assert_eq!(found, keys, "{query}");
            let disposition = answer.header("content-disposition").unwrap();
            let name =
                disposition.strip_prefix("attachment; filename=\"").and_then(|name| name.strip_suffix(".json\""));
            let millis =
                name.and_then(|name| name.strip_prefix(environment)).unwrap_or_else(|| panic!("{disposition}"));
            assert_eq!((millis.len(), millis.bytes().all(|b| b.is_ascii_digit())), (13, true), "{disposition}");
        }

        let headers = [("x-domain-name", "elsewhere")];
        let imported = server.connect().send("POST", FILE, &headers, whole.text().as_bytes());
        assert_eq!(imported.json()["failure"], json!([]));
        let there = server.connect().send("GET", &format!("{KV}?status=disabled"), &headers, b"");
        assert_eq!(listed(&there).2, ["c=3", "b=x: 1"]);

        let body = "Invalid label or body.";
        refused(
            &send(server, "POST", DOWNLOAD, &json!({})),
            "SVCSTG.00400653",
            body,
            "the body is not as expected: missing field `ids` at line 1 column 2",
        );
        refused(
            &export("?label=app", &all),
            "SVCSTG.00400653",
            body,
            "query parameter label: send name:value; \"app\" has no colon",
        );
        assert_eq!(export("", &json!([])).json()["data"], json!([]));
    });
}
