"""Configuration items, imported and exported by the SDK of the CSE API.

usage: kie.py ADDRESS ACCESS_KEY SECRET
prints one JSON line a step
"""

import json
import pathlib
import sys
import tempfile

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.formdata import FormFile
from huaweicloudsdkcse.v1 import (
    CseClient,
    DownloadKieReqBody,
    DownloadKieRequest,
    UploadKieRequest,
    UploadKieRequestBody,
)

address, access_key, secret = sys.argv[1:]
credentials = BasicCredentials(access_key, secret, "default")
client = CseClient.new_builder().with_credentials(credentials).with_endpoint(f"http://{address}").build()
folder = pathlib.Path(tempfile.mkdtemp())


def say(step, answer):
    said = {key: value for key, value in answer.items() if not key.endswith(("_time", "_revision"))}
    print(json.dumps({"step": step, **said}, sort_keys=True))


def upload(step, items, override, label=None, name="items.json"):
    path = folder / name
    path.write_text(json.dumps(items))
    with open(path, "rb") as file:
        body = UploadKieRequestBody(upload_file=FormFile(file))
        try:
            answer = client.upload_kie(UploadKieRequest(override=override, label=label, body=body)).to_dict()
        except ClientRequestException as error:
            say(step, {"status": error.status_code, "code": error.error_code, "message": error.error_msg})
            return []
    kept = [
        {key: item[key] for key in ("id", "key", "labels", "value", "value_type", "status")}
        for item in answer["success"] or []
    ]
    say(step, {"success": kept, "failure": answer["failure"]})
    return [item["id"] for item in kept]


def item(key, value):
    return {"key": key, "value": value, "value_type": "text", "status": "enabled", "labels": {"app": "shop"}}


ids = upload("imported", {"data": [item("limit", "10"), item("burst", "20")]}, "force")
upload("imported again", {"data": [item("limit", "11"), item("delay", "5")]}, "force")
upload("skipping", {"data": [item("limit", "12"), item("width", "3")]}, "skip")
upload("aborting", {"data": [item("limit", "13"), item("height", "4")]}, "abort")
upload("under other labels", {"data": [item("limit", "14")]}, "force", label="environment:production")
upload("no file of items", {"data": [item("limit", "15")]}, "force", name="items.txt")
request = DownloadKieRequest(label="app:shop", match="exact", body=DownloadKieReqBody(ids=ids))
say("exported", client.download_kie(request).to_dict())
