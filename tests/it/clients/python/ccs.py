"""A question to the container service's API, asked by the SDK of Tencent Cloud's API 2.0.

usage: ccs.py ADDRESS SECRET_ID SECRET_KEY GET|POST sha1|sha256 PARAMETERS
the parameters are a JSON object; an empty SECRET_ID is none
prints one JSON line: the answer, or the error as the SDK understands it
"""

import json
import sys
from http.client import HTTPConnection

from QcloudApi.common import request
from QcloudApi.common.api_exception import ApiClientNetworkException, ApiServerNetworkException
from QcloudApi.modules.ccs import Ccs
from QcloudApi.qcloudapi import QcloudApi

address, secret_id, secret_key, method, algorithm, parameters = sys.argv[1:]
parameters = json.loads(parameters)


class Plain(HTTPConnection):
    """The SDK knows no other way than TLS; what stands in for it counts nothing."""

    request_length = 0


request.MyHTTPSConnection = Plain
Ccs.requestHost = address
config = {
    "secretId": secret_id,
    "secretKey": secret_key,
    "Region": "gz",
    "method": method,
    "SignatureMethod": {"sha1": "HmacSHA1", "sha256": "HmacSHA256"}[algorithm],
}
try:
    answer = QcloudApi("ccs", config).call(parameters.pop("Action"), parameters)
    print(json.dumps(json.loads(answer)))
except (ApiClientNetworkException, ApiServerNetworkException) as error:
    print(json.dumps({"error": str(error)}))
