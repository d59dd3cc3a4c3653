//! What cannot be answered. HTTP's status is always 200.

use super::*;

const ALL: &str = "DescribeServiceEvent, DescribeServiceInstance, DescribeClusterService, DescribeClusterNameSpaces or \
                   DescribeCluster";

#[test]
fn parameters_that_are_missing_or_wrong_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let missing = "(10010) lacked of required parameters\nparameter";
    let cluster = format!("{missing} clusterId: send the id of a cluster; the action DescribeCluster lists them");
    for (query, message) in [
        ("".to_owned(), format!("{missing} Action: send {ALL}")),
        (
            "Action=DescribeServiceEvents".to_owned(),
            format!(
                "(10280) action is not existed\nparameter Action: \"DescribeServiceEvents\" is not known: send {ALL}"
            ),
        ),
        ("Action=DescribeServiceEvent&serviceName=s".to_owned(), cluster.clone()),
        ("Action=DescribeServiceEvent&serviceName=s&clusterId=".to_owned(), cluster),
        (
            "Action=DescribeServiceEvent&clusterId=c".to_owned(),
            format!("{missing} serviceName: send the name of a service; the action DescribeClusterService lists them"),
        ),
        (
            "Action=DescribeServiceEvent&clusterId=c&clusterId=d".to_owned(),
            "(10330) parameter is NOT a repeatable parameter\nparameter clusterId: send it once".to_owned(),
        ),
        (
            "Action=DescribeCluster&limit=many".to_owned(),
            "(10360) parameter error type\nparameter limit: send a whole number".to_owned(),
        ),
        (
            "Action=%ff".to_owned(),
            "(10420) cannot parse\nthe parameters: send names and values in UTF-8, percent-encoded".to_owned(),
        ),
        (
            vec!["a=1"; 1_001].join("&"),
            "(10350) parameter value or length is out of range\nthe parameters: send up to 1000".to_owned(),
        ),
    ] {
        let by_get = client.send("GET", &format!("{PATH}?{query}"), &[], b"");
        assert_refused(&by_get, 4000, "InvalidParameter", &message);
        assert_eq!(ask_by_form(&mut client, "", &query).text(), by_get.text(), "{query}");
    }
}

#[test]
fn a_method_that_there_is_not_is_told_so_in_the_products_form() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    for method in ["PUT", "DELETE", "PATCH"] {
        let answer = client.send(method, &format!("{PATH}?Action=DescribeCluster"), &[], b"");
        let message =
            format!("(10410) unexpected http method, only GET or POST is supported\nmethod {method}: send GET or POST");
        assert_refused(&answer, 4000, "InvalidParameter", &message);
        assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"));
    }
}

#[test]
fn a_body_that_is_no_form_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let body = br#"{"Action":"DescribeCluster"}"#;
    let answer = client.send("POST", PATH, &[("content-type", "application/json")], body);
    let message = "(10420) cannot parse\nheader Content-Type: send the parameters as application/x-www-form-urlencoded, \
                   or in the query";
    assert_refused(&answer, 4000, "InvalidParameter", message);
    let answer = client.send("POST", PATH, &[("content-encoding", "gzip")], b"Action=DescribeCluster");
    let message = "(10420) cannot parse\nheader Content-Encoding: send the parameters uncompressed";
    assert_refused(&answer, 4000, "InvalidParameter", message);
    let answer = client.send("POST", PATH, &[], b"Action=\xff");
    let message = "(10420) cannot parse\nthe parameters: send names and values in UTF-8, percent-encoded";
    assert_refused(&answer, 4000, "InvalidParameter", message);
}

#[test]
fn a_body_is_small_and_has_to_come() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--server-body-timeout", "100ms"]);
    let mut client = server.connect();
    let message = "(10350) parameter value or length is out of range\nthe body is larger than 64KiB\nthe body: send less \
                   in one request";
    let mut form = b"Action=DescribeCluster&more=".to_vec();
    form.resize(64 << 10, b'x');
    assert_eq!(client.send("POST", PATH, &[], &form).json()["code"], 0);
    form.push(b'x');
    assert_refused(&client.send("POST", PATH, &[], &form), 4000, "InvalidParameter", message);
    // In chunks the length is not known before.
    client
        .write(format!("POST {PATH} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes())
        .unwrap();
    for _ in 0..66 {
        client.write(format!("400\r\n{}\r\n", "x".repeat(1_024)).as_bytes()).unwrap();
    }
    client.write(b"0\r\n\r\n").unwrap();
    assert_refused(&client.read_answer(false).unwrap(), 4000, "InvalidParameter", message);

    let mut slow = server.connect();
    slow.write(format!("POST {PATH} HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nAction").as_bytes()).unwrap();
    let answer = slow.read_answer(false).unwrap();
    let message = "(10420) cannot parse\nthe body did not arrive in time\nserver.body_timeout (100ms): send it faster or \
                   in smaller parts";
    assert_refused(&answer, 4000, "InvalidParameter", message);
    assert_eq!(answer.header("connection"), Some("close"));
}
