"""A service's detail, asked for by the SDKs of the SAE API.

usage: sae.py current|older ADDRESS ACCESS_KEY SECRET NAME=VALUE...
prints one JSON line: the answer, or the error as the SDK understands it
"""

import json
import sys

flavour, address, access_key, secret, *pairs = sys.argv[1:]
query = dict(pair.split("=", 1) for pair in pairs)


def say(**said):
    print(json.dumps(said, sort_keys=True))


def current():
    from alibabacloud_sae20190506.client import Client
    from alibabacloud_sae20190506.models import DescribeAppServiceDetailRequest
    from alibabacloud_tea_openapi.models import Config
    from Tea.exceptions import TeaException

    config = Config(access_key_id=access_key, access_key_secret=secret, endpoint=address, protocol="http")
    config.region_id = "cn-hangzhou"
    request = DescribeAppServiceDetailRequest()
    for name, value in query.items():
        setattr(request, name, value)
    try:
        answer = Client(config).describe_app_service_detail(request)
        say(status=answer.status_code, body=answer.body.to_map())
    except TeaException as error:
        say(code=error.code, message=error.message, status=(error.data or {}).get("statusCode"))


def older():
    from aliyunsdkcore.acs_exception.exceptions import ServerException
    from aliyunsdkcore.client import AcsClient
    from aliyunsdksae.request.v20190506.DescribeAppServiceDetailRequest import DescribeAppServiceDetailRequest

    client = AcsClient(access_key, secret, "cn-hangzhou")
    request = DescribeAppServiceDetailRequest()
    request.set_endpoint(address)
    request.set_protocol_type("http")
    for name, value in query.items():
        getattr(request, f"set_{name}")(value)
    try:
        say(body=json.loads(client.do_action_with_exception(request)))
    except ServerException as error:
        say(code=error.get_error_code(), message=error.get_error_msg(), status=error.get_http_status())


{"current": current, "older": older}[flavour]()
