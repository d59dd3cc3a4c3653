//! JSON and XML, success and refusal, to the byte.

use super::*;

/// Puts marks in the place of what differs from answer to answer, which is checked.
fn marked(answer: &Answer) -> String {
    let request = answer.header("x-acs-request-id").unwrap();
    let trace = answer.header("x-acs-trace-id").unwrap();
    let is_upper = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
    let lengths: Vec<usize> = request.split('-').map(str::len).collect();
    assert!(lengths == [8, 4, 4, 4, 12] && request.split('-').all(is_upper), "{request}");
    assert!(trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{trace}");
    answer.text().replace(request, "REQUEST").replace(trace, "TRACE")
}

fn posted(server: &Server) {
    post(
        server,
        &json!({
            "AppId": "a", "ServiceName": "service-provider", "Group": "springCloud", "Version": "1.0.0",
            "ServiceType": "springCloud", "EdasAppName": "cn-<micro>&service", "SpringApplicationName": "service-provider",
            "DubboApplicationName": "service-consumer",
            "Metadata": { "1 port": 18081, "preserved": { "register": { "source": "SPRING_CLOUD" } }, "none": null },
            "ServicePorts": [1, 2], "ServiceTags": ["x"],
            "Methods": [{
                "MethodController": "com.serverless.sae.controller.EchoController", "ReturnType": "java.lang.String",
                "ReturnDetails": "test", "Name": "echo", "NameDetail": "description", "ParameterDetails": ["description"],
                "RequestMethods": ["ALL"], "ParameterTypes": ["[\"java.lang.String\"]"], "Paths": ["[\"/echo/{str}\"]", "/e"],
                "ParameterDefinitions": [{ "Type": "java.lang.String", "Description": "description", "Name": "arg0" }],
            }],
        }),
    );
}

const JSON: &str = r#"{"RequestId":"REQUEST","Message":"success","TraceId":"TRACE","Data":{"Group":"springCloud","ServiceName":"service-provider","Version":"1.0.0","ServiceType":"springCloud","EdasAppName":"cn-<micro>&service","SpringApplicationName":"service-provider","DubboApplicationName":"service-consumer","Metadata":{"1 port":18081,"none":null,"preserved":{"register":{"source":"SPRING_CLOUD"}}},"Methods":[{"MethodController":"com.serverless.sae.controller.EchoController","ReturnType":"java.lang.String","ReturnDetails":"test","Name":"echo","NameDetail":"description","ParameterDetails":["description"],"RequestMethods":["ALL"],"ParameterTypes":["java.lang.String"],"Paths":["/echo/{str}","/e"],"ParameterDefinitions":[{"Type":"java.lang.String","Description":"description","Name":"arg0"}],"Source":"posted"}],"ServicePorts":[1,2],"ServiceTags":["x"],"Sources":["posted"]},"Code":"200","Success":true}"#;
const XML: &str = "<DescribeAppServiceDetailResponse><RequestId>REQUEST</RequestId><Message>success</Message><TraceId>TRACE</TraceId><Data><Group>springCloud</Group><ServiceName>service-provider</ServiceName><Version>1.0.0</Version><ServiceType>springCloud</ServiceType><EdasAppName>cn-&lt;micro&gt;&amp;service</EdasAppName><SpringApplicationName>service-provider</SpringApplicationName><DubboApplicationName>service-consumer</DubboApplicationName><Metadata><_1_port>18081</_1_port><preserved><register><source>SPRING_CLOUD</source></register></preserved></Metadata><Methods><MethodController>com.serverless.sae.controller.EchoController</MethodController><ReturnType>java.lang.String</ReturnType><ReturnDetails>test</ReturnDetails><Name>echo</Name><NameDetail>description</NameDetail><ParameterDetails>description</ParameterDetails><RequestMethods>ALL</RequestMethods><ParameterTypes>java.lang.String</ParameterTypes><Paths>/echo/{str}</Paths><Paths>/e</Paths><ParameterDefinitions><Type>java.lang.String</Type><Description>description</Description><Name>arg0</Name></ParameterDefinitions><Source>posted</Source></Methods><ServicePorts>1</ServicePorts><ServicePorts>2</ServicePorts><ServiceTags>x</ServiceTags><Sources>posted</Sources></Data><Code>200</Code><Success>true</Success></DescribeAppServiceDetailResponse>";

const OF_JSON: &str = "application/json";
const OF_XML: &str = "application/xml";
const OF_TEXT_XML: &str = "text/xml;charset=utf-8";

#[test]
fn an_answer_is_in_the_form_that_was_asked_for_and_says_so_in_the_askers_words() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    posted(&server);
    let mut client = server.connect();
    for (accept, format, kind) in [
        (None, "", OF_JSON),
        (Some("*/*"), "", OF_JSON),
        (Some("application/json"), "", OF_JSON),
        (Some("application/octet-stream"), "", OF_JSON),
        (Some("application/xml"), "", OF_XML),
        (Some("text/xml"), "", OF_TEXT_XML),
        (Some("application/json"), "&Format=XML", OF_TEXT_XML),
        (Some("text/xml"), "&Format=json", OF_JSON),
    ] {
        let headers: Vec<_> = accept.into_iter().map(|accept| ("accept", accept)).collect();
        let answer = client.send("GET", &format!("{DESCRIBE}?AppId=a{format}"), &headers, b"");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{accept:?} {format}");
        assert_eq!(marked(&answer), if kind == OF_JSON { JSON } else { XML }, "{accept:?} {format}");
    }
}

#[test]
fn a_setting_says_the_form_where_anything_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--sae-default-format", "xml"]);
    posted(&server);
    let answer = server.get(&format!("{DESCRIBE}?AppId=a"));
    assert_eq!((answer.header("content-type"), marked(&answer).as_str()), (Some(OF_TEXT_XML), XML));
    let answer = server.connect().send("GET", &format!("{DESCRIBE}?AppId=a"), &[("accept", OF_JSON)], b"");
    assert_eq!(marked(&answer), JSON);
}

#[test]
fn a_refusal_is_in_the_same_form_with_the_products_words() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let recommend = "register the service, post its detail, or send its spans; /pop/v1/sam/service/listAppServices \
                     lists those that there are";
    let code = "Micro.Service.MetaData.NotFound";
    let message = "The micro service metadata not found {&lt;x>}.".replace("&lt;", "<");
    let answer = server.get(&format!("{DESCRIBE}?AppId=%3Cx%3E"));
    assert_eq!((answer.status, answer.header("content-type")), (400, Some(OF_JSON)));
    assert_eq!(
        marked(&answer),
        format!(
            "{{\"RequestId\":\"REQUEST\",\"HostId\":\"test\",\"Code\":\"{code}\",\"Message\":\"{message}\",\
             \"Recommend\":\"{recommend}\",\"ErrorCode\":\"{code}\",\"TraceId\":\"TRACE\",\"Success\":false}}"
        )
    );
    let answer = server.connect().send("GET", &format!("{DESCRIBE}?AppId=%3Cx%3E"), &[("accept", "text/xml")], b"");
    assert_eq!((answer.status, answer.header("content-type")), (400, Some(OF_TEXT_XML)));
    let message = message.replace('<', "&lt;").replace('>', "&gt;");
    assert_eq!(
        marked(&answer),
        format!(
            "<Error><RequestId>REQUEST</RequestId><HostId>test</HostId><Code>{code}</Code><Message>{message}</Message>\
             <Recommend>{recommend}</Recommend></Error>"
        )
    );
}

#[test]
fn what_cannot_be_answered_is_told_by_code_and_parameter() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let invalid = |parameter: &str| format!("The specified parameter is invalid {{{parameter}}}.");
    let long = format!("{DESCRIBE}?AppId={}", "a".repeat(257));
    for (path, status, code, message) in [
        (DESCRIBE, 400, "MissingAppId", "AppId is mandatory for this action.".to_owned()),
        (&format!("{DESCRIBE}?AppId=%20"), 400, "MissingAppId", "AppId is mandatory for this action.".to_owned()),
        (&format!("{DESCRIBE}?AppId=a&AppId=b"), 400, "InvalidParameter.Obviously", invalid("AppId")),
        (&long, 400, "InvalidParameter.Obviously", invalid("AppId")),
        (&format!("{DESCRIBE}?AppId=a&ServiceType=hsf"), 400, "InvalidParameter.Obviously", invalid("ServiceType")),
        (&format!("{DESCRIBE}?AppId=a&ServiceName=%01"), 400, "InvalidParameter.Obviously", invalid("ServiceName")),
        (&format!("{DESCRIBE}?AppId=a&Format=yaml"), 400, "InvalidParameter.Obviously", invalid("Format")),
        (&format!("{LIST}?PageNumber=0"), 400, "InvalidParameter.Obviously", invalid("PageNumber")),
        (&format!("{LIST}?PageSize=10000"), 400, "InvalidParameter.Obviously", invalid("PageSize")),
        (&format!("{LIST}Page?PageSize=x"), 400, "InvalidParameter.Obviously", invalid("PageSize")),
        (
            "/pop/v1/sam/service/listPublishedServices",
            400,
            "MissingAppId",
            "AppId is mandatory for this action.".to_owned(),
        ),
        (
            "/pop/v1/sam/service/listConsumedServices",
            400,
            "MissingAppId",
            "AppId is mandatory for this action.".to_owned(),
        ),
        (
            "/pop/v1/sam/app/describeApplication",
            404,
            "InvalidAction.NotFound",
            "Specified api is not found, please check your url and method.".to_owned(),
        ),
    ] {
        let answer = server.get(path);
        let whole = answer.json();
        let told = (answer.status, whole["Code"].as_str().unwrap(), whole["Message"].as_str().unwrap());
        assert_eq!(told, (status, code, message.as_str()), "{path}");
        assert_eq!((&whole["ErrorCode"], &whole["Success"]), (&json!(code), &json!(false)), "{path}");
        assert!(!whole["Recommend"].as_str().unwrap().is_empty(), "{path}");
    }
}
